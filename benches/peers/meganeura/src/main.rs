//! The training step of the small network in meganeura: `peer-meganeura RESIZE BATCH train|infer`.
//!
//! It has no dropout; masks are drawn here and enter as inputs. Its backward pass of max pooling is,
//! by its own comment, an approximation: a gradient goes in quarters to four inputs, not to the
//! largest. The work is much the same; what would be learnt is not.

use meganeura::{Graph, Mode, NodeId, Session, SessionConfig, build};

#[path = "../../protocol.rs"]
mod protocol;
use protocol::{BLOCKS, CLASSES, DENSE, LEARNING_RATE, Outcome, Task};

/// The graph while it grows, and the parameters: name, values, Xavier's bound.
struct Builder {
    graph: Graph,
    batch: usize,
    parameters: Vec<(String, usize, f64)>,
    /// Inputs that dropout multiplies by: name, values.
    masks: Vec<(String, usize)>,
}

impl Builder {
    fn parameter(&mut self, name: String, shape: &[usize], bound: f64) -> NodeId {
        let node = self.graph.parameter(&name, shape);
        self.parameters.push((name, shape.iter().product(), bound));
        node
    }

    /// 3x3 convolution, bias and ReLU: `n*c*side*side` -> `n*k*side*side`
    fn convolution(&mut self, x: NodeId, c: usize, k: usize, side: usize) -> NodeId {
        let name = format!("conv{}", self.parameters.len());
        let bound = (6.0 / (9 * (c + k)) as f64).sqrt();
        let weights = self.parameter(format!("{name}.weight"), &[k * c * 9], bound);
        let bias = self.parameter(format!("{name}.bias"), &[k], 0.0);
        let (n, c, k, side) = (self.batch as u32, c as u32, k as u32, side as u32);
        let x = self.graph.conv2d(x, weights, n, c, side, side, k, 3, 3, 1, 1);
        let x = self.graph.add_per_channel(x, bias, k, side * side);
        self.graph.relu(x)
    }

    /// `(n, inputs)` -> `(n, outputs)`
    fn dense(&mut self, x: NodeId, inputs: usize, outputs: usize) -> NodeId {
        let name = format!("dense{}", self.parameters.len());
        let bound = (6.0 / (inputs + outputs) as f64).sqrt();
        let weights = self.parameter(format!("{name}.weight"), &[inputs, outputs], bound);
        let bias = self.parameter(format!("{name}.bias"), &[outputs], 0.0);
        let x = self.graph.matmul(x, weights);
        self.graph.bias_add(x, bias)
    }

    fn dropout(&mut self, x: NodeId, width: usize) -> NodeId {
        let name = format!("mask{}", self.masks.len());
        let mask = self.graph.input(&name, &[self.batch, width]);
        self.masks.push((name, self.batch * width));
        self.graph.mul(x, mask)
    }

    /// The logits, `(n, 10)`.
    fn network(&mut self, task: &Task) -> NodeId {
        let (mut side, mut inputs) = (task.resize, 1);
        let mut x = self.graph.input("images", &[self.batch * side * side]);
        for (count, channels) in BLOCKS {
            for _ in 0..count {
                x = self.convolution(x, inputs, channels, side);
                inputs = channels;
            }
            let (n, c, size) = (self.batch as u32, inputs as u32, side as u32);
            x = self.graph.max_pool_2d(x, n, c, size, size, 2, 2, 2, 0);
            side /= 2;
        }
        inputs *= task.last_side().pow(2);
        x = self.graph.reshape(x, &[self.batch, inputs]);
        for (i, outputs) in DENSE.into_iter().enumerate() {
            x = self.dense(x, inputs, outputs);
            if i + 1 < DENSE.len() {
                x = self.graph.relu(x);
                if task.train {
                    x = self.dropout(x, outputs);
                }
            }
            inputs = outputs;
        }
        x
    }
}

/// Half of the values 0, the others 2.
fn draw_masks(session: &mut Session, masks: &[(String, usize)], random: &mut fastrand::Rng) {
    for (name, values) in masks {
        let mask: Vec<f32> = (0..*values).map(|_| if random.bool() { 2.0 } else { 0.0 }).collect();
        session.set_input(name, &mask);
    }
}

fn main() -> Outcome<()> {
    let task = Task::from_arguments()?;
    let mut builder =
        Builder { graph: Graph::new(), batch: task.batch, parameters: vec![], masks: vec![] };
    let logits = builder.network(&task);
    let Builder { mut graph, parameters, masks, .. } = builder;
    let output = if task.train {
        let labels = graph.input("labels", &[task.batch, CLASSES]);
        graph.cross_entropy_loss(logits, labels)
    } else {
        logits
    };
    graph.set_outputs(vec![output]);
    let mode = if task.train { Mode::Training } else { Mode::Inference };
    let (mut session, _) = build(&graph, SessionConfig { mode, ..SessionConfig::default() });

    let mut random = fastrand::Rng::with_seed(0);
    let mut uniform = |values: usize, bound: f64| -> Vec<f32> {
        (0..values).map(|_| (bound * (2.0 * random.f64() - 1.0)) as f32).collect()
    };
    for (name, values, bound) in &parameters {
        session.set_parameter(name, &uniform(*values, *bound));
    }
    // Of variance 1, as the others' images.
    session.set_input("images", &uniform(task.batch * task.resize * task.resize, 3f64.sqrt()));
    if task.train {
        let mut one_hot = vec![0.0; task.batch * CLASSES];
        for (row, label) in one_hot.chunks_mut(CLASSES).zip(task.labels()) {
            row[label as usize] = 1.0;
        }
        session.set_input("labels", &one_hot);
        session.set_learning_rate(LEARNING_RATE as f32);
    }
    task.serve(|| {
        draw_masks(&mut session, &masks, &mut random);
        session.step();
        session.wait();
        Ok::<_, std::convert::Infallible>(match task.train {
            true => session.read_loss(),
            false => session.read_output(task.batch * CLASSES).iter().sum(),
        })
    })
}
