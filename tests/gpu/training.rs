//! What training steps promise: the same bits from the same seed, the same mathematics however a
//! batch is cut, memory as planned.

use std::sync::Arc;

use vgg_wgpu::graph::{
    Architecture, Batch, Block, Fill, GraphError, ImageSource, Network, NetworkOptions, Parameter,
    Pass, Pixels, ResizeFilter, SourceShape, plan,
};
use vgg_wgpu::ops::{DenseBackwardUpdate, Optimizer, Rule};
use vgg_wgpu::shape::{Head, Layout, PANEL};
use vgg_wgpu::train::{self, Card, Init};

use crate::device;
use crate::networks::{self, Bench, IMAGES};

/// With a decay of all parameters, as none is in the fixtures of the optimisers.
fn sgd(momentum: f32) -> Optimizer {
    Optimizer { weight_decay: 0.01, decay_all: true, ..Optimizer::sgd(momentum) }
}

fn options(batch: usize, micro_batch: usize) -> NetworkOptions {
    let (micro_batch, optimizer) = (Some(micro_batch), sgd(0.9));
    NetworkOptions { batch, micro_batch, optimizer, ..Default::default() }
}

fn frozen(options: NetworkOptions) -> NetworkOptions {
    NetworkOptions { freeze_features: true, ..options }
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
fn updates_in_place_give_the_same_bits() {
    let Some(devices) = device::open() else { return };
    let gpu = devices.usual.gpu();
    let run = |update_in_place, (optimizer, freeze_features)| {
        let options = NetworkOptions {
            batch: 16,
            update_in_place,
            optimizer,
            freeze_features,
            ..Default::default()
        };
        let bench = Bench::new(gpu, networks::tiny(0.5), options, 6);
        let suits = DenseBackwardUpdate::suits(gpu.facts());
        assert_eq!(bench.network.plan().in_place, update_in_place && suits);
        assert_eq!(bench.network.allocated_bytes(), bench.network.plan().bytes());
        // A batch that is not whole, too.
        let counts = [16, 16, 5];
        let step = |(number, count)| bench.run(&bench.train, networks::batch(number, 3, count));
        let metrics: Vec<f32> = (0..).zip(counts).flat_map(step).collect();
        if bench.network.plan().in_place {
            let last = bench.network.parameters().len() - 1;
            assert_eq!(bench.network.read_gradient(last).unwrap(), None);
            let larger = bench.train.run(&bench.network, &networks::batch(3, 0, 17));
            assert!(matches!(larger, Err(GraphError::Images { .. })), "{larger:?}");
        }
        (bits(&[metrics]), bits(&bench.parameters()), bench.network.plan().bytes())
    };
    let nesterov = Rule::Sgd { momentum: 0.9, nesterov: true };
    let adam = Rule::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-6 };
    let of = |rule| Optimizer { rule, weight_decay: 0.01, ..Optimizer::default() };
    for kind in [
        (sgd(0.0), false),
        (sgd(0.9), false),
        (sgd(0.9), true),
        (of(nesterov), false),
        (of(adam), false),
    ] {
        let (stored, in_place) = (run(false, kind), run(true, kind));
        assert!(stored.0 == in_place.0 && stored.1 == in_place.1, "{kind:?}: the results differ");
        if DenseBackwardUpdate::suits(gpu.facts()) {
            assert!(in_place.2 < stored.2, "{} bytes, stored {}", in_place.2, stored.2);
        }
    }
}

#[test]
fn gradients_are_clipped_as_one_vector() {
    let Some(devices) = device::open() else { return };
    let step = |clip_norm, freeze_features| {
        let optimizer = Optimizer { clip_norm, ..Optimizer::sgd(0.0) };
        // Clipped gradients are all stored, though this allows updates in place.
        let options = NetworkOptions { optimizer, freeze_features, ..options(16, 5) };
        let options = NetworkOptions { update_in_place: true, ..options };
        let bench = Bench::new(devices.usual.gpu(), networks::tiny(0.0), options, 3);
        assert_eq!(bench.network.allocated_bytes(), bench.network.plan().bytes());
        let before = bench.parameters();
        bench.run(&bench.train, Batch { learning_rate: 1.0, ..networks::batch(0, 3, 16) });
        let moved = before
            .iter()
            .flatten()
            .zip(bench.parameters().iter().flatten().copied().collect::<Vec<_>>());
        moved.map(|(before, after)| f64::from(before - after)).collect::<Vec<_>>()
    };
    for frozen in [false, true] {
        let whole = step(None, frozen);
        let norm = |moved: &[f64]| moved.iter().map(|x| x * x).sum::<f64>().sqrt();
        let limit = norm(&whole) / 3.0;
        let clipped = step(Some(limit as f32), frozen);
        assert!((norm(&clipped) / limit - 1.0).abs() < 1e-5, "{} of {limit}", norm(&clipped));
        let away = whole.iter().zip(&clipped).map(|(a, b)| a / 3.0 - b).collect::<Vec<_>>();
        assert!(norm(&away) < 1e-5 * limit, "another direction: {}", norm(&away));
        // A gradient that is short enough stays as it is.
        let short = step(Some(1e6), frozen);
        assert!(whole.iter().zip(&short).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
}

#[test]
fn weights_decay_and_biases_do_not() {
    let Some(devices) = device::open() else { return };
    let step = |weight_decay, decay_all| {
        let optimizer = Optimizer { weight_decay, decay_all, ..Optimizer::sgd(0.0) };
        let options = NetworkOptions { optimizer, ..options(16, 5) };
        let network = networks::tiny_of(true, Head::Flatten);
        let options = NetworkOptions { micro_batch: None, ..options };
        let bench = Bench::new(devices.usual.gpu(), network, options, 3);
        let before = bench.parameters();
        bench.run(&bench.train, Batch { learning_rate: 0.1, ..networks::batch(0, 3, 16) });
        let layouts: Vec<_> = bench.network.parameters().iter().map(|p| p.layout).collect();
        (layouts, before, bench.parameters())
    };
    let (layouts, before, plain) = step(0.0, false);
    let (mut spared, mut decayed) = (0, 0);
    for decay_all in [false, true] {
        let (.., after) = step(0.5, decay_all);
        for (((layout, before), plain), after) in
            layouts.iter().zip(&before).zip(&plain).zip(&after)
        {
            let (period, weights) = layout.weights();
            for i in (0..before.len()).filter(|&i| before[i] != 0.0) {
                let falls = decay_all || i % period < weights;
                let wanted = if falls { plain[i] - 0.1 * 0.5 * before[i] } else { plain[i] };
                assert!((after[i] - wanted).abs() <= 1e-6, "{layout:?}, element {i}");
                *(if falls { &mut decayed } else { &mut spared }) += 1;
            }
        }
    }
    assert!(spared > 50 && decayed > 1000, "{spared} spared, {decayed} decayed");
}

#[test]
fn a_partial_batch_counts_its_images() {
    let Some(devices) = device::open() else { return };
    let bench = Bench::new(devices.usual.gpu(), networks::tiny(0.5), options(32, 8), 3);
    let [loss, hits, images] = bench.run(&bench.train, networks::batch(0, IMAGES - 11, 11));
    assert_eq!(images, 11.0);
    assert!(hits <= 11.0 && loss.is_finite() && loss > 0.0, "{hits} hits, loss {loss}");
}

/// Drawn by a kernel, or, in weights that are updated in place, copied to all layers of the texture.
#[test]
fn weights_to_measure_with_are_random_all_over() {
    let Some(devices) = device::open() else { return };
    for train in [false, true] {
        let architecture = Architecture::builder().table("1x4").unwrap().input(1, 8, 8);
        // With panels of 32 outputs that are whole, and with a part of one.
        let network = architecture.hidden(vec![64, 96, 17 * 32 + 5, 70]).classes(3).build();
        let options =
            NetworkOptions { batch: 2, train, update_in_place: true, ..Default::default() };
        let gpu = Arc::clone(devices.usual.gpu());
        let network = Network::new(gpu, network.unwrap(), options).unwrap();
        let all = 0..network.parameters().len();
        let fill = |parameter| Fill { parameter, bound: 0.25, seed: 7 + parameter as u32 };
        network.fill_parameters(&all.clone().map(fill).collect::<Vec<_>>()).unwrap();
        for i in all {
            let (parameter, values) =
                (&network.parameters()[i], network.read_parameter(i).unwrap());
            is_random(parameter, &values, train);
        }
    }
}

/// Checks that `values` are uniform in ±0.25 in each part, and paddings zero but, where they may be copied, for
/// empty rows of panels that have no other paddings.
fn is_random(parameter: &Parameter, values: &[f32], may_be_copied: bool) {
    let Parameter { layout, layer, .. } = parameter;
    let is_empty_row = |at: usize| match *layout {
        Layout::Panels { inputs, outputs } if inputs % 4 == 0 && outputs % PANEL == 0 => {
            let rows = values.len() / outputs.div_ceil(PANEL) / PANEL;
            at / PANEL % rows > inputs
        }
        _ => false,
    };
    let (padding, drawn): (Vec<_>, Vec<_>) =
        (0..values.len()).partition(|&at| layout.is_padding(at));
    let zero = |&&at: &&usize| values[at] == 0.0 || may_be_copied && is_empty_row(at);
    assert_eq!(padding.iter().filter(zero).count(), padding.len(), "{layer}");
    let drawn: Vec<_> = drawn.iter().map(|&at| f64::from(values[at])).collect();
    assert!(drawn.iter().all(|value| value.abs() <= 0.25), "{layer}");
    // The deviation of uniform numbers, in every panel.
    for part in drawn.chunks(32 * 8) {
        let deviation = (part.iter().map(|x| x * x).sum::<f64>() / part.len() as f64).sqrt();
        let wanted = 0.25 / 3.0_f64.sqrt();
        let near = 4.0 / (part.len() as f64).sqrt();
        assert!((deviation / wanted - 1.0).abs() < near, "{layer}: {deviation}");
    }
}

#[test]
fn a_layer_of_several_parts_is_set_as_a_whole() {
    let Some(devices) = device::open() else { return };
    let gpu = devices.usual.gpu();
    // Dense layers of 80 to 3000, 3000 to 1300 and 1300 to 5: the second goes to the device in four parts, the
    // last of which does not fill its panels.
    let blocks = vec![Block { convolutions: 1, channels: 4 }];
    let builder = Architecture::builder().blocks(blocks).input(3, 10, 9).hidden(vec![3000, 1300]);
    let architecture = builder.batch_norm(true).classes(5).build().unwrap();
    for update_in_place in [false, true] {
        let options = NetworkOptions { update_in_place, ..options(8, 8) };
        let network = Network::new(Arc::clone(gpu), architecture.clone(), options).unwrap();
        train::initialise(&network, Init::Xavier, 5).unwrap();
        let mut model = train::model_of(&network, &Card::default()).unwrap();
        let mut random = fastrand::Rng::with_seed(5);
        for layer in &model.layers {
            let (name, shape) = (layer.name.clone(), layer.shape.clone());
            let drawn = Init::Xavier.draw(name, shape, &mut random);
            assert_eq!(
                (&layer.weight, &layer.bias),
                (&drawn.weight, &drawn.bias),
                "{}",
                layer.name
            );
        }
        for layer in &mut model.layers {
            layer.weight.reverse();
            layer.bias.reverse();
        }
        train::load(&network, &model).unwrap();
        let back = train::model_of(&network, &Card::default()).unwrap();
        assert_eq!(back.layers, model.layers);

        let found = network.parameters()[0].layout.len(1) + 4;
        let error = network.write_parameter_part(0, 4, &vec![0.0; found - 4]).unwrap_err();
        assert!(error.to_string().contains(&found.to_string()), "{error}");
    }
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
        (networks::tiny_of(true, Head::AvgPool7), options(9, 9)),
        (networks::tiny_of(true, Head::Flatten), frozen(options(32, 8))),
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

#[test]
fn frozen_features_stay_and_dense_layers_learn_as_if_they_were_not() {
    let Some(devices) = device::open() else { return };
    let run = |batch_norm, freeze: bool| {
        let options = options(16, if freeze { 6 } else { 16 });
        let options = if freeze { frozen(options) } else { options };
        let network = networks::tiny_of(batch_norm, Head::AvgPool7);
        let bench = Bench::new(devices.usual.gpu(), network, options, 6);
        let before = bench.parameters();
        let statistics = |bench: &Bench| -> Vec<_> {
            let norms = 0..bench.network.norms().len();
            norms.map(|i| bench.network.read_statistics(i).unwrap()).collect()
        };
        let norms = statistics(&bench);
        bench.run(&bench.train, networks::batch(0, 3, 16));
        let trained = bench.network.parameters().iter().map(|p| p.trained).collect::<Vec<_>>();
        assert_eq!(statistics(&bench) == norms, freeze || !batch_norm);
        (trained, before, bench.parameters())
    };
    for batch_norm in [false, true] {
        let (trained, before, after) = run(batch_norm, true);
        for ((trained, before), after) in trained.iter().zip(&before).zip(&after) {
            assert_eq!(*trained, before != after, "a frozen parameter moved or another did not");
        }
    }
    let ((trained, _, alone), (_, _, together)) = (run(false, true), run(false, false));
    for i in (0..trained.len()).filter(|&i| trained[i]) {
        let most = together[i].iter().fold(0.0, |most: f32, value| most.max(value.abs()));
        for (a, b) in alone[i].iter().zip(&together[i]) {
            assert!((a - b).abs() <= 1e-5 * most, "parameter {i}: {a} and {b}");
        }
    }
}

#[test]
fn batch_normalisation_keeps_a_batch_whole_or_takes_groups() {
    let Some(devices) = device::open() else { return };
    let facts = devices.usual.gpu().facts();
    let planned =
        |options: NetworkOptions| plan(&networks::tiny_of(true, Head::Flatten), &options, facts);
    let free = planned(NetworkOptions { batch: 33, ..Default::default() }).unwrap();
    assert_eq!(free.micro_batch, 33);
    let tight = |ghost_batch, micro_batch| {
        let memory = Some(free.fixed() + free.arena / 2);
        planned(NetworkOptions {
            batch: 33,
            memory,
            ghost_batch,
            micro_batch,
            ..Default::default()
        })
    };
    let Err(GraphError::WholeBatch { whole: 33, largest, .. }) = tight(None, None) else {
        panic!("a batch that does not fit is refused");
    };
    assert!((14..=18).contains(&largest), "{largest}");
    assert_eq!(tight(Some(largest), None).unwrap().micro_batch, largest);
    let cut = tight(None, Some(11));
    assert!(matches!(cut, Err(GraphError::CutStatistics { wanted: 11, whole: 33 })), "{cut:?}");
    let infer = NetworkOptions { train: false, ..options(32, 8) };
    assert_eq!(planned(infer).unwrap().micro_batch, 8);
}

#[test]
fn groups_are_normalised_by_themselves() {
    let Some(devices) = device::open() else { return };
    let run = |batch: usize, ghost_batch, count: usize| {
        let network = networks::tiny_of(true, Head::Flatten);
        let options = NetworkOptions { batch, ghost_batch, ..Default::default() };
        let bench = Bench::new(devices.usual.gpu(), network, options, 8);
        let still = Batch { learning_rate: 0.0, ..networks::batch(0, 0, count) };
        let [loss, ..] = bench.run(&bench.train, still);
        let later = Batch { first: count, number: 1, ..still };
        let [rest, ..] = bench.run(&bench.train, later);
        (loss, rest, bench.network.read_statistics(0).unwrap())
    };
    let (grouped, _, statistics) = run(20, Some(10), 20);
    let (first, second, _) = run(10, None, 10);
    assert!((grouped - first - second).abs() < 1e-4 * grouped, "{grouped}: {first} + {second}");
    let (whole, ..) = run(20, None, 20);
    assert!((grouped - whole).abs() > 1e-3 * grouped, "groups change the result: {whole}");
    // Two batches of two groups each: the number of batches is the third row.
    assert_eq!(statistics[16], 4.0, "{statistics:?}");
}

/// A pooling that belongs to the convolution before it, forward and backward, gives what one apart does.
#[test]
fn poolings_apart_or_with_their_convolutions_give_the_same_bits() {
    let Some(devices) = device::open() else { return };
    let gpu = devices.usual.gpu();
    let network = || {
        let blocks =
            [(1, 16), (2, 32)].map(|(convolutions, channels)| Block { convolutions, channels });
        let builder = Architecture::builder().blocks(blocks.to_vec()).input(1, 23, 21);
        builder.hidden(vec![24]).classes(5).dropout(0.0).build().unwrap()
    };
    let passes = ["forward", "backward_data", "backward_weights"];
    for ending in ["shuffle", "tiled"] {
        let run = |apart: &[&str]| {
            let winograd = passes.map(|pass| format!("winograd_{pass}_2x2_{ending}"));
            let apart = apart.iter().map(|&name| name.to_owned());
            let variants = winograd.into_iter().chain(apart).collect();
            let options = NetworkOptions { batch: 8, variants, ..Default::default() };
            let bench = Bench::new(gpu, network(), options, 7);
            let step = |number| bench.run(&bench.train, networks::batch(number, 3, 8));
            let metrics: Vec<f32> = (0..3).flat_map(step).collect();
            let launches = bench.train.launches(&bench.network);
            let poolings = launches.iter().filter(|launch| launch.variant.starts_with("maxpool"));
            let poolings = poolings.count();
            (poolings, bits(&[metrics]), bits(&bench.parameters()))
        };
        let (with, apart) = (run(&[]), run(&["maxpool_forward", "maxpool_backward"]));
        assert!(with.0 < apart.0, "{ending}: {} and {} poolings", with.0, apart.0);
        assert!(with.1 == apart.1 && with.2 == apart.2, "{ending}: the results differ");
    }
}
