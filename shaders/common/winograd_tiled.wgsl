// A 3x3 convolution by Winograd's minimal filtering F(TILE x TILE, 3x3) in workgroup memory, for GPUs:
//
//   out = A^T (sum over c of (G weight G^T) * (B^T source B)) A
//
// for tiles of TILE x TILE outputs, which read SIDE x SIDE inputs, SIDE = TILE + 2, and have
// POINTS = SIDE^2 points when transformed. Source: Lavin and Gray, arXiv:1509.09308, sections 4.1, 4.3.
//
// source: (n, h + 2, w + 2, in_quads) vec4, zero halo; u: (4 POINTS in_quads + 1, out_quads) vec4,
// filters transformed by `winograd_filter`, then the bias; output: (n, h + 2 out_halo, w + 2 out_halo,
// out_quads), its halo left alone. Both passes as in common/winograd_shuffle.wgsl; POOLED: as pooled there.
// UNPOOLED: source is the gradient of a pooled map, as in common/unpooled.wgsl.
// A workgroup computes 4 TILE_QUADS tiles, numbered through all images, for 4 QUADS output channels; an
// invocation one point of 4 tiles and 16 channels. For each quad of input channels the tiles' windows
// are staged, turned to lie along tiles, and transformed in place, rows, then columns; a channel then
// takes 5 reads for 64 products. In the end the points of a tile, which as many invocations hold,
// meet in workgroup memory: ROUND quads of each invocation at a time.
// What lies past the halo or in no tile is computed from clamped loads and not stored.
// Workgroup memory: 12 KiB for tiles of 2x2, 15.8 KiB for tiles of 4x4.
// Grid: ceil(n * ceil(h / TILE) * ceil(w / TILE) / (4 TILE_QUADS)) * ceil(out_quads / QUADS) workgroups.
//@ from "common/winograd_matrices.wgsl" import B_T, A_T, combine, row_of
//@ set SIDE = TILE + 2
//@ set threads = POINTS * TILE_QUADS * QUADS // 4
//@ set tiles = 4 * TILE_QUADS
//@ set windows = 4 * POINTS * TILE_QUADS
//@ set filters = 4 * POINTS * QUADS
// Quads of a round in the end.
//@ set round_quads = QUADS // 4 * ROUND
//@ set meeting = round_quads * tiles
// The windows: (4, SIDE, SIDE, TILE_QUADS) vec4 along tiles; filters: (4, POINTS, QUADS) vec4 along
// channels; in the end sums: (POINTS, round_quads, tiles) vec4 along channels.
//@ if UNPOOLED
//@ include "common/unpooled.wgsl"
//@ endif
var<workgroup> staged: array<vec4<f32>, ${windows + filters}>;

@compute @workgroup_size(${threads})
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let columns = (d.width + TILE - 1u) / TILE;
    let rows = (d.height + TILE - 1u) / TILE;
    let k_blocks = (d.out_quads + QUADS - 1u) / QUADS;
    let group = group_index(workgroup, workgroups);
    let all = step.images * rows * columns;
    let first = group / k_blocks * ${tiles}u;
    if first >= all {
        return;
    }
    let first_quad = group % k_blocks * QUADS;

    // Staging: a pixel of four tiles' windows, and filters.
    let pixel = min(invocation / TILE_QUADS, ${SIDE * SIDE - 1}u);
    //@ for i in range(4)
    let tile_${i} = min(first + invocation % TILE_QUADS * 4u + ${i}u, all - 1u);
    let y_${i} = min(tile_${i} / columns % rows * TILE + pixel / ${SIDE}u, d.height + 1u);
    let x_${i} = min(tile_${i} % columns * TILE + pixel % ${SIDE}u, d.width + 1u);
    //@ if UNPOOLED
    let window_${i} = window_of(tile_${i} / (columns * rows), y_${i}, x_${i});
    let from_${i} = window_${i}.x * d.in_quads;
    //@ else
    let line_${i} = tile_${i} / (columns * rows) * (d.height + 2u) + y_${i};
    let from_${i} = (line_${i} * (d.width + 2u) + x_${i}) * d.in_quads;
    //@ endif
    //@ endfor
    //@ set turns = (filters + threads - 1) // threads
    //@ for i in range(turns)
    let item_${i} = invocation + ${i * threads}u;
    let filter_${i} = (item_${i} / QUADS % POINTS * d.in_quads * 4u + item_${i} / (QUADS * POINTS)) * d.out_quads
        + min(first_quad + item_${i} % QUADS, d.out_quads - 1u);
    //@ endfor

    // Transforms: a row, then a column, of a channel and four tiles.
    let transforms = invocation < ${4 * SIDE * TILE_QUADS}u;
    let row_at = invocation / TILE_QUADS * ${SIDE * TILE_QUADS}u + invocation % TILE_QUADS;
    let column_at = invocation / ${SIDE * TILE_QUADS}u * ${POINTS * TILE_QUADS}u + invocation % ${SIDE * TILE_QUADS}u;

    // The multiplication: invocation = (point, block of channels, quad of tiles).
    let point = invocation / ${TILE_QUADS * QUADS // 4}u;
    let block = invocation / TILE_QUADS % ${QUADS // 4}u;
    let a = point * TILE_QUADS + invocation % TILE_QUADS;
    let b = ${windows}u + point * QUADS + block * 4u;
    //@ for t in range(4)
    //@ for q in range(4)
    var sum_${t}_${q} = vec4<f32>();
    //@ endfor
    //@ endfor
    for (var quad = 0u; quad < d.in_quads; quad++) {
        //@ if threads > POINTS * TILE_QUADS
        if invocation < ${POINTS * TILE_QUADS}u {
        //@ else
        {
        //@ endif
            let m = transpose(mat4x4<f32>(
                //@ for i in range(4)
                //@ if UNPOOLED
                of_window(load_source(from_${i} + quad), positions[from_${i} + quad], window_${i}.y),
                //@ else
                load_source(from_${i} + quad),
                //@ endif
                //@ endfor
            ));
            //@ for c in range(4)
            staged[invocation + ${c * POINTS * TILE_QUADS}u] = m[${c}];
            //@ endfor
        }
        let filters_from = quad * 4u * d.out_quads;
        //@ for i in range(turns)
        //@ if (i + 1) * threads > filters
        if invocation < ${filters - i * threads}u {
            staged[item_${i} + ${windows}u] = load_u(filters_from + filter_${i});
        }
        //@ else
        staged[item_${i} + ${windows}u] = load_u(filters_from + filter_${i});
        //@ endif
        //@ endfor
        workgroupBarrier();
        //@ for at, pitch in [["row_at", TILE_QUADS], ["column_at", SIDE * TILE_QUADS]]
        if transforms {
            //@ for s in range(SIDE)
            let in_${s} = staged[${at} + ${s * pitch}u];
            //@ endfor
            //@ for s in range(SIDE)
            staged[${at} + ${s * pitch}u] = ${combine(B_T[TILE][s], "in_")};
            //@ endfor
        }
        workgroupBarrier();
        //@ endfor
        // Channels of padding are zero. A bound known at run time keeps drivers from unrolling this loop
        // into the one around it.
        let channels = min(d.channels - 4u * quad, 4u);
        for (var c = 0u; c < channels; c++) {
            let v = staged[a + c * ${POINTS * TILE_QUADS}u];
            //@ for q in range(4)
            let w_${q} = staged[b + c * ${POINTS * QUADS}u + ${q}u];
            //@ for t in range(4)
            sum_${t}_${q} = fma(vec4<f32>(v[${t}]), w_${q}, sum_${t}_${q});
            //@ endfor
            //@ endfor
        }
        workgroupBarrier();
    }

    // The end: a row of outputs of a tile, or all if they are pooled, for each quad of a round.
    let y = invocation / ${meeting}u;
    let item = invocation % ${meeting}u;
    let tile = first + item % ${tiles}u;
    let image = tile / (columns * rows);
    let top = tile / columns % rows * TILE + y;
    let left = tile % columns * TILE;
    //@ if POOLED
    let stores = y == 0u && tile < all && top + 1u < d.height && left + 1u < d.width;
    //@ else
    let stores = y < TILE && tile < all && top < d.height;
${row_of(A_T[TILE], "y", "row")}
    //@ endif
    //@ for turn in range(4 // ROUND)
    //@ for i in range(ROUND)
    //@ for t in range(4)
    staged[((point * ${QUADS // 4}u + block) * ROUND + ${i}u) * ${tiles}u + invocation % TILE_QUADS * 4u + ${t}u] =
        sum_${t}_${turn * ROUND + i};
    //@ endfor
    //@ endfor
    workgroupBarrier();
    {
        let slot = item / ${tiles}u;
        let quad = first_quad + slot / ROUND * 4u + slot % ROUND + ${turn * ROUND}u;
        if stores && quad < d.out_quads {
            let masked = d.masked == 1u;
            let bias = bias_of(quad, masked);
            //@ if POOLED
            //@ for r in range(SIDE)
            //@ for e in range(SIDE)
            let m_${r}_${e} = staged[item + ${(r * SIDE + e) * meeting}u];
            //@ endfor
            //@ endfor
            //@ for a in range(TILE)
            //@ for e in range(SIDE)
            let n_${a}_${e} = ${combine(A_T[TILE][a], "m_", "_" ~ e)};
            //@ endfor
            //@ endfor
            let kept = largest(
                //@ for p in range(4)
                ${combine(A_T[TILE][p % 2], "n_" ~ p // 2 ~ "_")} + bias,
                //@ endfor
            );
            store_output(
                output_place(image, top / 2u, left / 2u) + quad,
                activated(kept.value, d.floor, masked),
            );
            positions[position_place(image, top / 2u, left / 2u) + quad] = kept.place;
            //@ else
            //@ for e in range(SIDE)
            var n_${e} = row_0 * staged[item + ${e * meeting}u];
            //@ endfor
            //@ for r in range(1, SIDE)
            //@ for e in range(SIDE)
            n_${e} = fma(vec4<f32>(row_${r}), staged[item + ${(r * SIDE + e) * meeting}u], n_${e});
            //@ endfor
            //@ endfor
            //@ for x in range(TILE)
            if left + ${x}u < d.width {
                let value = activated(${combine(A_T[TILE][x], "n_")} + bias, d.floor, masked);
                let seen = seen_place(image, top, left + ${x}u) + quad;
                store_output(
                    output_place(image, top, left + ${x}u) + quad, let_through(value, seen, masked),
                );
            }
            //@ endfor
            //@ endif
        }
    }
    workgroupBarrier();
    //@ endfor
}
