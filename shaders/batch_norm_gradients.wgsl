// Second pass: adds the slots in their order, to the sums of this batch and to the gradients:
//   sums[i] = sum over slots of partial[slot, i];  grad[i] = (accumulate ? grad[i] : 0) + sums[i]
// partial: (slots, 2, quads) vec4; sums, grad: (2, quads), for scale and shift.
// Grid: one invocation a quad of `grad`.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    if i >= 2u * dims.quads {
        return;
    }
    var sum = vec4<f32>();
    for (var slot = 0u; slot < dims.slots; slot++) {
        sum += load_partial(slot * 2u * dims.quads + i);
    }
    store_sums(i, sum);
    if step.accumulate == 1u {
        sum += load_grad(i);
    }
    store_grad(i, sum);
}
