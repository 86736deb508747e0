// Stores quad `quad` of pixel (n, row, column) of the gradient of a convolution's input, masked by the
// ReLU that made this input.
fn store(n: u32, row: u32, column: u32, quad: u32, value: vec4<f32>) {
    let d = dims;
    let here = (n * (d.height + 2u) + row + 1u) * (d.width + 2u) + column + 1u;
    let seen = load_x(here * d.out_quads + quad);
    let rows = d.height + 2u * d.out_halo;
    let columns = d.width + 2u * d.out_halo;
    let pixel = (n * rows + row + d.out_halo) * columns + column + d.out_halo;
    store_dx(pixel * d.out_quads + quad, select(vec4<f32>(), value, seen > vec4<f32>()));
}
