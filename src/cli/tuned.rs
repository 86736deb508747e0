//! Tuned choices of kernels: those of the user's cache, and those measured before a run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use clap::Args;
use vgg_wgpu::gpu::{AdapterFacts, Gpu};
use vgg_wgpu::graph::{
    self, Architecture, Dropped, NetworkOptions, TuneTask, Tuned, choices_of, tune_tasks,
};
use vgg_wgpu::kernel::Kernels;
use vgg_wgpu::ops::Choices;
use vgg_wgpu::train::{TunedCache, TunedError};

use super::common::say;
use super::progress::bar;
use super::report::warn;

const CLEAR: &str = "`vgg-wgpu tune --clear` removes what was tuned";

// Whether kernels are timed before a run.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Adapter and memory")]
pub struct TuningArgs {
    /// Time the kernels that can compute each layer, and take the fastest: now and, kept in the user's
    /// cache, in later runs
    #[arg(long)]
    pub tune: bool,
    /// Seconds that tuning may take; layers not reached keep the choice of the cost model
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        requires = "tune",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub tune_seconds: u64,
}

impl TuningArgs {
    /// `options` with tuned choices: measured now if asked for, else those of the cache.
    pub fn apply(
        &self,
        architecture: &Architecture,
        options: NetworkOptions,
        gpu: &Arc<Gpu>,
    ) -> Result<NetworkOptions> {
        if self.tune {
            let limit = Duration::from_secs(self.tune_seconds);
            match Session::run(architecture, &options, gpu, limit) {
                Ok(session) => {
                    session.warn_of_dropped();
                    session.keep(gpu.facts());
                    say(format!("tuned     {}", session.summary()))?;
                    return Ok(fitting(architecture, options, session.choices, gpu.facts()));
                }
                Err(error) => warn(error, "the run goes on without tuning"),
            }
        }
        let options = from_cache(architecture, options, gpu.facts());
        if let Some(line) = in_use(&options) {
            say(format!("tuned     {line}"))?;
        }
        Ok(options)
    }
}

/// `options` with what the user's cache has for them on the adapter. A cache that cannot be read is
/// told of, and nothing else.
pub fn from_cache(
    architecture: &Architecture,
    options: NetworkOptions,
    facts: &AdapterFacts,
) -> NetworkOptions {
    let cache = read();
    if !cache.knows(facts) {
        return options;
    }
    // What does not fit the adapter is told by whoever allocates it.
    let Ok(tasks) = tune_tasks(architecture, &options, facts) else { return options };
    let choices = cache.choices(&tasks, facts);
    fitting(architecture, options, choices, facts)
}

/// A line that tells of tuned choices, where there are some.
pub fn in_use(options: &NetworkOptions) -> Option<String> {
    let count = options.choices.len();
    let what = if count == 1 { "choice" } else { "choices" };
    (count > 0).then(|| format!("{count} {what} of kernels by `vgg-wgpu tune`"))
}

/// `options` with `choices`, unless these need so much memory that batches would be cut another way:
/// they are for launches of as many images as there are without them.
fn fitting(
    architecture: &Architecture,
    options: NetworkOptions,
    choices: Choices,
    facts: &AdapterFacts,
) -> NetworkOptions {
    let tuned = NetworkOptions { choices, ..options.clone() };
    let micro_batch = |options| graph::plan(architecture, options, facts).map(|p| p.micro_batch);
    match (micro_batch(&options), micro_batch(&tuned)) {
        (Ok(plain), Ok(with)) if plain == with => tuned,
        _ => options,
    }
}

fn read() -> TunedCache {
    let found = TunedCache::path().and_then(|path| TunedCache::read(&path));
    match found {
        Ok(cache) => cache,
        Err(TunedError::NoCache) => TunedCache::default(),
        Err(error) => {
            warn(error, CLEAR);
            TunedCache::default()
        }
    }
}

/// What tuning found.
pub struct Session {
    pub tasks: Vec<TuneTask>,
    pub tuned: Vec<Tuned>,
    /// What was measured, and for tasks not reached what an earlier tuning found.
    pub choices: Choices,
    pub took: Duration,
    pub limit: Duration,
}

impl Session {
    /// Times all that the network may run on the adapter, with a bar on a terminal.
    pub fn run(
        architecture: &Architecture,
        options: &NetworkOptions,
        gpu: &Arc<Gpu>,
        limit: Duration,
    ) -> Result<Self> {
        let start = Instant::now();
        let tasks = tune_tasks(architecture, options, gpu.facts())?;
        let bar = bar("tune {bar:24} {pos}/{len} {elapsed} {msg}");
        bar.set_length(tasks.len() as u64);
        let kernels = Kernels::new(Arc::clone(gpu))?;
        let tuned = graph::tune(&kernels, &tasks, limit, |place| {
            bar.set_position(place as u64);
            bar.set_message(tasks[place].key.clone());
        });
        bar.finish_and_clear();
        let tuned = tuned?;
        let mut choices = read().choices(&tasks, gpu.facts());
        let measured = choices_of(&tasks, &tuned);
        { measured.iter() }.for_each(|(task, name)| choices.set(task.to_owned(), name.to_owned()));
        Ok(Self { tasks, tuned, choices, took: start.elapsed(), limit })
    }

    /// Keeps the choices in the user's cache, and returns the file; what prevents it is told.
    pub fn keep(&self, facts: &AdapterFacts) -> Option<PathBuf> {
        let keep = || {
            let path = TunedCache::path()?;
            let mut cache = read();
            cache.keep(&self.choices, &self.tasks, facts);
            cache.save(&path)?;
            Ok(path)
        };
        keep().map_err(|error: TunedError| warn(error, "the choices hold for this run")).ok()
    }

    /// The tasks that time did not suffice for.
    pub fn not_reached(&self) -> impl Iterator<Item = &TuneTask> {
        let reached = |place| self.tuned.iter().any(|tuned| tuned.task == place);
        self.tasks.iter().enumerate().filter(move |(i, _)| !reached(*i)).map(|(_, task)| task)
    }

    /// Tells of variants that are wrong or do not run.
    pub fn warn_of_dropped(&self) {
        let mut told = Vec::new();
        for candidate in self.tuned.iter().flat_map(|tuned| &tuned.candidates) {
            if let Some(Dropped::Unusable(why)) = &candidate.dropped {
                let text = format!("{} is not used: {why}", candidate.variant);
                if !told.contains(&text) {
                    warn(anyhow!(text.clone()), "");
                    told.push(text);
                }
            }
        }
    }

    /// What came of it, in a line.
    pub fn summary(&self) -> String {
        let (all, reached) = (self.tasks.len(), self.tuned.len());
        let left = |tuned: &&Tuned| tuned.chosen.is_some_and(|c| c != self.tasks[tuned.task].model);
        let changed = self.tuned.iter().filter(left).count();
        let seconds = self.took.as_secs_f64();
        let mut text = format!(
            "{reached} of {all} kinds of work in {seconds:.0} s, {changed} by another kernel than the \
             cost model's"
        );
        let earlier = self.not_reached().filter(|t| self.choices.get(&t.key).is_some()).count();
        let model = all - reached - earlier;
        if model > 0 {
            text.push_str(&format!("; {model} not reached keep the model's choice"));
        }
        if earlier > 0 {
            text.push_str(&format!("; {earlier} not reached keep that of an earlier tuning"));
        }
        text
    }
}
