//! The seeded permutation that orders the images of an epoch and draws subsets.
//!
//! Results of a run depend on it, so its outputs are fixed for ever: the tests below pin them, and
//! the embedded subset was drawn with the same numbers by `scripts/make_subset.py`.

/// Weyl increment of SplitMix64: 2^64 divided by the golden ratio, made odd.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014) with
/// the output function by Stafford, started from a hash of a seed and an epoch.
#[derive(Clone, Debug)]
struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    fn new(seed: u64, epoch: u64) -> Self {
        // Hashing twice keeps (seed, epoch + 1) and (seed + 1, epoch) unrelated.
        let state = mix(mix(seed.wrapping_add(GAMMA)) ^ epoch);
        Self { state }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// Uniform in `0..bound` without bias, for `bound > 0`: multiplication with rejection (Lemire,
    /// "Fast random integer generation in an interval", 2019).
    fn below(&mut self, bound: u64) -> u64 {
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }
}

/// The output function of SplitMix64, a bijection of 64 bits.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The numbers `0..n` in an order that depends on `seed` and `epoch` alone: on every machine and in
/// every version of the crate the same.
///
/// Each order is equally likely (Fisher and Yates' shuffle in Durstenfeld's form, unbiased draws
/// from SplitMix64), as far as 64 bits of state reach. Numbers beyond `u32::MAX` do not exist in
/// the result; the count in an IDX header never gets there.
///
/// ```
/// use vgg_wgpu::data::permutation;
///
/// assert_eq!(permutation(10, 42, 0), [8, 1, 9, 2, 6, 0, 4, 5, 3, 7]);
/// assert_eq!(permutation(10, 42, 1), [1, 9, 7, 6, 8, 4, 3, 5, 0, 2]);
/// ```
pub fn permutation(n: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..=u32::MAX).take(n).collect();
    let mut random = SplitMix64::new(seed, epoch);
    for i in (1..order.len()).rev() {
        // i + 1 <= 2^32, so neither cast loses anything.
        let j = random.below(i as u64 + 1) as usize;
        order.swap(i, j);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_numbers() {
        // First outputs of the reference implementation for the state 1234567.
        let mut random = SplitMix64 { state: 1_234_567 };
        let first: Vec<u64> = (0..5).map(|_| random.next()).collect();
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(first, expected);
    }

    #[test]
    fn outputs_are_fixed() {
        assert_eq!(permutation(10, 0, 0), [1, 4, 5, 0, 7, 6, 9, 8, 2, 3]);
        assert_eq!(permutation(10, 42, 0), [8, 1, 9, 2, 6, 0, 4, 5, 3, 7]);
        assert_eq!(permutation(10, 42, 1), [1, 9, 7, 6, 8, 4, 3, 5, 0, 2]);
        let mut random = SplitMix64::new(1234, 5);
        assert_eq!(random.next(), 0x3d66_7d01_ac65_6d0e);
        assert_eq!(random.next(), 0xfd8d_191d_5c4f_fc26);
    }

    #[test]
    fn short_ones_hold_every_number_once() {
        for n in 0..200 {
            let mut order = permutation(n, 7, 3);
            order.sort_unstable();
            assert!(order.iter().copied().eq(0..n as u32), "n = {n}: {order:?}");
        }
    }

    #[test]
    fn every_order_of_three_is_equally_frequent() {
        let mut counts = std::collections::BTreeMap::new();
        for epoch in 0..60_000 {
            *counts.entry(permutation(3, 11, epoch)).or_insert(0_i32) += 1;
        }
        assert_eq!(counts.len(), 6);
        // 10,000 expected with a standard deviation of 91: five of them.
        assert!(counts.values().all(|&count| (count - 10_000).abs() < 456), "{counts:?}");
    }

    #[test]
    fn bounded_draws_reject_the_biased_part() {
        // A plain multiplication by 3/4 of the range maps four numbers to three: one of each three
        // results would come twice as often as the others.
        let bound = 3 << 62;
        let mut random = SplitMix64::new(5, 0);
        let draws: Vec<u64> = (0..30_000).map(|_| random.below(bound)).collect();
        let mut residues = [0_i32; 3];
        for draw in draws {
            assert!(draw < bound);
            residues[(draw % 3) as usize] += 1;
        }
        assert!(residues.iter().all(|&count| (count - 10_000).abs() < 410), "{residues:?}");
    }
}
