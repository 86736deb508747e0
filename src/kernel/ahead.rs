//! Compiling before the first step, on several queues at once.
//!
//! Mesa's lavapipe translates a pipeline to machine code when it first runs, on the thread of its queue,
//! one pipeline after the other, and keeps the result on disk. Here each core opens the adapter once
//! more, so that each has a queue, and runs pipelines over no workgroups; the device that is to use them
//! finds them on disk. Results do not depend on it, and what fails here costs time and nothing else.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::launch::{Home, Missing};
use super::{KernelError, Kernels};
use crate::gpu::{Buffer, BufferRange, Gpu, GpuError, Order};

/// The most queues: each takes the memory of a device and of a compiler.
const MOST_QUEUES: usize = 8;

/// Compiles `work` in its order, of which the longest should come first, and returns when all is done.
///
/// # Errors
/// [`KernelError`], the first of a queue, which then compiles no more.
pub(super) fn compile(gpu: &Gpu, work: &[&Missing<'_>]) -> Result<(), KernelError> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let worker = || {
        let kernels = Kernels::new(Arc::new(gpu.again()?))?;
        while let Some(pending) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            run_over_nothing(&kernels, pending)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let queues = cores.min(MOST_QUEUES).min(work.len());
        let queues: Vec<_> = (0..queues).map(|_| scope.spawn(worker)).collect();
        // A panic was told by its hook.
        queues.into_iter().filter_map(|queue| queue.join().ok()).collect()
    })
}

fn run_over_nothing(
    kernels: &Kernels,
    (_, variant, bindings, homes): &Missing<'_>,
) -> Result<(), KernelError> {
    let launch = kernels.launch(variant, bindings, &scratch(kernels.gpu(), homes)?)?;
    kernels.run_over_nothing(&launch)?;
    Ok(kernels.gpu().wait()?)
}

/// Memory of no use that lies where `homes` say.
fn scratch(gpu: &Gpu, homes: &[Home]) -> Result<Vec<BufferRange>, GpuError> {
    const BYTES: u64 = 1 << 10;
    let mut made: Vec<Buffer> = Vec::new();
    for home in homes {
        made.push(match home {
            Home::Buffer => gpu.buffer("scratch", BYTES)?,
            Home::Texels { first, order } => match (made.get(*first as usize), order) {
                (Some(shared), _) => shared.clone(),
                (None, Order::Rows) => gpu.tensors("scratch", BYTES)?,
                (None, Order::Blocks) => gpu.blocks("scratch", BYTES)?,
            },
        });
    }
    Ok(made.iter().map(Buffer::whole).collect())
}
