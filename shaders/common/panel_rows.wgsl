// Rows of a panel of dense weights: a row for each input, one of biases, and empty ones up to a multiple of
// eight.
fn panel_rows(in_quads: u32) -> u32 {
    return (in_quads * 4u + 8u) & ~7u;
}
