// Gradient of a 3x3 convolution's filters and bias, first pass, in tiles of workgroup memory:
//   partial[slot, r, s, c, k] = sum over the slot's n, y, x of x[n, y + r - 1, x + s - 1, c] * dy[n, y, x, k]
// and, in the last row of a slot, the sum of dy.
// x: (n, h + 2, w + 2, in_quads) vec4 with zero halo; dy: (n, h + 2 dy_halo, w + 2 dy_halo, out_quads);
// partial: (splits, 36 in_quads + 1, out_quads). `sum_partials` adds the slots in their order.
// A workgroup of 64 takes 8 input and 32 output channels and walks over its share of 8x8 tiles; an
// invocation has all 9 taps of one input channel and one quad of output channels in registers.
// Workgroup memory: a 10x10 window of 8 channels and 8x8 pixels of 32 channels (11.3 KB).
// Grid: ceil(in_quads / 2) * ceil(out_quads / 8) * splits workgroups.
var<workgroup> window: array<f32, 800>;         // (10, 10, 8)
var<workgroup> outer: array<vec4<f32>, 512>;    // (8, 8, 8 quads)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let c_blocks = (d.in_quads + 1u) / 2u;
    let k_blocks = (d.out_quads + 7u) / 8u;
    let group = group_index(workgroup, workgroups);
    let split = group / (c_blocks * k_blocks);
    if split >= d.splits {
        return;
    }
    let in_quad = group % c_blocks * 2u;
    let first_quad = group / c_blocks % k_blocks * 8u;
    let columns = (d.width + 7u) / 8u;
    let rows = (d.height + 7u) / 8u;
    let tiles = step.images * rows * columns;
    let dy_rows = d.height + 2u * d.dy_halo;
    let dy_columns = d.width + 2u * d.dy_halo;

    let channel = invocation / 8u;
    let k = invocation % 8u;
    //@ for t in range(9)
    var sum_${t} = vec4<f32>();
    //@ endfor
    var bias = vec4<f32>();
    for (var tile = split * tiles / d.splits; tile < (split + 1u) * tiles / d.splits; tile++) {
        let left = tile % columns * 8u;
        let top = tile / columns % rows * 8u;
        let image = tile / (columns * rows);
        for (var i = invocation; i < 200u; i += 64u) {
            let y = min(top + i / 20u, d.height + 1u);
            let x_column = min(left + i / 2u % 10u, d.width + 1u);
            let quad = in_quad + i % 2u;
            let pixel = (image * (d.height + 2u) + y) * (d.width + 2u) + x_column;
            let value = load_x(pixel * d.in_quads + min(quad, d.in_quads - 1u));
            window[i * 4u] = value.x;
            window[i * 4u + 1u] = value.y;
            window[i * 4u + 2u] = value.z;
            window[i * 4u + 3u] = value.w;
        }
        for (var i = invocation; i < 512u; i += 64u) {
            let y = top + i / 64u;
            let x_column = left + i / 8u % 8u;
            let inside = y < d.height && x_column < d.width;
            let row = image * dy_rows + min(y, d.height - 1u) + d.dy_halo;
            let pixel = row * dy_columns + min(x_column, d.width - 1u) + d.dy_halo;
            let quad = min(first_quad + i % 8u, d.out_quads - 1u);
            outer[i] = select(vec4<f32>(), load_dy(pixel * d.out_quads + quad), inside);
        }
        workgroupBarrier();
        for (var row = 0u; row < 8u; row++) {
            for (var column = 0u; column < 8u; column++) {
                let value = outer[(row * 8u + column) * 8u + k];
                let at = (row * 10u + column) * 8u + channel;
                //@ for t in range(9)
                sum_${t} = fma(
                    vec4<f32>(window[at + ${(t // 3 * 10 + t % 3) * 8}u]), value, sum_${t}
                );
                //@ endfor
            }
        }
        // The bias: invocation (channel, k) adds the tile's row `channel`.
        for (var column = 0u; column < 8u; column++) {
            bias += outer[(channel * 8u + column) * 8u + k];
        }
        workgroupBarrier();
    }
    let base = split * (36u * d.in_quads + 1u) * d.out_quads;
    let quad = first_quad + k;
    if quad < d.out_quads && in_quad + channel / 4u < d.in_quads {
        //@ for t in range(9)
        let row_${t} = ${t}u * d.in_quads * 4u + in_quad * 4u + channel;
        store_partial(base + row_${t} * d.out_quads + quad, sum_${t});
        //@ endfor
    }
    outer[invocation] = bias;
    workgroupBarrier();
    if in_quad == 0u && channel == 0u && quad < d.out_quads {
        var total = vec4<f32>();
        for (var i = 0u; i < 8u; i++) {
            total += outer[i * 8u + k];
        }
        store_partial(base + 36u * d.in_quads * d.out_quads + quad, total);
    }
}
