//! Parsed shaders on disk. Rendering and parsing the long, unrolled ones takes longer than all the rest
//! of a start: naga's time grows with the square of a function's expressions.
//!
//! A file holds the SHA-256 of what follows and naga's module in postcard's format; its name is that of
//! what the source is made of, [`Recipe::id`], so that what is found need not be rendered. A file that is
//! damaged or cannot be read is as good as none, one that cannot be written is not kept. What is read is
//! validated by wgpu like any other module.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use naga::front::wgsl::parse_str;
use sha2::{Digest as _, Sha256};

use super::source::Recipe;
use super::{KernelError, Source};

/// Part of each name: modules of another version of this crate or of naga are not read.
const VERSION: &str = concat!("vgg-wgpu ", env!("CARGO_PKG_VERSION"), ", naga 30, postcard 1\n");
/// The most files kept: several times what a network needs.
const MOST_FILES: usize = 256;
const SUM_BYTES: usize = 32;

/// A shader as the device takes it.
#[derive(Debug)]
pub(super) enum Shader {
    /// Parsed.
    Module(Box<naga::Module>),
    /// What naga does not parse: wgpu tells what is wrong with it.
    Source(Source),
}

/// The shader of `recipe`, from the cache in `folder` if there is one, and whether it was not there.
pub(super) fn shader(
    recipe: &Recipe<'_>,
    folder: Option<&Path>,
) -> Result<(Shader, bool), KernelError> {
    let path = folder.map(|folder| folder.join(name(&recipe.id)));
    let kept = path.as_ref().and_then(|path| decode(&fs::read(path).ok()?));
    if let Some(module) = kept {
        return Ok((Shader::Module(Box::new(module)), false));
    }
    let source = recipe.render()?;
    let Ok(module) = parse_str(&source.wgsl) else { return Ok((Shader::Source(source), true)) };
    if let Some(path) = path {
        // A cache that cannot be written costs time and nothing else.
        let _ = write(&path, &module);
    }
    Ok((Shader::Module(Box::new(module)), true))
}

impl Shader {
    /// A measure of its length: all expressions of a module.
    pub fn size(&self) -> usize {
        let Self::Module(module) = self else { return 0 };
        let functions = module.functions.iter().map(|(_, function)| function);
        let entries = module.entry_points.iter().map(|entry| &entry.function);
        functions.chain(entries).map(|function| function.expressions.len()).sum()
    }
}

fn name(id: &str) -> String {
    let sum = Sha256::new().chain_update(VERSION).chain_update(id).finalize();
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(bytes: &[u8]) -> Option<naga::Module> {
    let (sum, module) = bytes.split_at_checked(SUM_BYTES)?;
    if Sha256::digest(module).as_slice() != sum {
        return None;
    }
    postcard::from_bytes(module).ok()
}

/// Writes beside and renames, so that another process reads a whole file or none.
fn write(path: &Path, module: &naga::Module) -> Option<()> {
    static WRITTEN: AtomicUsize = AtomicUsize::new(0);
    let module = postcard::to_stdvec(module).ok()?;
    let bytes = [Sha256::digest(&module).as_slice(), &module].concat();
    let folder = path.parent()?;
    fs::create_dir_all(folder).ok()?;
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let mut beside = OsString::from(path);
    beside.push(format!(".{}-{number}", process::id()));
    let beside = PathBuf::from(beside);
    let renamed = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    if renamed.is_err() {
        fs::remove_file(&beside).ok()?;
    }
    prune(folder)
}

/// Removes the oldest files where there are too many.
fn prune(folder: &Path) -> Option<()> {
    let written = |entry: &fs::DirEntry| entry.metadata().and_then(|about| about.modified()).ok();
    let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| Some((written(&entry)?, entry.path())))
        .collect();
    files.sort();
    let spare = files.len().saturating_sub(MOST_FILES);
    files[..spare].iter().try_for_each(|(_, path)| fs::remove_file(path).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Access, Binding, Grid, Variant};
    use crate::shape::Layout;

    fn variant(value: u32) -> Variant {
        Variant {
            name: "test",
            template: "@compute @workgroup_size(1) fn main() { store_x(0u, vec4<f32>(f32(VALUE))); }",
            constants: vec![("VALUE", value)],
            dims: Vec::new(),
            grid: Grid::fixed(1),
            target: None,
            proven: false,
            supported: Ok(()),
        }
    }

    fn recipe(variant: &Variant) -> Recipe<'_> {
        Recipe::new(variant, &[Binding::quads("x", Layout::Flat(4), Access::Write)], &[])
    }

    /// The module of `recipe`, and whether it was made.
    fn module(recipe: &Recipe<'_>, folder: Option<&Path>) -> (naga::Module, bool) {
        match shader(recipe, folder).unwrap() {
            (Shader::Module(module), made) => (*module, made),
            (Shader::Source(source), _) => panic!("{}", source.wgsl),
        }
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// Modules compared by what they print, less where in the source things stood.
    fn same(a: &naga::Module, b: &naga::Module) -> bool {
        postcard::to_stdvec(a).unwrap() == postcard::to_stdvec(b).unwrap()
    }

    #[test]
    fn a_module_is_kept_and_read_again_whatever_happened_to_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("not made yet");
        let variant = variant(1);
        let recipe = recipe(&variant);
        let parsed = parse_str(&recipe.render().unwrap().wgsl).unwrap();
        let look = || {
            let (module, made) = module(&recipe, Some(&folder));
            assert!(same(&module, &parsed));
            made
        };
        assert!(look());
        assert!(!look());
        let [path] = &files(&folder)[..] else { panic!("one file") };
        let whole = fs::read(path).unwrap();
        assert!(same(&decode(&whole).unwrap(), &parsed));

        let mut flipped = whole.clone();
        flipped[SUM_BYTES + whole.len() / 2] ^= 1;
        for damaged in [&[], &whole[..7], &whole[..whole.len() - 1], &flipped] {
            fs::write(path, damaged).unwrap();
            assert!(decode(damaged).is_none());
            assert!(look());
            assert_eq!(fs::read(path).unwrap(), whole, "it was written anew");
        }
    }

    #[test]
    fn what_is_in_the_cache_is_taken_and_other_sources_have_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (variant(1), variant(2));
        let (one, two) = (recipe(&one), recipe(&two));
        let second = parse_str(&two.render().unwrap().wgsl).unwrap();
        write(&folder.path().join(name(&one.id)), &second).unwrap();
        assert!(same(&module(&one, Some(folder.path())).0, &second));
        assert_ne!(name(&one.id), name(&two.id));
    }

    #[test]
    fn without_a_folder_that_can_be_written_a_module_is_parsed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let variant = variant(3);
        for folder in [None, Some(file.path())] {
            assert!(module(&recipe(&variant), folder).1);
        }
    }

    #[test]
    fn a_source_that_does_not_parse_is_kept_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let variant = Variant { template: "fn main( {", ..variant(4) };
        let found = shader(&recipe(&variant), Some(folder.path())).unwrap();
        assert!(matches!(found, (Shader::Source(source), true) if source.wgsl.contains("main( {")));
        assert!(files(folder.path()).is_empty());
    }

    #[test]
    fn the_oldest_files_make_room() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..MOST_FILES + 3 {
            let path = folder.path().join(number.to_string());
            fs::write(&path, []).unwrap();
            let age = std::time::Duration::from_secs(1000 - number as u64);
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        prune(folder.path()).unwrap();
        assert_eq!(files(folder.path()).len(), MOST_FILES);
        assert!(!folder.path().join("2").exists() && folder.path().join("3").exists());
    }
}
