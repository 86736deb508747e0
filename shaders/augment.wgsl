// Gathers a batch of 8-bit images, each changed at random, scaled to [0, 1] and normalised:
//   x[i, y, x] = sum_m share_m covered_m((colour_m(sample_m(y, x)) - mean) / deviation)
// over MEMBERS images m: image order[sample_base + i], and with mixup its partner.
// sample_m(y, x): bilinear, with clamped edges, at the place
//   (x_by_column x + x_by_row y + x_first, y_by_column x + y_by_row y + y_first) / 2^bits
// from the picture's corner; 0 (black) outside the picture, whatever the colour. Places are whole numbers,
// so every adapter samples the same pixels with the same weights.
// colour(v) = clamp(0.5 + contrast (clamp(brightness v) - 0.5)); covered(v) = 0 in the square cut out.
// order: (samples) u32; pixels: bytes of `count` images (count, source_height, source_width,
// CHANNELS) beginning with image `first` of the set, packed in u32; images outside are another
// dispatch's, which adds to x if `adds` is 1. draws: (samples, 4) vec4 by place in the batch, as
// Augmentation::draws. x: (n, h + 2 out_halo, w + 2 out_halo, 4), its halo left alone, channels past the
// last 0. Grid: one invocation a pixel. What is not asked for is not compiled.
//@ include "common/pictures.wgsl"

// Two pixels of a row from byte `at` on, as bytes c = 0.. of the first and of the second. Past the last
// word it is loaded again: such a pixel has no weight.
fn pair(at: u32) -> array<vec4<f32>, 2> {
    let word = at / 4u;
    let shift = at % 4u * 8u;
    let first = pixels[word];
    let second = pixels[min(word + 1u, dims.last_word)];
    let low = (first >> shift) | ((second << 1u) << (31u - shift));
    //@ if CHANNELS == 1
    return array(
        vec4<f32>(f32(low & 255u), 0.0, 0.0, 0.0), vec4<f32>(f32((low >> 8u) & 255u), 0.0, 0.0, 0.0)
    );
    //@ else
    let third = pixels[min(word + 2u, dims.last_word)];
    let high = (second >> shift) | ((third << 1u) << (31u - shift));
    return array(
        vec4<f32>(vec4<u32>(low, low >> 8u, low >> 16u, 0u) & vec4<u32>(255u)),
        vec4<f32>(vec4<u32>(low >> 24u, high, high >> 8u, 0u) & vec4<u32>(255u)),
    );
    //@ endif
}

// An image of the shard at place `place` of the batch, as the output pixel (column, row) sees it.
fn seen(sample: u32, place: u32, column: u32, row: u32) -> vec4<f32> {
    let d = dims;
    let steps = vec4<i32>(load_draws(4u * place));
    let start = vec4<i32>(load_draws(4u * place + 1u));
    let x = steps.x * i32(column) + steps.y * i32(row) + (start.x << d.bits) + start.y;
    let y = steps.z * i32(column) + steps.w * i32(row) + (start.z << d.bits) + start.w;
    let from_corner = vec2<i32>(x, y);
    let size = vec2<u32>(d.source_width, d.source_height);
    // What is negative wraps to far outside.
    let inside = all(vec2<u32>(from_corner) < (size << vec2<u32>(d.bits)));
    let one = 1u << d.bits;
    let from_middle = from_corner - vec2<i32>(i32(one >> 1u));
    let last = vec2<i32>((size - 1u) << vec2<u32>(d.bits));
    let at = vec2<u32>(clamp(from_middle, vec2<i32>(), last));
    let low = at >> vec2<u32>(d.bits);
    let high = min(low.y + 1u, d.source_height - 1u);
    let after = vec2<f32>(at & vec2<u32>(one - 1u));
    let before = f32(one) - after;
    let base = sample * d.source_height;
    let above = pair(((base + low.y) * d.source_width + low.x) * CHANNELS);
    let below = pair(((base + high) * d.source_width + low.x) * CHANNELS);
    let sum = (above[0] * before.x + above[1] * after.x) * before.y
            + (below[0] * before.x + below[1] * after.x) * after.y;
    var value = sum / (255.0 * f32(one) * f32(one));
    //@ if COLOUR or CUTOUT
    let more = load_draws(4u * place + 2u);
    //@ endif
    //@ if COLOUR
    value = clamp(value * more.x, vec4<f32>(), vec4<f32>(1.0));
    value = clamp(0.5 + (value - 0.5) * more.y, vec4<f32>(), vec4<f32>(1.0));
    //@ endif
    value = normalised(select(vec4<f32>(), value, inside));
    //@ if CUTOUT
    let apart = vec2<u32>(vec2<i32>(i32(row), i32(column)) - vec2<i32>(more.zw));
    value = select(value, vec4<f32>(), all(apart < vec2<u32>(d.cutout)));
    //@ endif
    return value;
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
    let row = i / d.width % d.height;
    let column = i % d.width;
    let place = step.image_base + image;
    let columns = d.width + 2u * d.out_halo;
    let rows = d.height + 2u * d.out_halo;
    let pixel = (image * rows + row + d.out_halo) * columns + column + d.out_halo;
    let sample = order[step.sample_base + image] - d.first;
    //@ if MEMBERS == 1
    if sample >= d.count { // also below `first`: the difference wraps
        return;
    }
    store_x(pixel, seen(sample, place, column, row));
    //@ else
    let mixed = load_draws(4u * place + 3u);
    let partner = u32(mixed.x);
    let other = order[step.sample_base - step.image_base + partner] - d.first;
    // Of another shard: added there.
    let own = select(0.0, mixed.y, sample < d.count);
    let others = select(0.0, 1.0 - mixed.y, other < d.count);
    let last = d.count - 1u;
    let value = own * seen(min(sample, last), place, column, row)
              + others * seen(min(other, last), partner, column, row);
    store_x(pixel, value + select(vec4<f32>(), load_x(pixel), d.adds == 1u));
    //@ endif
}
