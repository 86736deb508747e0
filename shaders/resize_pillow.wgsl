// Gathers a batch of 8-bit images and resizes it as Pillow does, with values scaled to [0, 1] and
// normalised:
//   x[i, y, x, c] = (byte(sum_r rows[y, r] byte(sum_s columns[x, s] image[r, s, c])) / 255 - mean)
//                   / deviation
// where image = order[sample_base + i], weights have 22 bits after the binary point, and byte()
// rounds to 8 bits (Pillow's src/libImaging/Resample.c); with rows_first = 1 the sum over s is the
// outer one.
// order: (samples) u32; pixels: bytes of `count` images (count, source_height, source_width,
// channels) beginning with image `first` of the set, packed in u32; images outside are another
// dispatch's. tables: (width, column_stride), then (height, row_stride) u32, each row the first
// source position, the number of weights, the weights. x: (n, h + 2 out_halo, w + 2 out_halo, 4),
// its halo left alone, channels past the last 0.
// Grid: one invocation a pixel, which resizes the source rows (or columns) it needs again: no image
// between the passes is stored.
//@ include "common/pictures.wgsl"

fn rounded(sum: vec4<u32>) -> vec4<u32> {
    return min((sum + (1u << 21u)) >> vec4<u32>(22u), vec4<u32>(255u));
}

// The sum over source pixels that lie `apart` from each other, from `pixel` on, with the weights of
// the table that begins at `table`.
fn weighted(pixel: u32, apart: u32, table: u32) -> vec4<u32> {
    let first = pixel + tables[table] * apart;
    let count = tables[table + 1u];
    var sum = vec4<u32>();
    for (var k = 0u; k < count; k++) {
        sum += texel(first + k * apart) * tables[table + 2u + k];
    }
    return rounded(sum);
}

// The sum with the weights at `outer` over sums with those at `inner`, which begin `apart` pixels from
// each other.
fn twice(pixel: u32, apart: u32, outer: u32, inner_apart: u32, inner: u32) -> vec4<u32> {
    let first = pixel + tables[outer] * apart;
    let count = tables[outer + 1u];
    var sum = vec4<u32>();
    for (var k = 0u; k < count; k++) {
        sum += weighted(first + k * apart, inner_apart, inner) * tables[outer + 2u + k];
    }
    return rounded(sum);
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
    let y = i / d.width % d.height;
    let x_out = i % d.width;
    let column = x_out * d.column_stride;
    let row = d.width * d.column_stride + y * d.row_stride;
    let base = sample * d.source_height * d.source_width;
    var bytes: vec4<u32>;
    if d.rows_first == 1u {
        bytes = twice(base, 1u, column, d.source_width, row);
    } else {
        bytes = twice(base, d.source_width, row, 1u, column);
    }
    let columns = d.width + 2u * d.out_halo;
    let rows = d.height + 2u * d.out_halo;
    let pixel = (image * rows + y + d.out_halo) * columns + x_out + d.out_halo;
    store_x(pixel, normalised(vec4<f32>(bytes) / 255.0));
}
