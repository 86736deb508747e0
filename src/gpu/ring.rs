//! Reading small results while the queue goes on working.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, channel};

use super::{BufferRange, Gpu, GpuError, Order};

/// Copies of device memory on their way to the host, oldest first, through staging buffers that are
/// made once.
///
/// A host that pushes after each piece of work, and pops only when the ring is full, stays ahead of
/// the device by the ring's capacity and never leaves it without work.
#[derive(Debug)]
pub struct ReadRing {
    bytes: u64,
    idle: Vec<wgpu::Buffer>,
    pending: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    staging: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
    mapped: Receiver<Result<(), wgpu::BufferAsyncError>>,
}

impl ReadRing {
    /// A ring of `capacity` copies of `bytes` each.
    ///
    /// # Errors
    /// [`GpuError`] if the staging buffers cannot be made.
    pub fn new(gpu: &Gpu, capacity: usize, bytes: u64) -> Result<Self, GpuError> {
        use wgpu::BufferUsages as Usage;
        let usage = Usage::MAP_READ | Usage::COPY_DST;
        let make = |_| gpu.make_raw("readback", bytes, usage);
        let idle = (0..capacity.max(1)).map(make).collect::<Result<_, GpuError>>()?;
        Ok(Self { bytes, idle, pending: VecDeque::new() })
    }

    /// True if nothing can be pushed before something is popped.
    pub fn is_full(&self) -> bool {
        self.idle.is_empty()
    }

    /// Starts to copy `range` to the host, after all that was submitted before. Pops first if the
    /// ring is full, and returns what it popped.
    ///
    /// # Errors
    /// [`GpuError::Refused`] of a range that takes more bytes, or is in blocks; others if the device has
    /// reported a fault.
    pub fn push<T: bytemuck::Pod>(
        &mut self,
        gpu: &Gpu,
        range: &BufferRange,
    ) -> Result<Option<Vec<T>>, GpuError> {
        if range.size > self.bytes || range.order() == Some(Order::Blocks) {
            let message = format!("{} bytes through a ring of {}", range.size, self.bytes);
            return Err(gpu.refused("reading results", message));
        }
        let popped = if self.is_full() { self.pop(gpu)? } else { None };
        let Some(staging) = self.idle.pop() else { return Ok(popped) };
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        range.copy_to(&mut encoder, &staging);
        let submission = gpu.queue.submit([encoder.finish()]);
        let (send, mapped) = channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone only when the ring is; then there is nobody to tell.
            let _ = send.send(result);
        });
        self.pending.push_back(Pending { staging, submission, mapped });
        Ok(popped)
    }

    /// Waits for the oldest copy and returns it, or `None` of an empty ring.
    ///
    /// # Errors
    /// [`GpuError`] if the device fails.
    pub fn pop<T: bytemuck::Pod>(&mut self, gpu: &Gpu) -> Result<Option<Vec<T>>, GpuError> {
        let Some(Pending { staging, submission, mapped }) = self.pending.pop_front() else {
            return Ok(None);
        };
        let refused = |message: String| gpu.refused("reading results", message);
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
        gpu.device.poll(wait).map_err(|error| refused(error.to_string()))?;
        gpu.check("running the queue")?;
        let result = mapped.try_recv().map_err(|_| refused("the copy never ended".to_owned()))?;
        result.map_err(|error| refused(error.to_string()))?;
        let view = staging.slice(..).get_mapped_range();
        let view = view.map_err(|error| refused(error.to_string()))?;
        let values = bytemuck::pod_collect_to_vec(&view);
        drop(view);
        staging.unmap();
        self.idle.push(staging);
        Ok(Some(values))
    }
}
