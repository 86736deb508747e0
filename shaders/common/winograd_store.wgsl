// What becomes of the sums of a convolution by transformed filters, and where it is stored. Places are
// those of quads: a pixel's first in the output, pooled or not, and in what the ReLU let through, and a
// window's in the positions. What is called for each output reads no `dims`: drivers load uniforms anew
// behind each branch. Nor does it branch: drivers for which this matters run both sides.
fn bias_of(quad: u32, masked: bool) -> vec4<f32> {
    let place = ${4 * (TILE + 2) * (TILE + 2)}u * dims.in_quads * dims.out_quads + quad;
    return select(load_u(place), vec4<f32>(), masked);
}

fn output_place(n: u32, row: u32, column: u32) -> u32 {
    let d = dims;
    let rows = d.out_height + 2u * d.out_halo;
    let columns = d.out_width + 2u * d.out_halo;
    return ((n * rows + row + d.out_halo) * columns + column + d.out_halo) * d.out_quads;
}

fn position_place(n: u32, row: u32, column: u32) -> u32 {
    return ((n * dims.out_height + row) * dims.out_width + column) * dims.out_quads;
}

fn seen_place(n: u32, row: u32, column: u32) -> u32 {
    return ((n * (dims.height + 2u) + row + 1u) * (dims.width + 2u) + column + 1u) * dims.out_quads;
}

// Forward: at least `floor`. Backward to data, `masked`: as it is.
fn activated(value: vec4<f32>, floor: f32, masked: bool) -> vec4<f32> {
    return select(max(value, vec4<f32>(floor)), value, masked);
}

struct Largest {
    value: vec4<f32>,
    // A byte a channel.
    place: u32,
}

// The largest of 2x2 outputs and which it is, the first of equals: 0 1 over 2 3. The floor is for later: it
// keeps their order, and where it makes them equal no gradient arrives.
fn largest(value_0: vec4<f32>, value_1: vec4<f32>, value_2: vec4<f32>, value_3: vec4<f32>) -> Largest {
    var best = value_0;
    var place = vec4<u32>();
    //@ for p in range(1, 4)
    place = select(place, vec4<u32>(${p}u, ${p * 256}u, ${p * 65536}u, ${p * 16777216}u), value_${p} > best);
    best = max(best, value_${p});
    //@ endfor
    return Largest(best, place.x | place.y | place.z | place.w);
}
//@ if PICTURE_ROWS is undefined

// Backward to data, `masked`: what the ReLU that made the input let through, else all of it.
fn let_through(value: vec4<f32>, seen: u32, masked: bool) -> vec4<f32> {
    let positive = load_seen(select(0u, seen, masked)) > vec4<f32>();
    return select(value, select(vec4<f32>(), value, positive), masked);
}
//@ endif
