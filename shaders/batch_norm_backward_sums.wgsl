// First pass of the gradients of batch normalisation: of each channel, over a slot's pixels,
//   partial[slot, 0] = sum of dy * normal;  partial[slot, 1] = sum of dy
// where normal = (x - mean) / deviation. These are the gradients of scale and shift.
// x, dy: (n h w, quads) vec4, dy masked by the ReLU after; moments: (2, quads): mean, 1 / deviation;
// partial: (slots, 2, quads). Grid: one invocation a quad of a slot.
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
    let end = slot_begin(slot + 1u, d.slots, pixels);
    let mean = load_moments(quad);
    let inverse = load_moments(d.quads + quad);
    var products = vec4<f32>();
    var sum = vec4<f32>();
    for (var pixel = slot_begin(slot, d.slots, pixels); pixel < end; pixel++) {
        let gradient = load_dy(pixel * d.quads + quad);
        let normal = (load_x(pixel * d.quads + quad) - mean) * inverse;
        products = fma(gradient, normal, products);
        sum += gradient;
    }
    store_partial(slot * 2u * d.quads + quad, products);
    store_partial((slot * 2u + 1u) * d.quads + quad, sum);
}
