//! Folders of pictures, and pictures of every kind, good and bad.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use tempfile::TempDir;
use vgg_wgpu::data::{
    self, DataError, ImageSet as _, Picture, PictureForm, PictureProblem, PictureSet,
    find_pictures, pictures_of_csv,
};

/// 24 columns and 16 rows as they are.
const AS_IT_IS: PictureForm = PictureForm { height: 16, width: 24, channels: 3, shorter: None };
const RED: [u8; 3] = [200, 30, 30];
const BLUE: [u8; 3] = [30, 30, 200];

/// A picture that Pillow wrote, see `tests/pictures`.
fn of_pillow(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures").join(name)
}

fn pixel(image: &[u8], row: usize, column: usize, width: usize) -> [u8; 3] {
    let at = 3 * (row * width + column);
    [image[at], image[at + 1], image[at + 2]]
}

fn near(found: [u8; 3], wanted: [u8; 3], most: u8) -> bool {
    found.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= most)
}

#[test]
fn every_kind_of_picture_becomes_an_image() {
    // How far a colour may be off: JPEG and CMYK lose some.
    let kinds = [
        ("cmyk.jpg", 12),
        ("progressive.jpg", 6),
        ("animated.webp", 0),
        ("animated.png", 0),
        ("animated.gif", 0),
        ("palette.png", 0),
    ];
    for (name, most) in kinds {
        let image = AS_IT_IS.read(&of_pillow(name)).unwrap();
        let [left, right] = [4, 19].map(|column| pixel(&image, 8, column, 24));
        assert!(near(left, RED, most) && near(right, BLUE, most), "{name}: {left:?} {right:?}");
    }
    // Pillow's L of both colours, and 51400 / 257 of 16 bits.
    let grey = AS_IT_IS.read(&of_pillow("grey_alpha.png")).unwrap();
    let [left, right] = [4, 19].map(|column| pixel(&grey, 8, column, 24));
    assert_eq!((left, right), (data_grey(RED), data_grey(BLUE)));
    let deep = AS_IT_IS.read(&of_pillow("deep.png")).unwrap();
    assert!(deep.iter().all(|&value| value == 200), "{}", deep[0]);
}

fn data_grey(colour: [u8; 3]) -> [u8; 3] {
    [data::grey(&colour)[0]; 3]
}

#[test]
fn a_picture_is_turned_as_its_exif_data_say() {
    let form = PictureForm { height: 24, width: 16, channels: 3, shorter: None };
    let image = form.read(&of_pillow("rotated.jpg")).unwrap();
    let [top, bottom] = [4, 19].map(|row| pixel(&image, row, 8, 16));
    assert!(near(top, RED, 6) && near(bottom, BLUE, 6), "{top:?} {bottom:?}");
}

#[test]
fn a_picture_is_cut_or_stretched_and_made_grey() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wide.png");
    // Three squares side by side, the one in the middle bright.
    GrayImage::from_fn(90, 30, |x, _| Luma([if x / 30 == 1 { 240 } else { 20 }]))
        .save(&path)
        .unwrap();
    let form = |shorter| PictureForm { height: 10, width: 10, channels: 1, shorter };
    let cut = form(Some(10)).read(&path).unwrap();
    // The filter reaches a third of a pixel past the middle.
    assert!(cut.chunks(10).all(|row| row[1..9].iter().all(|&value| value == 240)), "{cut:?}");
    let stretched = form(None).read(&path).unwrap();
    assert_eq!((stretched[0], stretched[5], stretched[9]), (20, 240, 20));
}

/// A folder of files that are no pictures, with the words that tell why.
fn bad_files(folder: &Path) -> Vec<(PathBuf, &'static str)> {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut whole = Vec::new();
    let noise =
        RgbImage::from_fn(64, 64, |x, y| Rgb([((x * 37) ^ (y * 91)) as u8, x as u8, y as u8]));
    let encode = |format| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        noise.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    for (name, format) in [
        ("cut.png", ImageFormat::Png),
        ("cut.webp", ImageFormat::WebP),
        ("cut.bmp", ImageFormat::Bmp),
        ("cut.tiff", ImageFormat::Tiff),
        ("cut.gif", ImageFormat::Gif),
    ] {
        let bytes = encode(format);
        whole.push((write(name, &bytes[..bytes.len() / 2]), "cannot be decoded"));
    }
    // A JPEG at any length, its last byte alone missing too, and none of the end of a picture inside it.
    let bytes = encode(ImageFormat::Jpeg);
    for kept in [20, bytes.len() / 3, bytes.len() - 2, bytes.len() - 1] {
        whole.push((write(&format!("cut{kept}.jpg"), &bytes[..kept]), "is cut off"));
    }
    let small = [&[0xff, 0xe1, 0, 6][..], &[0xff, 0xd8, 0xff, 0xd9]].concat();
    let within = [&bytes[..2], &small, &bytes[2..bytes.len() / 2]].concat();
    whole.push((write("within.jpg", &within), "is cut off"));
    whole.push((write("empty.png", &[]), "is empty"));
    whole.push((write("text.jpg", b"not a picture at all"), "is no PNG"));
    let mut huge = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\x08\x02\0\0\0".to_vec();
    huge.extend(crc32(&huge[12..]).to_be_bytes());
    huge.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    whole.push((write("huge.png", &huge), "60000x60000"));
    // A file that is longer than is read; on most file systems it takes no room.
    let long = write("long.png", &huge);
    fs::OpenOptions::new().write(true).open(&long).unwrap().set_len((512 << 20) + 1).unwrap();
    whole.push((long, "is a file of 512 MiB"));
    whole.push((folder.join("gone.png"), "cannot be read"));
    whole
}

/// Of PNG's chunks (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc: u32, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

#[test]
fn what_is_no_picture_is_told_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    for (path, reason) in bad_files(folder.path()) {
        let problem = AS_IT_IS.read(&path).unwrap_err();
        let text = problem.to_string();
        assert!(text.contains(reason), "{}: {text}", path.display());
        assert_eq!(
            matches!(problem, PictureProblem::TooLarge { .. }),
            reason.contains("60000"),
            "{text}"
        );
    }
}

#[test]
fn bad_pictures_are_left_out_and_the_others_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let good = |i: usize| {
        let path = folder.path().join(format!("good{i}.png"));
        GrayImage::from_pixel(9, 9, Luma([10 * i as u8])).save(&path).unwrap();
        path
    };
    let bad = bad_files(folder.path());
    let mut pictures = Vec::new();
    for (i, (path, _)) in bad.iter().enumerate() {
        pictures.push(Picture { path: good(i), label: i as u32 });
        pictures.push(Picture { path: path.clone(), label: 0 });
    }
    let form = PictureForm { height: 4, width: 4, channels: 1, shorter: Some(4) };
    let seen = AtomicUsize::new(0);
    let most = |n| {
        seen.fetch_max(n, Ordering::Relaxed);
    };
    let (split, skipped) = data::read_pictures(form, pictures.clone(), most);
    assert_eq!(seen.load(Ordering::Relaxed), pictures.len());
    assert_eq!(skipped.len(), bad.len());
    let names: Vec<_> = skipped.iter().map(|bad| bad.path.clone()).collect();
    assert!(bad.iter().map(|(path, _)| path.clone()).eq(names));
    assert_eq!(split.labels, (0..bad.len() as u32).collect::<Vec<_>>());
    for i in 0..split.len() {
        assert_eq!(split.images.image(i).unwrap(), [10 * i as u8; 16]);
    }
    // A set that is not kept in memory reads the same.
    let (set, again) = data::check_pictures(form, pictures, |_| ());
    assert_eq!((again.len(), set.len()), (skipped.len(), split.len()));
    let mut pixels = [0; 16];
    for i in 0..set.len() {
        set.read(i, &mut pixels).unwrap();
        assert_eq!(pixels, split.images.image(i).unwrap());
        assert_eq!(set.label(i), split.labels[i]);
    }
    // A file that went away since.
    fs::remove_file(&set.pictures[2].path).unwrap();
    let error = set.read(2, &mut pixels).unwrap_err().to_string();
    assert!(error.contains("good2.png") && error.contains("cannot be read"), "{error}");
}

/// Empty files: finding them does not look into them.
fn tree(paths: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for path in paths {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, []).unwrap();
    }
    folder
}

fn names(folder: &TempDir, pictures: &[Picture]) -> Vec<(String, u32)> {
    let relative = |picture: &Picture| {
        let path = picture.path.strip_prefix(folder.path()).unwrap();
        (path.to_string_lossy().replace('\\', "/"), picture.label)
    };
    pictures.iter().map(relative).collect()
}

fn named(all: &[(&str, u32)]) -> Vec<(String, u32)> {
    all.iter().map(|&(name, label)| (name.to_owned(), label)).collect()
}

#[test]
fn a_folder_for_each_class_is_a_set() {
    let folder = tree(&[
        "dog/b.JPG",
        "dog/a.png",
        "dog/deep/er/c.webp",
        "dog/notes.txt",
        "dog/._a.png",
        "cat/1.gif",
        "cat/2.tiff",
        ".git/x.png",
        "readme.md",
    ]);
    let found = find_pictures(folder.path()).unwrap();
    assert_eq!(found.classes, ["cat", "dog"]);
    let wanted = [
        ("cat/1.gif", 0),
        ("cat/2.tiff", 0),
        ("dog/a.png", 1),
        ("dog/b.JPG", 1),
        ("dog/deep/er/c.webp", 1),
    ];
    assert_eq!(names(&folder, &found.train), named(&wanted));
    assert!(found.validation.is_none() && found.test.is_none() && found.bad.is_empty());
    assert_eq!(found.name, folder.path().file_name().unwrap().to_string_lossy());
}

#[test]
fn folders_of_splits_share_their_classes() {
    let folder =
        tree(&["train/a/1.png", "train/b/1.png", "val/b/2.png", "test/a/3.png", "test/b/4.png"]);
    let found = find_pictures(folder.path()).unwrap();
    assert_eq!(names(&folder, &found.train), named(&[("train/a/1.png", 0), ("train/b/1.png", 1)]));
    // A class may be missing, and keeps its number.
    assert_eq!(names(&folder, found.validation.as_ref().unwrap()), named(&[("val/b/2.png", 1)]));
    assert_eq!(found.test.unwrap().len(), 2);
    let folder = tree(&["train/a/1.png", "train/b/1.png", "valid/c/2.png"]);
    let error = find_pictures(folder.path()).unwrap_err();
    assert!(matches!(&error, DataError::UnknownClass { class, .. } if class == "c"), "{error}");
}

#[test]
fn sets_without_classes_or_pictures_are_refused() {
    let of = |paths: &[&str]| find_pictures(tree(paths).path()).unwrap_err().to_string();
    assert!(of(&["1.png", "2.png"]).contains("no classes"));
    assert!(of(&["a/1.png"]).contains("the only class is a"));
    assert!(of(&["a/1.png", "b/1.txt"]).contains("b: no pictures"));
    assert!(of(&["train/a/1.png", "train/b/1.png", "val/x.txt"]).contains("val: no pictures"));
    assert!(matches!(
        find_pictures(Path::new("no such folder")).unwrap_err(),
        DataError::ReadDir { .. }
    ));
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_circles_are_told() {
    use std::os::unix::fs::symlink;
    let folder = tree(&["a/1.png", "b/1.png", "elsewhere.dir/2.png"]);
    let path = |name| folder.path().join(name);
    symlink(path("elsewhere.dir"), path("a/more")).unwrap();
    symlink(path("b"), path("b/again")).unwrap();
    symlink(path("nowhere.png"), path("b/broken.png")).unwrap();
    fs::rename(path("elsewhere.dir"), path(".elsewhere")).unwrap();
    fs::remove_file(path("a/more")).unwrap();
    symlink(path(".elsewhere"), path("a/more")).unwrap();
    let found = find_pictures(folder.path()).unwrap();
    let wanted = [("a/1.png", 0), ("a/more/2.png", 0), ("b/1.png", 1)];
    assert_eq!(names(&folder, &found.train), named(&wanted));
    let mut told: Vec<_> = found.bad.iter().map(ToString::to_string).collect();
    told.sort();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("again") && told[0].contains("is a link back to"), "{told:?}");
    assert!(told[1].contains("broken.png") && told[1].contains("cannot be read"), "{told:?}");
}

#[test]
fn a_csv_file_names_pictures_and_labels() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("labels.csv");
    let of = |text: &str, dir| {
        fs::write(&csv, text).unwrap();
        pictures_of_csv(&csv, dir)
    };
    let found = of("path,label\nx/1.png,10\n\"a, b.png\", 9\n", None).unwrap();
    assert_eq!(found.classes, ["9", "10"]);
    assert_eq!(names(&folder, &found.train), named(&[("x/1.png", 1), ("a, b.png", 0)]));
    let found = of("1.png,cat\n2.png,ant\n", Some(Path::new("/pictures"))).unwrap();
    assert_eq!(found.classes, ["ant", "cat"]);
    assert_eq!(found.train[0].path, Path::new("/pictures/1.png"));
    for (text, line) in
        [("1.png,a\n2.png\n", "line 2"), ("1.png,a,b\n", "line 1"), (",a\n", "line 1")]
    {
        let error = of(text, None).unwrap_err().to_string();
        assert!(error.contains(line) && error.contains("path,label"), "{error}");
    }
    assert!(matches!(of("1.png,a\n2.png,a\n", None), Err(DataError::FewClasses { .. })));
    assert!(matches!(of("", None), Err(DataError::FewClasses { .. })));
    let gone = pictures_of_csv(Path::new("no such file.csv"), None).unwrap_err();
    assert!(gone.to_string().contains("no such file.csv"), "{gone}");
}

#[test]
fn a_set_tells_its_shape() {
    let form = PictureForm { height: 3, width: 5, channels: 1, shorter: None };
    let pictures = vec![Picture { path: PathBuf::from("x.png"), label: 4 }];
    let set = PictureSet { form, pictures };
    assert_eq!((set.len(), set.shape(), set.label(0)), (1, (3, 5, 1), 4));
    assert!(!set.is_empty());
}
