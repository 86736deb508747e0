// First pass over a batch for its mean and variance: of each channel, over a slot's pixels,
//   partial[slot, 0] = mean of x;  partial[slot, 1] = sum of (x - mean)^2
// both 0 of a slot without pixels. `batch_norm_statistics` merges the slots.
// x: (n h w, quads) vec4; partial: (slots, 2, quads). Grid: one invocation a quad of a slot.
// Method: Welford, "Note on a method for calculating corrected sums of squares and products",
// Technometrics 1962: one pass, no cancellation.
//@ include "common/slots.wgsl"

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    if i >= d.slots * d.quads {
        return;
    }
    let quad = i % d.quads;
    let slot = i / d.quads;
    let pixels = step.images * d.pixels;
    let begin = slot_begin(slot, d.slots, pixels);
    let end = slot_begin(slot + 1u, d.slots, pixels);
    var mean = vec4<f32>();
    var squares = vec4<f32>();
    for (var pixel = begin; pixel < end; pixel++) {
        let value = load_x(pixel * d.quads + quad);
        let difference = value - mean;
        mean += difference / f32(pixel - begin + 1u);
        squares = fma(difference, value - mean, squares);
    }
    store_partial(slot * 2u * d.quads + quad, mean);
    store_partial((slot * 2u + 1u) * d.quads + quad, squares);
}
