//! Recording launches into few passes and few submissions.

use super::launch::STEP_SLOTS;
use super::{Kernels, Launch, Step};
use crate::gpu::{GpuError, Timestamps};

/// Work of one submission after which the next begins, in FLOP: about a quarter of a second on a
/// slow integrated GPU (100 GFLOP/s), far from the two seconds after which a watchdog resets it.
const SUBMIT_FLOP: u64 = 25_000_000_000;

/// Collects launches into command buffers and submits them.
///
/// All launches of a submission share one compute pass, unless they are timed: then each has its
/// own pass between two timestamps.
#[derive(Debug)]
pub struct Recorder<'a> {
    kernels: &'a Kernels,
    encoder: Option<wgpu::CommandEncoder>,
    pass: Option<wgpu::ComputePass<'static>>,
    steps: Vec<u8>,
    flop: u64,
    timing: Option<Timing<'a>>,
}

/// Times launches one by one.
#[derive(Debug)]
struct Timing<'a> {
    /// The queries to use.
    timestamps: &'a Timestamps,
    /// Launches timed so far.
    timed: u32,
}

impl<'a> Recorder<'a> {
    /// An empty recording.
    pub fn new(kernels: &'a Kernels) -> Self {
        let steps = Vec::new();
        Self { kernels, encoder: None, pass: None, steps, flop: 0, timing: None }
    }

    /// An empty recording whose launches are timed.
    pub fn timed(kernels: &'a Kernels, timestamps: &'a Timestamps) -> Self {
        let timing = Some(Timing { timestamps, timed: 0 });
        Self { timing, ..Self::new(kernels) }
    }

    /// Puts `step` on the device for the launches that follow; the value returned names it.
    ///
    /// # Errors
    /// [`GpuError`] if a submission that this makes necessary fails.
    pub fn step(&mut self, step: &Step) -> Result<u32, GpuError> {
        let stride = self.kernels.step_stride as usize;
        if self.steps.len() == STEP_SLOTS as usize * stride {
            self.submit()?;
        }
        let offset = self.steps.len();
        self.steps.extend_from_slice(bytemuck::bytes_of(step));
        self.steps.resize(offset + stride, 0);
        Ok(offset as u32)
    }

    /// Records `launch` over `images` images and `flop` floating-point operations, with the step at
    /// `step`.
    pub fn launch(&mut self, launch: &Launch, step: u32, images: u32, flop: u64) {
        let groups = launch.grid.groups(u64::from(images));
        if groups == 0 {
            return;
        }
        let widest = u64::from(self.kernels.gpu.facts().max_workgroups);
        let rows = groups.div_ceil(widest);
        let columns = groups.div_ceil(rows);
        let pass = self.pass();
        pass.set_pipeline(&launch.pipeline);
        pass.set_bind_group(0, &launch.tensors, &[]);
        pass.set_bind_group(1, &launch.scalars, &[step]);
        pass.dispatch_workgroups(columns as u32, rows as u32, 1);
        self.flop += flop;
        if self.timing.is_some() {
            self.pass = None;
        }
    }

    /// True if enough work is recorded for a submission of its own.
    pub fn is_full(&self) -> bool {
        self.flop >= SUBMIT_FLOP
    }

    /// True if nothing is recorded since the last submission.
    pub fn is_empty(&self) -> bool {
        self.encoder.is_none()
    }

    /// Submits what is recorded, if anything. The steps recorded so far are forgotten.
    ///
    /// # Errors
    /// [`GpuError`] if the device has reported a fault.
    pub fn submit(&mut self) -> Result<(), GpuError> {
        self.pass = None;
        let Some(encoder) = self.encoder.take() else { return Ok(()) };
        let gpu = &self.kernels.gpu;
        gpu.write(&self.kernels.steps.whole(), &self.steps)?;
        gpu.queue.submit([encoder.finish()]);
        self.steps.clear();
        self.flop = 0;
        gpu.check("submitting work")
    }

    /// Launches timed so far.
    pub fn timed_launches(&self) -> u32 {
        self.timing.as_ref().map_or(0, |timing| timing.timed)
    }

    fn pass(&mut self) -> &mut wgpu::ComputePass<'static> {
        let device = &self.kernels.gpu.device;
        let encoder =
            self.encoder.get_or_insert_with(|| device.create_command_encoder(&Default::default()));
        let timing = &mut self.timing;
        self.pass.get_or_insert_with(|| {
            let timestamp_writes = timing.as_mut().map(|timing| {
                let first = timing.timed * 2;
                timing.timed += 1;
                wgpu::ComputePassTimestampWrites {
                    query_set: &timing.timestamps.queries,
                    beginning_of_pass_write_index: Some(first),
                    end_of_pass_write_index: Some(first + 1),
                }
            });
            let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
            encoder.begin_compute_pass(&descriptor).forget_lifetime()
        })
    }
}
