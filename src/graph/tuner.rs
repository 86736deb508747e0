//! Timing all variants of a task on the device, right ones only.

use std::time::{Duration, Instant};

use super::GraphError;
use super::check::{check, same_kernel};
use super::scratch::Scratch;
use super::tune::{Candidate, Dropped, TuneTask, Tuned};
use crate::gpu::{AdapterFacts, GpuError};
use crate::kernel::{KernelError, Kernels, Launch, Step, Variant};
use crate::ops::cost::seconds_of;
use crate::ops::{Op, VerifyError, Way, trial_step, verify};

/// The largest error relative to the largest output that a variant may have: what F(4x4) is offered by.
const MOST_ERROR: f64 = 1e-5;
/// Times that every candidate runs, in turns, and the least that make a median.
const ROUNDS: usize = 5;
const LEAST_ROUNDS: usize = 3;
/// Of this share of a launch's images all candidates are timed first; those that take this many times
/// as long as the fastest take no further part.
const SHARE: usize = 8;
const TOO_SLOW: f64 = 2.5;
/// Seconds that a candidate should run in a round, for the clock, and the most launches to do so.
const LEAST_SECONDS: f64 = 0.002;
const MOST_RUNS: usize = 16;
/// How much faster than the model's choice another one has to be: less may be noise.
const MARGIN: f64 = 1.03;
/// Work and elements of an operation on one image that its reference computes in no time.
const SMALL_FLOP: u64 = 50_000_000;
const SMALL_ELEMENTS: usize = 4_000_000;
const SEED: u64 = 1;

/// A candidate in the making.
struct Contender<'a> {
    way: &'a Way,
    variant: Variant,
    launches: Vec<Launch>,
    runs: usize,
    rounds: Vec<f64>,
    found: Candidate,
}

/// Times what can compute each of `tasks`, one after the other, until `limit` is over: what is not
/// among the results was not reached. A candidate is compared with its f64 reference first, on a small
/// shape, and dropped where it differs or fails. All candidates of a task run in turns, and their
/// medians count. `progress` is told the place of the task that begins.
///
/// # Errors
/// [`GraphError`] if memory is short or the device is lost.
pub fn tune(
    kernels: &Kernels,
    tasks: &[TuneTask],
    limit: Duration,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Tuned>, GraphError> {
    let end = Instant::now() + limit;
    let Some(first) = tasks.first() else { return Ok(Vec::new()) };
    let ops = tasks.iter().flat_map(|task| &task.ways).flat_map(|way| &way.ops);
    let gpu = kernels.gpu();
    let fitting =
        ops.map(|op| &**op).filter(|op| Scratch::refuses(*op, first.images, gpu).is_none());
    let scratch = Scratch::new(kernels, fitting, first.images)?;
    let mut tuner = Tuner { kernels, scratch, end, checked: Vec::new() };
    let mut results = Vec::new();
    for (place, task) in tasks.iter().enumerate() {
        progress(place);
        match tuner.task(place, task)? {
            Some(tuned) => results.push(tuned),
            None => break,
        }
    }
    Ok(results)
}

struct Tuner<'a> {
    kernels: &'a Kernels,
    scratch: Scratch,
    end: Instant,
    /// Kernels that were compared with their references, with what is wrong with them.
    checked: Vec<(Variant, Option<String>)>,
}

impl Tuner<'_> {
    /// What comes of a task; `None` if time is over.
    fn task(&mut self, place: usize, task: &TuneTask) -> Result<Option<Tuned>, GraphError> {
        let mut all = contenders(task, self.kernels.gpu().facts());
        if self.is_over() {
            return Ok(None);
        }
        self.compile(&all, task.images);
        for contender in &mut all {
            if self.is_over() {
                return Ok(None);
            }
            match self.launches(contender, task.images)? {
                Ok(launches) => contender.launches = launches,
                Err(why) => contender.found.dropped = Some(Dropped::Unusable(why)),
            }
        }
        if !self.leave_the_slow(&mut all, task.model, task.images)?
            || !self.rounds(&mut all, task.images)?
        {
            return Ok(None);
        }
        for contender in all.iter_mut().filter(|contender| contender.runs()) {
            contender.found.seconds = Some(median(&mut contender.rounds));
        }
        let candidates: Vec<_> = all.into_iter().map(|contender| contender.found).collect();
        let chosen = chosen(&candidates, task.model);
        Ok(Some(Tuned { task: place, candidates, chosen }))
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Compiles all that will run, on all cores. What does not compile is told of when it is bound.
    fn compile(&self, all: &[Contender<'_>], images: usize) {
        let gpu = self.kernels.gpu();
        let mut wanted = Vec::new();
        for contender in all {
            let ops = contender.way.ops.iter().map(|op| &**op);
            for op in ops.filter(|op| Scratch::refuses(*op, images, gpu).is_none()) {
                if let Some(variant) = contender.variant_of(op, gpu.facts()) {
                    wanted.push((variant, op.bindings(), self.scratch.buffers(op, images)));
                }
            }
        }
        let _ = self.kernels.compile_all(&wanted);
    }

    /// The launches of a contender, or why it is dropped.
    fn launches(
        &mut self,
        contender: &Contender<'_>,
        images: usize,
    ) -> Result<Result<Vec<Launch>, String>, GraphError> {
        let gpu = self.kernels.gpu();
        let mut launches = Vec::new();
        for op in &contender.way.ops {
            if let Some(why) = Scratch::refuses(&**op, images, gpu) {
                return Ok(Err(why));
            }
            let Some(variant) = contender.variant_of(&**op, gpu.facts()) else {
                return Ok(Err(format!("{} does not run here", op.name())));
            };
            if let Some(wrong) = self.check(&**op, &variant)? {
                return Ok(Err(wrong));
            }
            let buffers = self.scratch.buffers(&**op, images);
            match self.kernels.launch(&variant, &op.bindings(), &buffers) {
                Ok(launch) => launches.push(launch),
                Err(error) => return survivable(error).map(Err),
            }
        }
        Ok(Ok(launches))
    }

    /// What is wrong with a variant: on a small shape of the registry that has the same kernel, or
    /// where there is none, on one image.
    fn check(&mut self, op: &dyn Op, variant: &Variant) -> Result<Option<String>, GraphError> {
        if let Some((_, found)) = self.checked.iter().find(|(v, _)| same_kernel(v, variant)) {
            return Ok(found.clone());
        }
        let elements: usize = op.bindings().iter().map(|binding| binding.layout.len(1)).sum();
        let small = op.flop(1) <= SMALL_FLOP && elements <= SMALL_ELEMENTS;
        let compared = match check(self.kernels, op, variant, SEED) {
            Ok(None) if small => verify(self.kernels, op, variant, 1, SEED).map(Some),
            compared => compared,
        };
        let wrong = match compared {
            Ok(Some(deviation)) if deviation.relative >= MOST_ERROR => {
                Some(format!("its error is {:.1e}, allowed are {MOST_ERROR:e}", deviation.relative))
            }
            Ok(Some(_)) => None,
            Ok(None) => Some("no shape is small enough to check it on".to_owned()),
            Err(VerifyError::Gpu(error)) => Some(survivable(error.into())?),
            Err(VerifyError::Kernel(error)) => Some(survivable(error)?),
            Err(error) => Some(error.to_string()),
        };
        self.checked.push((variant.clone(), wrong.clone()));
        Ok(wrong)
    }

    /// Times all on a share of the images and drops those far behind, but for the model's: with that the others
    /// are compared, and a single short time may mislead. False if time is over.
    fn leave_the_slow(
        &self,
        all: &mut [Contender<'_>],
        model: &str,
        images: usize,
    ) -> Result<bool, GraphError> {
        let few = images.div_ceil(SHARE);
        let mut fastest = f64::INFINITY;
        for contender in all.iter_mut().filter(|contender| contender.runs()) {
            // The first run may wait for the driver, but hopeless ones do not get a second.
            for limit in [f64::INFINITY, 2.0 * TOO_SLOW] {
                if self.is_over() {
                    return Ok(false);
                }
                let last = contender.rounds.last().copied().unwrap_or(0.0);
                if contender.runs() && last <= limit * fastest {
                    self.run(contender, few)?;
                }
            }
            if let (Some(&seconds), true) = (contender.rounds.last(), contender.runs()) {
                contender.rounds.clear();
                fastest = fastest.min(seconds);
                let seconds = seconds * images as f64 / few as f64;
                let runs = (LEAST_SECONDS / seconds).ceil().clamp(1.0, MOST_RUNS as f64);
                contender.runs = runs as usize;
                contender.found.seconds = Some(seconds);
            }
        }
        for contender in all.iter_mut().filter(|contender| contender.runs()) {
            let seconds = contender.found.seconds.unwrap_or(0.0);
            let times = seconds * few as f64 / (images as f64 * fastest);
            if times > TOO_SLOW && contender.variant.name != model {
                contender.found.dropped = Some(Dropped::Slow(times));
            }
        }
        Ok(true)
    }

    /// Runs all in turns. False if time is over too soon.
    fn rounds(&self, all: &mut [Contender<'_>], images: usize) -> Result<bool, GraphError> {
        for round in 0..ROUNDS {
            for place in 0..all.len() {
                if self.is_over() {
                    // A round that not all have run counts for none.
                    all[..place].iter_mut().for_each(|contender| contender.rounds.truncate(round));
                    return Ok(round >= LEAST_ROUNDS);
                }
                if all[place].runs() {
                    self.run(&mut all[place], images)?;
                }
            }
        }
        Ok(true)
    }

    /// Runs a contender and adds its seconds, or drops it.
    fn run(&self, contender: &mut Contender<'_>, images: usize) -> Result<(), GraphError> {
        let step = Step { images: images as u32, ..trial_step(1) };
        let mut sum = 0.0;
        for launch in &contender.launches {
            match self.kernels.time(launch, &step, contender.runs) {
                Ok((mut seconds, _)) => sum += median(&mut seconds),
                Err(error) => {
                    let why = survivable(error.into())?;
                    contender.found.dropped = Some(Dropped::Unusable(why));
                    return Ok(());
                }
            }
        }
        // A clock may see no time pass.
        contender.rounds.push(sum.max(1e-9));
        Ok(())
    }
}

impl Contender<'_> {
    fn runs(&self) -> bool {
        self.found.dropped.is_none()
    }

    /// The variant of one of the way's operations.
    fn variant_of(&self, op: &dyn Op, facts: &AdapterFacts) -> Option<Variant> {
        let main = std::ptr::addr_eq(op, self.way.main());
        let mut variants = op.variants(facts).into_iter();
        variants.find(|v| v.supported.is_ok() && (!main || v.name == self.variant.name))
    }
}

/// What an error of one kernel says, unless it is the end of the device.
fn survivable(error: KernelError) -> Result<String, GraphError> {
    match error {
        KernelError::Gpu(error @ GpuError::Lost { .. }) => Err(error.into()),
        error => Ok(error.to_string()),
    }
}

/// The fastest candidate, or the model's where the fastest is hardly faster.
fn chosen(candidates: &[Candidate], model: &str) -> Option<&'static str> {
    let usable = || candidates.iter().filter(|candidate| candidate.dropped.is_none());
    let timed = usable().filter_map(|candidate| Some((candidate.variant, candidate.seconds?)));
    let (fastest, seconds) = timed.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let near =
        |c: &&Candidate| c.variant == model && c.seconds.is_some_and(|s| s < MARGIN * seconds);
    Some(usable().find(near).map_or(fastest, |candidate| candidate.variant))
}

/// The value in the middle, the upper of two; NaN of nothing.
fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}

/// All that can compute a task, by the model's times.
fn contenders<'a>(task: &'a TuneTask, facts: &AdapterFacts) -> Vec<Contender<'a>> {
    let of_way = |way| {
        Way::variants(way, facts).into_iter().map(move |variant| Contender {
            way,
            found: Candidate { variant: variant.name, seconds: None, dropped: None },
            variant,
            launches: Vec::new(),
            runs: 1,
            rounds: Vec::new(),
        })
    };
    let mut all: Vec<_> = task.ways.iter().flat_map(of_way).collect();
    // The likely ones first: what is far behind them is then seen at once.
    let cost = |contender: &Contender<'_>| seconds_of(contender.way, contender.variant.name, facts);
    all.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(variant: &'static str, seconds: f64, dropped: bool) -> Candidate {
        let dropped = dropped.then(|| Dropped::Unusable("wrong".to_owned()));
        Candidate { variant, seconds: Some(seconds), dropped }
    }

    #[test]
    fn the_model_is_left_only_for_what_is_faster_and_right() {
        let all = |fast, wrong| {
            [candidate("a", 1.0, false), candidate("b", fast, false), candidate("c", 0.1, wrong)]
        };
        assert_eq!(chosen(&all(0.9, true), "a"), Some("b"));
        assert_eq!(chosen(&all(0.99, true), "a"), Some("a"), "noise");
        assert_eq!(chosen(&all(0.9, false), "a"), Some("c"));
        assert_eq!(chosen(&all(0.9, true), "c"), Some("b"), "the model's may be wrong");
        assert_eq!(chosen(&[candidate("a", 1.0, true)], "a"), None);
        let tuned = |candidates: [Candidate; 3], chosen| Tuned {
            task: 0,
            candidates: candidates.to_vec(),
            chosen,
        };
        let task = TuneTask {
            key: String::new(),
            layers: Vec::new(),
            model: "a",
            ways: Vec::new(),
            images: 1,
            cost: 0.0,
        };
        assert_eq!(tuned(all(0.5, true), Some("b")).gain(&task), Some(2.0));
        assert_eq!(tuned(all(0.5, true), None).gain(&task), None);
    }
}
