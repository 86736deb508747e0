// y = x, as fast as memory allows.
// x, y: (quads) vec4. Grid: one invocation a quad. Memory: registers.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    if i >= dims.quads {
        return;
    }
    store_y(i, load_x(i));
}
