//! Images of one's own: any type that can draw or load image `i` is a set to train with. Here circles,
//! squares and triangles are drawn as they are asked for, ahead of the device, and never all kept.
//!
//! ```sh
//! cargo run --release --example custom_data
//! ```

use std::error::Error;
use std::ops::ControlFlow;
use std::sync::Arc;

use vgg_wgpu::data::{ImageSet, ReadError};
use vgg_wgpu::gpu::{Gpu, GpuOptions};
use vgg_wgpu::graph::{Architecture, Network, NetworkOptions};
use vgg_wgpu::ops::Optimizer;
use vgg_wgpu::train::history::EpochRecord;
use vgg_wgpu::train::{self, FitOptions, Init, Observer, TrainError, Trainer};

/// Rows and columns of an image.
const SIDE: usize = 24;
/// The classes.
const SHAPES: [&str; 3] = ["circle", "square", "triangle"];

/// Bright shapes of random size and place on noise.
#[derive(Debug)]
struct Shapes {
    count: usize,
    /// Sets of different seeds have different images.
    seed: u64,
}

impl ImageSet for Shapes {
    fn len(&self) -> usize {
        self.count
    }

    fn shape(&self) -> (usize, usize, usize) {
        (SIDE, SIDE, 1)
    }

    fn label(&self, index: usize) -> u32 {
        (index % SHAPES.len()) as u32
    }

    /// Called on several threads at once. All that is random follows from seed and number, so that an
    /// image is the same whenever it is asked for.
    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), ReadError> {
        let mut random = fastrand::Rng::with_seed(self.seed << 32 | index as u64);
        let radius = 5.0 + 5.0 * random.f32();
        let mut place = || radius + random.f32() * (SIDE as f32 - 2.0 * radius);
        let (left, top) = (place(), place());
        for (i, pixel) in pixels.iter_mut().enumerate() {
            // From the shape's middle, in radii; y grows downwards.
            let x = ((i % SIDE) as f32 + 0.5 - left) / radius;
            let y = ((i / SIDE) as f32 + 0.5 - top) / radius;
            let inside = match self.label(index) {
                0 => x.hypot(y) <= 1.0,
                1 => x.abs().max(y.abs()) <= 0.8,
                _ => y <= 0.8 && 2.0 * x.abs() <= y + 1.0,
            };
            let noise = random.u8(..60);
            *pixel = if inside { 255 - noise } else { noise };
        }
        Ok(())
    }
}

/// Tells of each epoch.
struct Printer;

impl Observer for Printer {
    fn epoch(
        &mut self,
        _trainer: &Trainer,
        record: &EpochRecord,
    ) -> Result<ControlFlow<()>, TrainError> {
        let EpochRecord { epoch, train_loss, val_acc, .. } = record;
        println!("epoch {epoch}: train loss {train_loss:.4}, accuracy {val_acc:.4}");
        Ok(ControlFlow::Continue(()))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let architecture = Architecture::builder()
        .table("1x8,1x16,1x32")?
        .hidden(vec![32])
        .dropout(0.0)
        .input(1, SIDE, SIDE)
        .classes(SHAPES.len())
        .build()?;
    let gpu = Arc::new(Gpu::open(&GpuOptions::default())?);
    let options =
        NetworkOptions { batch: 30, optimizer: Optimizer::sgd(0.9), ..NetworkOptions::default() };
    let network = Network::new(gpu, architecture, options)?;
    train::initialise(&network, Init::Kaiming, 1)?;

    // As `Arc<dyn ImageSet>` a set is read batch by batch; `data::in_memory` would read it once.
    let train: Arc<dyn ImageSet> = Arc::new(Shapes { count: 900, seed: 1 });
    let test: Arc<dyn ImageSet> = Arc::new(Shapes { count: 150, seed: 2 });
    let mut trainer = Trainer::new(network, train, test)?;
    let fit = FitOptions { epochs: 4, batch: 30, learning_rate: 0.02, ..FitOptions::default() };
    trainer.fit(&fit, &mut Printer)?;
    Ok(())
}
