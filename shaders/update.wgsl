// The step of an optimiser over a range of the parameters. Weight decay falls on the first `decayed` quads
// of each `period`; gradients are first multiplied by the factor in `clip`, if there is one.
// p, g, and m and v where the rule keeps them: (quads) vec4. Grid: one invocation a quad.
//@ include "common/optimizer.wgsl"

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
    var gradient = load_g(i);
    //@ if CLIPS
    gradient *= load_clip(0u).x;
    //@ endif
    var decay = step.weight_decay;
    //@ if PARTLY
    decay = select(0.0, decay, i % dims.period < dims.decayed);
    //@ endif
    advance(i, gradient, decay);
}
