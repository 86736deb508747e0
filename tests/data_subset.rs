//! The embedded subset of Fashion-MNIST.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use vgg_wgpu::data::{
    Dataset, FASHION_MNIST_CLASSES, Places, SYSTEM_DIR, Source, Split, embedded, open, open_with,
    permutation,
};

/// As in `scripts/make_subset.py`.
const SEED: u64 = 20_170_828;
const PER_CLASS: [(u64, usize); 2] = [(0, 1000), (1, 200)];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/fashion-mnist-subset")
}

fn splits(set: &Dataset) -> [&Split; 2] {
    [&set.train, &set.test]
}

#[test]
fn it_is_balanced() {
    let set = embedded().unwrap();
    assert_eq!(set.source, Source::Embedded);
    assert_eq!(set.classes, FASHION_MNIST_CLASSES);
    assert_eq!(
        set.to_string(),
        "Fashion-MNIST subset embedded in the program: 10000 train and 2000 test images"
    );
    for (split, (_, per_class)) in splits(&set).into_iter().zip(PER_CLASS) {
        let images = &split.images;
        assert_eq!((images.height, images.width, images.channels), (28, 28, 1));
        assert_eq!((images.count, images.pixels.len()), (10 * per_class, 7840 * per_class));
        let mut counts = [0; 10];
        split.labels.iter().for_each(|&label| counts[label as usize] += 1);
        assert_eq!(counts, [per_class; 10]);
    }
}

#[test]
fn any_prefix_holds_every_class() {
    for split in splits(&embedded().unwrap()) {
        let mut counts = [0; 10];
        split.labels.iter().take(200).for_each(|&label| counts[label as usize] += 1);
        // 20 expected; a sorted order would have none of most classes.
        assert!(counts.iter().all(|count| (5..=40).contains(count)), "{counts:?}");
    }
}

#[test]
fn its_folder_opens_as_the_same_set() {
    let set = open_with(Some(&folder()), &Places::default()).unwrap();
    let inside = embedded().unwrap();
    assert_eq!((set.train, set.test), (inside.train, inside.test));
    assert_eq!(set.classes, inside.classes);
}

#[test]
fn the_files_have_the_hashes_that_their_readme_tells() {
    let readme = folder().with_file_name("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let mut files = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let hash = Sha256::digest(fs::read(&path).unwrap());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = path.file_name().unwrap().to_str().unwrap();
        let line = readme.lines().find(|line| line.contains(&hash));
        assert!(line.is_some_and(|line| line.contains(name)), "{name} {hash}");
        files += 1;
    }
    assert_eq!(files, 5);
}

/// Draws the subset again from the originals, where Debian's package of them is installed; without
/// it draws from the subset itself, which has to give every image once.
#[test]
fn it_is_what_the_permutation_draws_from_the_originals() {
    let subset = embedded().unwrap();
    let originals = open(Some(Path::new(SYSTEM_DIR)));
    let originals = originals.as_ref().unwrap_or(&subset);
    assert_eq!(originals.classes, FASHION_MNIST_CLASSES);
    let pairs = splits(originals).into_iter().zip(splits(&subset));
    for ((original, split), (epoch, per_class)) in pairs.zip(PER_CLASS) {
        let mut left = [per_class; 10];
        let mut drawn = Vec::new();
        for index in permutation(original.len(), SEED, epoch) {
            let index = index as usize;
            let label = original.labels[index];
            if left[label as usize] > 0 {
                left[label as usize] -= 1;
                drawn.push((label, original.images.image(index).unwrap()));
            }
        }
        let mut kept: Vec<_> = split
            .labels
            .iter()
            .enumerate()
            .map(|(i, &label)| (label, split.images.image(i).unwrap()))
            .collect();
        if original.len() == split.len() {
            drawn.sort_unstable();
            kept.sort_unstable();
        }
        assert!(drawn == kept, "split {epoch} differs");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_system_folder_is_whole_or_absent() {
    let set = open(Some(Path::new(SYSTEM_DIR)));
    if Path::new(SYSTEM_DIR).is_dir() {
        let set = set.unwrap();
        assert_eq!((set.name.as_str(), set.train.len()), ("Fashion-MNIST", 60_000));
        assert_eq!(set.test.len(), 10_000);
    } else {
        assert!(set.is_err());
    }
}
