//! Wrong results are found before anything is timed, and told with all that names them.

use vgg_wgpu::gpu::AdapterFacts;
use vgg_wgpu::kernel::{Binding, Step, Variant};
use vgg_wgpu::ops::{Data, Decayed, Form, Op, Update, VerifyError, ceilings, verify};

use crate::device;

/// An operation whose kernel computes something else than its reference.
#[derive(Debug)]
struct Lying(Update);

impl Op for Lying {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn bindings(&self) -> Vec<Binding> {
        self.0.bindings()
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        self.0.variants(facts)
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        self.0.reference(step, buffers);
        // One element of many, by a thousandth of the largest.
        buffers[0][41] += 1e-3;
    }

    fn tolerance(&self, images: u64) -> f64 {
        self.0.tolerance(images)
    }
}

#[test]
fn a_single_wrong_element_is_told_with_adapter_and_variant() {
    let Some(devices) = device::open() else { return };
    let kernels = &devices.usual;
    let decayed = Decayed::all(256);
    let op = Update { len: 256, form: Form::Sgd, decayed, clips: false };
    let variant = &op.variants(kernels.gpu().facts())[0];
    let deviation = verify(kernels, &op, variant, 1, 5).unwrap();
    assert!(deviation.relative <= deviation.tolerance, "{deviation:?}");

    let error = verify(kernels, &Lying(op), variant, 1, 5).unwrap_err();
    let text = error.to_string();
    let adapter = &kernels.gpu().facts().name;
    for word in ["update", adapter, "p[41]", "256"] {
        assert!(text.contains(word), "no '{word}' in: {text}");
    }
    let VerifyError::Wrong(wrong) = error else { panic!("{text}") };
    assert_eq!((wrong.binding, wrong.element), ("p", 41));
}

#[test]
fn ceilings_are_positive_rates() {
    let Some(devices) = device::open() else { return };
    let ceilings = ceilings(&devices.usual).unwrap();
    assert!(ceilings.flop_per_s.is_finite() && ceilings.flop_per_s > 1e6, "{ceilings:?}");
    assert!(ceilings.bytes_per_s.is_finite() && ceilings.bytes_per_s > 1e6, "{ceilings:?}");
}
