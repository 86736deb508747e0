// Gradient of a 3x3 convolution's filters and bias, first pass, in tiles of workgroup memory:
//   partial[slot, r, s, c, k] = sum over the slot's n, y, x of x[n, y + r - 1, x + s - 1, c] * dy[n, y, x, k]
// and, in the last row of a slot, the sum of dy.
// x: (n, h + 2, w + 2, in_quads) vec4 with zero halo; dy: (n, h + 2 dy_halo, w + 2 dy_halo, out_quads);
// partial: (splits, 36 in_quads + 1, out_quads). `sum_partials` adds the slots in their order.
// A workgroup of 128 takes C_THREADS input and 8 K_THREADS output channels and walks over its share of
// tiles of 8 columns and a few rows; an invocation has all 9 taps of one input channel and 8 output
// channels in registers. Where the channels are too few for that, groups of invocations take turns
// with the tile's rows, and their sums are added in a fixed order at the end.
// Workgroup memory: a window of C_THREADS channels, turned to lie along columns, and the tile of dy,
// 15.5 KiB at most.
// Grid: ceil(4 in_quads / C_THREADS) * ceil(out_quads / (2 K_THREADS)) * splits workgroups.
//@ set parts = 128 // (C_THREADS * K_THREADS)
//@ set least_rows = 8 if C_THREADS == 16 and parts > 1 else 4
//@ set rows = parts if parts > least_rows else least_rows
//@ set tile_quads = 2 * K_THREADS
//@ set lines = (rows + 2) * 3
//@ set pixels = 8 * rows
//@ set adders = 128 // K_THREADS
//@ set at_once = pixels * tile_quads // 128
var<workgroup> window: array<vec4<f32>, ${C_THREADS * lines}>; // (C_THREADS, rows + 2, 12)
var<workgroup> outer: array<vec4<f32>, ${pixels * tile_quads}>; // (rows, 8, tile_quads) vec4

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let c_blocks = (4u * d.in_quads + ${C_THREADS - 1}u) / C_THREADS;
    let k_blocks = (d.out_quads + ${tile_quads - 1}u) / ${tile_quads}u;
    let group = group_index(workgroup, workgroups);
    let split = group / (c_blocks * k_blocks);
    if split >= d.splits {
        return;
    }
    let in_quad = group % c_blocks * ${C_THREADS // 4}u;
    let first_quad = group / c_blocks % k_blocks * ${tile_quads}u;
    let columns = (d.width + 7u) / 8u;
    let rows = (d.height + ${rows - 1}u) / ${rows}u;
    let tiles = step.images * rows * columns;
    let dy_rows = d.height + 2u * d.dy_halo;
    let dy_columns = d.width + 2u * d.dy_halo;

    // Staging: four columns of a window's row for a quad of channels, and quads of dy.
    let stages = invocation < ${C_THREADS // 4 * lines}u;
    let staged_quad = min(in_quad + invocation / ${lines}u, d.in_quads - 1u);
    let staged_row = invocation % ${lines}u / 3u;
    let window_at = invocation / ${lines}u * ${4 * lines}u + invocation % ${lines}u;
    let dy_quad = min(first_quad + invocation % ${tile_quads}u, d.out_quads - 1u);
    let dy_pixel = invocation / ${tile_quads}u;

    let k = invocation % K_THREADS;
    let lane = invocation / K_THREADS;
    let c = lane % C_THREADS;
    let part = lane / C_THREADS;
    //@ for t in range(9)
    var sum_${t}_0 = vec4<f32>();
    var sum_${t}_1 = vec4<f32>();
    //@ endfor
    var bias_0 = vec4<f32>();
    var bias_1 = vec4<f32>();
    for (var tile = split * tiles / d.splits; tile < (split + 1u) * tiles / d.splits; tile++) {
        let left = tile % columns * 8u;
        let top = tile / columns % rows * ${rows}u;
        let image = tile / (columns * rows);
        if stages {
            let y = min(top + staged_row, d.height + 1u);
            let line = (image * (d.height + 2u) + y) * (d.width + 2u);
            //@ for i in range(4)
            let column_${i} = min(left + invocation % 3u * 4u + ${i}u, d.width + 1u);
            let x_${i} = load_x((line + column_${i}) * d.in_quads + staged_quad);
            //@ endfor
            let m = transpose(mat4x4<f32>(x_0, x_1, x_2, x_3));
            //@ for i in range(4)
            window[window_at + ${i * lines}u] = m[${i}];
            //@ endfor
        }
        //@ for i in range(pixels * tile_quads // 128)
        {
            let pixel = dy_pixel + ${i * 128 // tile_quads}u;
            let y = top + pixel / 8u;
            let column = left + pixel % 8u;
            let row = image * dy_rows + min(y, d.height - 1u) + d.dy_halo;
            let at = row * dy_columns + min(column, d.width - 1u) + d.dy_halo;
            outer[invocation + ${i * 128}u] = select(
                vec4<f32>(), load_dy(at * d.out_quads + dy_quad), y < d.height && column < d.width
            );
        }
        //@ endfor
        workgroupBarrier();
        for (var row = part; row < ${rows}u; row += ${parts}u) {
            let at = c * ${lines}u + row * 3u;
            let b = row * ${8 * tile_quads}u + k;
            // Half a row at a time keeps 18 values of the window in registers, not 30.
            //@ for half in range(2)
            {
                //@ for r in range(3)
                let in_${r}_0 = window[at + ${3 * r + half}u];
                let in_${r}_1 = window[at + ${3 * r + half + 1}u];
                //@ endfor
                //@ for p in range(4)
                let dy_${p}_0 = outer[b + ${(4 * half + p) * tile_quads}u];
                let dy_${p}_1 = outer[b + ${(4 * half + p) * tile_quads + K_THREADS}u];
                //@ for t in range(9)
                //@ set i = p + t % 3
                sum_${t}_0 = fma(vec4<f32>(in_${t // 3}_${i // 4}[${i % 4}]), dy_${p}_0, sum_${t}_0);
                sum_${t}_1 = fma(vec4<f32>(in_${t // 3}_${i // 4}[${i % 4}]), dy_${p}_1, sum_${t}_1);
                //@ endfor
                //@ endfor
            }
            //@ endfor
        }
        if in_quad == 0u {
            //@ for first in range(0, pixels, adders)
            if lane < ${pixels - first}u {
                bias_0 += outer[(lane + ${first}u) * ${tile_quads}u + k];
                bias_1 += outer[(lane + ${first}u) * ${tile_quads}u + k + K_THREADS];
            }
            //@ endfor
        }
        workgroupBarrier();
    }
    let base = split * (36u * d.in_quads + 1u) * d.out_quads;
    let channel = in_quad * 4u + c;
    //@ for q in range(2)
    let quad_${q} = first_quad + k + ${q * K_THREADS}u;
    let stores_${q} = part == 0u && channel < 4u * d.in_quads && quad_${q} < d.out_quads;
    //@ for first in range(0, 9, at_once)
    //@ set end = first + at_once if first + at_once < 9 else 9
    //@ if parts > 1
    //@ for t in range(first, end)
    outer[invocation + ${128 * (t - first)}u] = sum_${t}_${q};
    //@ endfor
    workgroupBarrier();
    //@ endif
    if stores_${q} {
        //@ for t in range(first, end)
        var total_${t} = sum_${t}_${q};
        //@ for i in range(1, parts)
        total_${t} += outer[invocation + ${128 * (t - first) + i * C_THREADS * K_THREADS}u];
        //@ endfor
        store_partial(base + (${t}u * d.in_quads * 4u + channel) * d.out_quads + quad_${q}, total_${t});
        //@ endfor
    }
    //@ if parts > 1
    workgroupBarrier();
    //@ endif
    //@ endfor
    //@ endfor
    //@ for q in range(2)
    outer[invocation] = bias_${q};
    workgroupBarrier();
    if in_quad == 0u && lane == 0u && quad_${q} < d.out_quads {
        var total = vec4<f32>();
        for (var i = 0u; i < ${adders}u; i++) {
            total += outer[i * K_THREADS + k];
        }
        store_partial(base + 36u * d.in_quads * d.out_quads + quad_${q}, total);
    }
    workgroupBarrier();
    //@ endfor
}
