// Stores what a convolution by transformed filters gave, at (n, row, column) and a quad of channels.
fn bias_of(quad: u32) -> vec4<f32> {
    return load_u(${4 * (TILE + 2) * (TILE + 2)}u * dims.in_quads * dims.out_quads + quad);
}

//@ if POOLED
// Stores the largest of 2x2 outputs and which it is, the first of equals: 0 1 over 2 3.
fn store_window(
    n: u32, row: u32, column: u32, quad: u32,
    sum_0: vec4<f32>, sum_1: vec4<f32>, sum_2: vec4<f32>, sum_3: vec4<f32>, bias: vec4<f32>,
) {
    let d = dims;
    //@ for p in range(4)
    let value_${p} = max(sum_${p} + bias, vec4<f32>(d.floor));
    //@ endfor
    var best = value_0;
    var place = vec4<u32>();
    //@ for p in range(1, 4)
    place = select(place, vec4<u32>(${p}u), value_${p} > best);
    best = max(best, value_${p});
    //@ endfor
    let rows = d.out_height + 2u * d.out_halo;
    let columns = d.out_width + 2u * d.out_halo;
    let pixel = (n * rows + row + d.out_halo) * columns + column + d.out_halo;
    store_output(pixel * d.out_quads + quad, best);
    //@ if PICTURE_ROWS is undefined
    positions[((n * d.out_height + row) * d.out_width + column) * d.out_quads + quad] =
        place.x | (place.y << 8u) | (place.z << 16u) | (place.w << 24u);
    //@ endif
}
//@ else
// Stores an output: forward (masked 0) with bias and floor, backward to data (masked 1) where the ReLU
// that made the input let it through.
fn store(n: u32, row: u32, column: u32, quad: u32, value: vec4<f32>, bias: vec4<f32>) {
    let d = dims;
    //@ if PICTURE_ROWS is defined
    let result = max(value + bias, vec4<f32>(d.floor));
    //@ else
    var result = value;
    if d.masked == 1u {
        let here = (n * (d.height + 2u) + row + 1u) * (d.width + 2u) + column + 1u;
        let seen = load_seen(here * d.out_quads + quad);
        result = select(vec4<f32>(), value, seen > vec4<f32>());
    } else {
        result = max(value + bias, vec4<f32>(d.floor));
    }
    //@ endif
    let rows = d.height + 2u * d.out_halo;
    let columns = d.width + 2u * d.out_halo;
    let pixel = (n * rows + row + d.out_halo) * columns + column + d.out_halo;
    store_output(pixel * d.out_quads + quad, result);
}
//@ endif
