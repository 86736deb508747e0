//! Every operation, example, variant and check setting against the f64 reference.

use std::path::Path;
use std::{fs, iter};

use vgg_wgpu::gpu::BufferRange;
use vgg_wgpu::kernel::{Access, Binding, Kernels, Recorder, Step, Variant};
use vgg_wgpu::ops::{Data, Op, REGISTRY};

use crate::{contents, device};

/// Work up to which a step of many images is tried as well.
const MOST_FLOP: u64 = 20_000_000;
/// Elements in all bindings up to which this is done.
const MOST_ELEMENTS: usize = 1_500_000;
/// Elements in all bindings beyond which a single step is tried.
const HUGE: usize = 20_000_000;
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
    load_raw
    fill_halo
    conv_forward
    conv_filter_flip
    conv_backward_data
    conv_backward_weights
    winograd_filter
    winograd_forward
    winograd_backward_data
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
    dropout_forward
    dropout_backward
    softmax_cross_entropy
    metrics_update
    sgd_update
    sgd_momentum_update
}

#[test]
fn every_operation_has_a_test() {
    let registered: Vec<_> = REGISTRY.iter().map(|entry| entry.name).collect();
    assert_eq!(registered, TESTED);
}

#[test]
fn every_example_has_the_name_it_is_registered_by() {
    for entry in REGISTRY {
        let examples = (entry.examples)();
        assert!(!examples.is_empty(), "{} has no examples", entry.name);
        assert!(examples.iter().all(|op| op.name() == entry.name), "{}", entry.name);
    }
}

/// The micro-batches tried: a single image; a later micro-batch of its batch; and, where the shape
/// is small, more images than any tile or workgroup takes.
fn steps(op: &dyn Op) -> Vec<Step> {
    let step = Step {
        images: 1,
        image_base: 0,
        sample_base: 0,
        slot: 0,
        accumulate: 0,
        seed: 0x1234_5678,
        number: 7,
        learning_rate: 0.1,
        momentum: 0.9,
        loss_scale: 0.125,
        weight_decay: 0.01,
        padding: 0,
    };
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
    let entry = REGISTRY.iter().find(|entry| entry.name == name).expect("a registered name");
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
            let given = contents::of(&*op, &step);
            let mut wanted: Vec<_> = given.iter().map(|c| c.reference.clone()).collect();
            op.reference(&step, &mut wanted);
            for variant in op.variants(facts).iter().filter(|v| v.supported.is_ok()) {
                let storages = if facts.texels { &[false, true][..] } else { &[false] };
                let devices = [&devices.usual, &devices.checked].into_iter();
                for (kernels, &texels) in
                    devices.flat_map(|kernels| storages.iter().map(move |texels| (kernels, texels)))
                {
                    let given: Vec<_> = given.iter().map(|c| &c.device).collect();
                    let run = Run { op: &*op, variant, step: &step, kernels, texels };
                    failures.extend(run.difference(&given, &wanted));
                    runs += 1;
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

/// A variant to be run once.
pub struct Run<'a> {
    pub op: &'a dyn Op,
    pub variant: &'a Variant,
    pub step: &'a Step,
    pub kernels: &'a Kernels,
    /// True if tensors lie in texels, all in one texture, as they do in an arena.
    pub texels: bool,
}

impl Run<'_> {
    /// Runs the variant and tells what is wrong with its results, if anything.
    fn difference(&self, given: &[&Data], wanted: &[Data]) -> Option<String> {
        let bindings = self.op.bindings();
        let found = match self.run(&bindings, given) {
            Ok(found) => found,
            Err(problem) => return Some(format!("{}: {problem}", self.describe())),
        };
        let tolerance = self.op.tolerance(u64::from(self.step.images));
        for (i, Binding { name, access, .. }) in bindings.iter().enumerate() {
            let (slots, tolerance) = match access {
                Access::Read => (1, 0.0),
                Access::Write => (self.op.partial_slots(), tolerance),
                Access::Update => (1, tolerance),
            };
            let found = contents::summed(&found[i], slots);
            let wanted = contents::summed(&wanted[i], slots);
            if let Some(at) = contents::first_difference(&found, &wanted, tolerance) {
                let (a, b) = (contents::element(&found, at), contents::element(&wanted, at));
                let file = self.write(name, at, &found, &wanted);
                let run = self.describe();
                return Some(format!("{run}: {name}[{at}] is {a}, not {b}; see {file}"));
            }
        }
        None
    }

    fn describe(&self) -> String {
        let checks = if self.kernels.gpu().all_checks() { "all checks" } else { "usual checks" };
        let storage = if self.texels { "texels" } else { "buffers" };
        let (variant, images) = (self.variant.name, self.step.images);
        format!("{variant} on {images} images in {storage} with {checks}: {:?}", self.op)
    }

    /// The contents of all bindings after the variant has run.
    pub fn run(&self, bindings: &[Binding], given: &[&Data]) -> Result<Vec<Data>, String> {
        let gpu = self.kernels.gpu();
        // Words before and after each binding, which nothing may touch.
        let guard = gpu.facts().storage_alignment.max(64) as usize / 4;
        let around = || iter::repeat_n(GUARD, guard);
        let guarded = |data: &&Data| -> Vec<u32> {
            around().chain(contents::bits(data)).chain(around()).collect()
        };
        let contents: Vec<_> = given.iter().map(guarded).collect();
        let bytes: u64 = contents.iter().map(|words| words.len() as u64 * 4).sum();
        let arena = self.texels.then(|| gpu.tensors("tensors", bytes)).transpose();
        let arena = arena.map_err(text)?.map(|arena| arena.whole());
        let (mut buffers, mut used) = (Vec::new(), 0);
        for (binding, words) in bindings.iter().zip(&contents) {
            let size = words.len() as u64 * 4;
            let range = match &arena {
                Some(arena) if binding.is_quads() => {
                    let range = arena.part(used, size);
                    used += size;
                    range
                }
                _ => gpu.buffer(binding.name, size).map_err(text)?.whole().part(0, size),
            };
            gpu.write(&range, words).map_err(text)?;
            buffers.push(range);
        }
        let inner = |range: &BufferRange| {
            let guard = guard as u64 * 4;
            range.part(guard, range.size - 2 * guard)
        };
        let bound: Vec<_> = buffers.iter().map(inner).collect();
        let launch = self.kernels.launch(self.variant, bindings, &bound).map_err(text)?;
        let mut recorder = Recorder::new(self.kernels);
        let place = recorder.step(self.step).map_err(text)?;
        recorder.launch(&launch, place, self.step.images, 0);
        recorder.submit().map_err(text)?;
        let mut found = Vec::new();
        for (binding, buffer) in bindings.iter().zip(&buffers) {
            let words: Vec<u32> = gpu.read(buffer).map_err(text)?;
            let (before, rest) = words.split_at(guard);
            let (words, after) = rest.split_at(rest.len() - guard);
            if before.iter().chain(after).any(|&word| word != GUARD) {
                return Err(format!("{} was written out of its bounds", binding.name));
            }
            found.push(contents::data(binding.layout, words));
        }
        Ok(found)
    }

    /// Writes both results from element `first` on to a file, and gives its path.
    fn write(&self, binding: &str, first: usize, found: &Data, wanted: &Data) -> String {
        let len = match found {
            Data::F(values) => values.len(),
            Data::U(words) => words.len(),
        };
        let line =
            |i| format!("{i}\t{}\t{}", contents::element(found, i), contents::element(wanted, i));
        let lines: Vec<_> = (first..len).take(MOST_LINES).map(line).collect();
        let text = format!("{}\nelement\tfound\twanted\n{}\n", self.describe(), lines.join("\n"));
        let name = format!("{}-{}-{binding}.tsv", self.variant.name, self.step.images);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        match fs::write(&path, text) {
            Ok(()) => path.display().to_string(),
            Err(error) => format!("nothing, for {} cannot be written: {error}", path.display()),
        }
    }
}

/// What memory around bindings holds.
const GUARD: u32 = 0x7E57_6A8D;

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
