// Second pass of the gradients of weights: adds the slots in their order, so that the same inputs
// give the same bits: grad[i] = (accumulate ? grad[i] : 0) + sum over slots of partial[slot, i].
// partial: (slots, quads) vec4; grad: (quads) vec4. Grid: one invocation a quad.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    if i >= dims.quads {
        return;
    }
    var sum = vec4<f32>();
    for (var slot = 0u; slot < dims.slots; slot++) {
        sum += load_partial(slot * dims.quads + i);
    }
    if step.accumulate == 1u {
        sum += load_grad(i);
    }
    store_grad(i, sum);
}
