//! What training steps promise: the same bits from the same seed, the same mathematics however a
//! batch is cut, memory as planned.

use std::sync::Arc;

use vgg_wgpu::graph::{
    Architecture, GraphError, ImageSource, Network, NetworkOptions, Pass, Pixels, ResizeFilter,
    SourceShape, plan,
};

use crate::device;
use crate::networks::{self, Bench, IMAGES};

fn options(batch: usize, micro_batch: usize) -> NetworkOptions {
    NetworkOptions { batch, micro_batch: Some(micro_batch), momentum: true, ..Default::default() }
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let Some(devices) = device::open() else { return };
    let run = |validate: bool| {
        let bench = Bench::new(devices.usual.gpu(), networks::tiny(0.5), options(16, 5), 1);
        let mut losses = Vec::new();
        for (number, first) in (0..5).zip([0, 16, 3, 24, 8]) {
            losses.push(bench.run(&bench.train, networks::batch(number, first, 16))[0].to_bits());
            if validate {
                bench.run(&bench.infer, networks::batch(number, 0, 16));
            }
        }
        (losses, bits(&bench.parameters()))
    };
    let first = run(false);
    assert!(first.0.windows(2).any(|pair| pair[0] != pair[1]), "the loss moves: {:?}", first.0);
    assert!(first == run(false), "a second run differs");
    assert!(first == run(true), "validating between the steps changes them");
}

fn bits(tensors: &[Vec<f32>]) -> Vec<Vec<u32>> {
    tensors.iter().map(|tensor| tensor.iter().map(|value| value.to_bits()).collect()).collect()
}

#[test]
fn micro_batches_of_8_and_32_agree() {
    let Some(devices) = device::open() else { return };
    let run = |micro_batch| {
        let gpu = devices.usual.gpu();
        let bench = Bench::new(gpu, networks::tiny(0.5), options(32, micro_batch), 2);
        assert_eq!(bench.network.plan().micro_batch, micro_batch);
        let step =
            |number: u32| bench.run(&bench.train, networks::batch(number, 2 * number as usize, 32));
        let metrics: Vec<f32> = (0..3).flat_map(step).collect();
        [vec![metrics], bench.gradients(), bench.parameters()].concat()
    };
    for (i, (cut, whole)) in run(8).iter().zip(&run(32)).enumerate() {
        let most = whole.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
        for (a, b) in cut.iter().zip(whole) {
            assert!((a - b).abs() <= 1e-5 * most, "tensor {i}: {a} and {b} of at most {most}");
        }
    }
}

#[test]
fn a_partial_batch_counts_its_images() {
    let Some(devices) = device::open() else { return };
    let bench = Bench::new(devices.usual.gpu(), networks::tiny(0.5), options(32, 8), 3);
    let [loss, hits, images] = bench.run(&bench.train, networks::batch(0, IMAGES - 11, 11));
    assert_eq!(images, 11.0);
    assert!(hits <= 11.0 && loss.is_finite() && loss > 0.0, "{hits} hits, loss {loss}");
}

#[test]
fn paddings_of_parameters_stay_zero() {
    let Some(devices) = device::open() else { return };
    let bench = Bench::new(devices.usual.gpu(), networks::tiny(0.5), options(16, 16), 4);
    let before = bits(&bench.parameters());
    for number in 0..3 {
        bench.run(&bench.train, networks::batch(number, 0, 16));
    }
    assert!(bits(&bench.parameters()) != before, "the parameters move");
    for (parameter, values) in bench.network.parameters().iter().zip(bench.parameters()) {
        let padding = |i: &usize| parameter.layout.is_padding(*i);
        let touched = (0..values.len()).filter(padding).find(|&i| values[i] != 0.0);
        assert_eq!(touched, None, "{}", parameter.layer);
    }
}

#[test]
fn what_is_planned_is_allocated() {
    let Some(devices) = device::open() else { return };
    let small = || Architecture::builder().ratio(16).hidden(vec![64, 64]).input(1, 64, 64);
    let cases = [
        (networks::tiny(0.5), options(32, 8)),
        (networks::tiny(0.0), NetworkOptions { batch: 7, ..Default::default() }),
        (networks::tiny(0.5), NetworkOptions { train: false, ..Default::default() }),
        (small().build().unwrap(), NetworkOptions { batch: 20, ..Default::default() }),
        (small().build().unwrap(), NetworkOptions { memory: Some(12 << 20), ..options(64, 1) }),
    ];
    for (architecture, options) in cases {
        let facts = devices.usual.gpu().facts();
        let planned = plan(&architecture, &options, facts).unwrap();
        let gpu = Arc::clone(devices.usual.gpu());
        let network = Network::new(gpu, architecture, options.clone()).unwrap();
        assert_eq!(*network.plan(), planned);
        assert_eq!(network.allocated_bytes(), planned.bytes(), "{options:?}");
    }
}

#[test]
fn a_batch_is_cut_until_it_fits_the_memory_allowed() {
    let Some(devices) = device::open() else { return };
    let facts = devices.usual.gpu().facts();
    let planned = |memory| {
        let options = NetworkOptions { batch: 64, memory, ..Default::default() };
        plan(&networks::tiny(0.5), &options, facts).unwrap()
    };
    let free = planned(None);
    assert_eq!(free.micro_batch, 64);
    let half = planned(Some(free.fixed() + free.arena / 2));
    assert!(half.micro_batch < 64 && half.bytes() <= free.fixed() + free.arena / 2, "{half:?}");
    assert!(half.micro_batch >= 16, "no smaller than it must be: {half:?}");
}

#[test]
fn a_network_without_gradients_is_not_trained() {
    let Some(devices) = device::open() else { return };
    let gpu = devices.usual.gpu();
    let options = NetworkOptions { train: false, ..Default::default() };
    let network = Network::new(Arc::clone(gpu), networks::tiny(0.5), options).unwrap();
    let shape = SourceShape { count: 1, height: 4, width: 4, channels: 3 };
    let pixels = Pixels::Bytes(&[0; 48], ResizeFilter::Bilinear);
    let source = Arc::new(ImageSource::upload(gpu, shape, pixels, &[0]).unwrap());
    assert!(matches!(network.bind(Pass::Train, source), Err(GraphError::NotForTraining)));
}
