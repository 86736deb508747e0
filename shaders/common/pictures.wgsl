// A pixel of 8-bit images, (images, source_height, source_width, channels) bytes packed in the words
// of `pixels`; channels past the last are 0.
fn texel(pixel: u32) -> vec4<u32> {
    if dims.channels == 1u {
        return vec4<u32>(byte(pixel), 0u, 0u, 0u);
    }
    let i = pixel * 3u;
    return vec4<u32>(byte(i), byte(i + 1u), byte(i + 2u), 0u);
}

fn byte(i: u32) -> u32 {
    return (pixels[i / 4u] >> (i % 4u * 8u)) & 255u;
}

// (value - mean) / deviation, with scale = 1 / deviation and shift = -mean / deviation; both are 0
// for channels past the last.
fn normalised(value: vec4<f32>) -> vec4<f32> {
    let scale = vec4<f32>(dims.scale_0, dims.scale_1, dims.scale_2, 0.0);
    return value * scale + vec4<f32>(dims.shift_0, dims.shift_1, dims.shift_2, 0.0);
}
