// Gathers a batch of 8-bit images and resizes it, with values scaled to [0, 1] and normalised:
//   x[i, y, x, c] = (bilinear sample of image order[sample_base + i] / 255 - mean) / deviation
// with half-pixel centres and clamped edges (PyTorch's interpolate with align_corners=False).
// Output position y lies at ((2 y + 1) from - to) / (2 to) of the source, where from / to is the
// ratio of the sizes in lowest terms: positions and weights are whole numbers of parts of 1 / (2 to),
// in range for sides up to 2^15.
// order: (samples) u32; pixels: bytes of `count` images (count, source_height, source_width,
// channels) beginning with image `first` of the set, packed in u32; images outside are another
// dispatch's. x: (n, h + 2 out_halo, w + 2 out_halo, 4), its halo left alone, channels past the
// last 0. Grid: one invocation a pixel.
//@ include "common/pictures.wgsl"

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    if i >= step.images * d.height * d.width {
        return;
    }
    let image = i / (d.height * d.width);
    let sample = order[step.sample_base + image] - d.first;
    if sample >= d.count { // also below `first`: the difference wraps
        return;
    }
    let row = i / d.width % d.height;
    let column = i % d.width;
    let to = vec2<u32>(d.to_width, d.to_height);
    let parts = 2u * to;
    let centre = (2u * vec2<u32>(column, row) + 1u) * vec2<u32>(d.from_width, d.from_height);
    let at = max(centre, to) - to;
    let low = at / parts;
    let high = min(low + 1u, vec2<u32>(d.source_width - 1u, d.source_height - 1u));
    let after = at % parts;
    let before = parts - after;
    let base = sample * d.source_height * d.source_width;
    let above = texel(base + low.y * d.source_width + low.x) * before.x
              + texel(base + low.y * d.source_width + high.x) * after.x;
    let below = texel(base + high.y * d.source_width + low.x) * before.x
              + texel(base + high.y * d.source_width + high.x) * after.x;
    let sum = vec4<f32>(above) * f32(before.y) + vec4<f32>(below) * f32(after.y);
    let columns = d.width + 2u * d.out_halo;
    let rows = d.height + 2u * d.out_halo;
    let pixel = (image * rows + row + d.out_halo) * columns + column + d.out_halo;
    store_x(pixel, normalised(sum / (f32(255u * parts.x) * f32(parts.y))));
}
