// Stores what a convolution by transformed filters gave. Places are those of quads: `output_place` of a
// pixel's first in the output, `seen_place` in what the ReLU let through; POOLED, `position_place` of a
// window's in the positions. What stores reads no `dims`, as it is called for each output: drivers load
// uniforms anew behind each branch.
fn bias_of(quad: u32) -> vec4<f32> {
    return load_u(${4 * (TILE + 2) * (TILE + 2)}u * dims.in_quads * dims.out_quads + quad);
}

//@ if POOLED
fn output_place(n: u32, row: u32, column: u32) -> u32 {
    let d = dims;
    let rows = d.out_height + 2u * d.out_halo;
    let columns = d.out_width + 2u * d.out_halo;
    return ((n * rows + row + d.out_halo) * columns + column + d.out_halo) * d.out_quads;
}

fn position_place(n: u32, row: u32, column: u32) -> u32 {
    return ((n * dims.out_height + row) * dims.out_width + column) * dims.out_quads;
}

// Stores the largest of 2x2 outputs and which it is, the first of equals: 0 1 over 2 3.
fn store_window(
    output: u32, position: u32,
    sum_0: vec4<f32>, sum_1: vec4<f32>, sum_2: vec4<f32>, sum_3: vec4<f32>,
    bias: vec4<f32>, floor: f32,
) {
    //@ for p in range(4)
    let value_${p} = max(sum_${p} + bias, vec4<f32>(floor));
    //@ endfor
    var best = value_0;
    var place = vec4<u32>();
    //@ for p in range(1, 4)
    place = select(place, vec4<u32>(${p}u), value_${p} > best);
    best = max(best, value_${p});
    //@ endfor
    store_output(output, best);
    //@ if PICTURE_ROWS is undefined
    positions[position] = place.x | (place.y << 8u) | (place.z << 16u) | (place.w << 24u);
    //@ endif
}
//@ else
fn output_place(n: u32, row: u32, column: u32) -> u32 {
    let d = dims;
    let rows = d.height + 2u * d.out_halo;
    let columns = d.width + 2u * d.out_halo;
    return ((n * rows + row + d.out_halo) * columns + column + d.out_halo) * d.out_quads;
}

fn seen_place(n: u32, row: u32, column: u32) -> u32 {
    return ((n * (dims.height + 2u) + row + 1u) * (dims.width + 2u) + column + 1u) * dims.out_quads;
}

// Stores an output: forward with bias and floor, backward to data, `masked`, where the ReLU that made the
// input let it through. No branch: drivers for which this matters run both sides.
fn store(
    output: u32, seen: u32, value: vec4<f32>, bias: vec4<f32>, floor: f32, masked: bool,
) {
    var result = max(value + bias, vec4<f32>(floor));
    //@ if PICTURE_ROWS is undefined
    let let_through = load_seen(select(0u, seen, masked)) > vec4<f32>();
    result = select(result, select(vec4<f32>(), value, let_through), masked);
    //@ endif
    store_output(output, result);
}
//@ endif
