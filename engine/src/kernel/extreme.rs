//! The least and the greatest of doubles.
//!
//! Invariant: NaN is the greatest double; -0.0 and 0.0 are equal, and either may be given for both. Rows that a mask leaves
//! out count for nothing, whatever they hold. Whole numbers: `storage/src/lanes/mod.rs`.
//! Next: `../agg/extreme.rs`.

use stoadb_storage::{
    lanes::NIBBLES,
    simd::{self, Kernel},
};

/// Values of one word of a mask.
const BLOCK: usize = 64;
/// Values looked at side by side, so that one comparison does not wait for the one before.
const LANES: usize = 8;
/// How many bytes ahead of their use values are asked for.
const AHEAD: usize = 4096;

/// The least or the greatest double, of all or of those whose bit is set in `words`; `None` of none.
pub(crate) fn extreme_double(values: &[f64], words: Option<&[u64]>, largest: bool) -> Option<f64> {
    let (blocks, tail) = values.as_chunks::<BLOCK>();
    let all = words.unwrap_or_default();
    let (lanes, nans) = match (largest, words.is_some()) {
        (true, false) => simd::run(Doubles::<true, false> { blocks, words: all }),
        (true, true) => simd::run(Doubles::<true, true> { blocks, words: all }),
        (false, false) => simd::run(Doubles::<false, false> { blocks, words: all }),
        (false, true) => simd::run(Doubles::<false, true> { blocks, words: all }),
    };
    let set = |row: usize| words.is_none_or(|words| words[row / BLOCK] >> (row % BLOCK) & 1 == 1);
    let rest = (values.len() - tail.len()..values.len()).filter(|&row| set(row));
    let rest = rest.map(|row| values[row]);
    let has_nan = nans.iter().any(|&nans| nans > 0) || rest.clone().any(f64::is_nan);
    // `max` and `min` pass over NaN.
    let best = lanes.into_iter().chain(rest).fold(none(largest), |a, b| match largest {
        true => a.max(b),
        false => a.min(b),
    });
    if best == none(largest) || has_nan {
        // There may be no number at all.
        let mut kept = (0..values.len()).filter(|&row| set(row)).map(|row| values[row]).peekable();
        kept.peek()?;
        if largest && has_nan || kept.all(f64::is_nan) {
            return Some(f64::NAN);
        }
    }
    Some(best)
}

/// What every double is better than, or as good as.
#[inline(always)]
fn none(largest: bool) -> f64 {
    if largest { f64::NEG_INFINITY } else { f64::INFINITY }
}

/// The best values by lane, NaN passed over, and whether any is NaN.
struct Doubles<'a, const LARGEST: bool, const MASKED: bool> {
    blocks: &'a [[f64; BLOCK]],
    words: &'a [u64],
}

impl<const LARGEST: bool, const MASKED: bool> Kernel for Doubles<'_, LARGEST, MASKED> {
    type Output = ([f64; LANES], [u64; LANES]);
    #[inline(always)]
    fn run(self) -> Self::Output {
        let (mut best, mut nans) = ([none(LARGEST); LANES], [0_u64; LANES]);
        for (at, block) in self.blocks.iter().enumerate() {
            simd::fetch_ahead(block, AHEAD);
            let mut word = if MASKED { self.words[at] } else { 0 };
            for chunk in block.as_chunks::<LANES>().0 {
                let masks = [&NIBBLES[(word & 15) as usize], &NIBBLES[(word >> 4 & 15) as usize]];
                word >>= LANES;
                for lane in 0..LANES {
                    let mask = masks[lane / 4][lane % 4];
                    let value = match MASKED {
                        true => {
                            let bits = chunk[lane].to_bits() & mask;
                            f64::from_bits(bits | none(LARGEST).to_bits() & !mask)
                        }
                        false => chunk[lane],
                    };
                    let is_better = if LARGEST { value > best[lane] } else { value < best[lane] };
                    best[lane] = if is_better { value } else { best[lane] };
                    nans[lane] |= u64::from(value.is_nan());
                }
            }
        }
        (best, nans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{bits::float64_bits, testing::Random};
    use stoadb_storage::lanes::mask_words;

    #[test]
    fn test_extremes_take_nan_for_the_greatest() {
        let specials = [0.5, f64::NAN, -0.0, f64::INFINITY, f64::NEG_INFINITY, -3.0, 0.0];
        let mut random = Random::new(5);
        for n in (0..30).chain([63, 64, 65, 128, 200]) {
            for shift in 0..7 {
                for step in 0..7 {
                    let values: Vec<f64> =
                        (0..n).map(|i| specials[(shift + i * step) % specials.len()]).collect();
                    for of in [1, 2, 9, 400] {
                        check(&values, (0..n).map(|_| random.below(of) != 0).collect());
                    }
                    check(&values, vec![true; n]);
                }
            }
        }
    }

    fn check(values: &[f64], mask: Vec<bool>) {
        let order =
            |a: &f64, b: &f64| a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
        let bits = |value: Option<f64>| value.map(float64_bits);
        let kept = values.iter().zip(&mask).filter(|(_, kept)| **kept).map(|(&value, _)| value);
        let all = mask.iter().all(|&kept| kept);
        let words = mask_words(&mask.iter().copied().collect());
        for largest in [false, true] {
            let wanted = match largest {
                true => kept.clone().max_by(order),
                false => kept.clone().min_by(order),
            };
            let got = extreme_double(values, Some(&words), largest);
            assert_eq!(bits(got), bits(wanted), "{values:?} {mask:?} {largest}");
            if all {
                assert_eq!(bits(extreme_double(values, None, largest)), bits(wanted));
            }
        }
    }
}
