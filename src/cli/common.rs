//! What the subcommands share: groups of flags, and how sizes, tables and JSON are printed.

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::sync::Arc;

use anyhow::{Result, bail};
use bytesize::ByteSize;
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use serde::Serialize;
use thiserror::Error;
use vgg_wgpu::data;
use vgg_wgpu::gpu::{AdapterFacts, AdapterKind, Gpu, GpuOptions};
use vgg_wgpu::graph::{NetworkOptions, ResizeFilter};
use vgg_wgpu::kernel::Variant;
use vgg_wgpu::ops::REGISTRY;

// Plain comments on these groups: clap would take doc comments for the help of the subcommand.

// Which adapter.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Adapter and memory")]
pub struct AdapterArgs {
    /// Adapter by index or part of its name, as `vgg-wgpu adapters` lists them [default: a discrete
    /// GPU before an integrated, a virtual and a software one]
    #[arg(long, value_name = "INDEX|NAME")]
    pub adapter: Option<String>,
}

impl AdapterArgs {
    /// Opens the adapter.
    pub fn open(&self) -> Result<Arc<Gpu>> {
        let cache = data::user_cache().map(|dir| dir.join("shaders"));
        let options = GpuOptions { adapter: self.adapter.clone(), cache, ..GpuOptions::default() };
        Ok(Arc::new(Gpu::open(&options)?))
    }
}

/// How images are resized, as flags name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ResizeArg {
    /// Between the four pixels about each position, as PyTorch's interpolate
    Bilinear,
    /// As Pillow and torchvision resize a picture: smoothed where it shrinks
    Pil,
}

impl From<ResizeArg> for ResizeFilter {
    fn from(filter: ResizeArg) -> Self {
        match filter {
            ResizeArg::Bilinear => Self::Bilinear,
            ResizeArg::Pil => Self::Pillow,
        }
    }
}

// How memory is used, and by which kernels.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Adapter and memory")]
pub struct MemoryArgs {
    /// Images worked on at a time; gradients of a batch's micro-batches add up [default: the most
    /// that fits]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub micro_batch: Option<usize>,
    /// Memory the network may take, such as 500MB or 3GiB [default: weights and 1.5 GiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,
    /// Prefer this kernel variant, as `vgg-wgpu shaders` lists them; may be repeated
    #[arg(
        long = "variant",
        value_name = "NAME",
        value_parser = PossibleValuesParser::new(variant_names()),
        hide_possible_values = true
    )]
    pub variants: Vec<String>,
}

impl MemoryArgs {
    /// `options` with these flags.
    ///
    /// Fails if a variant asked for runs for no shape on the adapter: else another one would take
    /// its place unnoticed.
    pub fn apply(&self, options: NetworkOptions, facts: &AdapterFacts) -> Result<NetworkOptions> {
        for name in &self.variants {
            let examples = REGISTRY.iter().flat_map(|entry| (entry.examples)());
            let variants = examples.flat_map(|op| op.variants(facts));
            let mut same = variants.filter(|variant| variant.name == name).peekable();
            let why_not = same.peek().and_then(|variant| variant.supported.clone().err());
            if let (Some(reason), false) = (why_not, same.any(|v| v.supported.is_ok())) {
                bail!("the variant {name} does not run on {}: {reason}", facts.name);
            }
        }
        let (micro_batch, memory) = (self.micro_batch, self.memory);
        Ok(NetworkOptions { micro_batch, memory, variants: self.variants.clone(), ..options })
    }
}

/// Parses a count of at least 1.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("expected a whole number of at least 1".to_owned()),
    }
}

/// Parses a size in bytes, with a unit or without.
pub fn size(text: &str) -> Result<u64, String> {
    let parsed: Result<ByteSize, _> = text.trim().parse();
    match parsed {
        Ok(size) if size.0 > 0 => Ok(size.0),
        Ok(_) => Err("must be more than nothing".to_owned()),
        Err(_) => Err("expected bytes or a number with a unit, such as 500MB or 3GiB".to_owned()),
    }
}

/// An adapter that has everything: kernels are listed as for it where no adapter matters.
pub fn any_adapter() -> AdapterFacts {
    AdapterFacts {
        index: 0,
        name: "any adapter".to_owned(),
        backend: String::new(),
        kind: AdapterKind::Unknown,
        driver: String::new(),
        max_binding: 1 << 30,
        max_buffer: 1 << 30,
        storage_alignment: 256,
        uniform_alignment: 256,
        workgroup_memory: 32 << 10,
        max_invocations: 256,
        max_workgroups: 65535,
        max_storage_buffers: 8,
        subgroups: true,
        subgroup_min: 8,
        subgroup_max: 64,
        timestamps: true,
        f16: true,
        texels: false,
        blocks: false,
        max_tensors: 1 << 31,
    }
}

/// Operations with their variants for an adapter, each by the first shape of the registry that has it.
pub fn variants(facts: &AdapterFacts) -> impl Iterator<Item = (&'static str, Vec<Variant>)> {
    REGISTRY.iter().map(|entry| {
        let mut variants: Vec<Variant> = Vec::new();
        for variant in (entry.examples)().iter().flat_map(|op| op.variants(facts)) {
            if variants.iter().all(|known| known.name != variant.name) {
                variants.push(variant);
            }
        }
        (entry.name, variants)
    })
}

fn variant_names() -> Vec<&'static str> {
    variants(&any_adapter()).flat_map(|(_, variants)| variants).map(|v| v.name).collect()
}

/// An adapter in JSON reports.
#[derive(Debug, Serialize)]
pub struct AdapterReport {
    pub name: String,
    pub backend: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub driver: String,
}

impl From<&AdapterFacts> for AdapterReport {
    fn from(facts: &AdapterFacts) -> Self {
        Self {
            name: facts.name.clone(),
            backend: facts.backend.clone(),
            kind: facts.kind.to_string(),
            driver: facts.driver.clone(),
        }
    }
}

/// A size for people: `128.0 MiB`.
pub fn bytes(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

/// A count with its thousands parted: `42 776 778`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut parted = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            parted.push(' ');
        }
        parted.push(digit);
    }
    parted
}

/// Lines of a table with a header. A column whose title starts with `>` is aligned to the right.
pub fn columns(titles: &[&str], rows: &[Vec<String>]) -> String {
    let header = titles.iter().map(|title| title.trim_start_matches('>').to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&header).chain(rows).collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for ((cell, title), width) in line.iter().zip(titles).zip(&widths) {
            let _ = match title.starts_with('>') {
                true => write!(row, "{cell:>width$}  "),
                false => write!(row, "{cell:<width$}  "),
            };
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// The standard output could not be written.
#[derive(Debug, Error)]
#[error("could not write to the standard output")]
pub struct OutputError(#[from] pub io::Error);

/// Prints a line to the standard output. Unlike `println!` it reports a reader that went away as an
/// error, on which `main` ends quietly.
pub fn say(line: impl Display) -> Result<(), OutputError> {
    Ok(writeln!(io::stdout().lock(), "{line}")?)
}

/// Prints `report` to the standard output as JSON.
pub fn say_json(report: &impl Serialize) -> Result<()> {
    Ok(say(serde_json::to_string_pretty(report)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_decimal_and_binary_units() {
        assert_eq!(size("1000"), Ok(1000));
        assert_eq!(size("500MB"), Ok(500_000_000));
        assert_eq!(size("3GiB"), Ok(3 << 30));
        assert_eq!(size("1.5 gib"), Ok(3 << 29));
        for bad in ["", "0", "GiB", "-3GiB", "3 apples", "1e3"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_table_aligns_its_columns() {
        let rows = [vec!["conv".to_owned(), "1".to_owned()], vec!["d".to_owned(), "20".to_owned()]];
        assert_eq!(columns(&["layer", ">n"], &rows), "layer   n\nconv    1\nd      20\n");
    }

    #[test]
    fn thousands_are_parted() {
        assert_eq!([0, 999, 1000, 42_776_778].map(count), ["0", "999", "1 000", "42 776 778"]);
    }

    #[test]
    fn variant_names_differ() {
        let mut names = variant_names();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(all > REGISTRY.len());
    }
}
