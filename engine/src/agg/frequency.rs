//! Functions of how often values occur: `mode`, `entropy`, `histogram`, `approx_top_k`.
//!
//! Invariant: values are equal where GROUP BY holds them equal, and each is shown as it was first seen.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BooleanBufferBuilder, Float64Array, MapArray, StructArray, UInt32Array,
        UInt64Array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute,
    datatypes::DataType,
};
use stoadb_storage::{LogicalType, Vector};

use super::{
    Call,
    collect::{Sorted, take_all, take_some},
    ordered::list_of,
    table::KeyTable,
};
use crate::{
    error::{EngineError, Result},
    kernel::{
        key::{KeyLayout, Keys},
        sort_key::{Codes, array_codes},
    },
};

/// The distinct values of all groups, numbered by group and then in the order in which they are first seen.
struct Frequencies {
    /// The row in which each was first seen.
    first: Vec<u32>,
    counts: Vec<u64>,
    /// Where each group's values start; one more than groups.
    starts: Vec<u32>,
}

impl Frequencies {
    /// Those of rows sorted by group. O(rows).
    ///
    /// # Errors
    /// `Unsupported` for types that cannot be compared.
    fn new(rows: &Sorted<'_>, call: &Call) -> Result<Self> {
        let values = argument(rows)?;
        let ty = call.args.first().cloned().unwrap_or(LogicalType::Null);
        let layout = KeyLayout::new(&[(LogicalType::UInt32, false), (ty, false)])?;
        let groups: ArrayRef = Arc::new(UInt32Array::from(rows.groups.to_vec()));
        let vectors = [Vector::Flat(groups), Vector::Flat(values.clone())];
        let mut keys = Keys::new(layout.width());
        layout.pack(&vectors, values.len(), &mut keys)?;
        let (mut hashes, mut ids) = (Vec::new(), Vec::new());
        keys.hashes(&mut hashes);
        let mut table = KeyTable::new(layout.width());
        table.insert(&keys, &hashes, 0..values.len() as u32, &mut ids);
        let (mut first, mut counts) = (Vec::with_capacity(table.len()), vec![0; table.len()]);
        let mut starts = vec![0];
        for group in rows.starts.windows(2) {
            for row in group[0]..group[1] {
                let id = ids[row as usize] as usize;
                if id == first.len() {
                    first.push(row);
                }
                counts[id] += 1;
            }
            starts.push(first.len() as u32);
        }
        Ok(Self { first, counts, starts })
    }

    /// The numbers of each group's values.
    fn groups(&self) -> impl Iterator<Item = std::ops::Range<u32>> {
        self.starts.windows(2).map(|group| group[0]..group[1])
    }
}

fn argument<'a>(rows: &Sorted<'a>) -> Result<&'a ArrayRef> {
    match rows.columns {
        [values] => Ok(values),
        _ => Err(EngineError::Internal("one argument wanted".into())),
    }
}

/// The most frequent value, the first seen among equals; NULL over no value.
///
/// # Errors
/// As `Frequencies::new`.
pub(crate) fn mode(rows: &Sorted<'_>, call: &Call) -> Result<ArrayRef> {
    let values = Frequencies::new(rows, call)?;
    let best = values.groups().map(|group| {
        // The last maximum of the reversed values is the first one.
        let id = group.rev().max_by_key(|&id| values.counts[id as usize])?;
        Some(values.first[id as usize])
    });
    take_some(argument(rows)?, best.collect())
}

/// Shannon's entropy in bits, summed over the values as they were first seen; 0 over no value.
///
/// # Errors
/// As `Frequencies::new`.
pub(crate) fn entropy(rows: &Sorted<'_>, call: &Call) -> Result<ArrayRef> {
    let values = Frequencies::new(rows, call)?;
    let entropies = values.groups().map(|group| {
        let counts = &values.counts[group.start as usize..group.end as usize];
        let all = counts.iter().sum::<u64>() as f64;
        let bits = |&count: &u64| count as f64 / all * (all / count as f64).log2();
        // Not `sum`, which starts from -0.0.
        counts.iter().map(bits).fold(0.0, |sum, bits| sum + bits)
    });
    Ok(Arc::new(Float64Array::from_iter_values(entropies)))
}

/// A list of the most frequent values, the first seen first among equals; NULL over no value.
///
/// # Errors
/// As `Frequencies::new`; `Value` when their number is not positive.
pub(crate) fn top(rows: &Sorted<'_>, call: &Call) -> Result<ArrayRef> {
    let most = call.most()?;
    let values = Frequencies::new(rows, call)?;
    let (mut kept, mut starts) = (Vec::new(), vec![0]);
    for group in values.groups() {
        let mut ids: Vec<u32> = group.collect();
        ids.sort_by_key(|&id| std::cmp::Reverse(values.counts[id as usize]));
        kept.extend(ids.iter().take(most).map(|&id| values.first[id as usize]));
        starts.push(kept.len() as u32);
    }
    let mut column = [Arc::clone(argument(rows)?)];
    take_all(&mut column, &kept)?;
    list_of(&column[0], &starts, call)
}

/// A map from each value, in order, to how often it occurs; NULL over no value.
///
/// # Errors
/// As `Frequencies::new`.
pub(crate) fn histogram(rows: &Sorted<'_>, call: &Call) -> Result<ArrayRef> {
    let LogicalType::Map(entries, sorted) = &call.ty else {
        return Err(EngineError::Internal("a histogram is a map".into()));
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(EngineError::Internal("a map has entries".into()));
    };
    let values = Frequencies::new(rows, call)?;
    let mut keys = [Arc::clone(argument(rows)?)];
    take_all(&mut keys, &values.first)?;
    let mut order: Vec<u32> = (0..values.first.len() as u32).collect();
    let codes = array_codes(&keys[0])?.codes;
    for group in values.groups() {
        let ids = &mut order[group.start as usize..group.end as usize];
        match &codes {
            Codes::Narrow(codes) => ids.sort_by_key(|&id| codes[id as usize]),
            Codes::Wide(codes) => ids.sort_by_key(|&id| codes[id as usize]),
            Codes::Bytes(bytes) => {
                ids.sort_by(|&a, &b| bytes.get(a as usize).cmp(bytes.get(b as usize)));
            }
        }
    }
    take_all(&mut keys, &order)?;
    let [keys] = keys;
    let keys = match fields.first() {
        Some(field) if field.data_type() != keys.data_type() => {
            compute::cast(&keys, field.data_type())?
        }
        _ => keys,
    };
    let counts = order.iter().map(|&id| values.counts[id as usize]);
    let counts: ArrayRef = Arc::new(UInt64Array::from_iter_values(counts));
    let pairs = StructArray::try_new(fields.clone(), vec![keys, counts], None)?;
    let mut valid = BooleanBufferBuilder::new(values.starts.len());
    values.groups().for_each(|group| valid.append(!group.is_empty()));
    let offsets: Vec<i32> = values.starts.iter().map(|&start| start as i32).collect();
    let offsets = OffsetBuffer::new(offsets.into());
    let nulls = Some(NullBuffer::new(valid.finish()));
    Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted)?))
}
