//! Every kernel variant of the registry on its larger examples, timed on the device where it has
//! timestamps: `cargo bench --bench kernels -- conv_forward`.
//!
//! `WGPU_BACKEND` and `WGPU_ADAPTER_NAME` choose the adapter. Results are compared with the f64
//! reference by the tests, not here.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use vgg_wgpu::gpu::{Gpu, GpuOptions};
use vgg_wgpu::kernel::{Binding, Kernels, Launch, Step, Variant};
use vgg_wgpu::ops::{Data, Op, PROBES, REGISTRY, contents, trial_step};

/// Images of a launch.
const IMAGES: u32 = 8;
/// Bytes from which on an example says something about speed.
const LEAST_BYTES: u64 = 1 << 19;

fn kernels(criterion: &mut Criterion) {
    let adapter = env::var("WGPU_ADAPTER_NAME").ok().filter(|name| !name.is_empty());
    let opened = Gpu::open(&GpuOptions { adapter, ..GpuOptions::default() });
    let gpu = match opened {
        Ok(gpu) => Arc::new(gpu),
        Err(error) => return eprintln!("no benchmark runs: {error}"),
    };
    eprintln!("{}", gpu.facts());
    let kernels = Kernels::new(gpu).expect("a buffer for steps");
    for entry in REGISTRY.iter().chain(PROBES) {
        let mut examples = (entry.examples)();
        // Of most operations several are large, of some none is: then the largest.
        examples.sort_by_key(|op| op.bytes(u64::from(IMAGES)));
        let large = |op: &dyn Op| op.bytes(u64::from(IMAGES)) >= LEAST_BYTES;
        let first = examples.iter().position(|op| large(&**op)).unwrap_or(examples.len() - 1);
        for op in &examples[first..] {
            bench(criterion, &kernels, entry.name, &**op);
        }
    }
}

/// The variants of `op`, each in the group of the operation.
fn bench(criterion: &mut Criterion, kernels: &Kernels, name: &str, op: &dyn Op) {
    let facts = kernels.gpu().facts();
    let binding = |op: &dyn Op| op.bindings().iter().map(|b| b.layout.bytes(IMAGES as usize)).max();
    if binding(op).is_some_and(|bytes| bytes > facts.max_binding) {
        return;
    }
    let mut group = criterion.benchmark_group(name);
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_secs(1));
    group.throughput(match op.flop(u64::from(IMAGES)) {
        0 => Throughput::Bytes(op.bytes(u64::from(IMAGES))),
        flop => Throughput::Elements(flop),
    });
    for variant in op.variants(facts).iter().filter(|variant| variant.supported.is_ok()) {
        let id = BenchmarkId::new(variant.name, shape(op));
        let step = trial_step(IMAGES);
        // Buffers are filled at the first measurement: what a filter leaves out costs nothing.
        let mut launch = None;
        group.bench_function(id, |bencher| {
            let launch = launch.get_or_insert_with(|| bind(kernels, op, variant, &step));
            bencher.iter_custom(|runs| time(kernels, launch, &step, runs));
        });
    }
    group.finish();
}

/// The numbers in an operation's shape, in the order of its fields: `28x28x32x1`.
fn shape(op: &dyn Op) -> String {
    let text = format!("{op:?}");
    let numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    let numbers: Vec<_> = numbers.filter(|part| part.contains(|c: char| c != '.')).collect();
    numbers.join("x")
}

fn bind(kernels: &Kernels, op: &dyn Op, variant: &Variant, step: &Step) -> Launch {
    let gpu = kernels.gpu();
    let bindings = op.bindings();
    let fill = |(contents, binding): (contents::Contents, &Binding)| {
        let numbers = match contents.device {
            // Outputs are poisoned with NaN; times are those of numbers.
            Data::F(values) => {
                Data::F(values.into_iter().map(|v| if v.is_nan() { 0.0 } else { v }).collect())
            }
            words => words,
        };
        let words = contents::bits(&numbers);
        let buffer = gpu.buffer(binding.name, words.len() as u64 * 4).expect("memory").whole();
        gpu.write(&buffer, &words).expect("a write");
        buffer
    };
    let buffers: Vec<_> = contents::of(op, step, 1).into_iter().zip(&bindings).map(fill).collect();
    kernels.launch(variant, &bindings, &buffers).expect("a pipeline")
}

fn time(kernels: &Kernels, launch: &Launch, step: &Step, runs: u64) -> Duration {
    let mut seconds = 0.0;
    for first in (0..runs).step_by(256) {
        let runs = (runs - first).min(256) as usize;
        let (times, _) = kernels.time(launch, step, runs).expect("a device that goes on");
        seconds += times.iter().sum::<f64>();
    }
    Duration::from_secs_f64(seconds.max(1e-9))
}

criterion_group!(benches, kernels);
criterion_main!(benches);
