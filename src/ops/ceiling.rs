//! What an adapter can do at most: multiply-adds in registers, and copies of memory.

use std::time::Instant;

use super::probe::CHAINS;
use super::{Op, ProbeCopy, ProbeFma, VerifyError, verify};
use crate::gpu::{BufferRange, Clock};
use crate::kernel::{Kernels, Step};

/// Invocations of the multiply-add kernel: more than any GPU runs at once, ...
const THREADS: usize = 1 << 18;
/// ... and than any processor does, few enough that starting them takes no time.
const SOFTWARE_THREADS: usize = 1 << 13;
/// Seconds that a run of it is made to last, long for the clock and short for a person.
const FMA_SECONDS: f64 = 0.005;
/// Most rounds, were the clock to say nothing.
const MOST_ROUNDS: f64 = 20_000.0;
/// Bytes that are copied: with the copy more than the caches of most adapters.
const COPY_BYTES: u64 = 64 << 20;
/// Runs of which the fastest counts.
const RUNS: usize = 7;
/// The same for copies, which take longer.
const COPIES: usize = 3;

/// The rates that no kernel on an adapter exceeds for long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ceilings {
    /// Floating-point operations a second, of independent chains of fused multiply-adds in registers.
    pub flop_per_s: f64,
    /// Bytes read and bytes written a second, together, by a copy too large for the caches.
    pub bytes_per_s: f64,
    /// What they were measured by.
    pub clock: Clock,
}

/// What a kernel's time is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Its floating-point operations take longer than its bytes.
    Compute,
    /// Its bytes take longer.
    Memory,
}

impl Ceilings {
    /// The least seconds that `flop` operations and `bytes` bytes take, which may overlap, and which of
    /// the two takes that long (Williams et al., "Roofline", CACM 52(4), 2009).
    pub fn floor(&self, flop: u64, bytes: u64) -> (f64, Bound) {
        let compute = flop as f64 / self.flop_per_s;
        let memory = bytes as f64 / self.bytes_per_s;
        if compute > memory { (compute, Bound::Compute) } else { (memory, Bound::Memory) }
    }
}

/// Measures an adapter's ceilings in a fraction of a second. The kernels that do so are compared with
/// their references first. Of several kinds of chains the fastest counts, and of a copy by a kernel
/// and one by the driver.
///
/// # Errors
/// [`VerifyError`] if a result is wrong, or the device fails.
pub fn ceilings(kernels: &Kernels) -> Result<Ceilings, VerifyError> {
    let (flop_per_s, clock) = fma(kernels)?;
    Ok(Ceilings { flop_per_s, bytes_per_s: copy(kernels)?, clock })
}

fn fma(kernels: &Kernels) -> Result<(f64, Clock), VerifyError> {
    let threads = if kernels.gpu().facts().is_software() { SOFTWARE_THREADS } else { THREADS };
    let bytes = (threads * 4) as u64;
    let buffer = kernels.gpu().buffer("ceiling", 2 * bytes)?.whole();
    let buffers = [buffer.part(0, bytes), buffer.part(bytes, bytes)];
    let (mut best, mut clock) = (0.0_f64, Clock::Wall);
    for (chains, coupled) in CHAINS {
        check(kernels, &ProbeFma { threads: 65, chains, coupled, rounds: 1 })?;
        let few = ProbeFma { threads, chains, coupled, rounds: 8 };
        let (seconds, _) = fastest(kernels, &few, &buffers, RUNS)?;
        let rounds = (8.0 * FMA_SECONDS / seconds).clamp(1.0, MOST_ROUNDS) as usize;
        let op = ProbeFma { rounds, ..few };
        let (seconds, by) = fastest(kernels, &op, &buffers, RUNS)?;
        best = best.max(op.flop(1) as f64 / seconds);
        clock = by;
    }
    Ok((best, clock))
}

fn copy(kernels: &Kernels) -> Result<f64, VerifyError> {
    let gpu = kernels.gpu();
    let bytes = COPY_BYTES.min(gpu.facts().max_binding) / 16 * 16;
    check(kernels, &ProbeCopy { len: 1028 })?;
    let op = ProbeCopy { len: bytes as usize / 4 };
    let buffer = || Ok::<_, VerifyError>(gpu.buffer("ceiling", bytes)?.whole());
    let buffers = [buffer()?, buffer()?];
    let (mut seconds, _) = fastest(kernels, &op, &buffers, COPIES)?;
    // Where kernels pay for each access, the driver's own copy is nearer to what the memory can do.
    for _ in 0..COPIES {
        let start = Instant::now();
        gpu.copy(&buffers[0], &buffers[1])?;
        gpu.wait()?;
        seconds = seconds.min(start.elapsed().as_secs_f64());
    }
    Ok(op.bytes(1) as f64 / seconds)
}

fn check(kernels: &Kernels, op: &dyn Op) -> Result<(), VerifyError> {
    let variant = super::choose(op, kernels.gpu().facts(), &[])?;
    verify(kernels, op, &variant, 1, 1).map(|_| ())
}

fn fastest(
    kernels: &Kernels,
    op: &dyn Op,
    buffers: &[BufferRange],
    runs: usize,
) -> Result<(f64, Clock), VerifyError> {
    let variant = super::choose(op, kernels.gpu().facts(), &[])?;
    let launch = kernels.launch(&variant, &op.bindings(), buffers)?;
    let (seconds, clock) = kernels.time(&launch, &Step::default(), runs)?;
    // A clock that does not tick between begin and end says less than its resolution.
    let fastest = seconds.into_iter().fold(f64::INFINITY, f64::min).max(1e-9);
    Ok((fastest, clock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_of_the_two_bounds_a_kernel() {
        let ceilings = Ceilings { flop_per_s: 100.0, bytes_per_s: 10.0, clock: Clock::Wall };
        assert_eq!(ceilings.floor(200, 5), (2.0, Bound::Compute));
        assert_eq!(ceilings.floor(200, 50), (5.0, Bound::Memory));
        assert_eq!(ceilings.floor(0, 1), (0.1, Bound::Memory));
    }
}
