// Which pixels of a batch a slot of partial sums takes: all slots as many, the first ones one more
// where that does not come out even. Pixels are numbered through all images.
fn slot_begin(slot: u32, slots: u32, pixels: u32) -> u32 {
    return slot * (pixels / slots) + min(slot, pixels % slots);
}
