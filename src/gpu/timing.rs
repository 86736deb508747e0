//! Times of launches, measured on the device.

use std::fmt;

use serde::Serialize;

use super::buffer::Memory;
use super::{Gpu, GpuError};

/// What times are measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Timestamps that the device writes before and after each launch.
    Timestamps,
    /// The host's clock, from submission to completion: the way there and back counts too.
    Wall,
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timestamps => "timestamps of the device",
            Self::Wall => "the wall clock, from submission to completion of each kernel",
        })
    }
}

/// When a launch ran, in seconds from the first one of its recording.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Its beginning.
    pub begin: f64,
    /// Its end.
    pub end: f64,
}

impl Span {
    /// How long it took.
    pub fn seconds(&self) -> f64 {
        self.end - self.begin
    }
}

/// Timestamp queries: two for each launch.
#[derive(Debug)]
pub struct Timestamps {
    sets: Vec<wgpu::QuerySet>,
    resolved: super::Buffer,
    launches: u32,
    period_ns: f32,
    /// True if they may be written within a pass; else each launch needs a pass of its own.
    pub(crate) inside_passes: bool,
}

/// Launches of one query set: wgpu's limit are 4096 queries.
const LAUNCHES_PER_SET: u32 = 2048;

impl Timestamps {
    /// The query set of launch `launch`, and the place in it of its beginning; its end is the next.
    pub(crate) fn queries(&self, launch: u32) -> Option<(&wgpu::QuerySet, u32)> {
        let set = self.sets.get((launch / LAUNCHES_PER_SET) as usize)?;
        (launch < self.launches).then_some((set, launch % LAUNCHES_PER_SET * 2))
    }
}

impl Gpu {
    /// Queries for `launches` launches, or `None` where the adapter has no timestamps.
    ///
    /// # Errors
    /// [`GpuError`] if they cannot be made.
    pub fn timestamps(&self, launches: u32) -> Result<Option<Timestamps>, GpuError> {
        if !self.facts.timestamps {
            return Ok(None);
        }
        let launches = launches.max(1);
        let set = |first: u32| {
            self.scoped("timestamp queries", 0, || {
                self.device.create_query_set(&wgpu::QuerySetDescriptor {
                    label: Some("timestamps"),
                    ty: wgpu::QueryType::Timestamp,
                    count: LAUNCHES_PER_SET.min(launches - first) * 2,
                })
            })
        };
        let firsts = (0..launches).step_by(LAUNCHES_PER_SET as usize);
        let sets = firsts.map(set).collect::<Result<_, _>>()?;
        use wgpu::BufferUsages as Usage;
        let bytes = u64::from(launches) * 16;
        let resolved = self.make("timestamps", bytes, Usage::QUERY_RESOLVE | Usage::COPY_SRC)?;
        let period_ns = self.queue.get_timestamp_period();
        let inside_passes =
            self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES);
        Ok(Some(Timestamps { sets, resolved, launches, period_ns, inside_passes }))
    }

    /// When each of the first `launches` timed launches ran.
    ///
    /// # Errors
    /// [`GpuError`] if the device fails.
    pub fn read_timestamps(
        &self,
        timestamps: &Timestamps,
        launches: u32,
    ) -> Result<Vec<Span>, GpuError> {
        let launches = launches.min(timestamps.launches);
        if launches == 0 {
            return Ok(Vec::new());
        }
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let Memory::Bytes(target) = &*timestamps.resolved.memory else { return Ok(Vec::new()) };
        for (i, set) in (0..).zip(&timestamps.sets) {
            let first = i * LAUNCHES_PER_SET;
            let count = launches.saturating_sub(first).min(LAUNCHES_PER_SET);
            if count > 0 {
                encoder.resolve_query_set(set, 0..count * 2, target, u64::from(first) * 16);
            }
        }
        self.queue.submit([encoder.finish()]);
        let ticks: Vec<u64> =
            self.read(&timestamps.resolved.whole().part(0, u64::from(launches) * 16))?;
        let start = ticks[0];
        let period = f64::from(timestamps.period_ns) * 1e-9;
        let seconds = |tick: u64| tick.saturating_sub(start) as f64 * period;
        let pairs = ticks.chunks_exact(2);
        Ok(pairs.map(|pair| Span { begin: seconds(pair[0]), end: seconds(pair[1]) }).collect())
    }
}
