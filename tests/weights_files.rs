//! Files of tensors: those of PyTorch (`tests/weights/make_fixtures.py` made them), those written
//! here, and malformed ones, each of which is an error that says what is wrong.

use std::error::Error;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use vgg_wgpu::weights::{
    Tensor, TensorFile, Values, WeightsError, parse_tensors, read_tensors, write_pth,
    write_safetensors,
};
use zip::write::{SimpleFileOptions, ZipWriter};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weights").join(name)
}

fn parse(bytes: &[u8]) -> Result<TensorFile, WeightsError> {
    parse_tensors(bytes, Path::new("some.pth"))
}

/// An error with its causes.
fn why(result: Result<TensorFile, WeightsError>) -> String {
    let error = result.unwrap_err();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What `ramp` of the script makes.
fn ramp(count: u8) -> Vec<f32> {
    (0..count).map(|i| f32::from(i) / 4.0 - 1.0).collect()
}

fn floats(name: &str, shape: &[usize], values: Vec<f32>) -> Tensor<'static> {
    Tensor { name: name.to_owned(), shape: shape.to_vec(), values: Values::F32(values.into()) }
}

fn integers(name: &str, shape: &[usize], values: Vec<i64>) -> Tensor<'static> {
    Tensor { name: name.to_owned(), shape: shape.to_vec(), values: Values::I64(values.into()) }
}

fn plain() -> Vec<Tensor<'static>> {
    vec![
        floats("weight", &[2, 3], ramp(6)),
        floats("half", &[4], ramp(4)),
        floats("brain", &[4], ramp(4)),
        floats("double", &[4], ramp(4)),
        integers("steps", &[], vec![7]),
        integers("bytes", &[2], vec![0, 200]),
        integers("flags", &[2], vec![1, 0]),
        integers("small", &[2], vec![-3, 3]),
    ]
}

#[test]
fn every_form_of_torch_save_gives_the_same_tensors() {
    for name in [
        "plain.pth",
        "plain_protocol4.pth",
        "plain_legacy.pth",
        "plain_legacy_protocol4.pth",
        "plain_legacy_cuda.pth",
    ] {
        let file = read_tensors(&fixture(name)).unwrap();
        assert_eq!(file.tensors, plain(), "{name}");
        assert_eq!(file.metadata, None, "{name}");
    }
    let by_name = |mut tensors: Vec<Tensor<'static>>| {
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        tensors
    };
    let file = read_tensors(&fixture("plain.safetensors")).unwrap();
    assert_eq!(by_name(file.tensors), by_name(plain()));
}

#[test]
fn views_of_shared_storages_have_their_own_values() {
    let at = |indices: &[u8]| indices.iter().map(|i| ramp(12)[usize::from(*i)]).collect();
    let expected = [
        floats("whole", &[3, 4], ramp(12)),
        floats("transposed", &[4, 3], at(&[0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11])),
        floats("part", &[2, 2], at(&[5, 6, 9, 10])),
        floats("expanded", &[3], at(&[0, 0, 0])),
        floats("empty", &[0, 4], vec![]),
        floats("parameter", &[2], ramp(2)),
    ];
    for name in ["views.pth", "views_legacy.pth"] {
        assert_eq!(read_tensors(&fixture(name)).unwrap().tensors, expected, "{name}");
    }
}

#[test]
fn a_checkpoint_gives_its_state_dict() {
    let file = read_tensors(&fixture("checkpoint.pth")).unwrap();
    let names: Vec<&str> = file.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    let norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"];
    let norm = norm.map(|part| format!("1.{part}"));
    let expected = ["0.weight", "0.bias"].into_iter().chain(norm.iter().map(String::as_str));
    assert_eq!(names, expected.collect::<Vec<_>>());
    assert_eq!(file.tensors[0], floats("0.weight", &[2, 1, 3, 3], vec![0.5; 18]));
}

#[test]
fn what_is_written_is_read_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let odd = vec![f32::MIN_POSITIVE / 2.0, -0.0, f32::INFINITY, f32::MAX, 0.1, 1e-30];
    let mut tensors = vec![
        floats("b.weight", &[1, 2, 3], odd),
        floats("a", &[300], ramp(150).repeat(2)),
        floats("none", &[3, 0, 2], vec![]),
        integers("counter", &[], vec![i64::MIN]),
    ];
    let pth = folder.path().join("model.pth");
    write_pth(&pth, &tensors).unwrap();
    assert_same_bits(&read_tensors(&pth).unwrap().tensors, &tensors);
    let first = fs::read(&pth).unwrap();
    write_pth(&pth, &tensors).unwrap();
    assert_eq!(fs::read(&pth).unwrap(), first, "the same tensors give the same bytes");

    let path = folder.path().join("model.safetensors");
    write_safetensors(&path, &tensors, Some("{}")).unwrap();
    let file = read_tensors(&path).unwrap();
    assert_eq!(file.metadata.as_deref(), Some("{}"));
    tensors.sort_by_key(|tensor| (matches!(tensor.values, Values::F32(_)), tensor.name.clone()));
    assert_same_bits(&file.tensors, &tensors);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside");
}

/// Zeros compare equal whatever their sign; their bytes do not.
fn assert_same_bits(found: &[Tensor<'_>], expected: &[Tensor<'_>]) {
    assert_eq!(found, expected);
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.values.bytes(), expected.values.bytes(), "{}", found.name);
    }
}

#[test]
fn tensors_that_make_no_file_are_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let short = [floats("a", &[2, 2], ramp(3))];
    let twice = [floats("a", &[1], ramp(1)), floats("a", &[1], ramp(1))];
    let pth = |tensors: &[Tensor<'_>]| write_pth(&path, tensors);
    let safetensors = |tensors: &[Tensor<'_>]| write_safetensors(&path, tensors, None);
    for short in [pth(&short), safetensors(&short)] {
        assert!(matches!(short, Err(WeightsError::Length { found: 3, .. })));
    }
    for twice in [pth(&twice), safetensors(&twice)] {
        assert!(matches!(twice, Err(WeightsError::Twice { .. })));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn nothing_of_a_pickle_is_run() {
    for name in ["calls_system.pth", "calls_system_legacy.pth"] {
        let text = why(read_tensors(&fixture(name)));
        assert!(text.contains("posix.system") && text.contains("at byte "), "{name}: {text}");
    }
    let text = why(read_tensors(&fixture("module.pth")));
    assert!(text.contains("torch.nn.modules.container.Sequential"), "{text}");
    assert!(text.contains("state_dict()"), "{text}");
    let text = why(read_tensors(&fixture("script.pt")));
    assert!(text.contains("TorchScript"), "{text}");
    assert!(!Path::new("was_run").exists() && !fixture("was_run").exists());
}

#[test]
fn a_file_that_is_cut_anywhere_is_an_error() {
    let written = tempfile::tempdir().unwrap().path().with_extension("pth");
    write_pth(&written, &plain()).unwrap();
    let small = fs::read(&written).unwrap();
    fs::remove_file(&written).unwrap();
    let read = |name| fs::read(fixture(name)).unwrap();
    let files = [small, read("plain.pth"), read("plain_legacy.pth"), read("plain.safetensors")];
    for bytes in files {
        parse(&bytes).unwrap();
        for length in (0..bytes.len()).step_by(7) {
            assert!(parse(&bytes[..length]).is_err(), "{length} of {}", bytes.len());
        }
    }
}

#[test]
fn a_flipped_byte_never_panics() {
    for name in ["views.pth", "views_legacy.pth", "plain.safetensors", "checkpoint.pth"] {
        let bytes = fs::read(fixture(name)).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            // Bytes of numbers may be anything; the rest is an error or another small file.
            if let Ok(file) = parse(&changed) {
                let values: usize = file.tensors.iter().map(|tensor| tensor.values.len()).sum();
                assert!(values < bytes.len(), "{name}, byte {at}");
            }
        }
    }
}

#[test]
fn other_formats_are_named() {
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, expected) in [
        (&b""[..], "is empty"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\x80\x02}q\0.", "a pickle of Python"),
        (b"0123456789", "[30, 31, 32, 33, 34, 35, 36, 37]"),
        (&tar, "tar archive"),
    ] {
        let text = why(parse(bytes));
        assert!(text.contains(expected) && text.contains("safetensors"), "{text}");
    }
}

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

#[test]
fn safetensors_with_wrong_headers_are_refused() {
    let tensor = |name: &str, shape: &str, begin: u64, end: u64| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
    };
    let file = |tensors: &[String]| safetensors(&format!("{{{}}}", tensors.join(",")), &[0; 8]);
    parse(&file(&[tensor("a", "[1]", 0, 4), tensor("b", "[1]", 4, 8)])).unwrap();
    for wrong in [
        file(&[tensor("a", "[2]", 0, 8), tensor("b", "[1]", 4, 8)]),
        file(&[tensor("a", "[1]", 0, 4)]),
        file(&[tensor("a", "[1]", 4, 8)]),
        file(&[tensor("a", "[4]", 0, 16)]),
        file(&[tensor("a", "[3]", 0, 8)]),
        file(&[tensor("a", "[4294967296,4294967296]", 0, 8)]),
        [&u64::MAX.to_le_bytes()[..], b"{}"].concat(),
        [&(1u64 << 26).to_le_bytes()[..], b"{}"].concat(),
    ] {
        assert!(matches!(parse(&wrong), Err(WeightsError::Format { .. })), "{wrong:?}");
    }
    // Lengths that add up to the file's only modulo 2^64.
    let each = 1u64 << 61;
    let mut tensors: Vec<String> = (0..7)
        .map(|i| tensor(&format!("t{i}"), &format!("[{}]", each / 4), i * each, (i + 1) * each))
        .collect();
    let last = u64::MAX - 3;
    tensors.push(tensor("u", &format!("[{}]", (last - 7 * each) / 4), 7 * each, last));
    assert!(matches!(parse(&file(&tensors)), Err(WeightsError::Format { .. })));
    let complex = safetensors(r#"{"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}"#, &[0; 8]);
    assert!(why(parse(&complex)).contains("tensor a holds C64"));
}

/// A zip archive of records.
fn archive(records: &[(&str, &[u8])], options: SimpleFileOptions) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in records {
        archive.start_file(*name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn stored() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored)
}

/// The pickle of a state dict with one tensor `a`, of 4 floats in storage `0`.
fn one_tensor(count: &[u8], offset: &[u8], size: &[u8], stride: &[u8]) -> Vec<u8> {
    let start = b"\x80\x02}U\x01actorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\n\
        FloatStorage\nU\x010U\x03cpu";
    [start, count, b"tQ", offset, size, stride, b"\x89}tRs."].concat()
}

fn torch_file(pickle: &[u8]) -> Vec<u8> {
    archive(&[("x/data.pkl", pickle), ("x/data/0", &[0; 16])], stored())
}

/// Four bytes of [`one_tensor`]'s integers.
fn int(value: i32) -> Vec<u8> {
    [&b"J"[..], &value.to_le_bytes()].concat()
}

#[test]
fn tensors_that_reach_outside_their_storage_are_refused() {
    let one = |count: &[u8], offset: &[u8], size: &[u8], stride: &[u8]| {
        parse(&torch_file(&one_tensor(count, offset, size, stride)))
    };
    let (four, zero, by_one) = (&b"K\x04"[..], &b"K\x00"[..], &b"K\x01\x85"[..]);
    assert_eq!(
        one(four, zero, b"K\x04\x85", by_one).unwrap().tensors,
        [floats("a", &[4], vec![0.0; 4])]
    );
    let large = [int(i32::MAX), int(i32::MAX), int(i32::MAX)].concat();
    let large = [&large[..], b"\x87"].concat();
    for (result, expected) in [
        (one(four, zero, b"K\x05\x85", by_one), "reaches past its storage of 4 values"),
        (one(four, b"K\x01", b"K\x04\x85", by_one), "reaches past"),
        (one(four, zero, b"K\x04\x85", b"K\x02\x85"), "reaches past"),
        (one(four, zero, b"K\x02K\x02\x86", by_one), "reaches past"),
        (one(four, zero, &large, b"K\0K\0K\0\x87"), "reaches past"),
        (one(four, zero, b"J\xff\xff\xff\x7f\x85", b"K\0\x85"), "eight times"),
        (one(four, &int(-1), b"K\x04\x85", by_one), "its offset is no offset"),
        (one(four, zero, b"J\xff\xff\xff\xff\x85", by_one), "its size is no shape"),
        (one(four, zero, b"K\x04", by_one), "its size is no shape"),
        (one(b"K\x05", zero, b"K\x04\x85", by_one), "has 16 bytes, expected 5 times 4"),
        (one(&int(-4), zero, b"K\x04\x85", by_one), "expected -4 times 4"),
    ] {
        let text = why(result);
        assert!(text.contains("tensor a") && text.contains(expected), "{text}");
    }
    let pickle = one_tensor(four, zero, b"K\x04\x85", by_one);
    let text = why(parse(&archive(&[("x/data.pkl", &pickle)], stored())));
    assert!(text.contains("tensor a: the file has no storage 0"), "{text}");
}

#[test]
fn archives_that_torch_does_not_write_are_refused() {
    let pickle = one_tensor(b"K\x04", b"K\0", b"K\x04\x85", b"K\x01\x85");
    let records: [(&str, &[u8]); 2] = [("x/data.pkl", &pickle), ("x/data/0", &[0; 16])];
    let whole = archive(&records, stored());
    parse(&whole).unwrap();

    // A bomb: one record says that it is deflated. The method stands 10 bytes into the central
    // directory's entry; the archive's last entry is storage 0.
    let mut deflated = whole.clone();
    let last = deflated.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
    deflated[last + 10] = 8;
    let text = why(parse(&deflated));
    assert!(text.contains("record x/data/0 is packed"), "{text}");
    let mut longer = whole.clone();
    longer[last + 20..last + 28].copy_from_slice(&[0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0]);
    assert!(why(parse(&longer)).contains("reach past"));

    let mut damaged = whole.clone();
    let data = damaged.windows(16).position(|bytes| bytes == [0; 16]).unwrap();
    damaged[data + 15] = 1;
    let text = why(parse(&damaged));
    assert!(text.contains("record x/data/0 is damaged"), "{text}");

    for name in ["../x", "x/../../y", "/etc/x", "x\\..\\y"] {
        let text = why(parse(&archive(&[records[0], records[1], (name, b"")], stored())));
        assert!(text.contains("leads out of the archive"), "{name}: {text}");
    }
    let text = why(parse(&archive(&[("x/weights.npy", b"")], stored())));
    assert!(text.contains("no record x/data.pkl"), "{text}");
    let big = [records[0], records[1], ("x/byteorder", b"big")];
    assert!(why(parse(&archive(&big, stored()))).contains("big-endian"));
}

#[test]
fn pickles_that_are_no_state_dict_are_refused() {
    let deep = [&b"\x80\x02"[..], &b"]".repeat(100_000), &b"a".repeat(99_999), b"."].concat();
    let marks = [&b"\x80\x02"[..], &b"(".repeat(100_000), b"."].concat();
    let wide = [&b"\x80\x02"[..], &b"N".repeat((1 << 20) + 1), b"."].concat();
    let notes = [&b"\x80\x02N"[..], &b"\x94".repeat((1 << 20) + 1), b"."].concat();
    let pairs = [&b"\x80\x02]q\0("[..], &b"NN\x86".repeat(1000), b"e0"].concat();
    for (pickle, expected) in [
        (&deep[..], "it holds a list"),
        (&marks, "more than 1000 levels"),
        (&wide, "more than 1048576 values"),
        (&notes, "more than 1048576 notes"),
        (&pairs, "opcode 0x30 (POP)"),
        (b"\x80\x02}.", "a dict with the keys []"),
        (b"\x80\x02}U\x05epochK\x03s.", "a dict with the keys [epoch]"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "it calls collections.OrderedDict"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "it calls a storage of torch"),
        (b"\x80\x02K\x01)R.", "has a int for what is called"),
        (b"\x80\x02cbuiltins\neval\nU\x011\x85R.", "it asks for builtins.eval"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "it asks for os.system"),
        (b"\x80\x02(U\x02lsios\nsystem\n.", "opcode 0x69 (INST)"),
        (b"\x80\x02)\x81.", "opcode 0x81 (NEWOBJ)"),
        (b"\x80\x02c\x1b[31m\nx\n.", "it asks for \\u{1b}[31m.x"),
        (b"\x80\x02h\x07.", "its note 7, which was not taken"),
        (b"\x80\x02.", "takes a value that is not there"),
        (b"\x80\x02N(a.", "takes a value that is not there"),
        (b"\x80\x02}(Nu.", "takes a value that is not there"),
        (b"\x80\x02U\xff", "it is cut off"),
        (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "it is cut off"),
        (b"\x80\x02U\x01\xff.", "not UTF-8"),
        (b"\x80\x09N.", "protocol 9"),
        (b"\x80\x02U\x06moduleN\x86Q.", "a whole module"),
    ] {
        let text = why(parse(&torch_file(pickle)));
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn python_2_pickles_of_ordered_dicts_are_read() {
    let pickle = one_tensor(b"K\x04", b"K\0", b"K\x04\x85", b"K\x01\x85");
    // From `{"a": tensor}` to `OrderedDict([["a", tensor]])`.
    let inner = &pickle[3..pickle.len() - 2];
    let pickle = [b"\x80\x02ccollections\nOrderedDict\n](](", inner, b"ee\x85R."].concat();
    let file = parse(&torch_file(&pickle)).unwrap();
    assert_eq!(file.tensors, [floats("a", &[4], vec![0.0; 4])]);
}
