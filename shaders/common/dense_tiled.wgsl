// A matrix product in tiles of workgroup memory, for GPUs: out[i, j] = sum over t of a[i, t] * b[t, j].
//
// A workgroup of 64 computes 32x32 outputs, an invocation 4x4. For each 16 steps of the reduction
// the first 32 invocations stage a 4x4 block of `a` each, the others one of `b` (2 KB each), stored
// so that both are read as quads along i and j.
// The includer gives `block_a(i / 4, t / 4)` and `block_b(t / 4, j / 4)`, which return four quads
// [t] along i (or j), zero outside, and calls `product`.
var<workgroup> tile_a: array<vec4<f32>, 128>;   // (16, 8 quads)
var<workgroup> tile_b: array<vec4<f32>, 128>;   // (16, 8 quads)

struct Block {
    rows: array<vec4<f32>, 4>,
}

fn turned(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> Block {
    let m = transpose(mat4x4<f32>(a, b, c, d));
    return Block(array<vec4<f32>, 4>(m[0], m[1], m[2], m[3]));
}

// Outputs rows 4 i .. 4 i + 3 of the tile's block at (i0, j0), in quads; `steps` in quads.
fn product(i0: u32, j0: u32, steps: u32, invocation: u32) -> Block {
    let i = invocation / 8u;
    let j = invocation % 8u;
    var sum_0 = vec4<f32>();
    var sum_1 = vec4<f32>();
    var sum_2 = vec4<f32>();
    var sum_3 = vec4<f32>();
    for (var first = 0u; first < steps; first += 4u) {
        let quad = invocation % 8u;
        let t = invocation / 8u % 4u;
        if invocation < 32u {
            let block = block_a(i0 + quad, first + t);
            tile_a[(t * 4u + 0u) * 8u + quad] = block.rows[0];
            tile_a[(t * 4u + 1u) * 8u + quad] = block.rows[1];
            tile_a[(t * 4u + 2u) * 8u + quad] = block.rows[2];
            tile_a[(t * 4u + 3u) * 8u + quad] = block.rows[3];
        } else {
            let block = block_b(first + t, j0 + quad);
            tile_b[(t * 4u + 0u) * 8u + quad] = block.rows[0];
            tile_b[(t * 4u + 1u) * 8u + quad] = block.rows[1];
            tile_b[(t * 4u + 2u) * 8u + quad] = block.rows[2];
            tile_b[(t * 4u + 3u) * 8u + quad] = block.rows[3];
        }
        workgroupBarrier();
        for (var step_t = 0u; step_t < 16u; step_t++) {
            let a = tile_a[step_t * 8u + i];
            let b = tile_b[step_t * 8u + j];
            sum_0 = fma(vec4<f32>(a.x), b, sum_0);
            sum_1 = fma(vec4<f32>(a.y), b, sum_1);
            sum_2 = fma(vec4<f32>(a.z), b, sum_2);
            sum_3 = fma(vec4<f32>(a.w), b, sum_3);
        }
        workgroupBarrier();
    }
    return Block(array<vec4<f32>, 4>(sum_0, sum_1, sum_2, sum_3));
}
