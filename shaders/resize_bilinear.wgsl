// Gathers a batch of 8-bit images and resizes it, with values scaled to [0, 1]:
//   x[i, y, x, c] = bilinear sample of image order[sample_base + i] / 255
// with half-pixel centres and clamped edges (PyTorch's interpolate with align_corners=False).
// order: (samples) u32; pixels: bytes of `count` images (count, source_height, source_width,
// channels) beginning with image `first` of the set, packed in u32; images outside are another
// dispatch's. x: (n, h + 2 out_halo, w + 2 out_halo, 4), its halo left alone, channels past the
// last 0. Grid: one invocation a pixel.
fn byte(i: u32) -> f32 {
    return f32((pixels[i / 4u] >> (i % 4u * 8u)) & 255u);
}

fn texel(pixel: u32) -> vec4<f32> {
    if dims.channels == 1u {
        return vec4<f32>(byte(pixel), 0.0, 0.0, 0.0);
    }
    let i = pixel * 3u;
    return vec4<f32>(byte(i), byte(i + 1u), byte(i + 2u), 0.0);
}

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
    let size = vec2<f32>(f32(d.source_width), f32(d.source_height));
    let scale = size / vec2<f32>(f32(d.width), f32(d.height));
    let centre = (vec2<f32>(f32(column), f32(row)) + 0.5) * scale - 0.5;
    let at = max(centre, vec2<f32>());
    let low = min(vec2<u32>(at), vec2<u32>(d.source_width - 1u, d.source_height - 1u));
    let high = min(low + 1u, vec2<u32>(d.source_width - 1u, d.source_height - 1u));
    let weight = at - vec2<f32>(low);
    let base = sample * d.source_height * d.source_width;
    let above = mix(texel(base + low.y * d.source_width + low.x),
                    texel(base + low.y * d.source_width + high.x), weight.x);
    let below = mix(texel(base + high.y * d.source_width + low.x),
                    texel(base + high.y * d.source_width + high.x), weight.x);
    let columns = d.width + 2u * d.out_halo;
    let rows = d.height + 2u * d.out_halo;
    let pixel = (image * rows + row + d.out_halo) * columns + column + d.out_halo;
    x[pixel] = mix(above, below, weight.y) / 255.0;
}
