//! The least and the greatest of values.
//!
//! Invariant: NaN is the greatest double; -0.0 and 0.0 are equal, and either may be given for both.
//! Next: `../agg/extreme.rs`.

/// Values looked at side by side, so that one comparison does not wait for the one before.
const LANES: usize = 8;

/// The least or the greatest value; `None` of none.
pub(crate) fn extreme<T: Copy + Ord>(values: &[T], largest: bool) -> Option<T> {
    match largest {
        true => fold(values, |a, b| if b > a { b } else { a }),
        false => fold(values, |a, b| if b < a { b } else { a }),
    }
}

/// The least or the greatest double; `None` of none.
pub(crate) fn extreme_double(values: &[f64], largest: bool) -> Option<f64> {
    let sign = if largest { 1.0 } else { -1.0 };
    let (mut best, mut nans) = ([-sign * f64::INFINITY; LANES], [0_u64; LANES]);
    let (chunks, tail) = values.as_chunks::<LANES>();
    match largest {
        true => add_lanes(&mut best, &mut nans, chunks, |a, b| b > a),
        false => add_lanes(&mut best, &mut nans, chunks, |a, b| b < a),
    }
    let nans = nans.iter().sum::<u64>() as usize + tail.iter().filter(|v| v.is_nan()).count();
    match nans {
        0 if values.is_empty() => None,
        nans if nans == values.len() || largest && nans > 0 => Some(f64::NAN),
        // `max` and `min` pass over NaN.
        _ => best.into_iter().chain(tail.iter().copied()).reduce(|a, b| match largest {
            true => a.max(b),
            false => a.min(b),
        }),
    }
}

/// Puts better values in the place of the best ones so far and counts NaNs, which are better than nothing. By itself,
/// because only then all lanes become vector instructions.
#[inline(never)]
fn add_lanes(
    best: &mut [f64; LANES],
    nans: &mut [u64; LANES],
    chunks: &[[f64; LANES]],
    is_better: impl Fn(f64, f64) -> bool,
) {
    let (mut lanes, mut counts) = (*best, *nans);
    for chunk in chunks {
        for lane in 0..LANES {
            let value = chunk[lane];
            lanes[lane] = if is_better(lanes[lane], value) { value } else { lanes[lane] };
            counts[lane] += u64::from(value.is_nan());
        }
    }
    (*best, *nans) = (lanes, counts);
}

#[inline]
fn fold<T: Copy>(values: &[T], better: impl Fn(T, T) -> T) -> Option<T> {
    let (chunks, tail) = values.as_chunks::<LANES>();
    let mut best = values.first().copied()?;
    if let Some((first, chunks)) = chunks.split_first() {
        let mut lanes = *first;
        for chunk in chunks {
            for (lane, &value) in lanes.iter_mut().zip(chunk) {
                *lane = better(*lane, value);
            }
        }
        best = lanes.into_iter().fold(best, &better);
    }
    Some(tail.iter().copied().fold(best, better))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_extremes_of_whole_numbers() {
        let mut values = Vec::new();
        for n in 0..40_i64 {
            assert_eq!(extreme(&values, true), values.iter().copied().max());
            assert_eq!(extreme(&values, false), values.iter().copied().min());
            let narrow: Vec<u8> = values.iter().map(|&v| v as u8).collect();
            assert_eq!(extreme(&narrow, true), narrow.iter().copied().max());
            assert_eq!(extreme(&narrow, false), narrow.iter().copied().min());
            values.push((n * 7919 % 31 - 15) * (i64::MAX / 15));
        }
    }

    #[test]
    fn test_extremes_of_doubles_take_nan_for_the_greatest() {
        let specials = [0.5, f64::NAN, -0.0, f64::INFINITY, f64::NEG_INFINITY, -3.0, 0.0];
        for n in 0..30 {
            for shift in 0..7 {
                for step in 1..7 {
                    let values: Vec<f64> =
                        (0..n).map(|i| specials[(shift + i * step) % specials.len()]).collect();
                    let order = |a: &f64, b: &f64| {
                        a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
                    };
                    for largest in [false, true] {
                        let wanted = values.iter().copied();
                        let wanted =
                            if largest { wanted.max_by(order) } else { wanted.min_by(order) };
                        let got = extreme_double(&values, largest);
                        let bits =
                            |value: Option<f64>| value.map(crate::kernel::bits::float64_bits);
                        assert_eq!(bits(got), bits(wanted), "{values:?} {largest}");
                    }
                }
            }
        }
    }
}
