// A 3x3 convolution in tiles of workgroup memory, for GPUs.
//
//   out[n, y, x, k] = sum over r, s, c of source[n, y + r - 1, x + s - 1, c] * weight[r, s, c, k]
//
// source: (n, h + 2, w + 2, in_quads) vec4, zero halo. weight: (9, 4 in_quads, out_quads) vec4.
// A workgroup of 128 computes 16 / K_THREADS squares of 8x8 pixels for 4 QUADS K_THREADS output
// channels, an invocation a row of 8 pixels and 4 QUADS channels. Squares are numbered through all
// images, so that small images fill a workgroup too. For each quad of input channels the squares'
// 10x12 windows, turned to lie along columns, and the filters of 9 taps are staged; a channel and tap
// then takes 3 reads of a window's row for three taps, and QUADS reads of filters for 32 QUADS
// products. Pixels outside the image are computed from clamped loads and not stored.
// Workgroup memory: 12.9 KiB at most. It is not doubled: three other workgroups of a compute unit
// compute while one stages, and there is room for them because it is not.
// Grid: ceil(n * ceil(h / 8) * ceil(w / 8) / squares) * ceil(out_quads / tile_quads) workgroups.
// Method: blocking of registers as in Volkov and Demmel, "Benchmarking GPUs to Tune Dense Linear
// Algebra", SC 2008.
// The includer gives `source`, `weight` and `store`.
//@ set squares = 16 // K_THREADS
//@ set tile_quads = QUADS * K_THREADS
// Channels staged: a power of two, so that a workgroup loads whole taps at once.
//@ set staged = 4 if CHANNELS == 3 else CHANNELS
//@ set per_tap = staged * tile_quads
//@ set taps_at_once = 128 // per_tap
var<workgroup> window: array<vec4<f32>, ${squares * CHANNELS * 30}>; // (squares, CHANNELS, 10, 12)
var<workgroup> filters: array<vec4<f32>, ${9 * per_tap}>; // (9, staged, tile_quads) vec4

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let columns = (d.width + 7u) / 8u;
    let rows = (d.height + 7u) / 8u;
    let k_blocks = (d.out_quads + ${tile_quads - 1}u) / ${tile_quads}u;
    let group = group_index(workgroup, workgroups);
    let all = step.images * rows * columns;
    let first = group / k_blocks * ${squares}u;
    if first >= all {
        return;
    }
    let first_quad = group % k_blocks * ${tile_quads}u;

    // Staging: four columns of a row of a window, and a quad of a filter in every few taps.
    let stages = invocation < ${squares * 30}u;
    let staged_square = min(first + invocation / 30u, all - 1u);
    let staged_row = invocation / 3u % 10u;
    let staged_y = min(staged_square / columns % rows * 8u + staged_row, d.height + 1u);
    let staged_x = staged_square % columns * 8u + invocation % 3u * 4u;
    let line = (staged_square / (columns * rows) * (d.height + 2u) + staged_y) * (d.width + 2u);
    //@ for x in range(4)
    let from_${x} = (line + min(staged_x + ${x}u, d.width + 1u)) * d.in_quads;
    //@ endfor
    let window_at = invocation / 30u * ${CHANNELS * 30}u + invocation % 30u;
    let tap = invocation / ${per_tap}u;
    let channel = invocation / ${tile_quads}u % ${staged}u;
    let tap_pitch = 4u * d.in_quads * d.out_quads;
    let filter_quad = min(first_quad + invocation % ${tile_quads}u, d.out_quads - 1u);
    let filter_from = tap * tap_pitch + channel * d.out_quads + filter_quad;

    let k = invocation % K_THREADS;
    let row = invocation / K_THREADS % 8u;
    let square = invocation / ${8 * K_THREADS}u;
    let a = (square * ${CHANNELS * 10}u + row) * 3u;
    //@ for p in range(8)
    //@ for q in range(QUADS)
    var sum_${p}_${q} = vec4<f32>();
    //@ endfor
    //@ endfor
    for (var quad = 0u; quad < d.in_quads; quad++) {
        if stages {
            let m = transpose(mat4x4<f32>(
                source(from_0 + quad), source(from_1 + quad), source(from_2 + quad), source(from_3 + quad)
            ));
            //@ for c in range(CHANNELS)
            window[window_at + ${c * 30}u] = m[${c}];
            //@ endfor
        }
        let filters_from = filter_from + 4u * quad * d.out_quads;
        //@ for first_tap in range(0, 9, taps_at_once)
        //@ if first_tap + taps_at_once <= 9
        filters[invocation + ${first_tap * per_tap}u] = weight(filters_from + ${first_tap}u * tap_pitch);
        //@ else
        if tap < ${9 - first_tap}u {
            filters[invocation + ${first_tap * per_tap}u] =
                weight(filters_from + ${first_tap}u * tap_pitch);
        }
        //@ endif
        //@ endfor
        workgroupBarrier();
        for (var c = 0u; c < CHANNELS; c++) {
            let at = a + c * 30u;
            let b = c * ${tile_quads}u + k;
            //@ for r in range(3)
            {
                //@ for j in range(3)
                let in_${j} = window[at + ${3 * r + j}u];
                //@ endfor
                //@ for s in range(3)
                //@ for q in range(QUADS)
                let w_${s}_${q} = filters[b + ${(3 * r + s) * per_tap + q * K_THREADS}u];
                //@ for p in range(8)
                sum_${p}_${q} = fma(
                    vec4<f32>(in_${(p + s) // 4}[${(p + s) % 4}]), w_${s}_${q}, sum_${p}_${q}
                );
                //@ endfor
                //@ endfor
                //@ endfor
            }
            //@ endfor
        }
        workgroupBarrier();
    }
    if first + square >= all {
        return;
    }
    let image = (first + square) / (columns * rows);
    let y = (first + square) / columns % rows * 8u + row;
    let x = (first + square) % columns * 8u;
    //@ for q in range(QUADS)
    let quad_${q} = first_quad + k + ${q * K_THREADS}u;
    if y < d.height && quad_${q} < d.out_quads {
        //@ for p in range(8)
        if x + ${p}u < d.width {
            store(image, y, x + ${p}u, quad_${q}, sum_${p}_${q});
        }
        //@ endfor
    }
    //@ endfor
}
