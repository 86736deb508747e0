use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use vgg_wgpu::data::{self, Split};
use vgg_wgpu::graph::{Architecture, Batch, ImageSource, ResizeFilter};
use vgg_wgpu::train::{self, Tile, write_grid};

use super::augment_args::AugmentArgs;
use super::common::{AdapterArgs, positive, say};
use super::report::note;
use super::sets::{Opened, SetArgs};

/// Draw what augmentation makes of images, beside the originals
///
/// The device makes them by the kernel that training runs. Variant k of row i is what step k - 1 of a
/// run with this seed and these flags does to the image at place i of its batch, mixed with others of the
/// sheet.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu augment --resize 64 --flip --crop-padding 8 --rotate 10 --preview out.png"
)]
pub struct AugmentPreviewArgs {
    /// PNG file to draw
    #[arg(long, value_name = "FILE")]
    preview: PathBuf,
    /// Images, each in a row of its own
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = within::<32>)]
    rows: usize,
    /// Variants of each image
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = within::<32>)]
    variants: usize,
    /// Resolution that images are resized to, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 224, value_parser = positive)]
    resize: usize,
    /// Seed of the choice of images, and of what is done to them
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    sets: SetArgs,
    /// Channels that pictures are given: 1 (grey) or 3 (RGB) [default: 3]
    #[arg(long, value_name = "1|3", value_parser = super::training::channels, help_heading = "Data")]
    channels: Option<usize>,
    #[command(flatten)]
    augmentation: AugmentArgs,
    #[command(flatten)]
    adapter: AdapterArgs,
}

/// Draws.
pub fn run(args: &AugmentPreviewArgs) -> Result<()> {
    let opened = args.sets.open()?;
    let classes = opened.classes().to_vec();
    let channels = opened.channels(args.channels)?;
    // Of one block, which no size is too small for but a single pixel: only its input counts.
    let network = Architecture::builder().table("1x4")?.input(channels, args.resize, args.resize);
    let network = network.classes(classes.len()).build()?;
    let images = args.choose(opened, &network)?;
    let gpu = args.adapter.open()?;
    say(format!("adapter   {}", gpu.facts()))?;
    let augmentation = args.augmentation.of();
    let plain = train::upload(&gpu, &images, ResizeFilter::Bilinear)?;
    let changed =
        train::upload(&gpu, &images, ResizeFilter::Bilinear)?.augmented(&gpu, augmentation)?;
    // All images as the network sees them in a step: (rows, height, width, channels) bytes.
    let column = |source: &ImageSource, number| -> Result<Vec<u8>> {
        let (count, seed) = (images.len(), args.seed as u32);
        let batch = Batch { count, number, seed, ..Batch::default() };
        let values = source.inputs(&gpu, &network, &batch)?;
        Ok(values.into_iter().map(|value| (value * 255.0).round() as u8).collect())
    };
    let mut columns = vec![column(&plain, 0)?];
    for number in 0..args.variants as u32 {
        columns.push(column(&changed, number)?);
    }
    let shape = (args.resize, args.resize, channels);
    let len = args.resize * args.resize * channels;
    let name = |row: usize| classes[images.labels[row % images.len()] as usize].clone();
    let lines = |row: usize, number: u32| {
        let mix = augmentation.mix(args.seed as u32, number, images.len());
        let line = |share: f32, row| format!("{share:.2} {}", name(row));
        let both =
            mix.map(|mix| vec![line(mix.share, row), line(1.0 - mix.share, row + mix.apart)]);
        both.unwrap_or_default()
    };
    let mut tiles = Vec::new();
    for row in 0..images.len() {
        for (place, column) in (0..).zip(&columns) {
            let lines = if place == 0 { vec![name(row)] } else { lines(row, place - 1) };
            tiles.push(Tile { shape, pixels: &column[row * len..(row + 1) * len], lines });
        }
    }
    let title = format!("originals, and {} variants of each", args.variants);
    write_grid(&tiles, columns.len() as u32, &title, &args.preview)?;
    Ok(say(format!("preview   {}", args.preview.display()))?)
}

impl AugmentPreviewArgs {
    /// The images of the sheet, drawn by the seed from those to train with.
    fn choose(&self, opened: Opened, network: &Architecture) -> Result<Split> {
        let found = match opened {
            Opened::Idx(dataset) => return Ok(dataset.train.shuffled_subset(self.rows, self.seed)),
            Opened::Pictures(found) => found,
        };
        let order = data::permutation(found.train.len(), self.seed, 0);
        let chosen = order.iter().take(self.rows).map(|&i| found.train[i as usize].clone());
        let form = self.sets.form(network.input(), None);
        let (split, bad) = data::read_pictures(form, chosen.collect(), |_| {});
        bad.iter().for_each(|bad| note(&format!("skipped   {bad}")));
        ensure!(!split.is_empty(), "none of the pictures chosen can be read; try another --seed");
        Ok(split)
    }
}

/// A count that fits a sheet.
fn within<const MOST: usize>(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=MOST).contains(count));
    count.ok_or_else(|| format!("expected a whole number from 1 to {MOST}"))
}
