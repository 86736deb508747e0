//! Compiling ahead, on a queue of its own.
//!
//! Mesa's lavapipe compiles a pipeline when it first runs, on the thread of its queue, one pipeline after
//! the other, and keeps what it compiled on disk. A second device has a queue of its own and the same
//! disk: what it compiles meanwhile, the last kernels of a step first, the other then finds there.
//! Results do not depend on it, and what fails here costs time and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::launch::{Compiled, Home, create};
use super::{KernelError, Source, Step, Variant};
use crate::gpu::{BufferRange, Gpu, GpuError};

/// A pipeline to be compiled.
#[derive(Debug)]
pub(super) struct Pending {
    pub variant: Variant,
    pub source: Source,
    pub homes: Vec<Home>,
}

/// A thread that compiles pipelines; dropped, it ends after the one it is at.
#[derive(Debug)]
pub(super) struct Ahead {
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Begins to compile `work` in its order.
    pub(super) fn start(gpu: &Arc<Gpu>, work: Vec<Pending>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (gpu, stopped) = (Arc::clone(gpu), Arc::clone(&stop));
        let worker = move || {
            let Ok(second) = gpu.again() else { return };
            for pending in work {
                if stopped.load(Ordering::Relaxed) || pending.compile(&second).is_err() {
                    return;
                }
            }
        };
        let worker = thread::Builder::new().name("compiler".to_owned()).spawn(worker).ok();
        Self { stop, worker }
    }
}

impl Drop for Ahead {
    /// Waits: a process must not end within a driver's compiler.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            // A panic there was told by its hook.
            let _ = worker.join();
        }
    }
}

impl Pending {
    /// Compiles by a dispatch of no workgroups on tensors of no use.
    fn compile(&self, gpu: &Gpu) -> Result<(), KernelError> {
        let label = self.variant.name;
        let compiled =
            gpu.scoped(label, 0, || create(gpu, &self.variant, &self.source, &self.homes))?;
        let (tensors, scalars) = self.groups(gpu, &compiled)?;
        let mut encoder =
            gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&compiled.pipeline);
        pass.set_bind_group(0, &tensors, &[]);
        pass.set_bind_group(1, &scalars, &[0]);
        pass.dispatch_workgroups(0, 0, 0);
        drop(pass);
        gpu.queue.submit([encoder.finish()]);
        Ok(gpu.wait()?)
    }

    fn groups(
        &self,
        gpu: &Gpu,
        compiled: &Compiled,
    ) -> Result<(wgpu::BindGroup, wgpu::BindGroup), GpuError> {
        const BYTES: u64 = 1 << 10;
        let mut tensors: Vec<(u32, BufferRange)> = Vec::new();
        for (place, home) in (0..).zip(&self.homes).filter(|(place, home)| home.is_bound_at(*place))
        {
            let buffer = match home {
                Home::Buffer => gpu.buffer("nothing", BYTES)?,
                Home::Texels(_) => gpu.tensors("nothing", BYTES)?,
            };
            tensors.push((place, buffer.whole()));
        }
        let dims = (self.variant.dims.len() + self.homes.len()) as u64 * 4;
        let scalars = [
            (0, gpu.uniform("no step", size_of::<Step>() as u64)?.whole()),
            (1, gpu.uniform("no dims", dims.max(16))?.whole()),
        ];
        let group = |layout, ranges: &[(u32, BufferRange)]| {
            let bindings = ranges.iter().map(|(binding, range)| (*binding, range.binding()));
            let entries: Vec<_> = bindings
                .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
                .collect();
            let label = Some(self.variant.name);
            gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label,
                layout,
                entries: &entries,
            })
        };
        gpu.scoped(self.variant.name, 0, || {
            (group(&compiled.tensors, &tensors), group(&compiled.scalars, &scalars))
        })
    }
}
