use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use vgg_wgpu::train::{self, Init};
use vgg_wgpu::weights::{Description, ImportOptions, Model};

use super::common::{count, positive, say};
use super::model;
use super::network::{HeadArg, InitArg};

/// Turn weights of PyTorch's world into a model of this program
///
/// Reads safetensors and PyTorch's .pth and .pt with the tensor names of torchvision, timm or "Dive
/// into Deep Learning", without running any code in them. Blocks, batch normalisation, classes,
/// channels and resolution are recognised from names and shapes.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vgg-wgpu import vgg16-397923af.pth --out vgg16.safetensors\n  vgg-wgpu \
    import vgg16.pth --classes 3 --labels names.txt --out mine.safetensors"
)]
pub struct ImportArgs {
    /// File with the weights
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Model file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Resolution of the input in pixels, where several are possible [default: 224, or the multiple
    /// of the size that the dense layers read]
    #[arg(long, value_name = "PIXELS", value_parser = positive)]
    resize: Option<usize>,
    /// What stands between the blocks and the dense layers [default: as recognised]
    #[arg(long, value_enum)]
    head: Option<HeadArg>,
    /// Replace the last layer by a new one for N classes, to be trained
    #[arg(long, value_name = "N", value_parser = positive)]
    classes: Option<usize>,
    /// File with the names of the classes, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// How the new layer is drawn
    #[arg(long, value_enum, default_value_t = InitArg::Xavier, requires = "classes")]
    init: InitArg,
    /// Seed of the new layer
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// Imports.
pub fn run(args: &ImportArgs) -> Result<()> {
    let names = args.labels.as_deref().map(model::class_names).transpose()?;
    let options = ImportOptions {
        resize: args.resize,
        head: args.head.map(Into::into),
        // With another last layer the names are those of the new classes.
        class_names: names.clone().filter(|_| args.classes.is_none()),
        ..ImportOptions::default()
    };
    let recognised = model::read(&args.file, &options)?;
    let mut imported = recognised.model;
    if let Some(classes) = args.classes {
        let names = names.unwrap_or_else(|| (0..classes).map(|class| class.to_string()).collect());
        model::check_names(&names, classes, args.labels.as_deref())?;
        let mut random = fastrand::Rng::with_seed(args.seed);
        let init: Init = args.init.into();
        imported = imported.with_classes(names, |name, shape| init.draw(name, shape, &mut random));
    }
    let mut origin = imported.description.origin.take().unwrap_or_default();
    let file = args.file.file_name().unwrap_or(args.file.as_os_str());
    origin.imported_from.get_or_insert(file.to_string_lossy().into_owned());
    imported.description.origin = Some(model::signed(origin));
    imported.save(&args.out)?;
    say(format!("names     {}", recognised.naming))?;
    describe(&imported)?;
    for note in &recognised.notes {
        say(format!("note      {note}"))?;
    }
    Ok(say(format!("model     {}", args.out.display()))?)
}

fn describe(model: &Model) -> Result<()> {
    let Description { input: [channels, height, width], classes, .. } = &model.description;
    let architecture = train::architecture_of(&model.description).context("no such network")?;
    let (head, parameters) = (HeadArg::from(architecture.head()), architecture.parameters());
    say(format!("network   {architecture}, head {head}: {} parameters", count(parameters)))?;
    Ok(say(format!("input     {channels} x {height} x {width}, {} classes", classes.len()))?)
}
