//! What augmentation promises beside the kernel's comparison with its reference: images as a resize makes
//! them where nothing is asked for, the same bits however a batch is cut, losses of mixed labels.

use std::sync::Arc;

use vgg_wgpu::graph::{
    Architecture, Batch, GraphError, ImageSource, Network, NetworkOptions, Pass, Pixels,
    ResizeFilter, SourceShape,
};
use vgg_wgpu::kernel::Step;
use vgg_wgpu::ops::{Augment, Augmentation, Data, Op, Pictures, Run, Shard, Storage};
use vgg_wgpu::shape::FeatureMap;
use vgg_wgpu::train::{self, Init};

use crate::device;
use crate::networks;

/// Images of a set here.
const COUNT: usize = 12;
const NONE: Augmentation = Augmentation {
    flip: 0.0,
    crop_padding: 0,
    resized_crop: 0.0,
    rotation: 0.0,
    brightness: 0.0,
    contrast: 0.0,
    cutout: 0,
    mixup: 0.0,
};
const ALL: Augmentation = Augmentation {
    flip: 0.5,
    crop_padding: 2,
    resized_crop: 0.3,
    rotation: 25.0,
    brightness: 0.3,
    contrast: 0.4,
    cutout: 3,
    mixup: 0.8,
};

fn network(side: usize, channels: usize) -> Architecture {
    let builder = Architecture::builder().table("1x4").unwrap().input(channels, side, side);
    builder.hidden(vec![12]).classes(5).dropout(0.0).build().unwrap()
}

/// Random images, and labels below five.
fn source(
    devices: &device::Devices,
    (height, width, channels): (usize, usize, usize),
) -> ImageSource {
    let mut random = fastrand::Rng::with_seed(11);
    let mut pixels = vec![0; COUNT * height * width * channels];
    random.fill(&mut pixels);
    let labels: Vec<u32> = (0..COUNT as u32).map(|i| i * 7 % 5).collect();
    let shape = SourceShape { count: COUNT, height, width, channels };
    let pixels = Pixels::Bytes(&pixels, ResizeFilter::Bilinear);
    ImageSource::upload(devices.usual.gpu(), shape, pixels, &labels).unwrap()
}

/// What a network of `side` pixels reads of all images, without augmentation or with.
fn inputs(
    devices: &device::Devices,
    shape: (usize, usize, usize),
    side: usize,
    augmentation: Option<Augmentation>,
) -> Vec<f32> {
    let (gpu, mut source) = (devices.usual.gpu(), source(devices, shape));
    if let Some(augmentation) = augmentation {
        source = source.augmented(gpu, augmentation).unwrap();
    }
    let batch = Batch { count: COUNT, number: 3, seed: 9, ..Batch::default() };
    source.inputs(gpu, &network(side, shape.2), &batch).unwrap()
}

/// Images of squares mirrored, `(count, side, side, channels)`.
fn mirrored(images: &[f32], side: usize, channels: usize) -> Vec<f32> {
    let rows = images.chunks_exact(side * channels);
    rows.flat_map(|row| row.chunks_exact(channels).rev().flatten().copied()).collect()
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn where_nothing_changes_images_are_those_of_a_resize() {
    let Some(devices) = device::open() else { return };
    let cases = [((28, 28, 1), 32), ((28, 28, 3), 28), ((9, 13, 3), 64), ((75, 50, 1), 31)];
    for (shape, side) in cases {
        let plain = inputs(&devices, shape, side, None);
        let same = inputs(&devices, shape, side, Some(NONE));
        let worst = worst(&plain, &same);
        assert!(worst <= 2e-5, "{shape:?} to {side}: {worst}");
        assert!(plain.iter().any(|&value| value > 0.5), "there is something to see");
    }
}

#[test]
fn a_flip_mirrors_and_two_bring_the_image_back() {
    let Some(devices) = device::open() else { return };
    let (shape, side) = ((28, 30, 3), 33);
    let plain = inputs(&devices, shape, side, None);
    let flip = inputs(&devices, shape, side, Some(Augmentation { flip: 1.0, ..NONE }));
    assert!(worst(&plain, &flip) > 0.3, "random images are not symmetrical");
    let back = mirrored(&flip, side, 3);
    assert!(worst(&plain, &back) <= 2e-5, "{}", worst(&plain, &back));
    // A set of mirrored images, flipped by the device.
    let gpu = devices.usual.gpu();
    let bytes: Vec<u8> = flip.iter().map(|value| (value * 255.0).round() as u8).collect();
    let shape = SourceShape { count: COUNT, height: side, width: side, channels: 3 };
    let pixels = Pixels::Bytes(&bytes, ResizeFilter::Bilinear);
    let twice = ImageSource::upload(gpu, shape, pixels, &[0; COUNT]).unwrap();
    let twice = twice.augmented(gpu, Augmentation { flip: 1.0, ..NONE }).unwrap();
    let batch = Batch { count: COUNT, ..Batch::default() };
    let twice = twice.inputs(gpu, &network(side, 3), &batch).unwrap();
    assert!(worst(&plain, &twice) <= 0.5 / 255.0 + 2e-5, "{}", worst(&plain, &twice));
}

/// As `RandomCrop(side, padding)` of torchvision cuts a resized image.
#[test]
fn a_shift_takes_whole_pixels_and_lets_black_in() {
    let Some(devices) = device::open() else { return };
    let (side, padding) = (24, 5);
    let plain = inputs(&devices, (24, 24, 1), side, None);
    let augmentation = Augmentation { crop_padding: padding as u32, ..NONE };
    let shifted = inputs(&devices, (24, 24, 1), side, Some(augmentation));
    let mut shifts = Vec::new();
    for (image, shifted) in plain.chunks_exact(side * side).zip(shifted.chunks_exact(side * side)) {
        let at = |y: i32, x: i32| match (0..side as i32).contains(&y.min(x).min(side as i32)) {
            true if y.max(x) < side as i32 => image[y as usize * side + x as usize],
            _ => 0.0,
        };
        let is = |&(down, right): &(i32, i32)| {
            let pixels = (0..side * side).map(|i| ((i / side) as i32, (i % side) as i32));
            let wanted: Vec<f32> = pixels.map(|(y, x)| at(y + down, x + right)).collect();
            worst(&wanted, shifted) < 1e-6
        };
        let all = -padding..=padding;
        let mut tried = all.clone().flat_map(|down| all.clone().map(move |right| (down, right)));
        shifts.push(tried.find(is).expect("one of the shifts that are allowed"));
    }
    shifts.sort_unstable();
    shifts.dedup();
    assert!(shifts.len() > COUNT / 2, "images are shifted each for itself: {shifts:?}");
}

#[test]
fn a_square_of_the_size_asked_for_is_cut_out() {
    let Some(devices) = device::open() else { return };
    let side = 20;
    // Bright images: only what is cut out is 0.
    let gpu = devices.usual.gpu();
    let shape = SourceShape { count: COUNT, height: side, width: side, channels: 1 };
    let bytes = vec![200; COUNT * side * side];
    let pixels = Pixels::Bytes(&bytes, ResizeFilter::Bilinear);
    let source = ImageSource::upload(gpu, shape, pixels, &[0; COUNT]).unwrap();
    let source = source.augmented(gpu, Augmentation { cutout: 7, ..NONE }).unwrap();
    let (mut whole, mut cut) = (0, 0);
    for number in 0..8 {
        let batch = Batch { count: COUNT, number, ..Batch::default() };
        let images = source.inputs(gpu, &network(side, 1), &batch).unwrap();
        for image in images.chunks_exact(side * side) {
            let zeros: Vec<_> = (0..side * side).filter(|&i| image[i] == 0.0).collect();
            let span = |of: &dyn Fn(usize) -> usize| {
                let places = zeros.iter().map(|&i| of(i));
                (places.clone().min().unwrap(), places.max().unwrap())
            };
            let ((top, bottom), (left, right)) = (span(&|i| i / side), span(&|i| i % side));
            let (height, width) = (bottom - top + 1, right - left + 1);
            assert_eq!(zeros.len(), height * width, "a rectangle without holes");
            // Its middle is in the image, so more than half of a side is.
            assert!((4..=7).contains(&height) && (4..=7).contains(&width), "{height}x{width}");
            match (height, width) {
                (7, 7) => whole += 1,
                _ => cut += 1,
            }
        }
    }
    assert!(whole > 20 && cut > 20, "{whole} are whole, {cut} cut by an edge");
}

#[test]
fn a_batch_that_is_cut_has_the_same_bits() {
    let Some(devices) = device::open() else { return };
    let pictures = Pictures {
        source_height: 19,
        source_width: 23,
        shard: Shard { first: 0, count: 17, samples: 30 },
        normalisation: Default::default(),
        output: FeatureMap::new(21, 20, 3).with_halo(1),
    };
    let op = Augment { pictures, augmentation: ALL };
    let mut random = fastrand::Rng::with_seed(3);
    let words = pictures.pixels().len(1);
    let pixels = Data::U((0..words).map(|_| random.u32(..)).collect());
    let order = Data::U((0..30).map(|_| random.u32(..17)).collect());
    let mut draws = ALL.draws(&pictures, (5, 6), 16);
    draws.resize(30 * 16, 0.0);
    let draws = Data::F(draws.into_iter().map(f64::from).collect());
    let variant = op.variants(devices.usual.gpu().facts()).swap_remove(0);
    let part = |base: u32, images: u32| -> Vec<f64> {
        let x = Data::F(vec![0.0; pictures.output.len() * images as usize]);
        let step = Step { images, image_base: base, sample_base: 9 + base, ..Step::default() };
        let run = Run {
            op: &op,
            variant: &variant,
            step: &step,
            kernels: &devices.usual,
            storage: Storage::of(devices.usual.gpu().facts()),
        };
        match run.run(&[&order, &pixels, &draws, &x]).unwrap().pop() {
            Some(Data::F(values)) => values,
            other => panic!("{other:?}"),
        }
    };
    let whole = part(0, 16);
    assert!(whole.iter().any(|&value| value > 0.5));
    let cut = [part(0, 5), part(5, 5), part(10, 6)].concat();
    assert!(whole == cut, "a cut batch differs");
}

/// The loss of a step is that of the images that it reads, by the shares of both labels.
#[test]
fn a_step_of_mixed_images_has_the_loss_of_both_labels() {
    let Some(devices) = device::open() else { return };
    let gpu = devices.usual.gpu();
    let options = NetworkOptions { batch: COUNT, micro_batch: Some(5), ..Default::default() };
    let network = Network::new(Arc::clone(gpu), network(16, 3), options).unwrap();
    train::initialise(&network, Init::Kaiming, 4).unwrap();
    let batch = Batch { count: COUNT, number: 2, seed: 6, ..Batch::default() };
    let source = source(&devices, (18, 15, 3)).augmented(gpu, ALL).unwrap();
    let labels: Vec<u32> = (0..COUNT as u32).map(|i| i * 7 % 5).collect();
    // Class 0 weighs three times as much as the others.
    let weights = [3.0, 1.0, 1.0, 1.0, 1.0];
    source.label(gpu, &labels, &weights).unwrap();
    let read = source.inputs(gpu, network.architecture(), &batch).unwrap();
    let train = network.bind(Pass::Train, Arc::new(source)).unwrap();
    train.run(&network, &batch).unwrap();
    let metrics: Vec<f32> = gpu.read(&network.metrics_of(batch.number)).unwrap();

    let channels_first: Vec<f32> = read
        .chunks_exact(16 * 16 * 3)
        .flat_map(|image| (0..3).flat_map(|c| image.iter().skip(c).step_by(3).copied()))
        .collect();
    let shape = SourceShape { count: COUNT, height: 16, width: 16, channels: 3 };
    let raw = ImageSource::upload(gpu, shape, Pixels::Raw(&channels_first), &labels).unwrap();
    let rows = train::logits_of(&network, Arc::new(raw), |_| {}).unwrap();
    let mix = ALL.mix(batch.seed, batch.number, COUNT).unwrap();
    assert!(mix.share > 0.0 && mix.share < 1.0, "{mix:?}");
    let (mut loss, mut hits) = (0.0, 0);
    for (i, row) in rows.iter().enumerate() {
        let row: Vec<f64> = row.iter().map(|&z| f64::from(z)).collect();
        let sum: f64 = row.iter().map(|z| z.exp()).sum();
        let [own, other] = [i, (i + mix.apart) % COUNT].map(|place| labels[place] as usize);
        let share = f64::from(mix.share);
        for (label, share) in [(own, share), (other, 1.0 - share)] {
            loss += share * f64::from(weights[label]) * (sum.ln() - row[label]);
        }
        let best = (1..5).fold(0, |best, k| if row[k] > row[best] { k } else { best });
        hits += u32::from(best == if share >= 0.5 { own } else { other });
    }
    let found = f64::from(metrics[0]);
    assert!((found - loss).abs() <= 1e-5 * loss, "{found}, by hand {loss}");
    assert_eq!((metrics[1], metrics[2]), (hits as f32, COUNT as f32));
}

#[test]
fn a_network_that_is_measured_sees_images_as_they_are() {
    let Some(devices) = device::open() else { return };
    let gpu = devices.usual.gpu();
    let options = NetworkOptions { batch: COUNT, ..Default::default() };
    let network = Network::new(Arc::clone(gpu), network(16, 3), options).unwrap();
    train::initialise(&network, Init::Kaiming, 4).unwrap();
    let logits = |source| train::logits_of(&network, Arc::new(source), |_| {}).unwrap();
    let plain = logits(source(&devices, (18, 15, 3)));
    assert!(plain == logits(source(&devices, (18, 15, 3)).augmented(gpu, ALL).unwrap()));
}

#[test]
fn sets_and_numbers_that_cannot_be_augmented_are_refused() {
    let Some(devices) = device::open() else { return };
    let gpu = devices.usual.gpu();
    let shape = SourceShape { count: 1, height: 10, width: 9, channels: 3 };
    let pillow = Pixels::Bytes(&[0; 270], ResizeFilter::Pillow);
    for pixels in [pillow, Pixels::Raw(&[0.0; 270])] {
        let source = ImageSource::upload(gpu, shape, pixels, &[0]).unwrap();
        let refused = source.augmented(gpu, ALL);
        assert!(matches!(refused, Err(GraphError::AugmentedFormat { .. })), "{refused:?}");
    }
    let network =
        Network::new(Arc::clone(gpu), networks::tiny(0.0), NetworkOptions::default()).unwrap();
    let source = source(&devices, (8, 11, 3));
    let source = source.augmented(gpu, Augmentation { crop_padding: 9, ..NONE }).unwrap();
    let refused = network.bind(Pass::Train, Arc::new(source));
    let error = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("crop padding is 9") && error.contains("less than the 9"), "{error}");
}
