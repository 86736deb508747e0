//! The training step of the small network in burn: `peer-burn RESIZE BATCH train|infer wgpu|flex`.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Dropout, DropoutConfig, Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Int, Tensor};

#[path = "../../protocol.rs"]
mod protocol;
use protocol::{BLOCKS, DENSE, LEARNING_RATE, Outcome, Task};

#[derive(Module, Debug)]
struct Vgg {
    blocks: Vec<Vec<Conv2d>>,
    pool: MaxPool2d,
    dense: Vec<Linear>,
    dropout: Dropout,
}

impl Vgg {
    fn new(task: &Task, device: &Device) -> Self {
        let xavier = Initializer::XavierUniform { gain: 1.0 };
        let mut inputs = 1;
        let mut convolution = |outputs| {
            let config = Conv2dConfig::new([inputs, outputs], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_initializer(xavier.clone());
            inputs = outputs;
            config.init(device)
        };
        let blocks =
            BLOCKS.map(|(count, channels)| (0..count).map(|_| convolution(channels)).collect());
        let mut inputs = inputs * task.last_side() * task.last_side();
        let dense = DENSE.map(|outputs| {
            let config = LinearConfig::new(inputs, outputs).with_initializer(xavier.clone());
            inputs = outputs;
            config.init(device)
        });
        Self {
            blocks: blocks.into(),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            dense: dense.into(),
            dropout: DropoutConfig::new(0.5).init(),
        }
    }

    /// `(n, 1, size, size)` -> `(n, 10)`
    fn forward(&self, mut x: Tensor<4>) -> Tensor<2> {
        for block in &self.blocks {
            for convolution in block {
                x = relu(convolution.forward(x));
            }
            x = self.pool.forward(x);
        }
        let mut x: Tensor<2> = x.flatten(1, 3);
        for (i, dense) in self.dense.iter().enumerate() {
            x = dense.forward(x);
            if i + 1 < self.dense.len() {
                x = self.dropout.forward(relu(x));
            }
        }
        x
    }
}

fn main() -> Outcome<()> {
    let task = Task::from_arguments()?;
    let device = match task.backend.as_str() {
        "wgpu" => Device::wgpu(Default::default()),
        "flex" => Device::flex(),
        other => return Err(format!("{other}: neither wgpu nor flex").into()),
    };
    let device = if task.train { device.autodiff() } else { device };
    device.seed(0);
    let mut net = Vgg::new(&task, &device);
    let shape = [task.batch, 1, task.resize, task.resize];
    let images = Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    let labels: Vec<i32> = task.labels().iter().map(|&label| label as i32).collect();
    let labels = Tensor::<1, Int>::from_ints(labels.as_slice(), &device);
    let cross_entropy = CrossEntropyLossConfig::new().init(&device);
    let mut sgd = SgdConfig::new().init();
    device.sync()?;
    task.serve(|| {
        let logits = net.forward(images.clone());
        let value = if task.train {
            let loss = cross_entropy.forward(logits, labels.clone());
            let gradients = GradientsParams::from_grads(loss.backward(), &net);
            net = sgd.step(LEARNING_RATE, net.clone(), gradients);
            loss.into_scalar::<f32>()
        } else {
            logits.sum().into_scalar::<f32>()
        };
        device.sync().map(|()| value)
    })
}
