/// What changes from one micro-batch to the next; a uniform that every kernel sees as `step`.
///
/// Its WGSL twin is `shaders/common/step.wgsl`; a test compares their offsets.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Step {
    /// Images in this micro-batch.
    pub images: u32,
    /// Place of the first of them in its batch.
    pub image_base: u32,
    /// Place of the first of them in the order of samples.
    pub sample_base: u32,
    /// Slot of the metrics ring that this batch adds to.
    pub slot: u32,
    /// 0 if gradients are overwritten, 1 if they are added to.
    pub accumulate: u32,
    /// Seed of the dropout masks.
    pub seed: u32,
    /// Number of the training step, from 0.
    pub number: u32,
    /// Learning rate.
    pub learning_rate: f32,
    /// Momentum of SGD, or beta1 of AdamW.
    pub momentum: f32,
    /// Factor of the loss's gradient: 1 / images in the whole batch.
    pub loss_scale: f32,
    /// Weight decay.
    pub weight_decay: f32,
    /// Share of a label that is spread over all classes.
    pub label_smoothing: f32,
    /// beta2 of AdamW.
    pub beta2: f32,
    /// Learning rate of AdamW, so that it makes up for moments that began at 0.
    pub adam_rate: f32,
    /// epsilon of AdamW, the same.
    pub adam_epsilon: f32,
    /// The norm that gradients are scaled down to where they are clipped.
    pub max_norm: f32,
}

impl Default for Step {
    fn default() -> Self {
        Self { images: 1, loss_scale: 1.0, ..bytemuck::Zeroable::zeroed() }
    }
}
