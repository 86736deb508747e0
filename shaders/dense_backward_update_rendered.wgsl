// Gradient of a dense layer's weights and bias and their update by plain SGD, for the panels of outputs
// that are bound; the gradient is not stored:
//   p[c, k] += -learning_rate * (sum over n of x[n, c] * dy[n, k])
// with the operations of `update` in their order, so that both ways give the same bits. The addition to p
// is that of a render pass, for software adapters: these store what is rendered as whole vectors, what a
// kernel stores element by element.
// x: (n, in_quads) vec4; dy: (n, out_quads) vec4, of which quads from first_quad on belong to the
// bound panels; p: (panels, panel_rows, 8) vec4, the target.
// A fragment computes one quad of outputs for eight inputs. The inputs of LANES images are loaded once a
// subgroup, the two quads of each by two lanes, and broadcast from a constant lane below LANES. Lanes that do
// not share a block of weights with these each load their own.
//@ include "common/panel_rows.wgsl"
//@ include "common/render.wgsl"
//@ set pairs = LANES // 2

// Quad `c` of the inputs of image `n`: after the last input one that is always 1, for the bias, then 0; and
// 0 past the last image.
fn inputs(n: u32, c: u32) -> vec4<f32> {
    let loaded = load_x(min(n, step.images - 1u) * dims.in_quads + min(c, dims.in_quads - 1u));
    let one = vec4<f32>(select(0.0, 1.0, c == dims.in_quads), 0.0, 0.0, 0.0);
    return select(vec4<f32>(), select(one, loaded, c < dims.in_quads), n < step.images);
}

@fragment
fn main(
    @builtin(position) position: vec4<f32>,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
) -> Groups {
    let d = dims;
    let block = block_of(position);
    let panel_blocks = panel_rows(d.in_quads) / 8u;
    let panel = block / panel_blocks;
    let first = (block - panel * panel_blocks) * 2u;
    let out = d.first_quad + panel * 8u + place_in_group(position);
    let column = min(out, d.out_quads - 1u);
    let lane = subgroup_lane % LANES;
    let with_first = subgroupShuffle(block, 0u) == block;
    let all = (1u << LANES) - 1u;
    let shares = with_first && (subgroupBallot(with_first).x & all) == all;
    //@ for g in range(8)
    var sum_${g} = vec4<f32>();
    //@ endfor
    // A condition at the end: see common/dense_weights_shuffle.wgsl.
    var n = 0u;
    loop {
        let in_0 = inputs(n + (lane >> 1u), first + (lane & 1u));
        let in_1 = inputs(n + (${pairs}u + (lane >> 1u)), first + (lane & 1u));
        //@ for i in range(LANES)
        let gradient_${i} = load_dy(min(n + ${i}u, step.images - 1u) * d.out_quads + column);
        //@ endfor
        // One input at a time keeps its sums in registers.
        //@ for g in range(8)
        //@ for i in range(LANES)
        sum_${g} = fma(
            vec4<f32>(subgroupShuffle(in_${i // pairs}[${g % 4}], ${i % pairs * 2 + g // 4}u)),
            gradient_${i},
            sum_${g}
        );
        //@ endfor
        //@ endfor
        continuing {
            n += LANES;
            break if n >= step.images;
        }
    }
    //@ for g in range(8)
    sum_${g} = select(vec4<f32>(), sum_${g}, shares);
    //@ endfor
    for (n = 0u; n < select(step.images, 0u, shares); n++) {
        let in_0 = inputs(n, first);
        let in_1 = inputs(n, first + 1u);
        let gradient = load_dy(n * d.out_quads + column);
        //@ for g in range(8)
        sum_${g} = fma(vec4<f32>(in_${g // 4}[${g % 4}]), gradient, sum_${g});
        //@ endfor
    }
    // Past the last output there are no weights.
    let rate = select(0.0, -step.learning_rate, out < d.out_quads);
    return Groups(
        //@ for g in range(8)
        rate * sum_${g},
        //@ endfor
    );
}
