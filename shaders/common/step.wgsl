// What changes from one micro-batch to the next: the twin of `kernel::Step`.
struct Step {
    images: u32,        // images in this micro-batch
    image_base: u32,    // place of the first of them in its batch
    sample_base: u32,   // place of the first of them in the order of samples
    slot: u32,          // slot of the metrics ring
    accumulate: u32,    // 1 if gradients are added to, 0 if overwritten
    seed: u32,          // of the dropout masks
    number: u32,        // of the training step
    learning_rate: f32,
    momentum: f32,      // beta1 of AdamW
    loss_scale: f32,    // 1 / images in the whole batch
    weight_decay: f32,
    label_smoothing: f32,
    beta2: f32,         // of AdamW
    adam_rate: f32,     // its learning rate, and
    adam_epsilon: f32,  // its epsilon, which make up for moments that began at 0
    max_norm: f32,      // of clipped gradients
}
@group(1) @binding(0) var<uniform> step: Step;
