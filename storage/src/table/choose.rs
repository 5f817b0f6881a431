//! Chooses the encoding of a column's words: by size, and by the work that it saves.
//!
//! Invariants: the choice depends on the values and their order alone; a chosen encoding holds every value to the last
//! bit. Narrow offsets compute in their narrow width, so a dictionary must be clearly smaller to be preferred, and no
//! offsets of two bytes or less give way to one. Runs are decoded when they are read: they must be long.
//! Next: `fixed.rs`, which encodes; `text.rs`, which chooses for texts.

use crate::{
    table::word::{Chunks, Word},
    types::LogicalType,
};

/// Columns of fewer rows are kept plain: nothing is to be saved, and single rows are inserted quickly.
pub(crate) const ENCODE_ROWS: usize = 1024;
/// Rows per run, on average, from which runs pay.
pub(crate) const RUN_ROWS: usize = 256;
/// How many times smaller than anything else runs must be.
const RUN_GAIN: usize = 4;
/// Most entries of a dictionary of fixed-width values.
const MOST_ENTRIES: usize = 1 << 16;

/// How the bits of a type's values are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// Whether offsets from a base can hold them.
    pub(crate) integer: bool,
    /// Whether the greatest bit is the sign.
    pub(crate) signed: bool,
    /// Whether they are decimals.
    pub(crate) decimal: bool,
}

impl Kind {
    /// That of a type of fixed width.
    pub(crate) fn of(ty: &LogicalType) -> Self {
        let unsigned = matches!(
            ty,
            LogicalType::UInt8 | LogicalType::UInt16 | LogicalType::UInt32 | LogicalType::UInt64
        );
        Self {
            integer: !ty.is_float(),
            signed: !unsigned,
            decimal: matches!(ty, LogicalType::Decimal { .. }),
        }
    }
}

/// What one pass over the values finds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Profile<T> {
    /// The least pattern, in the order of the values.
    pub(crate) min: T,
    /// The greatest.
    pub(crate) max: T,
    /// How often a value is unlike the one before.
    pub(crate) changes: usize,
}

impl<T: Word> Profile<T> {
    /// Looks at all values. `None` when there is none.
    pub(crate) fn of(values: &Chunks<T>, flip: T) -> Option<Self> {
        let first = values.values().next()?;
        let mut profile = Self { min: first.ordered(flip), max: first.ordered(flip), changes: 0 };
        let mut last = first;
        for chunk in values.iter() {
            profile.see(chunk, flip, last);
            last = chunk.last().copied().unwrap_or(last);
        }
        Some(profile)
    }

    fn see(&mut self, chunk: &[T], flip: T, last: T) {
        let (mut min, mut max) = (self.min, self.max);
        for &value in chunk {
            let value = value.ordered(flip);
            min = min.min(value);
            max = max.max(value);
        }
        let inner = chunk.iter().zip(chunk.iter().skip(1)).filter(|(a, b)| a != b).count();
        let outer = usize::from(chunk.first().is_some_and(|&first| first != last));
        (self.min, self.max) = (min, max);
        self.changes += inner + outer;
    }
}

/// An encoding for words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// One value.
    Constant,
    /// Every value as it is.
    Plain,
    /// Offsets of so many bytes from a base; with 8 bytes the base is 0.
    Narrow {
        /// 1, 2, 4 or 8.
        width: usize,
        /// The least value.
        base: i64,
    },
    /// Runs of equal values.
    Runs,
}

/// The best encoding, and the most entries with which a dictionary would still be better (0: none would).
pub(crate) fn choose<T: Word>(
    rows: usize,
    null_changes: Option<usize>,
    profile: &Profile<T>,
    kind: Kind,
) -> (Choice, usize) {
    if profile.changes == 0 && null_changes.is_none() {
        return (Choice::Constant, 0);
    }
    let plain = size_of::<T>();
    let flip = T::flip(kind.signed);
    // `ordered` is its own inverse.
    let wide = |pattern: T| pattern.ordered(flip).to_wide(kind.signed);
    let narrow = match (wide(profile.min), wide(profile.max)) {
        (Some(base), Some(_)) if kind.integer => {
            match offset_width(profile.max.above(profile.min)) {
                Some(width) if width < plain => Choice::Narrow { width, base },
                _ if kind.decimal => Choice::Narrow { width: 8, base: 0 },
                _ => Choice::Plain,
            }
        }
        _ => Choice::Plain,
    };
    let width = if let Choice::Narrow { width, .. } = narrow { width } else { plain };
    let runs = profile.changes + null_changes.unwrap_or(0) + 1;
    let canonical = if kind.decimal { 16 } else { plain };
    if runs_pay(rows, runs, canonical, width) {
        return (Choice::Runs, 0);
    }
    (narrow, most_entries(rows, width, canonical))
}

/// Whether so many runs are long and clearly smaller than `width` bytes a row; a run's value takes `value` bytes.
pub(crate) fn runs_pay(rows: usize, runs: usize, value: usize, width: usize) -> bool {
    rows / runs.max(1) >= RUN_ROWS && runs * (4 + value) * RUN_GAIN <= rows * width
}

/// With how many entries of `entry` bytes a dictionary takes at most half of `width` bytes a row.
fn most_entries(rows: usize, width: usize, entry: usize) -> usize {
    if width <= 2 {
        return 0;
    }
    let entries = |code: usize| (rows * width / 2).saturating_sub(rows * code) / entry;
    entries(2).min(MOST_ENTRIES).max(entries(1).min(1 << 8))
}

/// The width of offsets up to `most`.
fn offset_width(most: u128) -> Option<usize> {
    match most {
        0..=0xff => Some(1),
        0x100..=0xffff => Some(2),
        0x1_0000..=0xffff_ffff => Some(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(values: &[i64], ty: &LogicalType) -> (Choice, usize) {
        let mut chunks = Chunks::default();
        chunks.extend_map(values, i64::cast_unsigned);
        let kind = Kind::of(ty);
        let profile = Profile::of(&chunks, u64::flip(kind.signed)).unwrap();
        choose(values.len(), None, &profile, kind)
    }

    #[test]
    fn test_choices_by_range_and_runs() {
        let ints =
            |n: i64, step: i64| (0..100_000).map(|i| (i * 7919 % n) * step - 5).collect::<Vec<_>>();
        let ty = LogicalType::Int64;
        let narrow = |width, base| Choice::Narrow { width, base };
        assert_eq!(chosen(&[4; 5000], &ty).0, Choice::Constant);
        assert_eq!(chosen(&ints(256, 1), &ty), (narrow(1, -5), 0));
        assert_eq!(chosen(&ints(257, 1), &ty), (narrow(2, -5), 0));
        assert_eq!(chosen(&ints(1 << 16, 1), &ty), (narrow(2, -5), 0));
        assert_eq!(chosen(&ints(70_000, 1), &ty), (narrow(4, -5), 256));
        assert_eq!(chosen(&ints(100_000, 1 << 40), &ty), (Choice::Plain, 25_000));
        let decimal = LogicalType::Decimal { precision: 18, scale: 2 };
        assert_eq!(chosen(&ints(100_000, 1 << 40), &decimal).0, narrow(8, 0));
        let extremes = [i64::MIN, i64::MAX].repeat(1000);
        assert_eq!(chosen(&extremes, &ty).0, Choice::Plain);
        // The same bits are 2^63 and 2^63 - 1 there: a base beyond 64 signed bits is not taken.
        assert_eq!(chosen(&extremes, &LogicalType::UInt64).0, Choice::Plain);
        let runs: Vec<i64> = (0..100_000).map(|i| (i / 1000) << 33).collect();
        assert_eq!(chosen(&runs, &ty).0, Choice::Runs);
        let short: Vec<i64> = (0..100_000).map(|i| (i / 100) << 33).collect();
        assert_eq!(chosen(&short, &ty).0, Choice::Plain);
        assert_eq!(chosen(&runs, &LogicalType::Float64).0, Choice::Runs);
        assert_eq!(chosen(&ints(256, 1), &LogicalType::Float64).0, Choice::Plain);
    }

    #[test]
    fn test_many_nulls_break_runs() {
        let mut chunks = Chunks::default();
        chunks.extend_n(4_u32, 10_000);
        let kind = Kind::of(&LogicalType::Int32);
        let profile = Profile::of(&chunks, u32::flip(true)).unwrap();
        assert_eq!(choose(10_000, Some(2), &profile, kind).0, Choice::Runs);
        let (choice, _) = choose(10_000, Some(5000), &profile, kind);
        assert_eq!(choice, Choice::Narrow { width: 1, base: 4 });
    }
}
