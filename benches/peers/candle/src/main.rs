//! The training step of the small network in candle, on the CPU: `peer-candle RESIZE BATCH
//! train|infer`.

use candle_core::{DType, Device, Module as _, ModuleT as _, Result, Tensor, Var};
use candle_nn::{Conv2d, Conv2dConfig, Dropout, Linear, Optimizer as _, SGD};

#[path = "../../protocol.rs"]
mod protocol;
use protocol::{BLOCKS, DENSE, LEARNING_RATE, Outcome, Task};

struct Vgg {
    blocks: Vec<Vec<Conv2d>>,
    dense: Vec<Linear>,
    dropout: Dropout,
}

/// The parameters so far; those of inference are no variables, whose operations would be recorded.
struct Parameters {
    train: bool,
    vars: Vec<Var>,
}

impl Parameters {
    /// Xavier weights and no bias.
    fn add(&mut self, shape: &[usize], fans: (usize, usize)) -> Result<(Tensor, Option<Tensor>)> {
        let bound = (6.0 / (fans.0 + fans.1) as f64).sqrt() as f32;
        let weights = Var::rand(-bound, bound, shape, &Device::Cpu)?;
        let bias = Var::zeros(shape[0], DType::F32, &Device::Cpu)?;
        let tensor = |var: &Var| match self.train {
            true => var.as_tensor().clone(),
            false => var.as_detached_tensor(),
        };
        let tensors = (tensor(&weights), Some(tensor(&bias)));
        self.vars.extend([weights, bias]);
        Ok(tensors)
    }
}

impl Vgg {
    fn new(task: &Task, parameters: &mut Parameters) -> Result<Self> {
        let config = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
        let (mut inputs, mut blocks) = (1, Vec::new());
        for (count, channels) in BLOCKS {
            let mut block = Vec::new();
            for _ in 0..count {
                let fans = (9 * inputs, 9 * channels);
                let (weights, bias) = parameters.add(&[channels, inputs, 3, 3], fans)?;
                block.push(Conv2d::new(weights, bias, config));
                inputs = channels;
            }
            blocks.push(block);
        }
        let (mut inputs, mut dense) = (inputs * task.last_side().pow(2), Vec::new());
        for outputs in DENSE {
            let (weights, bias) = parameters.add(&[outputs, inputs], (inputs, outputs))?;
            dense.push(Linear::new(weights, bias));
            inputs = outputs;
        }
        Ok(Self { blocks, dense, dropout: Dropout::new(0.5) })
    }

    /// `(n, 1, size, size)` -> `(n, 10)`
    fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let mut x = images.clone();
        for block in &self.blocks {
            for convolution in block {
                x = convolution.forward(&x)?.relu()?;
            }
            x = x.max_pool2d(2)?;
        }
        x = x.flatten_from(1)?;
        for (i, dense) in self.dense.iter().enumerate() {
            x = dense.forward(&x)?;
            if i + 1 < self.dense.len() {
                x = self.dropout.forward_t(&x.relu()?, train)?;
            }
        }
        Ok(x)
    }
}

fn main() -> Outcome<()> {
    let task = Task::from_arguments()?;
    let mut parameters = Parameters { train: task.train, vars: Vec::new() };
    let net = Vgg::new(&task, &mut parameters)?;
    let images = Tensor::randn(0f32, 1.0, (task.batch, 1, task.resize, task.resize), &Device::Cpu)?;
    let labels = Tensor::new(task.labels(), &Device::Cpu)?;
    let mut sgd = SGD::new(parameters.vars, LEARNING_RATE)?;
    task.serve(|| {
        let logits = net.forward(&images, task.train)?;
        if !task.train {
            return logits.sum_all()?.to_scalar::<f32>();
        }
        let loss = candle_nn::loss::cross_entropy(&logits, &labels)?;
        sgd.backward_step(&loss)?;
        loss.to_scalar::<f32>()
    })
}
