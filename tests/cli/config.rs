//! `--config`: flags in a file.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::sets::{Set, text};
use crate::{chosen_adapter, end, fails, has_adapter, on_adapter, program, succeeds};

/// A file of flags in a folder of its own.
struct File {
    folder: TempDir,
}

impl File {
    fn new(content: &str) -> Self {
        let file = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(file.path(), content).unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("mine.toml")
    }

    /// Fails as wrong usage, with the words and the place in the file.
    fn is_wrong(&self, command: &str, line: usize, words: &[&str]) {
        let path = self.path();
        let place = format!("{}:{line}: ", path.display());
        fails(&[command, "--config", text(&path)], 2, &[&[place.as_str()], words].concat());
    }
}

fn table(run: &Path) -> toml::Table {
    fs::read_to_string(run.join("config.toml")).unwrap().parse().unwrap()
}

#[test]
fn a_run_is_repeated_by_its_own_settings() {
    if !has_adapter("a_run_is_repeated_by_its_own_settings") {
        return;
    }
    let (set, adapter) = (Set::new(), chosen_adapter());
    let data = text(&set.data()).replace('\\', "/");
    let file = File::new(&format!(
        "arch = '1x4,2x8'  # with a comment\n\
         [learning]\n\
         epochs = 9\nbatch = 0x20\nlr = 2e-2\nschedule = 'cosine'\nseed = 11\n\
         [data]\n\
         data = '{data}'\n\
         resize = 8\nno_shuffle = true\nlimit = 6_4\n\
         [memory]\n\
         variant = ['dense_forward_tiled', 'conv_forward_tiled']\ntune = false\n"
    ));
    let train = |config: &Path, out: &str, more: &[&str]| {
        let out = set.path(out);
        let flags = ["train", "--config", text(config), "--out", text(&out)];
        let flags = [&flags[..], more].concat();
        let ended = end(&mut program(&on_adapter(&flags, &adapter)));
        assert_eq!(ended.code, 0, "{ended:?}");
        let model = fs::read(out.join("model.safetensors")).unwrap();
        (model, table(&out))
    };
    let (model, config) = train(&file.path(), "first", &["--epochs", "1"]);
    let flags = config["flags"].as_table().unwrap();
    // Those of the file, one that was typed too, one that nobody named; nothing of the run's own.
    assert_eq!(flags["arch"].as_str(), Some("1x4,2x8"));
    assert_eq!(flags["batch"].as_integer(), Some(32));
    assert_eq!(flags["no-shuffle"].as_bool(), Some(true));
    assert_eq!(flags["variant"].as_array().unwrap().len(), 2);
    assert_eq!(flags["epochs"].as_integer(), Some(1));
    assert_eq!(flags["step-epochs"].as_integer(), Some(5));
    assert!(["out", "name", "config", "help"].iter().all(|name| !flags.contains_key(*name)));
    let adapter_row = &config["adapter"]["variants"].as_array().unwrap();
    assert!(adapter_row.iter().any(|name| name.as_str() == Some("conv_forward_tiled")));

    let (again, repeated) = train(&set.path("first/config.toml"), "second", &[]);
    assert_eq!(repeated["flags"], config["flags"]);
    assert!(again == model, "another model");
    let (other, _) = train(&set.path("first/config.toml"), "third", &["--seed", "12"]);
    assert!(other != model, "the seed that was typed counts");
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_known_one() {
    let file = File::new("lr = 0.1\n\n[learning]\nmomentun = 0.9\n");
    file.is_wrong("train", 4, &["'momentun'", "'momentum'", "Usage: vgg-wgpu train"]);
    File::new("batch_sizes = 2\n").is_wrong("train", 1, &["'batch_sizes'", "nearest"]);
    // A flag of another subcommand, one that no file may hold, and one that takes no value there.
    File::new("epoch = 3\n").is_wrong("eval", 1, &["eval has no flag 'epoch'"]);
    File::new("config = 'other.toml'\n").is_wrong("train", 1, &["'config'"]);
    File::new("help = true\n").is_wrong("train", 1, &["'help'"]);
}

#[test]
fn values_of_the_wrong_kind_are_told_with_their_line() {
    for (line, words) in [
        ("no-shuffle = 1", &["no-shuffle", "integer", "true or false"][..]),
        ("no-shuffle = 'true'", &["no-shuffle", "string", "true or false"]),
        ("lr = true", &["lr", "boolean", "a number or a text"]),
        ("lr = [0.1]", &["lr", "array"]),
        ("lr = 1979-05-27", &["lr", "datetime"]),
        ("lr = 'fast'", &["'fast'", "lr", "expected a number"]),
        ("lr = -1", &["'-1'", "at least 0"]),
        ("lr = nan", &["'nan'", "at least 0"]),
        ("epochs = 2.5", &["'2.5'", "epochs"]),
        ("epochs = 0", &["'0'", "epochs"]),
        ("schedule = 'sine'", &["'sine'", "one of constant, step, cosine, one-cycle"]),
        ("variant = ['conv_forward_tiled', 'fast']", &["'fast'", "conv_forward_tiled"]),
        ("variant = [['conv_forward_tiled']]", &["variant", "array"]),
        ("arch = ''", &["arch"]),
        ("lr = { of = 1 }", &["'of'"]),
        ("lr 1", &[]),
        ("lr = 1\nlr = 2", &["duplicate"]),
        ("[more]\nweight_decay = 1\n[most]\nweight-decay = 2", &["twice", "line 3"]),
    ] {
        let wrong = 1 + line.matches('\n').count();
        File::new(&format!("seed = 1\n{line}\n")).is_wrong("train", 1 + wrong, words);
    }
    for (line, words) in [
        ("compare = 'one'", &["compare", "string", "a list of 2 values"]),
        ("compare = ['one']", &["compare", "1 of 2", "values"]),
        ("compare = ['one', ['two']]", &["compare", "array", "a list of 2 values"]),
    ] {
        File::new(line).is_wrong("runs", 1, words);
    }
}

#[test]
fn flags_that_are_typed_come_before_those_of_the_file() {
    // The resolution fails before an adapter is opened: the message tells which one was taken.
    let file = File::new("data = 'embedded'\nresize = 16\n");
    let path = file.path();
    let config = format!("--config={}", path.display());
    fails(&["train", &config], 1, &["block 5", "at least 32"]);
    fails(&["train", &config, "--resize", "8"], 1, &["block 4"]);
    fails(&["--config", text(&path), "train", "--resize=8"], 1, &["block 4"]);
}

#[test]
fn other_subcommands_take_a_file_too() {
    let file = File::new("arch = '1x4'\nresize = 8\nbatch = 2\nclasses = 3\n");
    let path = file.path();
    if has_adapter("other_subcommands_take_a_file_too") {
        let plain = ["plan", "--arch", "1x4", "--resize", "8", "--batch", "2", "--classes", "3"];
        let adapter = chosen_adapter();
        let of_file = succeeds(&on_adapter(&["plan", "--config", text(&path)], &adapter));
        assert_eq!(of_file, succeeds(&on_adapter(&plain, &adapter)));
    }
    // Of flags that exclude each other the one that was typed stays.
    let file = File::new("adapter = 'none of this name'\n");
    let path = file.path();
    fails(&["shaders", "--config", text(&path)], 1, &["none of this name"]);
    assert_eq!(
        succeeds(&["shaders", "--config", text(&path), "--all"]),
        succeeds(&["shaders", "--all"])
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_failure() {
    fails(&["train", "--config", "no such.toml"], 1, &["cannot read no such.toml"]);
    fails(&["train", "--config"], 2, &["--config <FILE>"]);
}
