//! What a network's input is made of: resizing against PyTorch and Pillow (`tests/oracle`), raw
//! tensors, normalisation, and sets that a network cannot read.

use std::sync::Arc;

use vgg_wgpu::data;
use vgg_wgpu::graph::{
    Architecture, GraphError, ImageSource, NetworkOptions, Pass, Pixels, ResizeFilter, SourceShape,
};
use vgg_wgpu::kernel::{Kernels, Step};
use vgg_wgpu::ops::{Data, Op, Pictures, ResizeBilinear, ResizePillow, Run, Shard, Storage};
use vgg_wgpu::shape::{FeatureMap, Normalisation};
use vgg_wgpu::train;

use crate::device;
use crate::fixtures::{Fixture, pixels};
use crate::networks::{self, Bench};

/// A tensor of a fixture: what an image of `source` rows and columns becomes.
struct Case {
    name: String,
    source: (usize, usize),
    size: (usize, usize),
    /// The numbers of the name after the sizes.
    more: Vec<usize>,
    wanted: Vec<f64>,
}

fn cases(fixture: &str) -> Vec<Case> {
    let fixture = Fixture::read(fixture);
    let case = |name: String| {
        let numbers = name.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
        let numbers: Vec<usize> = numbers.map(|part| part.parse().unwrap()).collect();
        let [h, w, rows, columns, ref more @ ..] = numbers[..] else { panic!("{name}") };
        let (source, size, more) = ((h, w), (rows, columns), more.to_vec());
        Case { wanted: fixture.of(&name), name, source, size, more }
    };
    let cases: Vec<_> = fixture.names().into_iter().map(case).collect();
    assert!(cases.len() >= 15, "{} cases", cases.len());
    cases
}

/// The bytes of the fixtures' images.
fn image(height: usize, width: usize, channels: usize) -> Vec<u8> {
    pixels(&format!("resize/{height}x{width}x{channels}"), height * width * channels)
}

/// The values that every variant of `op` gives for one image, `(rows, columns, channels)`.
fn resized(kernels: &Kernels, op: &dyn Op, pictures: &Pictures, tables: &[Data]) -> Vec<Vec<f64>> {
    let output = pictures.output;
    let bytes = image(pictures.source_height, pictures.source_width, output.channels);
    let word = |bytes: &[u8]| (0..).zip(bytes).map(|(i, &b)| u32::from(b) << (8 * i)).sum();
    let pixels = Data::U(bytes.chunks(4).map(word).collect());
    let (order, x) = (Data::U(vec![0]), Data::F(vec![0.0; output.len()]));
    let given: Vec<&Data> = [&order, &pixels].into_iter().chain(tables).chain([&x]).collect();
    let step = Step { images: 1, ..Step::default() };
    let values = |variant| {
        let run = Run { op, variant: &variant, step: &step, kernels, storage: Storage::Buffers };
        let found = run.run(&given).unwrap();
        let FeatureMap { height, width, channels, .. } = output;
        let places = (0..height * width * channels).map(|i| (i / channels, i % channels));
        let at = |(pixel, c)| output.index(0, pixel / width, pixel % width, c);
        places.map(|place| found.last().unwrap()[at(place)]).collect()
    };
    op.variants(kernels.gpu().facts()).into_iter().map(values).collect()
}

fn pictures(case: &Case, channels: usize) -> Pictures {
    Pictures {
        source_height: case.source.0,
        source_width: case.source.1,
        shard: Shard { first: 0, count: 1, samples: 1 },
        normalisation: Normalisation::default(),
        output: FeatureMap::new(case.size.0, case.size.1, channels).with_halo(1),
    }
}

#[test]
fn bilinear_is_pytorchs_in_double_precision() {
    let Some(devices) = device::open() else { return };
    for case in cases("bilinear") {
        let pictures = pictures(&case, 1);
        for values in resized(&devices.usual, &ResizeBilinear(pictures), &pictures, &[]) {
            let found = values.iter().step_by(case.more[0]);
            assert_eq!(found.len(), case.wanted.len(), "{}", case.name);
            let worst = found.zip(&case.wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst <= 1e-6, "{}: wrong by {worst:e}", case.name);
        }
    }
}

/// The rows of `bytes` that the case keeps.
fn kept(case: &Case, bytes: &[u8]) -> Vec<f64> {
    let line = case.size.1 * case.more[0];
    let rows = bytes.chunks_exact(line).step_by(case.more[1]);
    rows.flatten().map(|&byte| f64::from(byte)).collect()
}

#[test]
fn the_host_resizes_to_pillows_bytes() {
    for case in cases("pillow") {
        let ((height, width), channels) = (case.source, case.more[0]);
        let image = image(height, width, channels);
        let found = data::resize_pillow(&image, (height, width, channels), case.size).unwrap();
        assert!(kept(&case, &found) == case.wanted, "{}", case.name);
    }
}

#[test]
fn pictures_are_cut_as_by_torchvision() {
    let fixture = Fixture::read("preprocess");
    let about = fixture.metadata("case");
    let cases = about["cases"].as_array().unwrap();
    for (i, case) in cases.iter().enumerate() {
        let numbers: Vec<usize> =
            case.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
        let [h, w, shorter, side] = numbers[..] else { panic!("{case}") };
        let picture = pixels(&format!("preprocess/{i}"), h * w * 3);
        let cut = data::resize_and_crop(&picture, (h, w, 3), shorter, (side, side)).unwrap();
        let cut: Vec<f64> = cut.into_iter().map(f64::from).collect();
        assert!(cut == fixture.of(&format!("{i}.pixels")), "picture {i}: {case}");
    }
    assert!(cases.len() >= 4);
}

#[test]
fn the_device_resizes_to_pillows_bytes() {
    let Some(devices) = device::open() else { return };
    for case in cases("pillow") {
        let pictures = pictures(&case, case.more[0]);
        let op = ResizePillow(pictures);
        for values in resized(&devices.usual, &op, &pictures, &[Data::U(op.tables())]) {
            let byte = |value: &f64| {
                let byte = (value * 255.0).round();
                assert!((value * 255.0 - byte).abs() < 1e-4, "{}: {value}", case.name);
                byte as u8
            };
            let found: Vec<u8> = values.iter().map(byte).collect();
            assert!(kept(&case, &found) == case.wanted, "{}", case.name);
        }
    }
}

/// The tiny network with ImageNet's normalisation.
fn normalising() -> Architecture {
    let tiny = networks::tiny(0.0);
    let builder = Architecture::builder().blocks(tiny.blocks().to_vec()).input(3, 10, 9);
    let builder = builder.hidden(tiny.hidden().to_vec()).classes(5).dropout(0.0);
    builder.normalisation(Normalisation::IMAGENET).build().unwrap()
}

const COUNT: usize = 7;

fn shape(height: usize, width: usize) -> SourceShape {
    SourceShape { count: COUNT, height, width, channels: 3 }
}

/// The logits for images taken from the last to the first.
fn backwards(bench: &Bench, shape: SourceShape, pixels: Pixels<'_>) -> Vec<f32> {
    let gpu = bench.network.gpu();
    let source = Arc::new(ImageSource::upload(gpu, shape, pixels, &[0; COUNT]).unwrap());
    source.set_order(gpu, &[6, 5, 4, 3, 2, 1, 0]).unwrap();
    train::logits_of(&bench.network, source, |_| ()).unwrap().concat()
}

fn assert_close(found: &[f32], wanted: &[f32]) {
    let most = wanted.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
    assert!(most > 0.0 && found.len() == wanted.len());
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * most;
    assert!(found.iter().zip(wanted).all(close), "{found:?}\n{wanted:?}");
}

#[test]
fn raw_tensors_are_read_as_they_are() {
    let Some(devices) = device::open() else { return };
    let options = NetworkOptions { batch: 3, ..Default::default() };
    let bench = Bench::new(devices.usual.gpu(), normalising(), options, 21);
    let image = 10 * 9 * 3;
    let bytes = pixels("noise", COUNT * image);
    // (count, channels, rows, columns), normalised here.
    let Normalisation { mean, deviation } = Normalisation::IMAGENET;
    let value = |n: usize, c: usize, at: usize| {
        (f32::from(bytes[n * image + at * 3 + c]) / 255.0 - mean[c]) / deviation[c]
    };
    let places = (0..COUNT).flat_map(|n| (0..3).map(move |c| (n, c)));
    let raw: Vec<f32> = places.flat_map(|(n, c)| (0..90).map(move |at| value(n, c, at))).collect();
    let wanted = backwards(&bench, shape(10, 9), Pixels::Bytes(&bytes, ResizeFilter::Bilinear));
    assert_close(&backwards(&bench, shape(10, 9), Pixels::Raw(&raw)), &wanted);
    // Without the normalisation the same pixels are another input.
    let plain = Bench::new(devices.usual.gpu(), networks::tiny(0.0), Default::default(), 21);
    let other = backwards(&plain, shape(10, 9), Pixels::Bytes(&bytes, ResizeFilter::Bilinear));
    assert!(other.iter().zip(&wanted).any(|(a, b)| (a - b).abs() > 1e-3));
}

#[test]
fn pillows_filter_is_that_of_the_host() {
    let Some(devices) = device::open() else { return };
    let bench = Bench::new(devices.usual.gpu(), normalising(), Default::default(), 22);
    let bytes = pixels("noise", COUNT * 31 * 23 * 3);
    let image = |pixels| data::resize_pillow(pixels, (31, 23, 3), (10, 9)).unwrap();
    let small: Vec<u8> = bytes.chunks_exact(31 * 23 * 3).flat_map(image).collect();
    let wanted = backwards(&bench, shape(10, 9), Pixels::Bytes(&small, ResizeFilter::Bilinear));
    let pillow = Pixels::Bytes(&bytes, ResizeFilter::Pillow);
    assert_close(&backwards(&bench, shape(31, 23), pillow), &wanted);
    // Without smoothing, shrinking gives something else.
    let bilinear = Pixels::Bytes(&bytes, ResizeFilter::Bilinear);
    let other = backwards(&bench, shape(31, 23), bilinear);
    assert!(other.iter().zip(&wanted).any(|(a, b)| (a - b).abs() > 1e-3));
}

/// Where the first convolution resizes images as it reads them, the logits are those of a map resized
/// before; for images that shrink too much there is always a map.
#[test]
fn logits_are_the_same_with_and_without_a_resized_map() {
    let Some(devices) = device::open() else { return };
    let bench = |variants| {
        let options = NetworkOptions { batch: 3, variants, ..Default::default() };
        Bench::new(devices.usual.gpu(), normalising(), options, 25)
    };
    let (usual, apart) = (bench(Vec::new()), bench(vec!["resize_bilinear".to_owned()]));
    for (height, width) in [(1, 1), (3, 4), (10, 9), (12, 11), (40, 45)] {
        let bytes = pixels("noise", COUNT * height * width * 3);
        let pixels = Pixels::Bytes(&bytes, ResizeFilter::Bilinear);
        let wanted = backwards(&apart, shape(height, width), pixels);
        assert_close(&backwards(&usual, shape(height, width), pixels), &wanted);
    }
}

#[test]
fn sets_that_a_network_cannot_read_are_refused() {
    let Some(devices) = device::open() else { return };
    let gpu = devices.usual.gpu();
    let bench = Bench::new(gpu, networks::tiny(0.0), Default::default(), 23);
    let refused = |shape: SourceShape, pixels: Pixels<'_>, labels: &[u32]| {
        let source = ImageSource::upload(gpu, shape, pixels, labels)?;
        Err::<(), _>(bench.network.bind(Pass::Infer, Arc::new(source)).expect_err("refused"))
    };
    let one = |height, width| SourceShape { count: 1, height, width, channels: 3 };
    let says = |result: Result<(), GraphError>, words: [&str; 2]| {
        let text = result.unwrap_err().to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    let bytes = Pixels::Bytes(&[0; 48], ResizeFilter::Bilinear);
    says(refused(one(4, 4), bytes, &[5]), ["image 0 has the label 5", "5 classes"]);
    says(refused(one(4, 4), Pixels::Raw(&[0.0; 48]), &[0]), ["raw tensors of 4x4", "10x9"]);
    let grey = SourceShape { channels: 1, ..one(6, 8) };
    says(refused(grey, bytes, &[0]), ["of 1 channels", "3"]);
    let long = vec![0; 3 * 32769];
    let pixels = Pixels::Bytes(&long, ResizeFilter::Pillow);
    says(refused(one(32769, 1), pixels, &[0]), ["of 32769x1", "at most 32768"]);
    says(refused(one(4, 4), Pixels::Raw(&[0.0; 47]), &[0]), ["47 values", "1 images of 4x4x3"]);
    says(refused(one(4, 4), bytes, &[0, 0]), ["2 labels", "1 images of 4x4x3"]);
    // The largest label there is, and as many classes as in ImageNet.
    assert!(bench.network.bind(Pass::Infer, source_of(&bench, one(4, 4), bytes, 4)).is_ok());
}

fn source_of(
    bench: &Bench,
    shape: SourceShape,
    pixels: Pixels<'_>,
    label: u32,
) -> Arc<ImageSource> {
    Arc::new(ImageSource::upload(bench.network.gpu(), shape, pixels, &[label]).unwrap())
}

#[test]
fn a_thousand_classes_have_labels() {
    let Some(devices) = device::open() else { return };
    let tiny = networks::tiny(0.0);
    let builder = Architecture::builder().blocks(tiny.blocks().to_vec()).input(3, 10, 9);
    let wide = builder.hidden(vec![12]).classes(1000).build().unwrap();
    let options = NetworkOptions { batch: 1, ..Default::default() };
    let bench = Bench::new(devices.usual.gpu(), wide, options, 24);
    let bytes = pixels("noise", 10 * 9 * 3);
    let pixels = Pixels::Bytes(&bytes, ResizeFilter::Bilinear);
    let one = SourceShape { count: 1, ..shape(10, 9) };
    let source = |label| source_of(&bench, one, pixels, label);
    let row = train::logits_of(&bench.network, source(0), |_| ()).unwrap().concat();
    let most = row.iter().fold(f64::NEG_INFINITY, |most, &z| most.max(f64::from(z)));
    let of_sum = row.iter().map(|&z| (f64::from(z) - most).exp()).sum::<f64>().ln() + most;
    for label in [3, 255, 256, 999] {
        let program = bench.network.bind(Pass::Infer, source(label)).unwrap();
        let [loss, _, images] = bench.run(&program, networks::batch(0, 0, 1));
        let wanted = of_sum - f64::from(row[label as usize]);
        assert_eq!(images, 1.0);
        assert!((f64::from(loss) - wanted).abs() < 1e-4, "{label}: {loss}, not {wanted}");
    }
}
