//! What is put into buffers to try an operation, and how what comes out is compared.

use super::{Data, Op};
use crate::kernel::{Access, Binding, Step};
use crate::shape::{FeatureMap, Layout};

/// A halo that an operation should leave alone holds this.
const HALO: f64 = 7.0;
/// Words that an operation should overwrite hold this.
const POISON: u32 = 0xDEAD_BEEF;

/// The contents of a binding before an operation runs.
pub struct Contents {
    /// On the device: outputs poisoned.
    pub device: Data,
    /// For the reference, which leaves padding as it is: outputs poisoned, but padding zero.
    pub reference: Data,
}

/// Contents of all bindings, drawn from `seed`: numbers in [-1, 1], one in eight exactly zero,
/// padding zero.
pub fn of(op: &dyn Op, step: &Step, seed: u64) -> Vec<Contents> {
    let mut state = seed;
    let mut random = move || splitmix(&mut state);
    let images = step.images as usize;
    let mut contents = Vec::new();
    for Binding { name, layout, access, .. } in op.bindings() {
        let len = layout.len(images);
        if access == Access::Write {
            contents.push(poisoned(layout, len));
            continue;
        }
        let data =
            op.input(name, step, &mut random).unwrap_or_else(|| any(layout, len, &mut random));
        let data = match data {
            // What the device gets is what the reference computes with.
            Data::F(values) => Data::F(values.iter().map(|&v| f64::from(v as f32)).collect()),
            words => words,
        };
        debug_assert_eq!(count(&data), len, "{op:?} gives a wrong length for '{name}'");
        contents.push(Contents { reference: data.clone(), device: data });
    }
    contents
}

fn any(layout: Layout, len: usize, random: &mut dyn FnMut() -> f64) -> Data {
    if layout.is_words() {
        return Data::U((0..len).map(|_| (random() * 4_294_967_296.0) as u32).collect());
    }
    let value = |i| match random() {
        _ if layout.is_padding(i) => 0.0,
        small if small < 0.125 => 0.0,
        _ => 2.0 * random() - 1.0,
    };
    Data::F((0..len).map(value).collect())
}

fn poisoned(layout: Layout, len: usize) -> Contents {
    if layout.is_words() {
        let words = Data::U(vec![POISON; len]);
        return Contents { reference: words.clone(), device: words };
    }
    let device = |i| if is_halo(layout, i) { HALO } else { f64::NAN };
    let reference = |i| match device(i) {
        poison if poison.is_nan() && layout.is_padding(i) => 0.0,
        value => value,
    };
    Contents {
        device: Data::F((0..len).map(device).collect()),
        reference: Data::F((0..len).map(reference).collect()),
    }
}

fn is_halo(layout: Layout, i: usize) -> bool {
    match layout {
        // With every stored channel in use, only the halo is padding.
        Layout::Map(map) => {
            Layout::Map(FeatureMap { channels: map.quads() * 4, ..map }).is_padding(i)
        }
        _ => false,
    }
}

/// Elements of a buffer.
pub fn count(data: &Data) -> usize {
    match data {
        Data::F(values) => values.len(),
        Data::U(words) => words.len(),
    }
}

/// Uniform numbers from 0 up to 1 (Steele et al., Fast splittable pseudorandom number generators).
fn splitmix(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// The bits of a buffer as the device holds it.
pub fn bits(data: &Data) -> Vec<u32> {
    match data {
        Data::F(values) => values.iter().map(|&value| (value as f32).to_bits()).collect(),
        Data::U(words) => words.clone(),
    }
}

/// The buffer of which `bits` are the bits.
pub fn data(layout: Layout, bits: &[u32]) -> Data {
    if layout.is_words() {
        return Data::U(bits.to_vec());
    }
    Data::F(bits.iter().map(|&bits| f64::from(f32::from_bits(bits))).collect())
}

/// The sums over `slots` equal parts of a buffer.
pub fn summed(data: &Data, slots: usize) -> Data {
    match data {
        Data::F(values) if slots > 1 => {
            let mut sums = vec![0.0; values.len() / slots];
            for part in values.chunks(sums.len()) {
                sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
            }
            Data::F(sums)
        }
        _ => data.clone(),
    }
}

/// The first element of `found` that differs from `wanted` by more than `tolerance`, relative to
/// the largest magnitude wanted. NaN always differs, and words must be equal.
pub fn first_difference(found: &Data, wanted: &Data, tolerance: f64) -> Option<usize> {
    match (found, wanted) {
        (Data::F(found), Data::F(wanted)) => {
            let largest = largest(wanted);
            let same = |(a, b): (&f64, &f64)| (a - b).abs() <= tolerance * largest;
            found.iter().zip(wanted).position(|pair| !same(pair))
        }
        (Data::U(found), Data::U(wanted)) => found.iter().zip(wanted).position(|(a, b)| a != b),
        // A buffer of one kind has no element like one of the other.
        (Data::F(_), Data::U(_)) | (Data::U(_), Data::F(_)) => Some(0),
    }
}

/// The largest error, relative to the largest magnitude wanted: 0 of words, which are equal or wrong.
pub fn deviation(found: &Data, wanted: &Data) -> f64 {
    let (Data::F(found), Data::F(wanted)) = (found, wanted) else { return 0.0 };
    let worst = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    if worst > 0.0 { worst / largest(wanted) } else { 0.0 }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most: f64, value| most.max(value.abs()))
}

/// Element `i` for people.
pub fn element(data: &Data, i: usize) -> String {
    match data {
        Data::F(values) => values[i].to_string(),
        Data::U(words) => format!("{:#010x}", words[i]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_relative_to_the_largest_and_nan_always_differs() {
        let wanted = Data::F(vec![0.0, 100.0]);
        assert_eq!(first_difference(&Data::F(vec![0.9, 100.0]), &wanted, 0.01), None);
        assert_eq!(first_difference(&Data::F(vec![1.1, 100.0]), &wanted, 0.01), Some(0));
        assert_eq!(first_difference(&Data::F(vec![0.0, f64::NAN]), &wanted, 0.01), Some(1));
        let holes = Data::F(vec![f64::NAN, 100.0]);
        assert_eq!(first_difference(&holes, &holes, 0.01), Some(0));
        let words = |word| Data::U(vec![word]);
        assert_eq!(first_difference(&words(1), &words(2), 1.0), Some(0));
    }

    #[test]
    fn partial_sums_are_added_over_slots() {
        let parts = Data::F(vec![1.0, 2.0, 30.0, 40.0]);
        assert_eq!(summed(&parts, 2), Data::F(vec![31.0, 42.0]));
    }

    #[test]
    fn a_deviation_is_relative_to_the_largest() {
        let wanted = Data::F(vec![1.0, -200.0]);
        assert_eq!(deviation(&Data::F(vec![2.0, -200.0]), &wanted), 0.005);
        assert_eq!(deviation(&wanted, &wanted), 0.0);
    }
}
