use anyhow::Result;
use clap::Args;
use serde::Serialize;
use vgg_wgpu::gpu::{self, AdapterFacts, Gpu, GpuOptions};

use super::common::{AdapterReport, bytes, say, say_json, variants};

/// List the adapters of this machine: limits, features, and the kernel variants they run
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu adapters\n\nThe environment variable WGPU_BACKEND (a \
    list of vulkan, metal, dx12, gl)\nnarrows the search [default: all]."
)]
pub struct AdaptersArgs {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    index: usize,
    default: bool,
    #[serde(flatten)]
    adapter: AdapterReport,
    limits: Limits,
    features: Features,
    variants: Vec<Availability>,
}

#[derive(Debug, Serialize)]
struct Limits {
    binding_bytes: u64,
    buffer_bytes: u64,
    workgroup_memory_bytes: u32,
    workgroup_invocations: u32,
    workgroups: u32,
    storage_buffers: u32,
    storage_alignment: u64,
    uniform_alignment: u64,
}

#[derive(Debug, Serialize)]
struct Features {
    subgroups: bool,
    subgroup_min: Option<u32>,
    subgroup_max: Option<u32>,
    timestamps: bool,
    f16: bool,
}

#[derive(Debug, Serialize)]
struct Availability {
    op: &'static str,
    variant: &'static str,
    available: bool,
    /// True for the one that runs unless another is asked for.
    preferred: bool,
    /// Why it is not available.
    reason: Option<String>,
}

/// Prints the list.
pub fn run(args: &AdaptersArgs) -> Result<()> {
    let found = gpu::list();
    if found.is_empty() {
        // The attempt to open one says what was searched and what to install.
        Gpu::open(&GpuOptions::default())?;
    }
    let default = gpu::preferred(&found);
    let reports: Vec<Report> =
        found.iter().map(|facts| Report::of(facts, Some(facts.index) == default)).collect();
    if args.json {
        return say_json(&reports);
    }
    for report in &reports {
        say(report.text())?;
    }
    Ok(())
}

impl Report {
    fn of(facts: &AdapterFacts, default: bool) -> Self {
        let (min, max) = (facts.subgroup_min, facts.subgroup_max);
        Self {
            index: facts.index,
            default,
            adapter: facts.into(),
            limits: Limits {
                binding_bytes: facts.max_binding,
                buffer_bytes: facts.max_buffer,
                workgroup_memory_bytes: facts.workgroup_memory,
                workgroup_invocations: facts.max_invocations,
                workgroups: facts.max_workgroups,
                storage_buffers: facts.max_storage_buffers,
                storage_alignment: facts.storage_alignment,
                uniform_alignment: facts.uniform_alignment,
            },
            features: Features {
                subgroups: facts.subgroups,
                subgroup_min: facts.subgroups.then_some(min),
                subgroup_max: facts.subgroups.then_some(max),
                timestamps: facts.timestamps,
                f16: facts.f16,
            },
            variants: availability(facts),
        }
    }

    fn text(&self) -> String {
        let Self { adapter, limits, features, .. } = self;
        let default = if self.default { "  (default)" } else { "" };
        let yes = |has: bool| if has { "yes" } else { "no" };
        let subgroups = match (features.subgroup_min, features.subgroup_max) {
            (Some(min), Some(max)) if min == max => format!("of {min} lanes"),
            (Some(min), Some(max)) => format!("of {min} to {max} lanes"),
            _ => "no".to_owned(),
        };
        let driver = if adapter.driver.is_empty() { "not told" } else { &adapter.driver };
        let lines = [
            format!("{}  {}{default}", self.index, adapter.name),
            format!("   backend      {}, {}", adapter.backend, adapter.kind),
            format!("   driver       {driver}"),
            format!("   a binding    {}", bytes(limits.binding_bytes)),
            format!("   a buffer     {}", bytes(limits.buffer_bytes)),
            format!(
                "   alignment    storage {} B, uniform {} B",
                limits.storage_alignment, limits.uniform_alignment
            ),
            format!(
                "   a workgroup  {} invocations, {} of memory, {} storage buffers",
                limits.workgroup_invocations,
                bytes(limits.workgroup_memory_bytes.into()),
                limits.storage_buffers
            ),
            format!("   a dispatch   {} workgroups in a dimension", limits.workgroups),
            format!("   subgroups    {subgroups}"),
            format!("   timestamps   {}", yes(features.timestamps)),
            format!("   f16          {}", yes(features.f16)),
            format!("   kernels      {}", self.kernels()),
        ];
        lines.join("\n") + "\n"
    }

    /// What there is to say about kernels: operations with a choice, and what is missing.
    fn kernels(&self) -> String {
        let available = self.variants.iter().filter(|variant| variant.available).count();
        let mut text = format!("{available} of {} variants run here", self.variants.len());
        for preferred in self.variants.iter().filter(|variant| variant.preferred) {
            let others = self.variants.iter().filter(|variant| {
                variant.op == preferred.op && variant.available && !variant.preferred
            });
            let others: Vec<&str> = others.map(|variant| variant.variant).collect();
            if !others.is_empty() {
                let line = format!("{}, also {}", preferred.variant, others.join(", "));
                text.push_str(&format!("\n                {line}"));
            }
        }
        for variant in &self.variants {
            if let Some(reason) = &variant.reason {
                text.push_str(&format!("\n                not {}: {reason}", variant.variant));
            }
        }
        text
    }
}

fn availability(facts: &AdapterFacts) -> Vec<Availability> {
    let of_op = |(op, variants): (&'static str, Vec<vgg_wgpu::kernel::Variant>)| {
        let preferred = variants.iter().position(|variant| variant.supported.is_ok());
        variants.into_iter().enumerate().map(move |(i, variant)| Availability {
            op,
            variant: variant.name,
            available: variant.supported.is_ok(),
            preferred: Some(i) == preferred,
            reason: variant.supported.err(),
        })
    };
    variants(facts).flat_map(of_op).collect()
}
