// Gathers a batch of f32 tensors:
//   x[i, y, x, c] = values[order[sample_base + i], c, y, x]
// order: (samples) u32; values: (count, channels, height, width) f32 of `count` tensors beginning
// with tensor `first` of the set; tensors outside are another dispatch's.
// x: (n, h + 2 out_halo, w + 2 out_halo, 4), its halo left alone, channels past the last 0.
// Grid: one invocation a pixel.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    let plane = d.height * d.width;
    if i >= step.images * plane {
        return;
    }
    let image = i / plane;
    let sample = order[step.sample_base + image] - d.first;
    if sample >= d.count { // also below `first`: the difference wraps
        return;
    }
    let at = sample * d.channels * plane + i % plane;
    var value = vec4<f32>(values[at], 0.0, 0.0, 0.0);
    if d.channels == 3u {
        value.y = values[at + plane];
        value.z = values[at + 2u * plane];
    }
    let columns = d.width + 2u * d.out_halo;
    let rows = d.height + 2u * d.out_halo;
    let row = i / d.width % d.height;
    store_x((image * rows + row + d.out_halo) * columns + i % d.width + d.out_halo, value);
}
