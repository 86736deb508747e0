// Mean and variance of a batch from the moments of its slots, and the running statistics:
//   moments = (mean, 1 / sqrt(variance + epsilon))
//   running mean = running mean + rate (mean - running mean), the same for the variance, for which
//   the unbiased one is taken (PyTorch's BatchNorm2d); count = count + 1
// partial: (slots, 2, quads) vec4; statistics: (3, quads): mean, variance, count; moments: (2, quads).
// Grid: one invocation a quad of channels.
// Method: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
// variances", 1979, slot after slot.
//@ include "common/slots.wgsl"

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let quad = group_index(workgroup, workgroups) * 64u + invocation;
    if quad >= d.quads {
        return;
    }
    let pixels = step.images * d.pixels;
    var mean = vec4<f32>();
    var squares = vec4<f32>();
    for (var slot = 0u; slot < d.slots; slot++) {
        let begin = slot_begin(slot, d.slots, pixels);
        let end = slot_begin(slot + 1u, d.slots, pixels);
        if begin < end {
            let share = f32(end - begin) / f32(end);
            let difference = load_partial(slot * 2u * d.quads + quad) - mean;
            mean = fma(difference, vec4<f32>(share), mean);
            squares += load_partial((slot * 2u + 1u) * d.quads + quad)
                + difference * difference * (f32(begin) * share);
        }
    }
    store_moments(quad, mean);
    store_moments(d.quads + quad, 1.0 / sqrt(squares / f32(pixels) + d.epsilon));

    let unbiased = squares / f32(max(pixels, 2u) - 1u);
    let old_mean = load_statistics(quad);
    let old_variance = load_statistics(d.quads + quad);
    store_statistics(quad, old_mean + d.rate * (mean - old_mean));
    store_statistics(d.quads + quad, old_variance + d.rate * (unbiased - old_variance));
    store_statistics(2u * d.quads + quad, load_statistics(2u * d.quads + quad) + 1.0);
}
