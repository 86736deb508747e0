// A 3x3 convolution in tiles of workgroup memory, for GPUs.
//
//   out[n, y, x, k] = sum over r, s, c of source[n, y + r - 1, x + s - 1, c] * weight[r, s, c, k]
//
// source: (n, h + 2, w + 2, in_quads) vec4, zero halo. weight: (9, 4 in_quads, out_quads) vec4.
// A workgroup of 64 computes 8x8 pixels of 32 output channels; an invocation 4 pixels of a row and
// 8 channels. For each quad of input channels the 10x10 window (1.6 KB) and the 9 x CHANNELS x 32
// weights (4.6 KB) are staged. Pixels outside the image are computed from clamped loads and not
// stored.
// Grid: n * ceil(h / 8) * ceil(w / 8) * ceil(out_quads / 8) workgroups.
// The includer gives `source`, `weight` and `store`.
var<workgroup> window: array<vec4<f32>, 100>;
var<workgroup> filters: array<vec4<f32>, ${9 * CHANNELS * 8}>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let columns = (d.width + 7u) / 8u;
    let rows = (d.height + 7u) / 8u;
    let k_blocks = (d.out_quads + 7u) / 8u;
    let group = group_index(workgroup, workgroups);
    let image = group / (k_blocks * columns * rows);
    if image >= step.images {
        return;
    }
    let first_quad = group % k_blocks * 8u;
    let left = group / k_blocks % columns * 8u;
    let top = group / (k_blocks * columns) % rows * 8u;

    let k = invocation % 4u * 2u;
    let row = invocation / 8u;
    let column = invocation / 4u % 2u * 4u;
    //@ for p in range(4)
    var sum_${p}_0 = vec4<f32>();
    var sum_${p}_1 = vec4<f32>();
    //@ endfor
    for (var quad = 0u; quad < d.in_quads; quad++) {
        for (var i = invocation; i < 100u; i += 64u) {
            let y = min(top + i / 10u, d.height + 1u);
            let x = min(left + i % 10u, d.width + 1u);
            window[i] = source(
                ((image * (d.height + 2u) + y) * (d.width + 2u) + x) * d.in_quads + quad
            );
        }
        for (var i = invocation; i < ${9 * CHANNELS * 8}u; i += 64u) {
            let channel = (i / ${8 * CHANNELS}u * d.in_quads + quad) * 4u + i / 8u % CHANNELS;
            let wanted = min(first_quad + i % 8u, d.out_quads - 1u);
            filters[i] = weight(channel * d.out_quads + wanted);
        }
        workgroupBarrier();
        //@ for r in range(3)
        {
            let at = (row + ${r}u) * 10u + column;
            //@ for p in range(6)
            let in_${p} = window[at + ${p}u];
            //@ endfor
            //@ for s in range(3)
            //@ for c in range(CHANNELS)
            let w_${s}_${c}_0 = filters[${((r * 3 + s) * CHANNELS + c) * 8}u + k];
            let w_${s}_${c}_1 = filters[${((r * 3 + s) * CHANNELS + c) * 8 + 1}u + k];
            //@ for p in range(4)
            sum_${p}_0 = fma(vec4<f32>(in_${p + s}[${c}]), w_${s}_${c}_0, sum_${p}_0);
            sum_${p}_1 = fma(vec4<f32>(in_${p + s}[${c}]), w_${s}_${c}_1, sum_${p}_1);
            //@ endfor
            //@ endfor
            //@ endfor
        }
        //@ endfor
        workgroupBarrier();
    }
    let y = top + row;
    //@ for p in range(4)
    if y < d.height && left + column + ${p}u < d.width {
        if first_quad + k < d.out_quads {
            store(image, y, left + column + ${p}u, first_quad + k, sum_${p}_0);
        }
        if first_quad + k + 1u < d.out_quads {
            store(image, y, left + column + ${p}u, first_quad + k + 1u, sum_${p}_1);
        }
    }
    //@ endfor
}
