use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use naga::back::{glsl, hlsl, msl};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use vgg_wgpu::gpu::AdapterFacts;
use vgg_wgpu::kernel::{Source, Variant};
use vgg_wgpu::ops::REGISTRY;

use super::common::{AdapterArgs, any_adapter, columns, say, variants};

/// List the compute kernels, or print the complete source of one
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu shaders\n  vgg-wgpu shaders conv_forward_tiled --to hlsl"
)]
pub struct ShadersArgs {
    /// The kernel to print [default: list all]
    name: Option<String>,
    /// Language to print it in
    #[arg(long, value_enum, default_value_t = Language::Wgsl)]
    to: Language,
    /// For an adapter that can do everything, instead of one of this machine
    #[arg(long, conflicts_with = "adapter")]
    all: bool,
    #[command(flatten)]
    adapter: AdapterArgs,
}

/// What a kernel can be printed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    /// As the kernels are written
    Wgsl,
    /// Metal's
    Msl,
    /// Direct3D's
    Hlsl,
    /// OpenGL ES 3.10's
    Glsl,
}

/// Prints the list or the source.
pub fn run(args: &ShadersArgs) -> Result<()> {
    let facts = match args.all {
        true => any_adapter(),
        false => args.adapter.open()?.facts().clone(),
    };
    match &args.name {
        None => say(list(&facts))?,
        Some(name) => say(translate(&source(name, &facts)?, args.to)?)?,
    }
    Ok(())
}

fn list(facts: &AdapterFacts) -> String {
    let mut rows = Vec::new();
    for (op, variants) in variants(facts) {
        for variant in variants {
            let constants = variant.constants.iter().map(|(name, value)| format!("{name}={value}"));
            let constants = constants.collect::<Vec<_>>().join(" ");
            let here = variant.supported.err().unwrap_or_else(|| "yes".to_owned());
            rows.push(vec![op.to_owned(), variant.name.to_owned(), constants, here]);
        }
    }
    let titles = ["operation", "variant", "constants (of its first example)", "runs here"];
    format!("kernels for {}\n\n{}", facts.name, columns(&titles, &rows).trim_end())
}

/// The source of a kernel for the first shape of the registry that it supports.
fn source(name: &str, facts: &AdapterFacts) -> Result<Source> {
    let mut reason = None;
    for op in REGISTRY.iter().flat_map(|entry| (entry.examples)()) {
        let same = |variant: &Variant| variant.name == name;
        match op.variants(facts).into_iter().find(same) {
            Some(Variant { supported: Err(why), .. }) => reason = Some(why),
            Some(variant) => return Ok(Source::build(&variant, &op.bindings(), &[])?),
            None => {}
        }
    }
    match reason {
        Some(why) => {
            bail!("{name} does not run on {}: {why}; --all shows it all the same", facts.name)
        }
        None => {
            let names = variants(facts).flat_map(|(_, variants)| variants).map(|v| v.name);
            bail!(
                "no kernel is named '{name}'; there are: {}",
                names.collect::<Vec<_>>().join(", ")
            )
        }
    }
}

fn translate(source: &Source, language: Language) -> Result<String> {
    let wgsl = source.wgsl.as_str();
    if language == Language::Wgsl {
        return Ok(wgsl.trim_end().to_owned());
    }
    let failed = || format!("{} does not translate", source.name);
    let module = naga::front::wgsl::parse_str(wgsl).with_context(failed)?;
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
    let info = validator.validate(&module).with_context(failed)?;
    match language {
        Language::Wgsl => unreachable!("returned above"),
        Language::Msl => {
            let options = msl::Options { lang_version: (2, 4), ..Default::default() };
            let pipeline = msl::PipelineOptions::default();
            Ok(msl::write_string(&module, &info, &options, &pipeline).with_context(failed)?.0)
        }
        Language::Hlsl => {
            let mut text = String::new();
            let shader_model = hlsl::ShaderModel::V6_0;
            let options = hlsl::Options { shader_model, ..Default::default() };
            let pipeline = hlsl::PipelineOptions::default();
            let mut writer = hlsl::Writer::new(&mut text, &options, &pipeline);
            writer.write(&module, &info, None).with_context(failed)?;
            Ok(text)
        }
        Language::Glsl => glsl_of(&module, &info).with_context(failed),
    }
}

fn glsl_of(module: &naga::Module, info: &ModuleInfo) -> Result<String> {
    let mut text = String::new();
    let version = glsl::Version::Embedded { version: 310, is_webgl: false };
    let options = glsl::Options { version, ..Default::default() };
    let pipeline = glsl::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: "main".to_owned(),
        multiview: None,
    };
    let policies = naga::proc::BoundsCheckPolicies::default();
    let mut writer = glsl::Writer::new(&mut text, module, info, &options, &pipeline, policies)?;
    writer.write()?;
    Ok(text)
}
