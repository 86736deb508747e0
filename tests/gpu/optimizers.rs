//! Update rules beside PyTorch's: 20 steps of each over a filter bank with given gradients, in float64
//! there and by the kernels here.

use vgg_wgpu::kernel::{Kernels, Step};
use vgg_wgpu::ops::{
    ClipFactor, Data, Decayed, Op, Optimizer, Rule, Run, SQUARE_SLOTS, SquareSums, Storage, Update,
};
use vgg_wgpu::shape::Layout;

use crate::device;
use crate::fixtures::{CLOSE, Fixture, close_to, uniform};

const BANK: Layout = Layout::Filter { c: 4, k: 8 };

fn data(values: Vec<f32>) -> Data {
    Data::F(values.into_iter().map(f64::from).collect())
}

fn zeros(len: usize) -> Data {
    Data::F(vec![0.0; len])
}

fn run(kernels: &Kernels, op: &dyn Op, step: &Step, given: &[&Data]) -> Vec<Data> {
    let facts = kernels.gpu().facts();
    let variant = &op.variants(facts)[0];
    Run { op, variant, step, kernels, storage: Storage::of(facts) }.run(given).unwrap()
}

/// The factor of gradients that are clipped.
fn clip(kernels: &Kernels, step: &Step, gradient: &Data) -> Data {
    let sums = zeros(4 * SQUARE_SLOTS);
    let sums = run(kernels, &SquareSums { len: BANK.len(1) }, step, &[gradient, &sums]).remove(1);
    run(kernels, &ClipFactor { ranges: 1 }, step, &[&sums, &zeros(4)]).remove(1)
}

/// Parameters and moments after all steps.
fn descend(kernels: &Kernels, fixture: &Fixture, optimizer: &Optimizer) -> Vec<Data> {
    let about = fixture.metadata("case");
    let number = |key: &str| about[key].as_f64().unwrap();
    let (len, form, clips) = (BANK.len(1), optimizer.form(), optimizer.clip_norm.is_some());
    assert_eq!((about["weights"].as_u64(), about["biases"].as_u64()), (Some(288), Some(8)));
    let decayed = if optimizer.decay_all { Decayed::all(len) } else { Decayed::weights_of(BANK) };
    let op = Update { len, form, decayed, clips };
    let mut state = vec![data(uniform("optimizers/start", len, 1.0, 0.0))];
    state.extend((0..form.moments()).map(|_| zeros(len)));
    for place in 0..number("steps") as u32 {
        let bounds = about["bounds"].as_array().unwrap();
        let bound = bounds[place as usize % bounds.len()].as_f64().unwrap();
        let gradient = data(uniform(&format!("optimizers/gradient{place}"), len, bound, 0.0));
        let rate = number("rate") as f32;
        let step = Step { number: place, learning_rate: rate, ..Step::default() };
        let step = optimizer.step(step);
        let factor = clips.then(|| clip(kernels, &step, &gradient));
        let mut given = vec![&state[0], &gradient];
        given.extend(&state[1..]);
        given.extend(&factor);
        let mut found = run(kernels, &op, &step, &given);
        found.remove(1);
        found.truncate(state.len());
        state = found;
    }
    state
}

#[test]
fn rules_are_those_of_pytorch() {
    let Some(devices) = device::open() else { return };
    let fixture = Fixture::read("optimizers");
    let about = fixture.metadata("case");
    let number = |key: &str| about[key].as_f64().unwrap() as f32;
    let rules = [
        ("sgd", Rule::Sgd { momentum: 0.0, nesterov: false }),
        ("momentum", Rule::Sgd { momentum: 0.9, nesterov: false }),
        ("nesterov", Rule::Sgd { momentum: 0.9, nesterov: true }),
        ("adamw", Rule::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 }),
    ];
    let (decay, norm) = (number("decay"), Some(number("max_norm")));
    let mut compared = 0;
    for (name, rule) in rules {
        for (kind, weight_decay, decay_all, clip_norm) in [
            ("plain", 0.0, false, None),
            ("decayed", decay, true, None),
            ("clipped", decay, false, norm),
        ] {
            let optimizer = Optimizer { rule, weight_decay, decay_all, clip_norm };
            for kernels in [&devices.usual, &devices.checked] {
                let state = descend(kernels, &fixture, &optimizer);
                for (part, found) in ["p", "m", "v"].iter().zip(&state) {
                    let found: Vec<_> = (0..BANK.len(1)).map(|i| found[i]).collect();
                    let place = format!("{name}.{kind}.{part}");
                    close_to(CLOSE, &found, &fixture.of(&place), &place, "optimizers");
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, 2 * fixture.names().len());
}
