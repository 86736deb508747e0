// Nothing but fused multiply-adds in registers, in ${CHAINS} chains whose steps do not wait for each other,
// so that the adapter's multipliers and not their latency set the pace.
// y = the sum of the chains after ${STEPS} * rounds steps. For x in [-1, 1] there are no denormals and
// nothing to be folded:
// - chains of their own are v = v * a + b from x + 0, x + 1, ..., with a = 1/2 + x/4 and b = x + 2: values
//   between 1 and 12;
// - coupled ones are v = v * next + b from x/8 + 0/64, x/8 + 1/64, ..., with b = (x + 2)/16: values between
//   -1/8 and 1/3. A compiler that is short of registers takes chains of their own one after another, and
//   all that a processor can do meanwhile is wait for each step; coupled ones it has to take side by side.
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
//@ if COUPLED
    let b = fma(start, 0.0625, 0.125);
//@ for c in range(CHAINS)
    var v${c} = fma(start, 0.125, ${c}.0 / 64.0);
//@ endfor
//@ else
    let a = fma(start, 0.25, 0.5);
    let b = start + 2.0;
//@ for c in range(CHAINS)
    var v${c} = start + ${c}.0;
//@ endfor
//@ endif
    for (var round = 0u; round < dims.rounds; round++) {
//@ for step in range(STEPS)
//@ if COUPLED
        let first_${step} = v0;
//@ for c in range(CHAINS - 1)
        v${c} = fma(v${c}, v${c + 1}, b);
//@ endfor
        v${CHAINS - 1} = fma(v${CHAINS - 1}, first_${step}, b);
//@ else
//@ for c in range(CHAINS)
        v${c} = fma(v${c}, a, b);
//@ endfor
//@ endif
//@ endfor
    }
    var sum = v0;
//@ for c in range(1, CHAINS)
    sum += v${c};
//@ endfor
    y[i] = sum;
}
