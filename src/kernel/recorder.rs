//! Recording launches into few passes and few submissions.

use std::sync::Arc;
use std::time::Instant;

use super::launch::{Draw, STEP_SLOTS, Work};
use super::{Kernels, Launch, Step};
use crate::gpu::{Buffer, GpuError, Memory, Order, Timestamps};

/// Work of one submission after which the next begins, in FLOP: about a quarter of a second on a
/// slow integrated GPU (100 GFLOP/s), far from the two seconds after which a watchdog resets it.
const SUBMIT_FLOP: u64 = 25_000_000_000;

/// Collects launches into command buffers and submits them.
///
/// All launches of a submission share one compute pass, unless they are timed on an adapter that
/// writes timestamps at the ends of passes only: then each has a pass of its own. What is rendered after each
/// other to the same texture shares a render pass.
#[derive(Debug)]
pub struct Recorder<'a> {
    kernels: &'a Kernels,
    encoder: Option<wgpu::CommandEncoder>,
    pass: Option<wgpu::ComputePass<'static>>,
    /// An open render pass, with what it writes to. At most one of the two passes is open.
    rendering: Option<(wgpu::RenderPass<'static>, Arc<Memory>)>,
    steps: Vec<u8>,
    flop: u64,
    timing: Option<Timing<'a>>,
    submissions: Vec<(Instant, Instant)>,
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
        Self {
            kernels,
            encoder: None,
            pass: None,
            rendering: None,
            steps: Vec::new(),
            flop: 0,
            timing: None,
            submissions: Vec::new(),
        }
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
        match &launch.work {
            Work::Dispatch(pipeline, grid) => {
                let groups = grid.groups(u64::from(images));
                if groups == 0 {
                    return;
                }
                let widest = u64::from(self.kernels.gpu.facts().max_workgroups);
                let rows = groups.div_ceil(widest);
                let columns = groups.div_ceil(rows);
                self.dispatch(launch, pipeline, (columns as u32, rows as u32), step);
            }
            Work::Draw(draw) => self.draw(launch, draw, step),
        }
        self.flop += flop;
    }

    fn dispatch(
        &mut self,
        launch: &Launch,
        pipeline: &wgpu::ComputePipeline,
        groups: (u32, u32),
        step: u32,
    ) {
        let timed = self.next_timed();
        // Within a pass where the adapter allows it, else at the ends of a pass for this launch alone.
        let inside = timed.filter(|(timestamps, _)| timestamps.inside_passes);
        let queries = inside.and_then(|(timestamps, launch)| timestamps.queries(launch));
        let around = if inside.is_some() { None } else { timed };
        let pass = self.compute_pass(around);
        if let Some((set, first)) = queries {
            pass.write_timestamp(set, first);
        }
        launch.dispatch(pass, pipeline, groups, step);
        if let Some((set, first)) = queries {
            pass.write_timestamp(set, first + 1);
        }
        if around.is_some() {
            self.pass = None;
        }
    }

    /// Renders in the pass that is open for the same target, or a new one; where it is timed in one of its
    /// own, at its ends.
    fn draw(&mut self, launch: &Launch, draw: &Draw, step: u32) {
        let queries = self.next_timed().and_then(|(timestamps, launch)| timestamps.queries(launch));
        let timestamps = queries.map(|(query_set, first)| wgpu::RenderPassTimestampWrites {
            query_set,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        });
        self.pass = None;
        let open = self.rendering.take();
        let same = |target: &Arc<Memory>| queries.is_none() && Arc::ptr_eq(target, draw.target());
        let mut pass = match open.filter(|(_, target)| same(target)) {
            Some((pass, _)) => pass,
            None => {
                let encoder = encoder(&mut self.encoder, self.kernels);
                draw.pass(encoder, timestamps).forget_lifetime()
            }
        };
        launch.draw(&mut pass, draw, draw.scissors(), step);
        if queries.is_none() {
            self.rendering = Some((pass, Arc::clone(draw.target())));
        }
    }

    /// Fills all of `buffer`, in blocks, with `numbers`, over and over and shifted from layer to layer.
    ///
    /// # Errors
    /// [`GpuError::Refused`] if it does not lie in blocks, others if there is no memory for a layer more.
    pub fn fill(&mut self, buffer: &Buffer, numbers: &[f32]) -> Result<(), GpuError> {
        let gpu = &self.kernels.gpu;
        let texels = match &*buffer.memory {
            Memory::Texels(texels) if texels.order == Order::Blocks => texels,
            _ => return Err(gpu.refused("filling", "it does not lie in blocks".to_owned())),
        };
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let (piece, bytes) = (size_of_val(numbers) as u64, texels.fill_bytes());
        let once = gpu.make_raw("numbers", piece, usage)?;
        gpu.queue.write_buffer(&once, 0, bytemuck::cast_slice(numbers));
        // Repeated by the device: what the host maps is cleared first.
        let source = gpu.make_raw("numbers of a layer", bytes, usage)?;
        (self.pass, self.rendering) = (None, None);
        let encoder = encoder(&mut self.encoder, self.kernels);
        for at in (0..bytes).step_by(piece as usize) {
            encoder.copy_buffer_to_buffer(&once, 0, &source, at, piece.min(bytes - at));
        }
        texels.fill(encoder, &source);
        Ok(())
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
        (self.pass, self.rendering) = (None, None);
        let Some(encoder) = self.encoder.take() else { return Ok(()) };
        let gpu = &self.kernels.gpu;
        let start = Instant::now();
        gpu.write(&self.kernels.steps.whole(), &self.steps)?;
        gpu.queue.submit([encoder.finish()]);
        self.submissions.push((start, Instant::now()));
        self.steps.clear();
        self.flop = 0;
        gpu.check("submitting work")
    }

    /// When each submission so far began and returned.
    pub fn submissions(&self) -> &[(Instant, Instant)] {
        &self.submissions
    }

    /// Launches timed so far.
    pub fn timed_launches(&self) -> u32 {
        self.timing.as_ref().map_or(0, |timing| timing.timed)
    }

    /// The queries of the next launch, if launches are timed.
    fn next_timed(&mut self) -> Option<(&'a Timestamps, u32)> {
        let timing = self.timing.as_mut()?;
        let launch = timing.timed;
        timing.timed += 1;
        Some((timing.timestamps, launch))
    }

    /// The compute pass that is open, or a new one, with timestamps at its ends for the launch in `around`.
    fn compute_pass(
        &mut self,
        around: Option<(&Timestamps, u32)>,
    ) -> &mut wgpu::ComputePass<'static> {
        self.rendering = None;
        let encoder = encoder(&mut self.encoder, self.kernels);
        self.pass.get_or_insert_with(|| {
            let queries = around.and_then(|(timestamps, launch)| timestamps.queries(launch));
            let timestamp_writes =
                queries.map(|(query_set, first)| wgpu::ComputePassTimestampWrites {
                    query_set,
                    beginning_of_pass_write_index: Some(first),
                    end_of_pass_write_index: Some(first + 1),
                });
            let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
            encoder.begin_compute_pass(&descriptor).forget_lifetime()
        })
    }
}

/// The encoder that is open, or a new one.
fn encoder<'a>(
    open: &'a mut Option<wgpu::CommandEncoder>,
    kernels: &Kernels,
) -> &'a mut wgpu::CommandEncoder {
    open.get_or_insert_with(|| kernels.gpu.device.create_command_encoder(&Default::default()))
}
