//! How far Winograd's filtering, its transforms included, is from the direct convolution in f64.

use vgg_wgpu::kernel::{Access, Kernels};
use vgg_wgpu::ops::contents::{deviation, summed};
use vgg_wgpu::ops::{
    ConvBackwardData, ConvBackwardWeights, ConvFilterFlip, ConvForward, Data, Op, Run, Tile,
    WinogradBackwardData, WinogradBackwardWeights, WinogradFilter, WinogradFilterGradient,
    WinogradForward, trial_step,
};
use vgg_wgpu::shape::{FeatureMap, Layout};

use crate::device;
use crate::fixtures::uniform;

/// A tile is offered only while its error relative to the largest output stays below this.
const MOST: f64 = 1e-5;
const IMAGES: u32 = 3;

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

/// What an operation makes of `inputs`, given in the order of the bindings it reads.
fn run(kernels: &Kernels, op: &dyn Op, inputs: &[&Data]) -> Option<Vec<Data>> {
    let variants = op.variants(kernels.gpu().facts());
    let variant = variants.iter().find(|variant| variant.supported.is_ok())?;
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
    let texels = kernels.gpu().facts().texels;
    Some(Run { op, variant, step: &step, kernels, texels }.run(&given).unwrap())
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
        for tile in [Tile::Two, Tile::Four] {
            let name = format!("{tile:?}, {h}x{w}, {c} to {k} channels");
            let filter = WinogradFilter { c, k, tile, flip: false };
            let u = run(kernels, &filter, &[&filters]).unwrap().remove(1);
            let forward = WinogradForward { input, output, relu: false, tile, pool: false };
            let Some(mut found) = run(kernels, &forward, &[&x, &u, &x]) else { return };
            let y = found.remove(3);
            report(&format!("{name}, forward"), &y, &direct);

            let filter = WinogradFilter { c, k, tile, flip: true };
            let u = run(kernels, &filter, &[&filters]).unwrap().remove(1);
            let backward = WinogradBackwardData { dy: output, dx: input, tile };
            let dx = run(kernels, &backward, &[&dy, &u, &x]).unwrap().remove(3);
            report(&format!("{name}, backward"), &dx, &direct_dx);
        }
    }
}

#[test]
fn the_gradient_of_filters_is_near_the_direct_sum() {
    let Some(devices) = device::open() else { return };
    let kernels = &devices.usual;
    for (h, w, c, k) in SHAPES {
        let x_map = FeatureMap::new(h, w, c).with_halo(1);
        let dy_map = x_map.with_channels(k).with_halo(1);
        let (x, dy) = (
            any(Layout::Map(x_map), "winograd/x of gradient"),
            any(Layout::Map(dy_map), "winograd/dy of gradient"),
        );
        let direct = ConvBackwardWeights { x: x_map, dy: dy_map, slots: 16 };
        let direct = summed(&reference(&direct, &[&x, &dy]), 16);
        let first = WinogradBackwardWeights { x: x_map, dy: dy_map, slots: 16 };
        let Some(mut found) = run(kernels, &first, &[&x, &dy]) else { return };
        let second = WinogradFilterGradient { c, k, slots: 16 };
        let grad = run(kernels, &second, &[&found.remove(2)]).unwrap().remove(1);
        let what = format!("gradient of filters, {h}x{w}, {c} to {k} channels");
        report(&what, &grad, &direct);
    }
}
