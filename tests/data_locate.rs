//! Where sets are found, and what is checked between their files.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vgg_wgpu::data::{DataError, Places, Source, cache_dir, embedded, open_with};

const STEMS: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

fn idx(dims: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes.extend_from_slice(elements);
    bytes
}

/// A folder with a set of images of 2x3 pixels.
fn folder(train: &[u8], test: &[u8]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (labels, [images_name, labels_name]) in
        [(train, [STEMS[0], STEMS[1]]), (test, [STEMS[2], STEMS[3]])]
    {
        let count = labels.len() as u32;
        let pixels: Vec<u8> = (0..count * 6).map(|i| i as u8).collect();
        fs::write(dir.path().join(images_name), idx(&[count, 2, 3], &pixels)).unwrap();
        fs::write(dir.path().join(labels_name), idx(&[count], labels)).unwrap();
    }
    dir
}

fn open(dir: &Path) -> Result<vgg_wgpu::data::Dataset, DataError> {
    open_with(Some(dir), &Places::default())
}

#[test]
fn a_folder_is_read_whole() {
    let dir = folder(&[0, 2, 1, 0], &[2, 0]);
    let set = open(dir.path()).unwrap();
    assert_eq!(set.train.labels, [0, 2, 1, 0]);
    assert_eq!(set.test.labels, [2, 0]);
    assert_eq!(set.train.images.image(3), Some(&[18, 19, 20, 21, 22, 23][..]));
    assert_eq!((set.test.images.height, set.test.images.width), (2, 3));
    assert_eq!(set.classes, ["0", "1", "2"]);
    assert_eq!(set.source, Source::Directory(dir.path().to_path_buf()));
    assert_eq!(set.name, dir.path().file_name().unwrap().to_str().unwrap());
    let sentence = format!("{} from {}: 4 train and 2 test images", set.name, dir.path().display());
    assert_eq!(set.to_string(), sentence);
}

#[test]
fn ten_classes_of_another_set_are_not_named_as_clothing() {
    let all: Vec<u8> = (0..10).collect();
    let set = open(folder(&all, &all).path()).unwrap();
    assert_eq!(set.classes, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
}

#[test]
fn every_file_name_is_found() {
    for (from, to) in STEMS.iter().flat_map(|stem| {
        let dotted = stem.replace("-idx", ".idx");
        let names = [dotted.clone(), format!("{stem}.gz"), format!("{dotted}.gz")];
        names.map(|name| (stem, name))
    }) {
        let dir = folder(&[0, 1], &[1]);
        fs::rename(dir.path().join(from), dir.path().join(&to)).unwrap();
        assert_eq!(open(dir.path()).unwrap().train.labels, [0, 1], "{to}");
    }
}

#[test]
fn a_named_folder_without_the_files_tells_what_it_lacks_and_holds() {
    let dir = folder(&[0, 1], &[1]);
    fs::remove_file(dir.path().join(STEMS[1])).unwrap();
    fs::rename(dir.path().join(STEMS[2]), dir.path().join("t10k-images.zip")).unwrap();
    let error = open(dir.path()).unwrap_err();
    let message = error.to_string();
    let DataError::MissingFiles { missing, present, .. } = error else { panic!("{error:?}") };
    assert_eq!(missing, [STEMS[1], STEMS[2]]);
    assert_eq!(present, ["t10k-images.zip", STEMS[3], STEMS[0]]);
    for part in [STEMS[1], "t10k-images.zip", "vgg-wgpu fetch", dir.path().to_str().unwrap()] {
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
    let nowhere = open(&dir.path().join("nowhere")).unwrap_err();
    assert!(matches!(nowhere, DataError::ReadDir { .. }), "{nowhere:?}");
}

#[test]
fn a_long_folder_is_listed_in_part() {
    let dir = TempDir::new().unwrap();
    for i in 10..30 {
        fs::write(dir.path().join(format!("holiday-{i}.jpg")), []).unwrap();
    }
    let message = open(dir.path()).unwrap_err().to_string();
    assert!(message.contains("holiday-17.jpg and 12 more"), "{message}");
    let empty = open(TempDir::new().unwrap().path()).unwrap_err().to_string();
    assert!(empty.contains("holds no files"), "{empty}");
}

#[test]
fn places_are_searched_in_order() {
    let dirs = [folder(&[0], &[0]), folder(&[0; 2], &[0]), folder(&[0; 3], &[0])];
    let [environment, cache, system] = dirs.each_ref().map(|dir| dir.path().to_path_buf());
    let named = folder(&[0; 4], &[0]);
    let mut places = Places {
        environment: Some(environment.clone()),
        cache: Some(cache.clone()),
        system: Some(system.clone()),
    };
    let found = |dir, places: &Places| {
        let set = open_with(dir, places).unwrap();
        (set.train.len(), set.source)
    };
    let directory = Source::Directory(named.path().to_path_buf());
    assert_eq!(found(Some(named.path()), &places), (4, directory));
    assert_eq!(found(None, &places), (1, Source::Environment(environment)));
    places.environment = None;
    assert_eq!(found(None, &places), (2, Source::Cache(cache.clone())));
    // A download that was broken off leaves the cache without a file.
    fs::remove_file(cache.join(STEMS[3])).unwrap();
    assert_eq!(found(None, &places), (3, Source::System(system)));
    places.system = Some(PathBuf::from("/nowhere"));
    assert_eq!(found(None, &places), (10_000, Source::Embedded));
}

#[test]
fn the_folder_of_the_environment_has_to_hold_a_set() {
    let system = folder(&[0], &[0]);
    let empty = TempDir::new().unwrap();
    let places = Places {
        environment: Some(empty.path().to_path_buf()),
        cache: None,
        system: Some(system.path().to_path_buf()),
    };
    let error = open_with(None, &places).unwrap_err();
    assert!(matches!(&error, DataError::MissingFiles { dir, .. } if dir == empty.path()));
}

#[test]
fn a_damaged_cache_is_an_error() {
    let cache = folder(&[0], &[0]);
    fs::write(cache.path().join(STEMS[0]), b"damaged!").unwrap();
    let places = Places { cache: Some(cache.path().to_path_buf()), ..Places::default() };
    let error = open_with(None, &places).unwrap_err();
    assert!(matches!(error, DataError::BadMagic { .. }), "{error:?}");
}

#[test]
fn the_cache_folder_is_named_after_the_program() {
    let dir = cache_dir().expect("a home folder");
    assert!(dir.ends_with("vgg-wgpu/fashion-mnist"), "{}", dir.display());
}

#[test]
fn classes_can_be_named() {
    let dir = folder(&[0, 1], &[2]);
    fs::write(dir.path().join("classes.txt"), "cat\r\n big dog \nfish").unwrap();
    assert_eq!(open(dir.path()).unwrap().classes, ["cat", "big dog", "fish"]);
}

#[test]
fn wrong_class_names_name_the_line() {
    let long: String = (0..257).map(|i| format!("class {i}\n")).collect();
    let cases = [
        (b"".as_slice(), 1, "is empty"),
        (b"cat\n\ndog\n", 2, "is empty"),
        (b"cat\ndog\ncat\n", 3, "repeats a name"),
        (b"cat\n\xff\n", 2, "is not UTF-8"),
        (long.as_bytes(), 257, "is beyond the 256 classes"),
    ];
    for (bytes, at, text) in cases {
        let dir = folder(&[0, 1], &[1]);
        fs::write(dir.path().join("classes.txt"), bytes).unwrap();
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(error, DataError::ClassNames { line, .. } if line == at), "{error:?}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn labels_beyond_the_classes_name_index_and_offset() {
    // In the training set against the names, in the test set against the training set.
    let named = folder(&[0, 1, 5, 1], &[1]);
    fs::write(named.path().join("classes.txt"), "a\nb\n").unwrap();
    let cases = [
        (named, STEMS[1], 2, 10, 5, 2),
        (folder(&[0, 1, 2], &[0, 1, 2, 0, 3]), STEMS[3], 4, 12, 3, 3),
    ];
    for (dir, file, index, offset, label, classes) in cases {
        let error = open(dir.path()).unwrap_err();
        let expected =
            format!("label {index} at byte {offset} is {label}, expected less than {classes}");
        assert!(error.to_string().ends_with(&expected), "{error}");
        assert!(
            matches!(&error, DataError::LabelOutOfRange { path, .. } if path.ends_with(file)),
            "{error:?}"
        );
    }
}

#[test]
fn images_and_labels_of_different_number() {
    let dir = folder(&[0, 1], &[1, 0, 1]);
    fs::write(dir.path().join(STEMS[3]), idx(&[2], &[1, 0])).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, DataError::CountMismatch { images: 3, labels: 2, .. }), "{error:?}");
    assert!(error.to_string().contains(STEMS[2]) && error.to_string().contains(STEMS[3]));
}

#[test]
fn train_and_test_images_of_different_size() {
    let dir = folder(&[0, 1], &[1]);
    fs::write(dir.path().join(STEMS[2]), idx(&[1, 2, 3, 3], &[0; 18])).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(
        matches!(error, DataError::SizeMismatch { expected: [2, 3, 1], found: [2, 3, 3], .. }),
        "{error:?}"
    );
}

#[test]
fn parts_of_a_split() {
    let split = embedded().unwrap().train;
    let drawn = split.shuffled_subset(100, 7);
    assert_eq!((drawn.len(), drawn.images.count), (100, 100));
    let order = vgg_wgpu::data::permutation(split.len(), 7, 0);
    for (i, &index) in order.iter().take(100).enumerate() {
        assert_eq!(drawn.labels[i], split.labels[index as usize]);
        assert_eq!(drawn.images.image(i), split.images.image(index as usize));
    }
    assert_eq!(split.shuffled_subset(40, 7), drawn.clone().take(40));
    assert_ne!(split.shuffled_subset(100, 8), drawn);
    assert_eq!(split.shuffled_subset(usize::MAX, 7).len(), split.len());
    assert_eq!(split.clone().take(usize::MAX), split);
    let first = split.clone().take(3);
    assert_eq!(first.labels, split.labels[..3]);
    assert_eq!(first.images.pixels, split.images.pixels[..3 * 784]);
    assert!(split.take(0).is_empty());
}
