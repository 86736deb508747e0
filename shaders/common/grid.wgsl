// A dispatch of more than 65,535 workgroups is folded into two dimensions; the last row may have
// groups too many, which every kernel skips by its own bound.
fn group_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.x + group.y * groups.x;
}
