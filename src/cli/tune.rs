use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Args;
use serde::Serialize;
use vgg_wgpu::gpu::Gpu;
use vgg_wgpu::graph::{Candidate, Dropped, TuneTask, Tuned};
use vgg_wgpu::train::TunedCache;

use super::common::{AdapterReport, columns, say, say_json};
use super::network::{PassArg, WorkArgs};
use super::tuned::Session;

/// Time the kernels for each layer of a network, and keep the fastest for later runs
///
/// Later runs of this network on this adapter and driver take them, whatever the command, until the
/// shaders change. A kernel is compared with its float64 reference before it is timed; what is wrong or
/// fails is dropped. `train --tune` does the same for its network.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu tune --arch vgg11 --ratio 4 --resize 64 --seconds 30\n  \
    vgg-wgpu tune --clear\n\nA choice is for a shape with the images of a launch: --batch, --momentum, \
    --memory and --micro-batch\nhave to be those of the run that is to take it."
)]
pub struct TuneArgs {
    #[command(flatten)]
    work: WorkArgs,
    /// Seconds that tuning may take; what is not reached keeps the choice of the cost model
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    seconds: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Remove all choices that were kept, of all adapters, and do nothing else
    #[arg(long, conflicts_with = "json")]
    clear: bool,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    adapter: AdapterReport,
    arch: String,
    batch: usize,
    pass: PassArg,
    limit_seconds: f64,
    seconds: f64,
    tasks: Vec<TaskReport<'a>>,
    not_reached: Vec<Work<'a>>,
    /// The file that keeps the choices; null where there is none.
    kept_in: Option<String>,
}

#[derive(Debug, Serialize)]
struct Work<'a> {
    task: &'a str,
    layers: &'a [String],
    /// What the cost model chooses.
    model: &'static str,
    /// What runs: null if nothing that was tried is right.
    chosen: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct TaskReport<'a> {
    #[serde(flatten)]
    work: Work<'a>,
    /// The time of the model's choice over that of the chosen one; null where one was not timed.
    gain: Option<f64>,
    candidates: Vec<CandidateReport<'a>>,
}

#[derive(Debug, Serialize)]
struct CandidateReport<'a> {
    variant: &'static str,
    ms: Option<f64>,
    /// `slow` if it was timed on a share of the images only, `unusable` if it is wrong or fails.
    dropped: Option<&'static str>,
    why: Option<&'a str>,
}

/// Tunes and reports.
pub fn run(args: &TuneArgs) -> Result<()> {
    if args.clear {
        return clear();
    }
    let architecture = args.work.architecture()?;
    let gpu = args.work.adapter.open()?;
    let options = args.work.options(gpu.facts())?;
    let limit = Duration::from_secs(args.seconds);
    if !args.json {
        say(format!("adapter   {}", gpu.facts()))?;
        say(format!("network   {architecture} at {} px", architecture.input().height))?;
    }
    let session = Session::run(&architecture, &options, &gpu, limit)?;
    session.warn_of_dropped();
    let kept_in = session.keep(gpu.facts()).map(|path| path.display().to_string());
    if args.json {
        let report = Report::of(args, architecture.to_string(), &gpu, &session, kept_in);
        return say_json(&report);
    }
    say(format!("\n{}", table(&session)))?;
    say(format!("tuned     {}", session.summary()))?;
    match kept_in {
        Some(path) => Ok(say(format!("kept in   {path}"))?),
        None => Ok(()),
    }
}

fn clear() -> Result<()> {
    let path = TunedCache::path().map_err(|error| anyhow!("{error}"))?;
    let shown = path.display();
    let line = match TunedCache::clear(&path)? {
        true => format!("removed {shown}"),
        false => format!("nothing was tuned: there is no {shown}"),
    };
    Ok(say(line)?)
}

/// For each task a row, and one for each candidate, the fastest first; then what was not reached.
fn table(session: &Session) -> String {
    let head = |task: &TuneTask| format!("{}: {}", layers(task), task.key);
    let row = |first: String, ms: &str, note: &str| vec![first, ms.to_owned(), note.to_owned()];
    let mut rows = Vec::new();
    for tuned in &session.tuned {
        let task = &session.tasks[tuned.task];
        let mut candidates: Vec<_> = tuned.candidates.iter().collect();
        let time = |candidate: &Candidate| candidate.seconds.unwrap_or(f64::INFINITY);
        candidates.sort_by(|a, b| time(a).total_cmp(&time(b)));
        rows.push(row(head(task), "", ""));
        rows.extend(candidates.into_iter().map(|candidate| {
            let ms = candidate.seconds.map_or("-".to_owned(), |s| format!("{:.3}", s * 1e3));
            row(format!("  {}", candidate.variant), &ms, &note(task, tuned, candidate))
        }));
    }
    for task in session.not_reached() {
        let kept = session.choices.get(&task.key);
        let note = if kept.is_some() { "not reached, tuned earlier" } else { "not reached" };
        rows.push(row(head(task), "", ""));
        rows.push(row(format!("  {}", kept.unwrap_or(task.model)), "-", note));
    }
    columns(&["layer: work, and its kernels", ">ms", ""], &rows)
}

fn layers(task: &TuneTask) -> String {
    match task.layers.as_slice() {
        [first] => first.clone(),
        [first, others @ ..] => format!("{first} +{}", others.len()),
        [] => String::new(),
    }
}

fn note(task: &TuneTask, tuned: &Tuned, candidate: &Candidate) -> String {
    let chosen = tuned.chosen == Some(candidate.variant);
    match &candidate.dropped {
        Some(Dropped::Slow(times)) => format!("{times:.1} times as slow"),
        Some(Dropped::Unusable(_)) => "not used".to_owned(),
        None if chosen && candidate.variant == task.model => "chosen, as by the model".to_owned(),
        None if chosen => match tuned.gain(task) {
            Some(gain) => format!("chosen, {gain:.2} times as fast"),
            None => "chosen".to_owned(),
        },
        None if candidate.variant == task.model => "the model's".to_owned(),
        None => String::new(),
    }
}

impl<'a> Report<'a> {
    fn of(
        args: &TuneArgs,
        arch: String,
        gpu: &Gpu,
        session: &'a Session,
        kept_in: Option<String>,
    ) -> Self {
        let tasks = session.tuned.iter().map(|tuned| TaskReport::of(tuned, session));
        let not_reached = session
            .not_reached()
            .map(|task| Work::of(task, Some(session.choices.get(&task.key).unwrap_or(task.model))));
        Self {
            adapter: gpu.facts().into(),
            arch,
            batch: args.work.batch,
            pass: args.work.pass,
            limit_seconds: session.limit.as_secs_f64(),
            seconds: session.took.as_secs_f64(),
            tasks: tasks.collect(),
            not_reached: not_reached.collect(),
            kept_in,
        }
    }
}

impl<'a> Work<'a> {
    fn of(task: &'a TuneTask, chosen: Option<&'a str>) -> Self {
        Self { task: &task.key, layers: &task.layers, model: task.model, chosen }
    }
}

impl<'a> TaskReport<'a> {
    fn of(tuned: &'a Tuned, session: &'a Session) -> Self {
        let task = &session.tasks[tuned.task];
        let candidates = tuned.candidates.iter().map(|candidate| {
            let (dropped, why) = match &candidate.dropped {
                None => (None, None),
                Some(Dropped::Slow(_)) => (Some("slow"), None),
                Some(Dropped::Unusable(why)) => (Some("unusable"), Some(why.as_str())),
            };
            let ms = candidate.seconds.map(|seconds| seconds * 1e3);
            CandidateReport { variant: candidate.variant, ms, dropped, why }
        });
        Self {
            work: Work::of(task, tuned.chosen),
            gain: tuned.gain(task),
            candidates: candidates.collect(),
        }
    }
}
