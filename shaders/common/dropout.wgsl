// Inverted dropout, in place: x = keep ? x / (1 - rate) : 0.
//
// The mask is a pure function of (seed, step number, layer, element), so backward computes it again
// instead of storing it, and a batch cut into micro-batches has the same mask as a whole one.
// Generator: Philox-4x32-10 (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011).
// values: (n, columns) vec4. Grid: one invocation a quad, which takes one Philox block.
fn multiply_high(a: u32, b: u32) -> u32 {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let middle = a1 * b0 + ((a0 * b0) >> 16u);
    let carry = (middle & 0xffffu) + a0 * b1;
    return a1 * b1 + (middle >> 16u) + (carry >> 16u);
}

fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var k = key;
    for (var round = 0u; round < 10u; round++) {
        let high_0 = multiply_high(0xD2511F53u, c.x);
        let high_1 = multiply_high(0xCD9E8D57u, c.z);
        c = vec4<u32>(high_1 ^ c.y ^ k.x, 0xCD9E8D57u * c.z, high_0 ^ c.w ^ k.y, 0xD2511F53u * c.x);
        k += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    if i >= step.images * d.quads {
        return;
    }
    let element = step.image_base * d.quads + i;
    let random = philox(vec4<u32>(element, 0u, step.number, d.layer), vec2<u32>(step.seed, 0u));
    let kept = random >= vec4<u32>(d.threshold);
    store_values(i, select(vec4<f32>(), load_values(i) * d.scale, kept));
}
