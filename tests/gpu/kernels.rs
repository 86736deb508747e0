//! Every operation, example, variant and check setting against the f64 reference.

use std::path::Path;
use std::{fs, iter};

use vgg_wgpu::gpu::{AdapterFacts, BLOCK_BYTES};
use vgg_wgpu::kernel::{Binding, Kernels, Step, Variant};
use vgg_wgpu::ops::{Case, Data, Entry, Op, PROBES, REGISTRY, Storage, VerifyError, trial_step};

use crate::device;

/// Work up to which a step of many images is tried as well.
const MOST_FLOP: u64 = 20_000_000;
/// Elements in all bindings up to which this is done.
const MOST_ELEMENTS: usize = 1_500_000;
/// Elements in all bindings beyond which a single step is tried.
const HUGE: usize = 20_000_000;
/// What contents are drawn from.
const SEED: u64 = 0x5EED;
/// Lines of a failure's file.
const MOST_LINES: usize = 10_000;

macro_rules! kernel_tests {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*
        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

kernel_tests! {
    resize_bilinear
    resize_pillow
    augment
    load_raw
    fill_halo
    conv_forward
    conv_filter_flip
    conv_backward_data
    conv_backward_weights
    winograd_filter
    winograd_forward
    winograd_pictures
    winograd_backward_data
    winograd_backward_weights
    winograd_filter_gradient
    sum_partials
    maxpool_forward
    maxpool_backward
    avgpool_forward
    avgpool_backward
    batch_norm_moments
    batch_norm_statistics
    batch_norm_forward
    batch_norm_fold
    batch_norm_backward_sums
    batch_norm_gradients
    batch_norm_backward
    dense_forward
    dense_backward_data
    dense_backward_weights
    dense_backward_update
    softmax_cross_entropy
    one_hot
    fill_ones
    metrics_update
    square_sums
    clip_factor
    update
    probe_fma
    probe_copy
    probe_uniform
}

/// Operations of networks and those that only measure.
fn entries() -> impl Iterator<Item = &'static Entry> {
    REGISTRY.iter().chain(PROBES)
}

#[test]
fn every_operation_has_a_test() {
    let registered: Vec<_> = entries().map(|entry| entry.name).collect();
    assert_eq!(registered, TESTED);
}

/// What fails to compile ahead is compiled in the first step, so no other test would tell.
#[test]
fn every_operation_compiles_ahead() {
    let Some(devices) = device::open() else { return };
    let gpu = devices.usual.gpu();
    let memory = |elements: bool| match elements {
        true => gpu.tensors("test", 1 << 10),
        false => gpu.buffer("test", 1 << 10),
    };
    let mut wanted = Vec::new();
    for entry in entries() {
        let op = (entry.examples)().swap_remove(0);
        let variants = op.variants(gpu.facts());
        let mut variants = variants.into_iter().filter(|variant| variant.supported.is_ok());
        let first = variants.next().expect("one that runs");
        let shared = memory(true).expect("memory").whole();
        for variant in iter::once(first).chain(variants.filter(|v| v.target.is_some())) {
            let bindings = op.bindings();
            let place = |binding: &Binding| match binding.is_quads() {
                _ if variant.target == Some(binding.name) => {
                    gpu.blocks("test", BLOCK_BYTES).expect("memory").whole()
                }
                true => shared.clone(),
                false => memory(false).expect("memory").whole(),
            };
            let buffers = bindings.iter().map(place).collect();
            wanted.push((variant, bindings, buffers));
        }
    }
    devices.usual.compile_ahead(&wanted).expect("every pipeline runs over no workgroups");
    let (_, _, buffers) = &mut wanted[0];
    buffers.pop();
    assert!(devices.usual.compile_ahead(&wanted[..1]).is_err(), "a binding is missing");
}

#[test]
fn every_example_has_the_name_it_is_registered_by() {
    for entry in entries() {
        let examples = (entry.examples)();
        assert!(!examples.is_empty(), "{} has no examples", entry.name);
        assert!(examples.iter().all(|op| op.name() == entry.name), "{}", entry.name);
    }
}

/// The micro-batches tried: a single image; a later micro-batch of its batch; and, where the shape
/// is small, more images than any tile or workgroup takes.
fn steps(op: &dyn Op) -> Vec<Step> {
    let step = trial_step(1);
    let later =
        Step { images: 5, image_base: 3, sample_base: 11, slot: 301, accumulate: 1, ..step };
    let many = Step { images: 67, sample_base: 13, slot: 2, ..step };
    let elements: usize = op.bindings().iter().map(|b| b.layout.len(many.images as usize)).sum();
    let small = elements <= MOST_ELEMENTS && op.flop(u64::from(many.images)) <= MOST_FLOP;
    let steps = [Some(step), (elements <= HUGE).then_some(later), small.then_some(many)];
    steps.into_iter().flatten().collect()
}

fn check(name: &str) {
    let Some(devices) = device::open() else { return };
    let entry = entries().find(|entry| entry.name == name).expect("a registered name");
    let facts = devices.usual.gpu().facts();
    let mut failures = Vec::new();
    let mut runs = 0;
    for op in (entry.examples)() {
        let largest = op.bindings().iter().map(|b| b.layout.bytes(1)).max().unwrap_or(0);
        if largest > facts.max_binding {
            println!("{op:?}: not tried, {largest} bytes are more than a binding may have");
            continue;
        }
        for step in steps(&*op) {
            let case = Case::new(&*op, step, SEED);
            for variant in op.variants(facts).iter().filter(|v| v.supported.is_ok()) {
                for kernels in [&devices.usual, &devices.checked] {
                    for storage in storages(&*op, variant, facts) {
                        failures.extend(failure(&case, kernels, variant, &step, storage));
                        runs += 1;
                    }
                }
            }
        }
    }
    println!("{name}: {runs} runs on {facts}");
    assert!(runs > 0, "{name}: no variant runs here");
    let count = failures.len();
    failures.truncate(12);
    assert_eq!(count, 0, "{name}: {count} of {runs} runs differ\n{}", failures.join("\n"));
}

/// Where tensors may lie for a variant of `op`.
fn storages(op: &dyn Op, variant: &Variant, facts: &AdapterFacts) -> Vec<Storage> {
    let (buffers, texels) = (variant.target.is_none(), variant.target.is_none() && facts.texels);
    let blocks = facts.blocks && op.bindings().iter().any(|b| Storage::Blocks.has_in_blocks(b));
    let all = [(buffers, Storage::Buffers), (texels, Storage::Texels), (blocks, Storage::Blocks)];
    all.into_iter().filter(|(tried, _)| *tried).map(|(_, storage)| storage).collect()
}

/// Runs a variant and tells what is wrong with its results, if anything.
fn failure(
    case: &Case<'_>,
    kernels: &Kernels,
    variant: &Variant,
    step: &Step,
    storage: Storage,
) -> Option<String> {
    let gpu = kernels.gpu();
    let checks = if gpu.all_checks() { "all checks" } else { "usual checks" };
    let found = match case.run(kernels, variant, storage) {
        Ok(found) => found,
        Err(problem) => return Some(format!("{storage:?}, {checks}: {}", text(problem))),
    };
    let problem = case.compare(&gpu.facts().name, variant, &found).err()?;
    let file = match problem {
        VerifyError::Wrong(ref wrong) => {
            write(case, variant, step, (wrong.binding, wrong.element), &found)
        }
        _ => String::new(),
    };
    Some(format!("{storage:?}, {checks}: {problem}{file}"))
}

/// Writes both results from the first element that differs on to a file, and tells its path.
fn write(
    case: &Case<'_>,
    variant: &Variant,
    step: &Step,
    (binding, first): (&str, usize),
    found: &[Data],
) -> String {
    let place = case.place(binding);
    let (found, wanted) = (&found[place], &case.wanted()[place]);
    let element = |data: &Data, i: usize| match data {
        Data::F(values) => values[i].to_string(),
        Data::U(words) => format!("{:#010x}", words[i]),
    };
    let len = match found {
        Data::F(values) => values.len(),
        Data::U(words) => words.len(),
    };
    let line = |i| format!("{i}\t{}\t{}", element(found, i), element(wanted, i));
    let lines: Vec<_> = (first..len).take(MOST_LINES).map(line).collect();
    let text = format!("element\tfound\twanted\n{}\n", lines.join("\n"));
    let name = format!("{}-{}-{binding}.tsv", variant.name, step.images);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    match fs::write(&path, text) {
        Ok(()) => format!("; see {}", path.display()),
        Err(error) => format!("; {} cannot be written: {error}", path.display()),
    }
}

/// An error with its causes.
fn text(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
