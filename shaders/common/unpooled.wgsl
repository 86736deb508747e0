// The gradient of a map of which only the pooled one has a gradient: a pixel has that of its window if the
// window's maximum came from there, else 0.
// positions: (n, h / 2, w / 2, quads) u32, a byte a channel: 0 1 over 2 3. An odd last row or column is
// in no window.

// The window of pixel (y, x) and which of the four it is there; 4 for a pixel of no window. Pixels are
// counted from 1, so that 0 is the halo.
fn window_of(n: u32, y: u32, x: u32) -> vec2<u32> {
    let rows = dims.height / 2u;
    let columns = dims.width / 2u;
    let row = (y + 1u) / 2u;
    let column = (x + 1u) / 2u;
    let inside = row > 0u && row <= rows && column > 0u && column <= columns;
    let window = (n * rows + max(min(row, rows), 1u) - 1u) * columns + max(min(column, columns), 1u) - 1u;
    return vec2<u32>(window, select(4u, (y + 1u) % 2u * 2u + (x + 1u) % 2u, inside));
}

// A quad of a pixel's gradient: that of its window, whose maxima lie at `positions`, where they lie at
// `which`.
fn of_window(gradient: vec4<f32>, positions: u32, which: u32) -> vec4<f32> {
    let places = (vec4<u32>(positions) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u);
    return select(vec4<f32>(), gradient, places == vec4<u32>(which));
}
