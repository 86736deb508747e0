// Sums of squares of a range of gradients, in SLOTS parts that another pass adds up:
//   partial[s] = sum over k of g[s + k SLOTS]^2
// g: (quads) vec4; partial: (SLOTS) vec4. Grid: one invocation a slot.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let slot = group_index(workgroup, workgroups) * 64u + invocation;
    if slot >= ${SLOTS}u {
        return;
    }
    var sum = vec4<f32>();
    for (var i = slot; i < dims.quads; i += ${SLOTS}u) {
        let gradient = load_g(i);
        sum = fma(gradient, gradient, sum);
    }
    store_partial(slot, sum);
}
