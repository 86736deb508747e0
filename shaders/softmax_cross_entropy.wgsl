// Cross-entropy of softmax, its gradient, and whether the prediction is right, image by image:
//   loss[n] = ln(sum_k exp(z[n, k] - max)) - (z[n, label] - max)
//   dlogits[n, k] = (softmax(z[n])[k] - [k = label]) * loss_scale
//   hit[n] = 1 if the first of the largest logits is the label, else 0
// Subtracting the largest logit keeps exp in range for logits of any size.
// logits, dlogits: (n, stride) f32 with `classes` columns used, the padding of dlogits set to 0;
// order: (samples) u32; labels: (set) u32; outcome: (n) vec4, loss, hit, 0, 0.
// Grid: one invocation an image.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let image = group_index(workgroup, workgroups) * 64u + invocation;
    if image >= step.images {
        return;
    }
    let label = labels[order[step.sample_base + image]];
    let row = image * d.stride;
    var best = 0u;
    var largest = logits[row];
    for (var k = 1u; k < d.classes; k++) {
        let value = logits[row + k];
        if value > largest {
            largest = value;
            best = k;
        }
    }
    var sum = 0.0;
    for (var k = 0u; k < d.classes; k++) {
        sum += exp(logits[row + k] - largest);
    }
    let loss = log(sum) - (logits[row + min(label, d.classes - 1u)] - largest);
    outcome[image] = vec4<f32>(loss, select(0.0, 1.0, best == label), 0.0, 0.0);
    let scale = step.loss_scale / sum;
    for (var k = 0u; k < d.stride; k++) {
        var gradient = 0.0;
        if k < d.classes {
            gradient = exp(logits[row + k] - largest) * scale;
        }
        if k == label {
            gradient -= step.loss_scale;
        }
        dlogits[row + k] = gradient;
    }
}
