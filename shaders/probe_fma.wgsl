// Nothing but fused multiply-adds in registers: v = v * a + b, in ${CHAINS} chains that do not depend on
// each other, so that the adapter's multipliers and not their latency set the pace.
// y = the sum of the chains after ${STEPS} * rounds steps from x + 0, x + 1, ...; a = 1/2 + x/4 and b = x + 2
// keep values between 1 and 12 for x in [-1, 1]: no denormals, nothing to be folded.
// x, y: (threads). Grid: one invocation an element. Memory: registers.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    if i >= dims.threads {
        return;
    }
    let start = x[i];
    let a = fma(start, 0.25, 0.5);
    let b = start + 2.0;
//@ for c in range(CHAINS)
    var v${c} = start + ${c}.0;
//@ endfor
    for (var round = 0u; round < dims.rounds; round++) {
//@ for step in range(STEPS)
//@ for c in range(CHAINS)
        v${c} = fma(v${c}, a, b);
//@ endfor
//@ endfor
    }
    var sum = v0;
//@ for c in range(1, CHAINS)
    sum += v${c};
//@ endfor
    y[i] = sum;
}
