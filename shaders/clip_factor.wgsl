// By what gradients are multiplied so that their norm is at most max_norm, and the norm:
//   norm = sqrt(sum of partial);  clip = (min(1, max_norm / (norm + 1e-6)), norm, 0, 0)
// partial: (quads) vec4, sums of squares; clip: one vec4. Grid: one workgroup, which adds in a fixed order.
var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) invocation: u32) {
    var sum = vec4<f32>();
    for (var i = invocation; i < dims.quads; i += 64u) {
        sum += load_partial(i);
    }
    sums[invocation] = (sum.x + sum.y) + (sum.z + sum.w);
    workgroupBarrier();
    if invocation != 0u {
        return;
    }
    var all = 0.0;
    for (var i = 0u; i < 64u; i++) {
        all += sums[i];
    }
    let norm = sqrt(all);
    store_clip(0u, vec4<f32>(min(1.0, step.max_norm / (norm + 1e-6)), norm, 0.0, 0.0));
}
