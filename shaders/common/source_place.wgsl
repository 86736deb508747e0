// Where the output with halo `i`, of `size` without, lies in a source of `source` pixels resized by
// before / after, in parts of 1 / (2 after) of a pixel, clamped; in the halo as the next inside.
fn source_place(i: u32, size: u32, before: u32, after: u32, source: u32) -> u32 {
    let centre = (2u * clamp(i, 1u, size) - 1u) * before;
    return min(max(centre, after) - after, (source - 1u) * 2u * after);
}
