//! Sums of losses and hits on the device.

use super::{Data, Op, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::Layout;

/// Adds a micro-batch's losses, hits and images to its batch's slot of a ring; the first
/// micro-batch of a batch overwrites the slot.
#[derive(Debug, Clone, Copy)]
pub struct MetricsUpdate {
    /// Slots of the ring: batches kept before the first is overwritten.
    pub slots: usize,
}

impl Op for MetricsUpdate {
    fn name(&self) -> &'static str {
        "metrics_update"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::quads("outcome", Layout::Rows(2), Access::Read),
            Binding::quads("metrics", Layout::Flat(self.slots * 4), Access::Update),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "metrics_update",
            constants: vec![],
            dims: vec![("slots", Dim::U(self.slots as u32))],
            grid: Grid::fixed(1),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [outcome, metrics] = buffers else { unreachable!("two bindings") };
        let sum = |column| (0..step.images as usize).map(|n| outcome[n * 4 + column]).sum();
        let sums: [f64; 4] = [sum(0), sum(1), f64::from(step.images), 0.0];
        let slot = step.slot as usize % self.slots;
        for (i, sum) in sums.into_iter().enumerate() {
            let old = if step.accumulate == 1 { metrics[slot * 4 + i] } else { 0.0 };
            metrics[slot * 4 + i] = old + sum;
        }
    }

    fn tolerance(&self, images: u64) -> f64 {
        rounding(images)
    }
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    [1, 3, 256].map(|slots| Box::new(MetricsUpdate { slots }) as _).into()
}
