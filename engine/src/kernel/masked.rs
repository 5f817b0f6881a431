//! Values where a mask is set, without gathering them by position first.
//!
//! Invariant: values are seen in order; what lies where the mask is not set is never part of a result.
//! Next: `../agg/masked.rs`.

use arrow::buffer::BooleanBuffer;

/// Values put together before they are handed on.
const PIECE: usize = 1024;

/// Calls `f` with the values where the mask is set, in order, in pieces. O(values).
pub(crate) fn for_each_piece<T: Copy + Default>(
    values: &[T],
    mask: &BooleanBuffer,
    mut f: impl FnMut(&[T]),
) {
    let bits = mask.bit_chunks();
    let (chunks, tail) = values.as_chunks::<64>();
    let mut piece = [T::default(); PIECE + 64];
    let mut filled = 0;
    // A run of words that are all set is handed on as it lies there.
    let mut run = 0..0;
    for (at, (chunk, word)) in chunks.iter().zip(bits.iter()).enumerate() {
        if word == u64::MAX && filled == 0 {
            run.end = at + 1;
            continue;
        }
        if !run.is_empty() {
            f(chunks[run.clone()].as_flattened());
        }
        run = at + 1..at + 1;
        filled += match word {
            u64::MAX => {
                piece[filled..filled + 64].copy_from_slice(chunk);
                64
            }
            _ => compact(chunk, word, &mut piece[filled..]),
        };
        if filled >= PIECE {
            f(&piece[..filled]);
            filled = 0;
        }
    }
    if !run.is_empty() {
        f(chunks[run].as_flattened());
    }
    let mut word = bits.remainder_bits();
    for &value in tail {
        if word & 1 == 1 {
            piece[filled] = value;
            filled += 1;
        }
        word >>= 1;
    }
    if filled > 0 {
        f(&piece[..filled]);
    }
}

/// Puts the values whose bit is set to the front of `kept`; says how many they are.
#[inline]
fn compact<T: Copy>(values: &[T; 64], mut word: u64, kept: &mut [T]) -> usize {
    let Some(kept) = kept.first_chunk_mut::<64>() else { return 0 };
    let mut at = 0;
    for &value in values {
        // Written in any case and kept where the bit is set: no branch to guess.
        kept[at & 63] = value;
        at += (word & 1) as usize;
        word >>= 1;
    }
    at
}

/// Calls `f` with each row below `rows` whose bit is not set.
pub(crate) fn for_each_unset(mask: &BooleanBuffer, mut f: impl FnMut(usize)) {
    let rows = mask.len();
    words(mask, |start, word| {
        let mut unset = !word;
        if rows - start < 64 {
            unset &= (1 << (rows - start)) - 1;
        }
        while unset != 0 {
            f(start + unset.trailing_zeros() as usize);
            unset &= unset - 1;
        }
    });
}

/// Calls `f` with each 64 bits and the row of the first; bits past the end are not set.
#[inline]
fn words(mask: &BooleanBuffer, mut f: impl FnMut(usize, u64)) {
    let chunks = mask.bit_chunks();
    let mut start = 0;
    for word in chunks.iter() {
        f(start, word);
        start += 64;
    }
    if chunks.remainder_len() > 0 {
        f(start, chunks.remainder_bits());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Masks of many shapes and lengths, at every offset within a byte.
    fn masks() -> Vec<BooleanBuffer> {
        let mut masks = Vec::new();
        for rows in [0, 1, 63, 64, 65, 127, 128, 200, 2048, 2049, 5000] {
            for (name, period) in [("none", 0), ("all", 1), ("some", 3), ("few", 97)] {
                for offset in [0, 1, 7, 64] {
                    let bit = |row: usize| match name {
                        "none" => false,
                        "all" => true,
                        "some" => row % period != 0 || row / 640 % 2 == 0,
                        _ => row % period == 0,
                    };
                    let bits = BooleanBuffer::collect_bool(rows + offset, bit);
                    masks.push(bits.slice(offset, rows));
                }
            }
        }
        masks
    }

    #[test]
    fn test_pieces_are_the_values_that_are_set_in_order() {
        for mask in masks() {
            let values: Vec<u32> = (0..mask.len() as u32).collect();
            let mut seen = Vec::new();
            for_each_piece(&values, &mask, |piece| {
                assert!(!piece.is_empty());
                seen.extend_from_slice(piece);
            });
            let wanted: Vec<u32> = mask.set_indices().map(|row| row as u32).collect();
            assert_eq!(seen, wanted);
        }
    }

    #[test]
    fn test_unset_rows_are_all_others() {
        for mask in masks() {
            let mut seen = Vec::new();
            for_each_unset(&mask, |row| seen.push(row));
            let wanted: Vec<usize> = (!&mask).set_indices().collect();
            assert_eq!(seen, wanted);
        }
    }
}
