// A render pass over a tensor in blocks of 64 quads, which lie in eight layers (gpu::Order::Blocks): a
// fragment has the same place, `place_in_group`, in each of the eight groups of eight quads of its block,
// `block_of`, and returns a quad for each group.
struct Groups {
    //@ for g in range(8)
    @location(${g}) group_${g}: vec4<f32>,
    //@ endfor
}

// One triangle about all there is to render; scissors cut it to a tensor.
@vertex
fn corner(@builtin(vertex_index) i: u32) -> @builtin(position) vec4<f32> {
    return vec4<f32>(f32(i & 1u) * 4.0 - 1.0, f32(i >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

fn place_in_group(position: vec4<f32>) -> u32 {
    return ((u32(position.y) & 1u) << 2u) | (u32(position.x) & 3u);
}
