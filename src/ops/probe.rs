//! Operations that no network has: those that measure what an adapter can do, and the one that makes
//! numbers to measure with. They are tested as all others are.

use super::{Data, Op, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::{Layout, PANEL, padded, panel_rows};

/// Multiply-adds of each chain in a round, unrolled.
const STEPS: usize = 32;

/// Fused multiply-adds in registers, and nothing else.
#[derive(Debug, Clone, Copy)]
pub struct ProbeFma {
    /// Invocations.
    pub threads: usize,
    /// Chains that an invocation computes at the same time.
    pub chains: usize,
    /// Each step of a chain reads the next chain, too, so that no compiler takes one after another.
    pub coupled: bool,
    /// Rounds of 32 multiply-adds of each chain.
    pub rounds: usize,
}

/// A copy of one part of memory to another.
#[derive(Debug, Clone, Copy)]
pub struct ProbeCopy {
    /// Elements, a multiple of four.
    pub len: usize,
}

/// Uniform random numbers in `[-bound, bound)` for a tensor of weights; its paddings become zero.
#[derive(Debug, Clone, Copy)]
pub struct ProbeUniform {
    /// The tensor: filters, panels or flat.
    pub layout: Layout,
    /// The largest magnitude.
    pub bound: f32,
    /// What the numbers follow from.
    pub seed: u32,
}

impl Op for ProbeFma {
    fn name(&self) -> &'static str {
        "probe_fma"
    }

    fn bindings(&self) -> Vec<Binding> {
        let layout = Layout::Flat(self.threads);
        vec![
            Binding::floats("x", layout, Access::Read),
            Binding::floats("y", layout, Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "probe_fma",
            constants: vec![
                ("CHAINS", self.chains as u32),
                ("COUPLED", u32::from(self.coupled)),
                ("STEPS", STEPS as u32),
            ],
            dims: vec![
                ("threads", Dim::U(self.threads as u32)),
                ("rounds", Dim::U(self.rounds as u32)),
            ],
            grid: Grid::fixed(self.threads.div_ceil(64) as u64),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn flop(&self, _images: u64) -> u64 {
        (2 * self.threads * self.chains * self.rounds * STEPS) as u64
    }

    fn reference(&self, _step: &Step, buffers: &mut [Data]) {
        let [x, y] = buffers else { unreachable!("two bindings") };
        for i in 0..self.threads {
            let steps = self.rounds * STEPS;
            let chains = 0..self.chains;
            y[i] = if self.coupled {
                let b = (x[i] + 2.0) / 16.0;
                let mut v: Vec<f64> = chains.map(|c| x[i] / 8.0 + c as f64 / 64.0).collect();
                for _ in 0..steps {
                    let next = v.iter().cycle().skip(1);
                    v = v.iter().zip(next).map(|(value, next)| value * next + b).collect();
                }
                v.iter().sum()
            } else {
                let (a, b) = (0.25 * x[i] + 0.5, x[i] + 2.0);
                let chain = |c: usize| (0..steps).fold(x[i] + c as f64, |value, _| value * a + b);
                chains.map(chain).sum()
            };
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(STEPS as u64)
    }
}

impl Op for ProbeCopy {
    fn name(&self) -> &'static str {
        "probe_copy"
    }

    fn bindings(&self) -> Vec<Binding> {
        let layout = Layout::Flat(self.len);
        vec![Binding::quads("x", layout, Access::Read), Binding::quads("y", layout, Access::Write)]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "probe_copy",
            constants: vec![],
            dims: vec![("quads", Dim::U((self.len / 4) as u32))],
            grid: Grid::fixed((self.len / 4).div_ceil(64) as u64),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, _step: &Step, buffers: &mut [Data]) {
        let [x, y] = buffers else { unreachable!("two bindings") };
        for i in 0..self.len {
            y[i] = x[i];
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        0.0
    }
}

/// Quads that an invocation of `probe_uniform` fills.
const RUN: usize = 8;

impl ProbeUniform {
    /// Elements of a row, rows of a panel, columns in use, and how many rows of how many are in use.
    fn rows(&self) -> [usize; 5] {
        let len = self.layout.len(1);
        match self.layout {
            Layout::Filter { c, k } => [padded(k), len, k, padded(c), c],
            Layout::Panels { inputs, outputs } => {
                let rows = panel_rows(inputs);
                [PANEL, rows, outputs, rows, inputs + 1]
            }
            _ => [len, 1, len, 1, 1],
        }
    }
}

impl Op for ProbeUniform {
    fn name(&self) -> &'static str {
        "probe_uniform"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![Binding::quads("x", self.layout, Access::Write)]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let len = self.layout.len(1);
        let [columns, panel, columns_used, period, period_used] = self.rows();
        let size = |name, size: usize| (name, Dim::U(size as u32));
        let dims = vec![
            size("quads", len / 4),
            size("columns", columns),
            size("panel", panel),
            size("columns_used", columns_used),
            size("period", period),
            size("period_used", period_used),
            ("seed", Dim::U(self.seed)),
            ("bound", Dim::F(self.bound)),
        ];
        vec![variant! {
            "probe_uniform",
            constants: vec![("RUN", RUN as u32)],
            dims,
            grid: Grid::fixed((len / 4).div_ceil(64 * RUN) as u64),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, _step: &Step, buffers: &mut [Data]) {
        let [x] = buffers else { unreachable!("one binding") };
        for i in 0..self.layout.len(1) {
            let drawn = hash((i / 4) as u32 ^ hash(self.seed)).wrapping_mul(FACTORS[i % 4]);
            let unit = f64::from(drawn >> 8) / f64::from(1 << 24);
            let value = f64::from(self.bound) * (2.0 * unit - 1.0);
            x[i] = if self.layout.is_padding(i) { 0.0 } else { value };
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(1)
    }
}

/// What the hash of a quad is multiplied by for each of its numbers.
const FACTORS: [u32; 4] = [1, 747_796_405, 277_803_737, 2_891_336_453];

fn hash(value: u32) -> u32 {
    let state = value.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

/// Numbers of chains that [`super::ceilings`] tries, and whether they are coupled: registers, latencies and
/// compilers differ.
pub(super) const CHAINS: [(usize, bool); 3] = [(8, false), (12, false), (14, true)];

/// Smallest, about a workgroup, and a few; each number of chains.
pub(super) fn fma_examples() -> Vec<Box<dyn Op>> {
    let shapes = [(1, 0), (65, 1), (200, 3)];
    let op = |((threads, rounds), (chains, coupled))| {
        Box::new(ProbeFma { threads, chains, coupled, rounds }) as _
    };
    shapes.into_iter().zip(CHAINS).map(op).collect()
}

/// Smallest, about a workgroup's quads, and many.
pub(super) fn copy_examples() -> Vec<Box<dyn Op>> {
    let lens = [4, 252, 256, 260, 147_712];
    lens.into_iter().map(|len| Box::new(ProbeCopy { len }) as _).collect()
}

/// Filters and panels with and without paddings, and flat tensors.
pub(super) fn uniform_examples() -> Vec<Box<dyn Op>> {
    let layouts = [
        Layout::Filter { c: 1, k: 1 },
        Layout::Filter { c: 3, k: 17 },
        Layout::Filter { c: 16, k: 32 },
        Layout::Panels { inputs: 4, outputs: 1 },
        Layout::Panels { inputs: 12, outputs: 33 },
        Layout::Panels { inputs: 260, outputs: 96 },
        Layout::Flat(68),
    ];
    let op = |(layout, seed)| Box::new(ProbeUniform { layout, bound: 0.3, seed }) as _;
    layouts.into_iter().zip(0..).map(op).collect()
}
