//! The page index: where the pages of a chunk stand and what bounds their values have.
//!
//! Invariant: an index that is not sound, or that contradicts the footer, is treated as absent; it is read only when a
//! filter or a selection can use it, and kept with the footer. Bytes read are charged as footer bytes.
//! Next: `chunk.rs`, `group.rs`.

use std::{
    cmp::Ordering,
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use parquet::file::{metadata::ColumnChunkMetaData, page_index::offset_index::PageLocation};

use super::{
    footer::{Footer, chunk_range},
    source::RangeFile,
    stats::{group_range, page_bound},
    thrift::{Checked, Walker},
};
use crate::{
    error::Result,
    ledger::ScanLedger,
    prune::{ColumnRange, compare_scalars},
    scalar::Scalar,
    types::LogicalType,
};

/// The index of one chunk.
#[derive(Debug)]
pub(crate) struct PageIndex {
    /// Where the data pages stand, and their first rows.
    pub locations: Vec<PageLocation>,
    /// What is known of each page, if bounds are stored.
    pub ranges: Vec<ColumnRange>,
}

impl PageIndex {
    /// The page that holds a row.
    pub(crate) fn page_of(&self, row: usize) -> usize {
        let after = self.locations.partition_point(|page| page.first_row_index <= row as i64);
        after.saturating_sub(1)
    }
}

/// The indexes that were read of a file, by row group and leaf; `None` where there is none.
#[derive(Debug, Default)]
pub(crate) struct PageIndexes(Mutex<Known>);

type Known = HashMap<(usize, usize), Option<Arc<PageIndex>>>;

impl PageIndexes {
    /// The index of a flat column's chunk; `ty` is the type of its values.
    ///
    /// # Errors
    /// `Io` when reading fails.
    pub(crate) fn get(
        &self,
        footer: &Footer,
        file: &RangeFile,
        (group, leaf): (usize, usize),
        ty: &LogicalType,
        ledger: &ScanLedger,
    ) -> Result<Option<Arc<PageIndex>>> {
        let known = self.lock().get(&(group, leaf)).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let chunk = footer.metadata.row_group(group).column(leaf);
        let rows = footer.metadata.row_group(group).num_rows();
        let offsets = part(file, chunk.offset_index_offset(), chunk.offset_index_length(), ledger)?;
        let locations = offsets.and_then(|bytes| locations(&bytes, chunk, rows));
        let index = match locations {
            None => None,
            Some(locations) => {
                let (offset, length) = (chunk.column_index_offset(), chunk.column_index_length());
                let bounds = part(file, offset, length, ledger)?;
                let ranges = bounds
                    .and_then(|bytes| ranges(&bytes, footer, (group, leaf), ty, locations.len()));
                Some(Arc::new(PageIndex { locations, ranges: ranges.unwrap_or_default() }))
            }
        };
        self.lock().insert((group, leaf), index.clone());
        Ok(index)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn part(
    file: &RangeFile,
    offset: Option<i64>,
    length: Option<i32>,
    ledger: &ScanLedger,
) -> Result<Option<bytes::Bytes>> {
    let range = offset.zip(length).and_then(|(offset, length)| {
        let (offset, length) = (u64::try_from(offset).ok()?, u64::try_from(length).ok()?);
        (length > 0 && offset.checked_add(length)? <= file.identity().size)
            .then_some((offset, length))
    });
    let Some((offset, length)) = range else { return Ok(None) };
    let bytes = file.read(offset, length)?;
    ledger.charge_footer(length);
    Ok(Some(bytes))
}

/// The places of the pages, if they are ascending, disjoint and within the chunk.
fn locations(bytes: &[u8], chunk: &ColumnChunkMetaData, rows: i64) -> Option<Vec<PageLocation>> {
    let mut found = Vec::new();
    let walk = Walker::new(bytes).fields(0, &mut |walker, id, kind| {
        if (id, kind) != (1, 9) {
            return Ok(false);
        }
        found = walker.entries(12, |walker| {
            let mut page =
                PageLocation { offset: -1, compressed_page_size: -1, first_row_index: -1 };
            walker.fields(1, &mut |walker, id, kind| {
                match (id, kind) {
                    (1, 4..=6) => page.offset = walker.int()?,
                    (2, 4..=6) => {
                        page.compressed_page_size =
                            i32::try_from(walker.int()?).map_err(|e| e.to_string())?;
                    }
                    (3, 4..=6) => page.first_row_index = walker.int()?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
            Ok(page)
        })?;
        Ok(true)
    });
    walk.ok()?;
    let Range { start, end } = chunk_range(chunk)?;
    let (mut at, mut row) = (i64::try_from(start).ok()?, -1);
    for page in &found {
        let sound =
            page.offset >= at && page.compressed_page_size > 0 && page.first_row_index > row;
        at = page.offset.checked_add(i64::from(page.compressed_page_size)).filter(|_| sound)?;
        row = page.first_row_index;
    }
    let first = found.first()?.first_row_index;
    (first == 0 && row < rows && at.cast_unsigned() <= end).then_some(found)
}

/// What the index says of each page's values.
fn ranges(
    bytes: &[u8],
    footer: &Footer,
    (group, leaf): (usize, usize),
    ty: &LogicalType,
    pages: usize,
) -> Option<Vec<ColumnRange>> {
    let (mut empty, mut min, mut max, mut nulls) = (vec![], vec![], vec![], vec![]);
    let mut order = 0;
    let walk: Checked<()> = Walker::new(bytes).fields(0, &mut |walker, id, kind| {
        match (id, kind) {
            (1, 9) => {
                // Writers give the type of booleans as 1 or 2; each takes a byte, 1 for true.
                empty = walker.booleans()?;
            }
            (2, 9) => min = walker.entries(8, Walker::binary)?,
            (3, 9) => max = walker.entries(8, Walker::binary)?,
            (4, 4..=6) => order = walker.int()?,
            (5, 9) => nulls = walker.entries(6, Walker::int)?,
            _ => return Ok(false),
        }
        Ok(true)
    });
    walk.ok()?;
    if empty.len() != pages || min.len() != pages || max.len() != pages {
        return None;
    }
    let metadata = footer.metadata.as_ref();
    let physical = metadata.row_group(group).column(leaf).column_type();
    let range = |page: usize| {
        let known = !empty[page];
        let bound = |bytes: &[u8]| match known {
            true => page_bound(metadata, leaf, physical, bytes, ty),
            false => None,
        };
        ColumnRange {
            min: bound(min[page]),
            max: bound(max[page]),
            nulls: nulls.get(page).and_then(|&nulls| u64::try_from(nulls).ok()),
            no_nan: !ty.is_float(),
        }
    };
    let found: Vec<ColumnRange> = (0..pages).map(range).collect();
    let group = group_range(metadata, group, leaf, ty);
    let sound = agree(&found, &group) && in_order(&found, order);
    (sound && (!has_exact_bounds(ty) || reached(&found, &group))).then_some(found)
}

/// Whether bounds of a type are never cut short.
fn has_exact_bounds(ty: &LogicalType) -> bool {
    ty.is_numeric() && !ty.is_float() && !matches!(ty, LogicalType::Decimal { .. })
        || matches!(
            ty,
            LogicalType::Boolean
                | LogicalType::Date
                | LogicalType::Time(_)
                | LogicalType::Timestamp(..)
        )
}

/// Whether the bounds of the group are those of its outermost pages.
fn reached(pages: &[ColumnRange], group: &ColumnRange) -> bool {
    let touched = |bound: &Option<Scalar>, of: fn(&ColumnRange) -> &Option<Scalar>| match bound {
        None => true,
        Some(bound) => {
            let mut known = pages.iter().filter_map(|page| of(page).as_ref()).peekable();
            known.peek().is_none()
                || known.any(|page| compare_scalars(page, bound) == Some(Ordering::Equal))
        }
    };
    touched(&group.min, |page| &page.min) && touched(&group.max, |page| &page.max)
}

/// Whether the bounds of the pages ascend (1) or descend (2) if the index says so.
fn in_order(pages: &[ColumnRange], order: i64) -> bool {
    let wrong = match order {
        1 => Ordering::Greater,
        2 => Ordering::Less,
        _ => return true,
    };
    let sorted = |of: fn(&ColumnRange) -> &Option<Scalar>| {
        let known: Vec<&Scalar> = pages.iter().filter_map(|page| of(page).as_ref()).collect();
        known.windows(2).all(|pair| compare_scalars(pair[0], pair[1]) != Some(wrong))
    };
    sorted(|page| &page.min) && sorted(|page| &page.max)
}

/// Whether what is said of the pages can be true of the row group. Bounds may be cut short on either side, so pages may
/// reach a little beyond the group, but each of them meets it; NULLs add up.
fn agree(pages: &[ColumnRange], group: &ColumnRange) -> bool {
    let above = |low: &Option<Scalar>, high: &Option<Scalar>| match (low, high) {
        (Some(low), Some(high)) => compare_scalars(low, high).is_none_or(Ordering::is_gt),
        _ => false,
    };
    let sound = |page: &ColumnRange| {
        !above(&page.min, &page.max)
            && !above(&page.min, &group.max)
            && !above(&group.min, &page.max)
    };
    let nulls = pages.iter().map(|page| page.nulls).sum::<Option<u64>>();
    pages.iter().all(sound) && nulls.zip(group.nulls).is_none_or(|(pages, group)| pages == group)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(min: i64, max: i64) -> ColumnRange {
        let (min, max) = (Some(Scalar::int64(min)), Some(Scalar::int64(max)));
        ColumnRange { min, max, nulls: Some(0), no_nan: true }
    }

    fn empty() -> ColumnRange {
        ColumnRange { min: None, max: None, nulls: Some(1), no_nan: true }
    }

    #[test]
    fn test_the_bounds_of_a_group_are_those_of_pages() {
        let pages = [page(5, 9), empty(), page(1, 3)];
        assert!(reached(&pages, &page(1, 9)));
        for wrong in [page(0, 9), page(1, 10), page(2, 9)] {
            assert!(!reached(&pages, &wrong));
        }
        assert!(reached(&[empty()], &page(1, 9)));
    }

    #[test]
    fn test_pages_stand_in_the_order_that_is_told() {
        let ascending = [page(1, 3), empty(), page(3, 3), page(4, 9)];
        let mut descending = ascending.clone();
        descending.reverse();
        assert!(in_order(&ascending, 1) && !in_order(&ascending, 2) && in_order(&ascending, 0));
        assert!(in_order(&descending, 2) && !in_order(&descending, 1));
        assert!(!in_order(&[page(1, 9), page(2, 3)], 1));
    }
}
