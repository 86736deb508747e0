// Adds a micro-batch to its batch's slot of the metrics ring, in a fixed order:
//   metrics[slot] = (accumulate ? metrics[slot] : 0) + (sum of losses, hits, images, 0)
// outcome: (n) vec4, loss, hit, 0, 0; metrics: (slots) vec4. Counts are exact below 2^24.
// Grid: one workgroup; 64 invocations add every 64th image, the first adds their sums.
var<workgroup> sums: array<vec2<f32>, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) invocation: u32) {
    var sum = vec2<f32>();
    for (var i = invocation; i < step.images; i += 64u) {
        sum += load_outcome(i).xy;
    }
    sums[invocation] = sum;
    workgroupBarrier();
    if invocation == 0u {
        var total = vec2<f32>();
        for (var i = 0u; i < 64u; i++) {
            total += sums[i];
        }
        let slot = step.slot % dims.slots;
        var old = vec4<f32>();
        if step.accumulate == 1u {
            old = load_metrics(slot);
        }
        store_metrics(slot, old + vec4<f32>(total, f32(step.images), 0.0));
    }
}
