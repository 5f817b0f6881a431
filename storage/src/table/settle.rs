//! Large arrays that stay for long are copied out of the heap into memory that is mapped for them alone.
//!
//! Why: a load allocates and frees many blocks of the sizes that its columns have. Allocators keep freed blocks that lie
//! among living ones, which cost 8 % of a loaded table; with the columns out of the heap they give everything back.
//!
//! Invariant: values, their order and NULLs stay as they are; an array is copied only when it is made.

use std::sync::Arc;

use arrow::{array::ArrayRef, buffer::Buffer};
use bytes::Bytes;
use memmap2::{Mmap, MmapOptions};

use crate::{
    disk::{Parts, put_together},
    encoding::Encoding,
    error::{Result, StorageError},
    vector::DictionaryValues,
};

/// Arrays of fewer bytes stay where they are.
const LARGE: usize = 256 << 10;
/// Where buffers begin, as Arrow recommends.
const ALIGNMENT: usize = 64;

/// The encoding with its large arrays settled. Of a dictionary nobody else may hold the values.
///
/// # Errors
/// `Internal` for an Arrow type that no column has.
pub(crate) fn settled(encoding: Encoding) -> Result<Encoding> {
    Ok(match encoding {
        Encoding::Plain(array) => Encoding::Plain(settled_array(array)?),
        Encoding::View(array) => Encoding::View(settled_array(array)?),
        Encoding::Narrow { base, offsets } => {
            Encoding::Narrow { base, offsets: settled_array(offsets)? }
        }
        Encoding::Dictionary { codes, values } => {
            let entries = settled_array(Arc::clone(values.values()))?;
            let values = match Arc::ptr_eq(&entries, values.values()) {
                true => values,
                false => Arc::new(DictionaryValues::new(entries)),
            };
            Encoding::Dictionary { codes: settled_array(codes)?, values }
        }
        same @ (Encoding::Constant(_) | Encoding::RunEnd { .. }) => same,
    })
}

/// The array, in memory of its own if it is large. O(bytes).
///
/// # Errors
/// As `settled`.
pub(crate) fn settled_array(array: ArrayRef) -> Result<ArrayRef> {
    if array.get_buffer_memory_size() < LARGE {
        return Ok(array);
    }
    let parts = Parts::of(array.as_ref())?;
    let bytes: usize = parts.buffers.iter().map(|buffer| aligned(buffer.len())).sum();
    // Where the system has no map to give, the heap is as good.
    let Some(map) = (bytes >= LARGE).then(|| copied(&parts.buffers, bytes)).flatten() else {
        return Ok(array);
    };
    let map = Bytes::from_owner(map);
    let mut at = 0;
    let buffers = parts.buffers.iter().map(|buffer| {
        let start = at;
        at += aligned(buffer.len());
        match buffer.len() {
            0 => Buffer::default(),
            len => Buffer::from(map.slice(start..start + len)),
        }
    });
    let buffers = buffers.collect();
    let layout = parts.layout(&mut std::iter::empty());
    put_together(array.data_type(), &layout, buffers).map_err(StorageError::Internal)
}

fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

/// The buffers side by side.
fn copied(buffers: &[Buffer], bytes: usize) -> Option<Mmap> {
    let mut map = MmapOptions::new().len(bytes).populate().map_anon().ok()?;
    let mut at = 0;
    for buffer in buffers {
        map[at..at + buffer.len()].copy_from_slice(buffer);
        at += aligned(buffer.len());
    }
    map.make_read_only().ok()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, BooleanArray, Int16Array, Int64Array, ListArray, StringViewArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn test_settled_arrays_are_the_same_and_lie_elsewhere() {
        let rows = 0..100_000_i64;
        let text = |i: i64| (i % 7 != 0).then(|| format!("{i} {}", "x".repeat(i as usize % 40)));
        let arrays: [ArrayRef; 5] = [
            Arc::new(rows.clone().map(|i| (i % 3 != 0).then_some(i)).collect::<Int64Array>()),
            Arc::new(rows.clone().map(|i| Some(i as i16)).collect::<Int16Array>().slice(5, 90_000)),
            Arc::new(rows.clone().map(text).collect::<StringViewArray>()),
            Arc::new(
                (0..3_000_000)
                    .map(|i| (i % 5 != 0).then_some(i % 2 == 0))
                    .collect::<BooleanArray>(),
            ),
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
                rows.map(|i| (i % 9 != 0).then(|| vec![Some(i as i32), None])),
            )),
        ];
        for array in arrays {
            let settled = settled_array(Arc::clone(&array)).unwrap();
            assert_eq!(&settled, &array);
            let large =
                Parts::of(array.as_ref()).unwrap().buffers.iter().map(Buffer::len).sum::<usize>();
            assert_eq!(Arc::ptr_eq(&settled, &array), large < LARGE, "{}", array.data_type());
        }
        let small: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        assert!(Arc::ptr_eq(&settled_array(Arc::clone(&small)).unwrap(), &small));
    }
}
