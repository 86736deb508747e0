// Gradient of a 3x3 convolution's filters and bias by Winograd's minimal filtering, first pass, in
// registers. The adjoint of F(2x2, 3x3), y = A^T ((G w G^T) * (B^T x B)) A, in w is
//   dw = G^T m G,  m = sum over all tiles of (B^T x B) * (A dy A^T)
// which takes 16 multiplications for the 4 outputs of a tile where the direct sum takes 36. This pass
// leaves m: partial[slot, point, c, k] for the slot's tiles and, in the last row of a slot, the sum of
// dy; `winograd_filter_gradient` adds the slots and multiplies by G.
// Source of F(2x2, 3x3): Lavin and Gray, arXiv:1509.09308, section 4.1.
// x: (n, h + 2, w + 2, in_quads) vec4 with zero halo; dy: (n, h + 2 dy_halo, w + 2 dy_halo, out_quads);
// partial: (slots, 64 in_quads + 1, out_quads).
// One invocation takes TILES tiles, one below the other, at a time for 4 input and 4 QUADS output
// channels; a workgroup walks over its share of all columns of tiles. The lanes' sums are then added by
// a butterfly over LANES lanes: right for every subgroup of LANES or more, which gives GROUP / LANES
// slots. Each lane stores other sums.
// Grid: in_quads * ceil(out_quads / QUADS) * splits workgroups of one subgroup.
//@ from "common/winograd_matrices.wgsl" import A, B_T, combine
//@ set rows = 2 * TILES + 2
//@ set outputs = 4 * QUADS
//@ set CHANNELS = 4
@compute @workgroup_size(GROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let k_blocks = (d.out_quads + (QUADS - 1u)) / QUADS;
    let group = group_index(workgroup, workgroups);
    let split = group / (k_blocks * d.in_quads);
    if split < d.splits {
        let quad = group % d.in_quads;
        let first_quad = group / d.in_quads % k_blocks * QUADS;

        let tile_columns = (d.width + 1u) / 2u;
        let positions = step.images * d.row_blocks * tile_columns;
        let blocks = (positions + (GROUP - 1u)) / GROUP;
        let begin = split * blocks / d.splits;
        let end = (split + 1u) * blocks / d.splits;
        let pitch = (d.width + 2u) * d.in_quads;
        let dy_columns = d.width + 2u * d.dy_halo;
        //@ for q in range(QUADS)
        let k_${q} = min(first_quad + ${q}u, d.out_quads - 1u);
        var bias_${q} = vec4<f32>();
        //@ endfor
        //@ for point in range(16)
        //@ for c in range(4)
        //@ for k in range(outputs)
        var sum_${point}_${c}_${k} = 0.0;
        //@ endfor
        //@ endfor
        //@ endfor
        var block = begin;
        loop {
            if block >= end {
                break;
            }
            let wanted = block * GROUP + invocation;
            let position = min(wanted, positions - 1u);
            let left = position % tile_columns * 2u;
            let top = (position / tile_columns) % d.row_blocks * (2u * TILES);
            let image = position / (tile_columns * d.row_blocks);
            let corner = image * (d.height + 2u) * pitch + quad;
            //@ for s in range(4)
            let column_${s} = min(left + ${s}u, d.width + 1u) * d.in_quads;
            //@ endfor
            // B^T x B of each tile.
            //@ for j in range(rows)
            let row_${j} = corner + min(top + ${j}u, d.height + 1u) * pitch;
            //@ for s in range(4)
            let in_${j}_${s} = load_x(row_${j} + column_${s});
            //@ endfor
            //@ for b in range(4)
            let half_${j}_${b} = ${combine(B_T[2][b], "in_" ~ j ~ "_")};
            //@ endfor
            //@ endfor
            // A dy A^T of each tile. Outside the image dy counts as 0.
            let image_corner = (image * (d.height + 2u * d.dy_halo) + d.dy_halo) * dy_columns + d.dy_halo;
            //@ for z in range(2)
            let inside_${z} = (wanted < positions) & (left + ${z}u < d.width);
            let out_column_${z} = min(left + ${z}u, d.width - 1u);
            //@ endfor
            //@ for j in range(2 * TILES)
            //@ for z in range(2)
            let here_${j}_${z} = select(0.0, 1.0, inside_${z} & (top + ${j}u < d.height));
            let at_${j}_${z} =
                (image_corner + min(top + ${j}u, d.height - 1u) * dy_columns + out_column_${z}) * d.out_quads;
            //@ endfor
            //@ endfor
            //@ for q in range(QUADS)
            //@ for j in range(2 * TILES)
            //@ for z in range(2)
            let out_${q}_${j}_${z} = load_dy(at_${j}_${z} + k_${q}) * here_${j}_${z};
            //@ endfor
            //@ for b in range(4)
            let side_${q}_${j}_${b} = ${combine(A[2][b], "out_" ~ q ~ "_" ~ j ~ "_")};
            //@ endfor
            //@ endfor
            //@ for t in range(TILES)
            bias_${q} += side_${q}_${2 * t}_1 + side_${q}_${2 * t + 1}_1;
            //@ endfor
            //@ endfor
            // Each row of points in a loop that is left after one round, each sum a chain of names and not of
            // assignments: see common/winograd_shuffle.wgsl and common/conv_shuffle.wgsl.
            //@ for a in range(4)
            //@ for b in range(4)
            //@ set point = 4 * a + b
            //@ if b == 0
            loop {
            //@ endif
            //@ for t in range(TILES)
            let v_${t}_${point} = ${combine(B_T[2][a], "half_", "_" ~ b, 2 * t)};
            //@ for q in range(QUADS)
            let z_${t}_${point}_${q} = ${combine(A[2][a], "side_" ~ q ~ "_", "_" ~ b, 2 * t)};
            //@ endfor
            //@ for c in range(4)
            let v_${t}_${point}_${c} = v_${t}_${point}[${c}];
            //@ endfor
            //@ for q in range(QUADS)
            //@ for e in range(4)
            let z_${t}_${point}_${q}_${e} = z_${t}_${point}_${q}[${e}];
            //@ endfor
            //@ endfor
            //@ endfor
            //@ for c in range(4)
            //@ for k in range(outputs)
            //@ set name = point ~ "_" ~ c ~ "_" ~ k
            //@ for t in range(TILES)
            let sum_${name}_${t} = fma(
                v_${t}_${point}_${c}, z_${t}_${point}_${k // 4}_${k % 4},
                sum_${name}${"_" ~ (t - 1) if t > 0 else ""}
            );
            //@ endfor
            sum_${name} = sum_${name}_${TILES - 1};
            //@ endfor
            //@ endfor
            //@ if b == 3
            if d.in_quads != ${4294967295 - point}u {
                break;
            }
            }
            //@ endif
            //@ endfor
            //@ endfor
            continuing {
                block++;
            }
        }
        //@ for i in range(64 * QUADS)
        //@ set name = "sum_" ~ (i // QUADS // 4) ~ "_" ~ (i // QUADS % 4) ~ "_"
        //@ set k = 4 * (i % QUADS)
        var item_${i} = vec4<f32>(${name}${k}, ${name}${k + 1}, ${name}${k + 2}, ${name}${k + 3});
        //@ endfor
    //@ include "common/partial_sums.wgsl"
    }
}
