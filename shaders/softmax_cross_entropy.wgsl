// Cross-entropy of softmax, its gradient, and whether the prediction is right, image by image:
//   t[k] = (1 - label_smoothing) [k = label] + label_smoothing / classes
//   loss[n] = weight * sum_k t[k] (ln(sum_j exp(z[n, j] - max)) - (z[n, k] - max))
//   dlogits[n, k] = (softmax(z[n])[k] - t[k]) * weight * loss_scale
//   hit[n] = 1 if the first of the largest logits is the label, else 0
// With MIXUP an image has two labels, its own with weight share * weight and that of its partner with
// (1 - share) * weight: the sums of both losses and gradients, and hits of the label with the larger share.
// Subtracting the largest logit keeps exp in range for logits of any size.
// logits, dlogits: (n, quads) vec4 with `classes` columns used, the padding of dlogits set to 0;
// order: (samples) u32; labels: (set, 2) u32, label and the bits of its weight; outcome: (n) vec4, loss, hit, 0, 0.
// draws: (samples, 4) vec4 by place in the batch, of which the last holds partner and share.
// Grid: one invocation an image.
// Quad q of the logits, with the least number there is in place of padding: its exp is 0.
fn inside(q: u32, value: vec4<f32>) -> vec4<f32> {
    let classes = 4u * q + vec4<u32>(0u, 1u, 2u, 3u);
    return select(vec4<f32>(-3.4028234e38), value, classes < vec4<u32>(dims.classes));
}

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
    let sample = order[step.sample_base + image];
    //@ if MIXUP
    let mixed = load_draws(4u * (step.image_base + image) + 3u);
    let other = order[step.sample_base - step.image_base + u32(mixed.x)];
    let label = labels[2u * sample];
    let label_2 = labels[2u * other];
    let weight_1 = mixed.y * bitcast<f32>(labels[2u * sample + 1u]);
    let weight_2 = (1.0 - mixed.y) * bitcast<f32>(labels[2u * other + 1u]);
    let weight = weight_1 + weight_2;
    let aim = select(label_2, label, mixed.y >= 0.5);
    //@ else
    let label = labels[2u * sample];
    let weight = bitcast<f32>(labels[2u * sample + 1u]);
    let aim = label;
    //@ endif
    let row = image * d.quads;
    // The largest logit of each component, and its quad; padding does not count.
    var largest = inside(0u, load_logits(row));
    var place = vec4<u32>();
    for (var q = 1u; q < d.quads; q++) {
        let value = inside(q, load_logits(row + q));
        place = select(place, vec4<u32>(q), value > largest);
        largest = max(largest, value);
    }
    let classes = 4u * place + vec4<u32>(0u, 1u, 2u, 3u);
    let most = max(max(largest.x, largest.y), max(largest.z, largest.w));
    let firsts = select(vec4<u32>(0xffffffffu), classes, largest == vec4<f32>(most));
    let best = min(min(firsts.x, firsts.y), min(firsts.z, firsts.w));
    var sums = vec4<f32>();
    // Of all logits, less the largest.
    var all = vec4<f32>();
    for (var q = 0u; q < d.quads; q++) {
        let value = load_logits(row + q);
        sums += exp(inside(q, value) - most);
        let used = 4u * q + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(d.classes);
        all += select(vec4<f32>(), value - most, used);
    }
    let sum = dot(sums, vec4<f32>(1.0));
    let own = load_logits(row + min(label, d.classes - 1u) / 4u)[label % 4u];
    let spread = step.label_smoothing;
    let every = spread / f32(d.classes);
    // Without smoothing, logits far apart may add up to infinity.
    let others = select(0.0, every * dot(all, vec4<f32>(1.0)), spread > 0.0);
    //@ if MIXUP
    let own_2 = load_logits(row + min(label_2, d.classes - 1u) / 4u)[label_2 % 4u];
    let both = weight_1 * (own - most) + weight_2 * (own_2 - most);
    let loss = weight * (log(sum) - others) - (1.0 - spread) * both;
    //@ else
    let loss = weight * (log(sum) - (1.0 - spread) * (own - most) - others);
    //@ endif
    store_outcome(image, vec4<f32>(loss, select(0.0, 1.0, best == aim), 0.0, 0.0));
    //@ if MIXUP
    let scale = 1.0 / sum;
    //@ else
    let loss_scale = weight * step.loss_scale;
    let scale = loss_scale / sum;
    //@ endif
    for (var q = 0u; q < d.quads; q++) {
        let classes = 4u * q + vec4<u32>(0u, 1u, 2u, 3u);
        let probability = exp(inside(q, load_logits(row + q)) - most) * scale;
        //@ if MIXUP
        let first = select(vec4<f32>(), vec4<f32>(1.0 - spread), classes == vec4<u32>(label));
        let second = select(vec4<f32>(), vec4<f32>(1.0 - spread), classes == vec4<u32>(label_2));
        let gradient = weight_1 * (probability - (first + every))
                     + weight_2 * (probability - (second + every));
        let used = select(vec4<f32>(), gradient, classes < vec4<u32>(d.classes));
        store_dlogits(row + q, used * step.loss_scale);
        //@ else
        let own = select(vec4<f32>(), vec4<f32>(1.0 - spread), classes == vec4<u32>(label));
        let wanted = select(vec4<f32>(), own + every, classes < vec4<u32>(d.classes));
        store_dlogits(row + q, probability - wanted * loss_scale);
        //@ endif
    }
}
