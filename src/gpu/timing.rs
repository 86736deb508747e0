//! Times of passes, measured on the device.

use super::buffer::Memory;
use super::{Gpu, GpuError};

/// A set of timestamp queries: two for each timed pass.
#[derive(Debug)]
pub struct Timestamps {
    pub(crate) queries: wgpu::QuerySet,
    resolved: super::Buffer,
    passes: u32,
    period_ns: f32,
}

/// wgpu's limit for one query set is 4096 queries.
const MAX_PASSES: u32 = 2048;

impl Gpu {
    /// Queries for up to `passes` passes (at most 2048), or `None` where the adapter has no
    /// timestamps.
    ///
    /// # Errors
    /// [`GpuError`] if they cannot be made.
    pub fn timestamps(&self, passes: u32) -> Result<Option<Timestamps>, GpuError> {
        if !self.facts.timestamps {
            return Ok(None);
        }
        let passes = passes.clamp(1, MAX_PASSES);
        let queries = self.scoped("timestamp queries", 0, || {
            self.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: passes * 2,
            })
        })?;
        use wgpu::BufferUsages as Usage;
        let bytes = u64::from(passes) * 16;
        let resolved = self.make("timestamps", bytes, Usage::QUERY_RESOLVE | Usage::COPY_SRC)?;
        let period_ns = self.queue.get_timestamp_period();
        Ok(Some(Timestamps { queries, resolved, passes, period_ns }))
    }

    /// Seconds that each of the first `passes` timed passes took.
    ///
    /// # Errors
    /// [`GpuError`] if the device fails.
    pub fn read_timestamps(
        &self,
        timestamps: &Timestamps,
        passes: u32,
    ) -> Result<Vec<f64>, GpuError> {
        let passes = passes.min(timestamps.passes);
        if passes == 0 {
            return Ok(Vec::new());
        }
        let mut encoder = self.device.create_command_encoder(&Default::default());
        if let Memory::Bytes(target) = &*timestamps.resolved.memory {
            encoder.resolve_query_set(&timestamps.queries, 0..passes * 2, target, 0);
        }
        self.queue.submit([encoder.finish()]);
        let ticks: Vec<u64> =
            self.read(&timestamps.resolved.whole().part(0, u64::from(passes) * 16))?;
        let seconds = f64::from(timestamps.period_ns) * 1e-9;
        let pairs = ticks.chunks_exact(2);
        Ok(pairs.map(|pair| pair[1].saturating_sub(pair[0]) as f64 * seconds).collect())
    }
}
