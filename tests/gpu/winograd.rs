//! How far Winograd's filtering, its transforms included, is from the direct convolution in f64.

use vgg_wgpu::kernel::{Access, Kernels, Variant};
use vgg_wgpu::ops::contents::{deviation, summed};
use vgg_wgpu::ops::{
    ConvBackwardData, ConvBackwardWeights, ConvFilterFlip, ConvForward, Data, Op, Run, Storage,
    Tile, WinogradBackwardData, WinogradBackwardWeights, WinogradFilter, WinogradFilterGradient,
    WinogradForward, trial_step,
};
use vgg_wgpu::shape::{FeatureMap, Layout};

use crate::device;
use crate::fixtures::uniform;

/// A tile is offered only while its error relative to the largest output stays below this.
const MOST: f64 = 1e-5;
const IMAGES: u32 = 3;
const TILES: [Tile; 2] = [Tile::Two, Tile::Four];

/// Maps as VGG has them, one odd and one whose channels are no multiple of four: height, width,
/// input and output channels.
const SHAPES: [(usize, usize, usize, usize); 3] =
    [(14, 14, 128, 128), (28, 28, 64, 32), (9, 13, 18, 33)];

/// Numbers in `[-1, 1]` that follow from `key`, paddings zero.
fn any(layout: Layout, key: &str) -> Data {
    let values = uniform(key, layout.len(IMAGES as usize), 1.0, 0.0).into_iter().enumerate();
    let value = |(i, value)| if layout.is_padding(i) { 0.0 } else { f64::from(value) };
    Data::F(values.map(value).collect())
}

/// What a variant of an operation makes of `inputs`, given in the order of the bindings it reads.
fn run(kernels: &Kernels, op: &dyn Op, variant: &Variant, inputs: &[&Data]) -> Vec<Data> {
    let step = trial_step(IMAGES);
    let mut inputs = inputs.iter();
    let bindings = op.bindings();
    let outputs: Vec<_> = bindings
        .iter()
        .map(|binding| Data::F(vec![0.0; binding.layout.len(IMAGES as usize)]))
        .collect();
    let given: Vec<&Data> = bindings
        .iter()
        .zip(&outputs)
        .map(|(binding, output)| match binding.access {
            Access::Read => *inputs.next().expect("an input for each binding that is read"),
            Access::Write | Access::Update => output,
        })
        .collect();
    let storage = Storage::of(kernels.gpu().facts());
    Run { op, variant, step: &step, kernels, storage }.run(&given).unwrap()
}

/// The variants of an operation that run here.
fn variants(kernels: &Kernels, op: &dyn Op) -> Vec<Variant> {
    let variants = op.variants(kernels.gpu().facts());
    variants.into_iter().filter(|variant| variant.supported.is_ok()).collect()
}

/// What the only variant of an operation leaves in its last binding.
fn transformed(kernels: &Kernels, op: &dyn Op, input: &Data) -> Data {
    let variants = variants(kernels, op);
    run(kernels, op, &variants[0], &[input]).pop().expect("the last binding")
}

/// What the reference of an operation leaves in its last binding.
fn reference(op: &dyn Op, inputs: &[&Data]) -> Data {
    let last = op.bindings().last().expect("a binding").layout.len(IMAGES as usize);
    let mut buffers: Vec<Data> = inputs.iter().map(|&data| data.clone()).collect();
    buffers.push(Data::F(vec![0.0; last]));
    op.reference(&trial_step(IMAGES), &mut buffers);
    buffers.pop().expect("the last binding")
}

fn report(what: &str, found: &Data, wanted: &Data) {
    let error = deviation(found, wanted);
    println!("{what}: {error:.2e}");
    assert!(error > 0.0 && error < MOST, "{what}: {error:e} of the largest, allowed are {MOST:e}");
}

#[test]
fn both_tiles_are_near_the_direct_convolution() {
    let Some(devices) = device::open() else { return };
    let kernels = &devices.usual;
    for (h, w, c, k) in SHAPES {
        let input = FeatureMap::new(h, w, c).with_halo(1);
        let output = input.with_channels(k).with_halo(1);
        let x = any(Layout::Map(input), "winograd/x");
        let filters = any(Layout::Filter { c, k }, "winograd/filters");
        let dy = any(Layout::Map(output), "winograd/dy");
        let direct = reference(&ConvForward { input, output, relu: false }, &[&x, &filters]);
        let flipped = reference(&ConvFilterFlip { c, k }, &[&filters]);
        let direct_dx = ConvBackwardData { dy: output, dx: input };
        let direct_dx = reference(&direct_dx, &[&dy, &flipped, &x]);
        for tile in TILES {
            let filter = |flip| WinogradFilter { c, k, tile, flip };
            let u = transformed(kernels, &filter(false), &filters);
            let forward = WinogradForward { input, output, relu: false, tile, pool: false };
            for variant in variants(kernels, &forward) {
                let y = run(kernels, &forward, &variant, &[&x, &u, &x]).remove(3);
                report(&format!("{}, {h}x{w}, {c} to {k}", variant.name), &y, &direct);
            }
            let u = transformed(kernels, &filter(true), &filters);
            let backward = WinogradBackwardData { dy: output, dx: input, tile, pool: false };
            for variant in variants(kernels, &backward) {
                let dx = run(kernels, &backward, &variant, &[&dy, &u, &x]).remove(3);
                report(&format!("{}, {h}x{w}, {c} to {k}", variant.name), &dx, &direct_dx);
            }
        }
    }
}

/// The last map has sums of 507 tiles of 4x4 outputs: nearly as many as a slot of a gradient may take.
#[test]
fn the_gradient_of_filters_is_near_the_direct_sum() {
    let Some(devices) = device::open() else { return };
    let kernels = &devices.usual;
    let shapes = SHAPES.into_iter().map(|shape| (shape, 16)).chain([((51, 51, 4, 4), 1)]);
    for ((h, w, c, k), slots) in shapes {
        let x_map = FeatureMap::new(h, w, c).with_halo(1);
        let dy_map = x_map.with_channels(k).with_halo(1);
        let (x, dy) = (
            any(Layout::Map(x_map), "winograd/x of gradient"),
            any(Layout::Map(dy_map), "winograd/dy of gradient"),
        );
        let direct = ConvBackwardWeights { x: x_map, dy: dy_map, slots };
        let direct = summed(&reference(&direct, &[&x, &dy]), slots);
        for tile in TILES {
            let first = WinogradBackwardWeights { x: x_map, dy: dy_map, slots, tile, pool: false };
            for variant in variants(kernels, &first) {
                let partial = run(kernels, &first, &variant, &[&x, &dy]).remove(2);
                let second = WinogradFilterGradient { c, k, slots, tile };
                let grad = transformed(kernels, &second, &partial);
                report(&format!("{}, {h}x{w}, {c} to {k}", variant.name), &grad, &direct);
            }
        }
    }
}
