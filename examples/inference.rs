//! What a picture shows: a model file that `train` or `import` wrote, a picture, the likeliest classes.
//!
//! ```sh
//! cargo run --release --example inference -- runs/quickstart/model.safetensors boot.png
//! ```

use std::error::Error;
use std::sync::Arc;

use vgg_wgpu::data::{Images, PictureForm, Split};
use vgg_wgpu::gpu::{Gpu, GpuOptions};
use vgg_wgpu::graph::{Network, NetworkOptions, ResizeFilter};
use vgg_wgpu::train;
use vgg_wgpu::weights::Model;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, picture] = arguments.as_slice() else {
        return Err("usage: inference MODEL.safetensors PICTURE".into());
    };
    let model = Model::load(model.as_ref())?;
    let architecture = train::architecture_of(&model.description)?;

    // The picture as the network wants it: rows, columns, channels, and how it is cropped.
    let input = architecture.input();
    let (height, width, channels) = (input.height, input.width, input.channels);
    let shorter = model.description.preprocessing.resize;
    let form = PictureForm { height, width, channels, shorter };
    let pixels = form.read(picture.as_ref())?;
    let images = Images { count: 1, height, width, channels, pixels };

    let gpu = Arc::new(Gpu::open(&GpuOptions::default())?);
    let options = NetworkOptions { batch: 1, train: false, ..NetworkOptions::default() };
    let network = Network::new(gpu, architecture, options)?;
    train::load(&network, &model)?;
    // Its label stands for nothing here.
    let rows = train::logits(
        &network,
        &Split { images, labels: vec![0] },
        ResizeFilter::Bilinear,
        |_| {},
    )?;

    // Softmax about the largest logit.
    let most = rows[0].iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers = rows[0].iter().map(|logit| (logit - most).exp());
    let sum: f32 = powers.clone().sum();
    let mut classes: Vec<_> = powers.zip(&model.description.classes).collect();
    classes.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    for (power, class) in classes.iter().take(3) {
        println!("{:.4} {class}", power / sum);
    }
    Ok(())
}
