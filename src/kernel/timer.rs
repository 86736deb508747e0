//! How long a single launch takes.

use std::time::Instant;

use super::{Kernels, Launch, Recorder, Step};
use crate::gpu::{Clock, GpuError, Span};

impl Kernels {
    /// Runs `launch` `runs` times, after all that was submitted before, and returns the seconds that
    /// each run took.
    ///
    /// # Errors
    /// [`GpuError`] if the device fails.
    pub fn time(
        &self,
        launch: &Launch,
        step: &Step,
        runs: usize,
    ) -> Result<(Vec<f64>, Clock), GpuError> {
        let gpu = self.gpu();
        if let Some(timestamps) = gpu.timestamps(runs as u32)? {
            let mut recorder = Recorder::timed(self, &timestamps);
            let place = recorder.step(step)?;
            (0..runs).for_each(|_| recorder.launch(launch, place, step.images, 0));
            recorder.submit()?;
            let spans = gpu.read_timestamps(&timestamps, recorder.timed_launches())?;
            return Ok((spans.iter().map(Span::seconds).collect(), Clock::Timestamps));
        }
        gpu.wait()?;
        let mut seconds = Vec::with_capacity(runs);
        for _ in 0..runs {
            let start = Instant::now();
            let mut recorder = Recorder::new(self);
            let place = recorder.step(step)?;
            recorder.launch(launch, place, step.images, 0);
            recorder.submit()?;
            gpu.wait()?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        Ok((seconds, Clock::Wall))
    }
}
