// Stores quad `quad` of pixel (n, row, column) of a forward convolution, with bias and floor.
fn store(n: u32, row: u32, column: u32, quad: u32, value: vec4<f32>) {
    let d = dims;
    let bias = load_w(36u * d.in_quads * d.out_quads + quad);
    let rows = d.height + 2u * d.out_halo;
    let columns = d.width + 2u * d.out_halo;
    let pixel = (n * rows + row + d.out_halo) * columns + column + d.out_halo;
    store_y(pixel * d.out_quads + quad, max(value + bias, vec4<f32>(d.floor)));
}
