//! What was found by tuning: kept for later runs on the same adapter, and with a run.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::data;
use crate::files::write_beside;
use crate::gpu::AdapterFacts;
use crate::graph::{Chosen, TuneTask};
use crate::kernel::fingerprint;
use crate::ops::Choices;

/// The version of the file's format.
const VERSION: u32 = 1;
/// Bytes of a file at most: thousands of networks.
const MOST_BYTES: u64 = 16 << 20;

/// Variants that were measured to be fastest, by adapter, driver and task, each with a hash of the
/// shaders that it was measured with: what was measured with others counts no more.
///
/// The file is JSON, replaced as a whole by each [`TunedCache::save`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TunedCache {
    version: u32,
    adapters: Vec<OnAdapter>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OnAdapter {
    adapter: String,
    backend: String,
    driver: String,
    /// By the key of the task.
    tasks: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    variant: String,
    shaders: String,
}

/// Why tuned choices could not be read or kept.
#[derive(Debug, Error)]
pub enum TunedError {
    /// There is no folder for what users keep.
    #[error("there is no cache folder to keep tuned choices in")]
    NoCache,
    /// The file could not be read.
    #[error("cannot read tuned choices from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} holds no tuned choices", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file is of another version of the program.
    #[error("{} is in format {found}, this program reads {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The file could not be written or removed.
    #[error("cannot keep tuned choices in {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The settings of a run are not those that this program writes.
    #[error("{} tells of no choices of kernels", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: toml::de::Error,
    },
}

impl Default for TunedCache {
    fn default() -> Self {
        Self { version: VERSION, adapters: Vec::new() }
    }
}

impl TunedCache {
    /// The user's file: `vgg-wgpu/tuned.json` in the cache folder, see [`data::user_cache`].
    ///
    /// # Errors
    /// [`TunedError::NoCache`] without a home folder.
    pub fn path() -> Result<PathBuf, TunedError> {
        Ok(data::user_cache().ok_or(TunedError::NoCache)?.join("tuned.json"))
    }

    /// Reads a file; one that is not there is empty.
    ///
    /// # Errors
    /// [`TunedError`] if it cannot be read or holds something else.
    pub fn read(path: &Path) -> Result<Self, TunedError> {
        let failed = |source| TunedError::Read { path: path.to_owned(), source };
        match fs::metadata(path) {
            Ok(found) if found.len() > MOST_BYTES => {
                let why = format!("{} bytes are more than {MOST_BYTES}", found.len());
                return Err(failed(io::Error::new(ErrorKind::InvalidData, why)));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(error)),
            Ok(_) => {}
        }
        let bytes = fs::read(path).map_err(failed)?;
        let cache: Self = serde_json::from_slice(&bytes)
            .map_err(|source| TunedError::Format { path: path.to_owned(), source })?;
        match cache.version {
            VERSION => Ok(cache),
            found => Err(TunedError::Version { path: path.to_owned(), found }),
        }
    }

    /// Writes the file beside the one that is there, and renames it; makes its folder where needed.
    ///
    /// # Errors
    /// [`TunedError::Write`].
    pub fn save(&self, path: &Path) -> Result<(), TunedError> {
        let failed = |source| TunedError::Write { path: path.to_owned(), source };
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        write_beside(path, (text + "\n").as_bytes()).map_err(failed)
    }

    /// Removes the file; true if there was one.
    ///
    /// # Errors
    /// [`TunedError::Write`].
    pub fn clear(path: &Path) -> Result<bool, TunedError> {
        match fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(TunedError::Write { path: path.to_owned(), source }),
        }
    }

    /// True if something was kept for an adapter with its driver.
    pub fn knows(&self, facts: &AdapterFacts) -> bool {
        self.adapters.iter().any(|known| known.is(facts))
    }

    /// What was chosen for `tasks` on an adapter with its driver and these shaders.
    pub fn choices(&self, tasks: &[TuneTask], facts: &AdapterFacts) -> Choices {
        let mut choices = Choices::default();
        let Some(here) = self.adapters.iter().find(|known| known.is(facts)) else { return choices };
        for task in tasks {
            let entry = here.tasks.get(&task.key);
            if let Some(entry) = entry.filter(|entry| entry.shaders == shaders(task, facts)) {
                choices.set(task.key.clone(), entry.variant.clone());
            }
        }
        choices
    }

    /// Keeps what of `choices` is of `tasks`.
    pub fn keep(&mut self, choices: &Choices, tasks: &[TuneTask], facts: &AdapterFacts) {
        let place = self.adapters.iter().position(|known| known.is(facts));
        let place = place.unwrap_or_else(|| {
            self.adapters.push(OnAdapter::new(facts));
            self.adapters.len() - 1
        });
        for task in tasks {
            if let Some(variant) = choices.get(&task.key) {
                let entry = Entry { variant: variant.to_owned(), shaders: shaders(task, facts) };
                self.adapters[place].tasks.insert(task.key.clone(), entry);
            }
        }
    }
}

impl OnAdapter {
    fn new(facts: &AdapterFacts) -> Self {
        let AdapterFacts { name, backend, driver, .. } = facts.clone();
        Self { adapter: name, backend, driver, tasks: BTreeMap::new() }
    }

    fn is(&self, facts: &AdapterFacts) -> bool {
        self.adapter == facts.name && self.backend == facts.backend && self.driver == facts.driver
    }
}

fn shaders(task: &TuneTask, facts: &AdapterFacts) -> String {
    fingerprint(&task.variants(facts))
}

/// What is read of a run's settings.
#[derive(Debug, Deserialize)]
struct Recorded {
    #[serde(default)]
    choices: Vec<Chosen>,
}

/// The variants that a run in `folder` took where there were several, as its `config.toml` tells: what
/// [`NetworkOptions::choices`](crate::graph::NetworkOptions::choices) takes to run them again. Empty
/// of a run that recorded none.
///
/// # Errors
/// [`TunedError`] if the file cannot be read.
pub fn recorded_choices(folder: &Path) -> Result<Choices, TunedError> {
    let path = folder.join("config.toml");
    let text = fs::read_to_string(&path)
        .map_err(|source| TunedError::Read { path: path.clone(), source })?;
    let recorded: Recorded =
        toml::from_str(&text).map_err(|source| TunedError::Config { path, source })?;
    let mut choices = Choices::default();
    for Chosen { task, variant, .. } in recorded.choices {
        choices.set(task, variant);
    }
    Ok(choices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::AdapterKind;
    use crate::graph::{Architecture, NetworkOptions, tune_tasks};

    fn tasks(facts: &AdapterFacts) -> Vec<TuneTask> {
        let network = Architecture::builder().table("1x16,1x32").unwrap();
        let network = network.input(1, 16, 16).classes(10).build().unwrap();
        let options = NetworkOptions { batch: 8, ..NetworkOptions::default() };
        tune_tasks(&network, &options, facts).unwrap()
    }

    fn cache(facts: &AdapterFacts, tasks: &[TuneTask]) -> (TunedCache, Choices) {
        let mut choices = Choices::default();
        for task in &tasks[..3] {
            choices.set(task.key.clone(), task.model.to_owned());
        }
        let mut cache = TunedCache::default();
        cache.keep(&choices, tasks, facts);
        (cache, choices)
    }

    #[test]
    fn what_was_kept_comes_back_on_the_same_adapter_and_driver_only() {
        let facts = AdapterFacts::example(AdapterKind::Software);
        let tasks = tasks(&facts);
        let (cache, choices) = cache(&facts, &tasks);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/tuned.json");
        assert_eq!(TunedCache::read(&path).unwrap(), TunedCache::default());
        cache.save(&path).unwrap();
        let read = TunedCache::read(&path).unwrap();
        assert_eq!(read.choices(&tasks, &facts), choices);
        let driver = AdapterFacts { driver: "1.1".to_owned(), ..facts.clone() };
        assert!(read.choices(&tasks, &driver).is_empty());
        let other = AdapterFacts { name: "another".to_owned(), ..facts.clone() };
        assert!(read.choices(&tasks, &other).is_empty());

        // Both drivers' choices are kept; the later one of a task replaces the earlier.
        let mut both = read;
        let mut later = Choices::default();
        later.set(tasks[0].key.clone(), "another_variant".to_owned());
        both.keep(&later, &tasks, &driver);
        assert_eq!(both.choices(&tasks, &facts), choices);
        both.keep(&later, &tasks, &facts);
        let found = both.choices(&tasks, &facts);
        assert_eq!((found.len(), found.get(&tasks[0].key)), (3, Some("another_variant")));

        assert!(TunedCache::clear(&path).unwrap() && !TunedCache::clear(&path).unwrap());
    }

    #[test]
    fn what_other_shaders_were_measured_at_counts_no_more() {
        let facts = AdapterFacts::example(AdapterKind::Software);
        let tasks = tasks(&facts);
        let (mut cache, choices) = cache(&facts, &tasks);
        let stale = cache.adapters[0].tasks.get_mut(&tasks[1].key).unwrap();
        stale.shaders = "0123456789abcdef".to_owned();
        let found = cache.choices(&tasks, &facts);
        assert_eq!(found.len(), choices.len() - 1);
        assert_eq!(found.get(&tasks[1].key), None);
    }

    #[test]
    fn a_file_that_is_none_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tuned.json");
        for (text, words) in [
            ("", "holds no tuned choices"),
            ("{\"version\": 1, \"adapters\": [", "holds no tuned choices"),
            ("{\"version\": 1, \"adapters\": 7}", "holds no tuned choices"),
            ("{\"version\": 9, \"adapters\": []}", "format 9"),
        ] {
            fs::write(&path, text).unwrap();
            let error = TunedCache::read(&path).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("tuned.json"), "{text}: {error}");
        }
        fs::File::create(&path).unwrap().set_len(MOST_BYTES + 1).unwrap();
        assert!(matches!(TunedCache::read(&path), Err(TunedError::Read { .. })));
        assert!(matches!(TunedCache::read(folder.path()), Err(TunedError::Read { .. })));
        let under_a_file = path.join("tuned.json");
        let error = TunedCache::default().save(&under_a_file).unwrap_err();
        assert!(matches!(error, TunedError::Write { .. }), "{error:?}");
    }

    #[test]
    fn a_run_tells_its_choices() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.toml");
        let missing = recorded_choices(folder.path()).unwrap_err();
        assert!(matches!(missing, TunedError::Read { .. }), "{missing:?}");
        fs::write(&config, "version = \"0.1.0\"\n[network]\narch = \"vgg11\"\n").unwrap();
        assert!(recorded_choices(folder.path()).unwrap().is_empty());
        let text = "[[choices]]\nlayer = \"a\"\ntask = \"dense n1\"\nvariant = \"dense_tiled\"\n";
        fs::write(&config, text).unwrap();
        let choices = recorded_choices(folder.path()).unwrap();
        assert_eq!(choices.get("dense n1"), Some("dense_tiled"));
        fs::write(&config, "choices = 3").unwrap();
        let wrong = recorded_choices(folder.path()).unwrap_err();
        assert!(matches!(wrong, TunedError::Config { .. }), "{wrong:?}");
    }
}
