// Gradient of a 3x3 convolution's filters and bias by Winograd's minimal filtering, first pass, in
// workgroup memory, for GPUs. The adjoint of F(TILE x TILE, 3x3), y = A^T ((G w G^T) * (B^T x B)) A, in
// w is
//   dw = G^T m G,  m = sum over all tiles of (B^T x B) * (A dy A^T)
// This pass leaves m: partial[slot, point, c, k] for the slot's tiles and, in the last row of a slot,
// the sum of dy; `winograd_filter_gradient` adds the slots and multiplies by G.
// Source of F(TILE x TILE, 3x3): Lavin and Gray, arXiv:1509.09308, sections 4.1 and 4.3.
// x: (n, h + 2, w + 2, in_quads) vec4 with zero halo; dy: (n, h + 2 dy_halo, w + 2 dy_halo, out_quads);
// UNPOOLED: dy is the gradient of the pooled map, as in common/unpooled.wgsl.
// partial: (splits, 4 POINTS in_quads + 1, out_quads). SIDE = TILE + 2, POINTS = SIDE^2.
// A workgroup takes 4 IN_QUADS input and 4 OUT_QUADS output channels and walks over its share of the
// tiles, four beside each other at a time; an invocation has one point of 4 input and 16 output channels
// in registers. x is staged and transformed in place, rows, then columns; dy's rows are transformed as
// they are staged. A tile then takes 5 reads for 64 products. Outside the image dy counts as 0.
// Workgroup memory: 12 KiB for tiles of 2x2, 15.8 KiB for tiles of 4x4.
// Grid: ceil(in_quads / IN_QUADS) * ceil(out_quads / OUT_QUADS) * splits workgroups.
//@ from "common/winograd_matrices.wgsl" import A, B_T, combine
//@ set SIDE = TILE + 2
//@ set threads = POINTS * IN_QUADS * OUT_QUADS // 4
//@ set inputs = POINTS * IN_QUADS
//@ set outputs = POINTS * OUT_QUADS
// x: (4, SIDE, SIDE, IN_QUADS) vec4; dy: (4, SIDE, SIDE, OUT_QUADS) vec4.
//@ if UNPOOLED
//@ include "common/unpooled.wgsl"
//@ endif
var<workgroup> staged: array<vec4<f32>, ${4 * (inputs + outputs)}>;

@compute @workgroup_size(${threads})
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let c_blocks = (d.in_quads + IN_QUADS - 1u) / IN_QUADS;
    let k_blocks = (d.out_quads + OUT_QUADS - 1u) / OUT_QUADS;
    let group = group_index(workgroup, workgroups);
    let split = group / (c_blocks * k_blocks);
    if split >= d.splits {
        return;
    }
    let in_quad = group % c_blocks * IN_QUADS;
    let first_quad = group / c_blocks % k_blocks * OUT_QUADS;
    let tile_columns = (d.width + TILE - 1u) / TILE;
    let columns = (tile_columns + 3u) / 4u;
    let blocks = step.images * d.row_blocks * columns;
    let dy_rows = d.height + 2u * d.dy_halo;
    let dy_columns = d.width + 2u * d.dy_halo;

    // Staging: pixels of x, item = ((tile, row, column), quad), and rows of dy.
    let x_quad = min(in_quad + invocation % IN_QUADS, d.in_quads - 1u);
    //@ set turns = (4 * inputs + threads - 1) // threads
    //@ for i in range(turns)
    let item_${i} = invocation + ${i * threads}u;
    let x_row_${i} = item_${i} / ${SIDE * IN_QUADS}u % ${SIDE}u;
    let x_column_${i} = item_${i} / ${inputs}u * TILE + item_${i} / IN_QUADS % ${SIDE}u;
    //@ endfor
    let stages = invocation < ${4 * TILE * OUT_QUADS}u;
    let dy_quad = min(first_quad + invocation % OUT_QUADS, d.out_quads - 1u);
    let dy_row = invocation / OUT_QUADS % TILE;
    let dy_tile = min(invocation / (OUT_QUADS * TILE), 3u);
    let dy_at = ${4 * inputs}u + dy_tile * ${outputs}u + dy_row * ${SIDE * OUT_QUADS}u + invocation % OUT_QUADS;

    // Transforms: a row, then a column of x, and a column of dy, of a tile and a quad.
    let transforms = invocation < ${4 * SIDE * IN_QUADS}u;
    let row_at = invocation / IN_QUADS * ${SIDE * IN_QUADS}u + invocation % IN_QUADS;
    let column_at = invocation / ${SIDE * IN_QUADS}u * ${inputs}u + invocation % ${SIDE * IN_QUADS}u;
    let dy_transforms = invocation < ${4 * SIDE * OUT_QUADS}u;
    let dy_column_at = ${4 * inputs}u
        + invocation / ${SIDE * OUT_QUADS}u * ${outputs}u + invocation % ${SIDE * OUT_QUADS}u;

    // The multiplication: invocation = (point, block of output channels, quad of input channels).
    let point = invocation / ${IN_QUADS * OUT_QUADS // 4}u;
    let block = invocation / IN_QUADS % ${OUT_QUADS // 4}u;
    let a = point * IN_QUADS + invocation % IN_QUADS;
    let b = ${4 * inputs}u + point * OUT_QUADS + block * 4u;
    //@ for c in range(4)
    //@ for q in range(4)
    var sum_${c}_${q} = vec4<f32>();
    //@ endfor
    //@ endfor
    var bias = vec4<f32>();
    let end = slot_begin(split + 1u, d.splits, blocks);
    for (var at = slot_begin(split, d.splits, blocks); at < end; at++) {
        let first = at % columns * 4u;
        let left = first * TILE;
        let top = at / columns % d.row_blocks * TILE;
        let image = at / (columns * d.row_blocks);
        let tiles = min(tile_columns - first, 4u);
        //@ for i in range(turns)
        //@ if (i + 1) * threads > 4 * inputs
        if invocation < ${4 * inputs - i * threads}u {
        //@ else
        {
        //@ endif
            let line = image * (d.height + 2u) + min(top + x_row_${i}, d.height + 1u);
            let pixel = line * (d.width + 2u) + min(left + x_column_${i}, d.width + 1u);
            staged[item_${i}] = load_x(pixel * d.in_quads + x_quad);
        }
        //@ endfor
        if stages {
            let y = top + dy_row;
            //@ if not UNPOOLED
            let line = (image * dy_rows + min(y, d.height - 1u) + d.dy_halo) * dy_columns + d.dy_halo;
            //@ endif
            //@ for z in range(TILE)
            let x_${z} = left + dy_tile * TILE + ${z}u;
            //@ if UNPOOLED
            let window_${z} = window_of(image, y + 1u, x_${z} + 1u);
            let at_${z} = window_${z}.x * d.out_quads + dy_quad;
            let out_${z} = of_window(load_dy(at_${z}), positions[at_${z}], window_${z}.y);
            //@ else
            let out_${z} = load_dy((line + min(x_${z}, d.width - 1u)) * d.out_quads + dy_quad)
                * select(0.0, 1.0, y < d.height && x_${z} < d.width);
            //@ endif
            //@ endfor
            //@ for e in range(SIDE)
            staged[dy_at + ${e * OUT_QUADS}u] = ${combine(A[TILE][e], "out_")};
            //@ endfor
        }
        workgroupBarrier();
        if transforms {
            //@ for s in range(SIDE)
            let in_${s} = staged[row_at + ${s * IN_QUADS}u];
            //@ endfor
            //@ for s in range(SIDE)
            staged[row_at + ${s * IN_QUADS}u] = ${combine(B_T[TILE][s], "in_")};
            //@ endfor
        }
        if dy_transforms {
            //@ for j in range(TILE)
            let out_${j} = staged[dy_column_at + ${j * SIDE * OUT_QUADS}u];
            //@ endfor
            //@ for e in range(SIDE)
            staged[dy_column_at + ${e * SIDE * OUT_QUADS}u] = ${combine(A[TILE][e], "out_")};
            //@ endfor
        }
        workgroupBarrier();
        if transforms {
            //@ for r in range(SIDE)
            let in_${r} = staged[column_at + ${r * SIDE * IN_QUADS}u];
            //@ endfor
            //@ for r in range(SIDE)
            staged[column_at + ${r * SIDE * IN_QUADS}u] = ${combine(B_T[TILE][r], "in_")};
            //@ endfor
        }
        if in_quad == 0u && invocation < OUT_QUADS {
            // A's second row is all ones, so that this point of a tile is the sum of its dy.
            for (var t = 0u; t < tiles; t++) {
                bias += staged[${4 * inputs + (SIDE + 1) * OUT_QUADS}u + t * ${outputs}u + invocation];
            }
        }
        workgroupBarrier();
        for (var t = 0u; t < tiles; t++) {
            let v = staged[a + t * ${inputs}u];
            //@ for q in range(4)
            let z_${q} = staged[b + t * ${outputs}u + ${q}u];
            //@ for c in range(4)
            sum_${c}_${q} = fma(vec4<f32>(v[${c}]), z_${q}, sum_${c}_${q});
            //@ endfor
            //@ endfor
        }
        workgroupBarrier();
    }
    let base = split * (4u * POINTS * d.in_quads + 1u) * d.out_quads;
    let quad = in_quad + invocation % IN_QUADS;
    let row = base + (point * d.in_quads + quad) * 4u * d.out_quads;
    //@ for q in range(4)
    let out_${q} = first_quad + block * 4u + ${q}u;
    if quad < d.in_quads && out_${q} < d.out_quads {
        //@ for c in range(4)
        store_partial(row + ${c}u * d.out_quads + out_${q}, sum_${c}_${q});
        //@ endfor
    }
    //@ endfor
    if in_quad == 0u && invocation < OUT_QUADS && first_quad + invocation < d.out_quads {
        store_partial(base + 4u * POINTS * d.in_quads * d.out_quads + first_quad + invocation, bias);
    }
}
