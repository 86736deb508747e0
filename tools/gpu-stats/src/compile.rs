//! The pipelines of a network, compiled for the GPU family that this process was started for.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use vgg_wgpu::gpu::{self, AdapterFacts};
use vgg_wgpu::graph::{self, Architecture, NetworkOptions, SourceShape};
use vgg_wgpu::kernel::{Source, Variant};
use vgg_wgpu::ops;

use crate::isa;
use crate::radv::{Compiled, Radv};
use crate::report::{Family, Pipeline};

/// Compiles each pipeline that training `architecture` takes, once, in the order of first use. The
/// disassemblies are written to `folder` if it is given.
///
/// # Errors
/// If RADV is not usable, a kernel does not compile, or a variant asked for is not among them.
pub fn family(
    name: &str,
    architecture: &Architecture,
    options: &NetworkOptions,
    folder: Option<&Path>,
) -> Result<Family> {
    let radv = Radv::open(name)?;
    // As the program itself would see this adapter.
    let Some(facts) = gpu::list().into_iter().find(|facts| facts.backend == "Vulkan") else {
        bail!("wgpu does not take {} as an adapter", radv.name);
    };
    let channels = architecture.input().channels;
    let images = SourceShape { count: options.batch, height: 28, width: 28, channels };
    let mut pipelines: Vec<Pipeline> = Vec::new();
    for graph::Operation { layer, op } in graph::operations(architecture, options, images, &facts)?
    {
        let variant = ops::choose(&*op, &facts, &options.variants)?;
        let constants = constants(&variant);
        let same = |it: &&mut Pipeline| it.variant == variant.name && it.constants == constants;
        if let Some(known) = pipelines.iter_mut().find(same) {
            known.layers.push(layer);
            continue;
        }
        let source = Source::build(&variant, &op.bindings(), &[])?;
        let words = spirv(&source, variant.proven).with_context(|| variant.name)?;
        let compiled = radv.compile(&words, op.bindings().len() as u32);
        let compiled = compiled.with_context(|| variant.name)?;
        if let Some(folder) = folder {
            let file = format!("{name}-{}{}.s", variant.name, constants.replace([' ', '='], "-"));
            let file = folder.join(file);
            fs::write(&file, &compiled.assembly).with_context(|| file.display().to_string())?;
        }
        let made = pipeline(op.name(), &variant, &facts, &compiled);
        pipelines.push(Pipeline { layers: vec![layer], ..made });
    }
    let unused = |wanted: &&String| pipelines.iter().all(|it| it.variant != **wanted);
    if let Some(wanted) = options.variants.iter().find(unused) {
        bail!("this network does not use the variant {wanted}");
    }
    Ok(Family { name: name.to_owned(), device: radv.name.clone(), pipelines })
}

/// Those that differ between pipelines of one variant.
fn constants(variant: &Variant) -> String {
    let each = variant.constants.iter().map(|(name, value)| format!(" {name}={value}"));
    each.collect()
}

fn pipeline(op: &str, variant: &Variant, facts: &AdapterFacts, compiled: &Compiled) -> Pipeline {
    let statistic = |wanted: &str| {
        let found = compiled.statistics.iter().find(|(name, _)| name == wanted);
        found.map_or(0, |(_, value)| *value)
    };
    let lanes = isa::lanes(&compiled.assembly);
    Pipeline {
        op: op.to_owned(),
        variant: variant.name.to_owned(),
        constants: constants(variant),
        layers: Vec::new(),
        lanes,
        vgprs: statistic("VGPRs"),
        sgprs: statistic("SGPRs"),
        spilled_vgprs: statistic("Spilled VGPRs"),
        spilled_sgprs: statistic("Spilled SGPRs"),
        scratch_bytes: statistic("Scratch size"),
        // RADV counts the narrowest waves that the GPU has: one of 64 lanes takes two of 32.
        waves: statistic("Subgroups per SIMD") * u64::from(facts.subgroup_min) / u64::from(lanes),
        workgroup_bytes: statistic("LDS size"),
        instructions: statistic("Instructions"),
        inverse_throughput: statistic("Inverse Throughput"),
        hot_loop: isa::hot_loop(&compiled.assembly),
    }
}

/// SPIR-V as wgpu makes it on Vulkan 1.3 from a shader whose checks are on, or off where it is
/// `proven`, by `create_shader_module_trusted` with no check.
fn spirv(source: &Source, proven: bool) -> Result<Vec<u32>> {
    let module = naga::front::wgsl::parse_str(&source.wgsl)?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module)?;
    let (index, buffer) = match proven {
        true => (BoundsCheckPolicy::Unchecked, BoundsCheckPolicy::Unchecked),
        // The driver checks buffers itself: VK_EXT_robustness2.
        false => (BoundsCheckPolicy::Restrict, BoundsCheckPolicy::Unchecked),
    };
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
        bounds_check_policies: BoundsCheckPolicies {
            index,
            buffer,
            image_load: BoundsCheckPolicy::Unchecked,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        // Every kernel writes workgroup memory before it reads it, and says so to wgpu.
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: !proven,
        emit_int_div_checks: !proven,
        ..spv::Options::default()
    };
    let entry = spv::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: "main".to_owned(),
    };
    Ok(spv::write_vec(&module, &info, &options, Some(&entry))?)
}
