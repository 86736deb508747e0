// A 3x3 convolution by Winograd's minimal filtering F(TILE x TILE, 3x3), in registers, for adapters
// that run a subgroup as one CPU vector:
//
//   out = A^T (sum over c of (G weight G^T) * (B^T source B)) A
//
// for tiles of TILE x TILE outputs, which read SIDE x SIDE inputs, SIDE = TILE + 2. A multiplication
// gives 9 / 4 outputs with tiles of 2, 4 outputs with tiles of 4, where a direct convolution takes 9
// for one. Source: Lavin and Gray, arXiv:1509.09308, sections 4.1 and 4.3.
//
// source: (n, h + 2, w + 2, in_quads) vec4, zero halo; u: (SIDE^2 4 in_quads + 1, out_quads) vec4,
// filters transformed by `winograd_filter`, then the bias; output: (n, h + 2 out_halo, w + 2 out_halo,
// out_quads), its halo left alone. Forward (masked 0): out = max(out + bias, floor). Backward to data
// (masked 1): out = (seen > 0) * out, where seen: (n, h + 2, w + 2, out_quads). Pooled (pooled 1), for
// tiles of 2: of each tile only the largest output is stored, output: (n, h / 2 + 2 out_halo, w / 2 +
// 2 out_halo, out_quads), and which it was before the floor, positions: (n, h / 2, w / 2, out_quads) u32,
// a byte a channel; an odd last row or column is dropped. One kernel for all of them, as it takes a
// driver long to make.
// One invocation computes TILES tiles, one below the other, for 4 QUADS output channels. Columns of
// tiles are numbered through all row blocks and images, so only the last subgroup has idle lanes;
// these repeat the last column and do not store. Transformed weights are loaded once a subgroup, a
// different quad by each lane, and broadcast by `subgroupShuffle` from a constant lane below LANES:
// right for every subgroup of LANES or more. No barriers, no workgroup memory.
// Grid: ceil(n * row_blocks * tile_columns / GROUP) * ceil(out_quads / QUADS) workgroups of one
// subgroup.
// Conditions, loops and places are written so that Mesa's optimizer, which takes most of a start, needs few
// rounds: see docs/performance.md.
// PICTURE_ROWS defined: there is no source, its values come from 8-bit images
// (common/pictures_window.wgsl), of at most 3 channels.
//@ from "common/winograd_matrices.wgsl" import A_T, B_T, combine
//@ set SIDE = TILE + 2
//@ set rows = TILE * TILES + 2
//@ set items = CHANNELS * QUADS
//@ set loads = (items + LANES - 1) // LANES
// What `channels` add to their sums at a point over the channels of a quad, `first` and what follows on
// it: each a chain of names and not of assignments, see common/conv_shuffle.wgsl.
//@ macro products(point, channels, first)
//@ for t in range(TILES)
    let v_${t}_${point} = ${combine(B_T[TILE][point // SIDE], "half_", "_" ~ point % SIDE, TILE * t)};
//@ for c in range(CHANNELS)
    let v_${t}_${point}_${c} = v_${t}_${point}[${c}];
//@ endfor
//@ endfor
//@ for k in channels
//@ for c in range(CHANNELS)
//@ set item = c * QUADS + k // 4
    let filter_${k}_${point}_${c} =
        subgroupShuffle(w_${point}_${item // LANES}[${k % 4}], ${item % LANES}u);
//@ for t in range(TILES)
//@ set sum = "sum_" ~ k ~ "_" ~ point ~ "_" ~ t
    let ${sum}_${c} = fma(
        v_${t}_${point}_${c}, filter_${k}_${point}_${c},
        ${(sum ~ "_" ~ (c - 1)) if c > 0 else (first or sum)}
    );
//@ endfor
//@ endfor
//@ endfor
//@ endmacro
@compute @workgroup_size(GROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
    let d = dims;
    let tile_columns = (d.width + (TILE - 1u)) / TILE;
    let places = step.images * d.row_blocks * tile_columns;
    let position_groups = (places + (GROUP - 1u)) / GROUP;
    let group = group_index(workgroup, workgroups);
    let first_quad = (group / position_groups) * QUADS;
    if first_quad < d.out_quads {
        let wanted = (group % position_groups) * GROUP + invocation;
        let position = min(wanted, places - 1u);
        let left = position % tile_columns * TILE;
        let top = (position / tile_columns) % d.row_blocks * (TILE * TILES);
        let image = position / (tile_columns * d.row_blocks);

        //@ if PICTURE_ROWS is defined
        //@ include "common/pictures_window.wgsl"
        //@ else
        // Offsets of the window's rows and columns; those past the halo feed only outputs that are not
        // stored.
        let pitch = (d.width + 2u) * d.in_quads;
        let corner = image * (d.height + 2u) * pitch;
        //@ for j in range(rows)
        let row_${j} = corner + min(top + ${j}u, d.height + 1u) * pitch;
        //@ endfor
        //@ for s in range(SIDE)
        let column_${s} = min(left + ${s}u, d.width + 1u) * d.in_quads;
        //@ endfor
        //@ endif

        // Which weight quad each lane loads: item = channel * QUADS + quad.
        let lane = subgroup_lane % LANES;
        //@ for i in range(loads)
        let item_${i} = min(${i}u * LANES + lane, ${items - 1}u);
        let weight_${i} = item_${i} / QUADS * d.out_quads
            + min(first_quad + item_${i} % QUADS, d.out_quads - 1u);
        //@ endfor
        let quad_pitch = 4u * d.out_quads;

        //@ if CHANNELS == 4
        //@ for k in range(QUADS * 4)
        //@ for point in range(SIDE * SIDE)
        //@ for t in range(TILES)
        var sum_${k}_${point}_${t} = 0.0;
        //@ endfor
        //@ endfor
        //@ endfor
        var quad = 0u;
        loop {
            if quad >= d.in_quads {
                break;
            }
        //@ else
        // One quad holds all channels.
            let quad = 0u;
        //@ endif
            //@ for j in range(rows)
            //@ for s in range(SIDE)
            //@ if PICTURE_ROWS is undefined
            let in_${j}_${s} = load_source(row_${j} + column_${s} + quad);
            //@ endif
            //@ endfor
            //@ for b in range(SIDE)
            let half_${j}_${b} = ${combine(B_T[TILE][b], "in_" ~ j ~ "_")};
            //@ endfor
            //@ endfor
            //@ for point in range(SIDE * SIDE)
            //@ if CHANNELS == 4 and point % SIDE == 0
            // A row of points in a loop that is left after one round, for the driver's compiler: its time
            // grows faster than a block without branches, and within a short one it keeps inputs in
            // registers. Each for a reason of its own that always holds, which the driver cannot know:
            // else it unrolls all loops but the first.
            loop {
            //@ endif
            //@ for i in range(loads)
            let w_${point}_${i} = load_u((${point}u * d.in_quads + quad) * quad_pitch + weight_${i});
            //@ endfor
            //@ if CHANNELS == 4
            ${products(point, range(QUADS * 4), "")}
            //@ for k in range(QUADS * 4)
            //@ for t in range(TILES)
            sum_${k}_${point}_${t} = sum_${k}_${point}_${t}_3;
            //@ endfor
            //@ endfor
            //@ endif
            //@ if CHANNELS == 4 and point % SIDE == SIDE - 1
            if d.in_quads != ${4294967295 - point}u {
                break;
            }
            }
            //@ endif
            //@ endfor
        //@ if CHANNELS == 4
            continuing {
                quad++;
            }
        }
        //@ endif
        // Where what is kept of the first tile goes, and steps from row to row and from tile to tile: of all
        // outputs, or of the largest only.
        let pooled = d.pooled == 1u;
        let output_0 = output_place(image, top >> d.pooled, left >> d.pooled) + first_quad;
        let output_pitch = (d.out_width + 2u * d.out_halo) * d.out_quads;
        let output_tile = (TILE >> d.pooled) * output_pitch;
        //@ if PICTURE_ROWS is undefined
        let seen_0 = seen_place(image, top, left) + first_quad;
        let seen_pitch = (d.width + 2u) * d.out_quads;
        //@ if TILE == 2
        let position_0 = position_place(image, top / TILE, left / TILE) + first_quad;
        let position_pitch = d.out_width * d.out_quads;
        //@ endif
        //@ endif
        //@ for t in range(1, TILES)
        let output_${t} = output_${t - 1} + output_tile;
        //@ if PICTURE_ROWS is undefined
        let seen_${t} = seen_${t - 1} + TILE * seen_pitch;
        //@ if TILE == 2
        let position_${t} = position_${t - 1} + position_pitch;
        //@ endif
        //@ endif
        //@ endfor
        let floor = d.floor;
        let masked = d.masked == 1u;
        // How many outputs of a tile are stored. If that followed from uniforms alone, drivers would make the
        // kernel anew for each number.
        let used = wanted < places;
        let stored = select(TILE * TILE, 1u, pooled & used);
        //@ for q in range(QUADS)
        //@ if q > 0
        if first_quad + ${q}u < d.out_quads {
        //@ else
        { // The first is known to exist.
        //@ endif
            let bias = bias_of(first_quad + ${q}u, masked);
            //@ set sums = [4 * q, 4 * q + 1, 4 * q + 2, 4 * q + 3]
            //@ if CHANNELS < 4
            //@ for point in range(SIDE * SIDE)
            ${products(point, sums, "0.0")}
            //@ endfor
            //@ endif
            //@ for t in range(TILES)
            //@ for point in range(SIDE * SIDE)
            let m_${t}_${point // SIDE}_${point % SIDE} = vec4<f32>(
                //@ for k in sums
                sum_${k}_${point}_${t}${"" if CHANNELS == 4 else "_" ~ (CHANNELS - 1)},
                //@ endfor
            );
            //@ endfor
            //@ for a in range(TILE)
            //@ for b in range(SIDE)
            let n_${t}_${a}_${b} = ${combine(A_T[TILE][a], "m_" ~ t ~ "_", "_" ~ b)};
            //@ endfor
            //@ endfor
            //@ for p in range(TILE * TILE)
            let value_${t}_${p} = ${combine(A_T[TILE][p % TILE], "n_" ~ t ~ "_" ~ p // TILE ~ "_")} + bias;
            //@ endfor
            //@ if TILE == 2
            let kept_${t} = largest(value_${t}_0, value_${t}_1, value_${t}_2, value_${t}_3);
            //@ if PICTURE_ROWS is undefined
            if used & pooled & (top + ${TILE * t + 1}u < d.height) & (left + 1u < d.width) {
                positions[position_${t} + ${q}u] = kept_${t}.place;
            }
            //@ endif
            //@ endif
            //@ endfor
            var p = 0u;
            loop {
                // Of a pooled window all must be there.
                let row = select(p / TILE, ${TILE - 1}u, pooled);
                let column = select(p % TILE, ${TILE - 1}u, pooled);
                let output = p / TILE * output_pitch + p % TILE * d.out_quads + ${q}u;
                //@ if PICTURE_ROWS is undefined
                let seen = p / TILE * seen_pitch + p % TILE * d.out_quads + ${q}u;
                //@ endif
                //@ for t in range(TILES)
                if used & (top + ${TILE * t}u + row < d.height) & (left + column < d.width) {
                    var value = value_${t}_0;
                    //@ for p in range(1, TILE * TILE)
                    value = select(value, value_${t}_${p}, p == ${p}u);
                    //@ endfor
                    //@ if TILE == 2
                    value = select(value, kept_${t}.value, pooled);
                    //@ endif
                    value = activated(value, floor, masked);
                    //@ if PICTURE_ROWS is undefined
                    value = let_through(value, seen_${t} + seen, masked);
                    //@ endif
                    store_output(output_${t} + output, value);
                }
                //@ endfor
                continuing {
                    p++;
                    break if p >= stored;
                }
            }
        }
        //@ endfor
    }
}
