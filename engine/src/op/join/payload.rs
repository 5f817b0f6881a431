//! The build side's columns, each put end to end once, so that a row number finds its values.
//!
//! Invariant: values are those of the batches in their order; an encoding is kept where all batches share it (narrow
//! integers of one base, few dictionaries), else the column becomes flat. Nothing refers to the batches' memory any more
//! except dictionaries.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array, new_empty_array},
    buffer::NullBuffer,
    compute,
    datatypes::DataType,
};
use stoadb_storage::{
    DictionaryValues, LogicalType, Vector,
    ledger::array_bytes,
    vector::{DictionaryVector, NarrowVector},
};

use crate::error::Result;

use super::table_build::sums_before;

/// Puts the vectors of a column end to end.
///
/// # Errors
/// `Internal` when they are not of one type.
pub(super) fn concat(ty: &LogicalType, vectors: &[&Vector]) -> Result<Vector> {
    match vectors {
        [] => Ok(Vector::Flat(new_empty_array(&ty.to_arrow()))),
        [one] => Ok((*one).clone()),
        _ => {
            if let Some(column) = concat_dictionaries(vectors)? {
                return Ok(column);
            }
            if let Some(column) = concat_narrow(vectors)? {
                return Ok(column);
            }
            let arrays = vectors.iter().map(|v| v.flatten()).collect::<Result<Vec<_>, _>>()?;
            let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
            Ok(Vector::Flat(compacted(compute::concat(&arrays)?)))
        }
    }
}

/// The array without the parts of shared text buffers that it does not use.
fn compacted(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        _ => array,
    }
}

/// One dictionary vector over all entries, if there are fewer entries than rows or just one dictionary.
fn concat_dictionaries(vectors: &[&Vector]) -> Result<Option<Vector>> {
    let mut dictionaries: Vec<&Arc<DictionaryValues>> = Vec::new();
    let mut places = Vec::with_capacity(vectors.len());
    for vector in vectors {
        let Vector::Dictionary(vector) = vector else { return Ok(None) };
        let id = vector.dictionary.id();
        let known = dictionaries.iter().rposition(|other| other.id() == id);
        places.push((vector, known.unwrap_or(dictionaries.len())));
        if known.is_none() {
            dictionaries.push(&vector.dictionary);
        }
    }
    let entries = |dictionary: &&Arc<DictionaryValues>| dictionary.values().len();
    let rows: usize = vectors.iter().map(|vector| vector.len()).sum();
    let total: usize = dictionaries.iter().map(entries).sum();
    let one = dictionaries.len() == 1;
    if (!one && total > rows) || u32::try_from(total).is_err() {
        return Ok(None);
    }
    let bases = sums_before(dictionaries.iter().map(entries));
    let charge = places.first().and_then(|(vector, _)| vector.charge.clone());
    let mut codes: Vec<u32> = Vec::with_capacity(rows);
    let mut nulls = Vec::with_capacity(vectors.len());
    for (vector, place) in places {
        let base = bases[place] as u32;
        codes.extend(vector.codes_u32().iter().map(|code| code.wrapping_add(base)));
        nulls.push((vector.codes.nulls(), vector.codes.len()));
    }
    let nulls = concat_nulls(&nulls);
    if let Some(nulls) = &nulls {
        // What stands under NULL may be no code when a dictionary is empty.
        for (code, valid) in codes.iter_mut().zip(nulls) {
            *code = if valid { *code } else { 0 };
        }
    }
    let dictionary = if one {
        Arc::clone(dictionaries[0])
    } else {
        let values: Vec<&dyn Array> = dictionaries.iter().map(|d| d.values().as_ref()).collect();
        Arc::new(DictionaryValues::new(compacted(compute::concat(&values)?)))
    };
    let codes: ArrayRef = Arc::new(UInt32Array::new(codes.into(), nulls));
    Ok(Some(Vector::Dictionary(DictionaryVector { codes, dictionary, charge })))
}

fn concat_nulls(parts: &[(Option<&NullBuffer>, usize)]) -> Option<NullBuffer> {
    if parts.iter().all(|(nulls, _)| nulls.is_none_or(|nulls| nulls.null_count() == 0)) {
        return None;
    }
    let mut all = arrow::array::BooleanBufferBuilder::new(parts.iter().map(|part| part.1).sum());
    for (nulls, rows) in parts {
        match nulls {
            Some(nulls) => all.append_buffer(nulls.inner()),
            None => all.append_n(*rows, true),
        }
    }
    Some(NullBuffer::new(all.finish()))
}

/// One narrow vector: as narrow as the parts where they agree, else of 64-bit values.
fn concat_narrow(vectors: &[&Vector]) -> Result<Option<Vector>> {
    let narrow: Option<Vec<&NarrowVector>> = vectors
        .iter()
        .map(|vector| match vector {
            Vector::Narrow(narrow) => Some(narrow),
            _ => None,
        })
        .collect();
    let Some(narrow) = narrow else { return Ok(None) };
    let first = narrow[0];
    let alike = |other: &&NarrowVector| {
        other.base == first.base && other.offsets.data_type() == first.offsets.data_type()
    };
    if narrow.iter().all(alike) {
        let offsets: Vec<&dyn Array> = narrow.iter().map(|v| v.offsets.as_ref()).collect();
        let offsets = compute::concat(&offsets)?;
        return Ok(Some(Vector::Narrow(NarrowVector { offsets, ..first.clone() })));
    }
    let mut values: Vec<i64> = Vec::with_capacity(narrow.iter().map(|v| v.offsets.len()).sum());
    narrow.iter().for_each(|vector| values.extend_from_slice(&vector.values_i64()));
    let nulls: Vec<_> = narrow.iter().map(|v| (v.offsets.nulls(), v.offsets.len())).collect();
    let values = Int64Array::new(values.into(), concat_nulls(&nulls));
    let charge = first.charge.clone();
    let vector = NarrowVector { charge, ..NarrowVector::from_i64(first.ty.clone(), values) };
    Ok(Some(Vector::Narrow(vector)))
}

/// Bytes held by a column, shared dictionaries included.
pub(super) fn vector_bytes(vector: &Vector) -> u64 {
    match vector {
        Vector::Flat(array) => array_bytes(array.as_ref()),
        Vector::Constant { .. } => 64,
        Vector::Dictionary(vector) => array_bytes(vector.codes.as_ref()),
        Vector::Narrow(vector) => array_bytes(vector.offsets.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, StringViewArray, UInt8Array};

    use super::*;

    fn strings(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringViewArray::from(values.to_vec()))
    }

    fn dictionary(entries: &ArrayRef, codes: Vec<Option<u8>>) -> Vector {
        Vector::Dictionary(DictionaryVector {
            codes: Arc::new(UInt8Array::from(codes)),
            dictionary: Arc::new(DictionaryValues::new(Arc::clone(entries))),
            charge: None,
        })
    }

    fn check(ty: &LogicalType, vectors: &[Vector]) -> Vector {
        let refs: Vec<&Vector> = vectors.iter().collect();
        let arrays: Vec<ArrayRef> = vectors.iter().map(|v| v.flatten().unwrap()).collect();
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        let joined = concat(ty, &refs).unwrap();
        assert_eq!(&joined.flatten().unwrap(), &compute::concat(&arrays).unwrap());
        joined
    }

    #[test]
    fn test_concat_keeps_values_in_every_mix_of_encodings() {
        let long = "a text that does not fit into a view";
        let entries = strings(&[Some("a"), None, Some(long)]);
        let one = dictionary(&entries, vec![Some(0), Some(2), None, Some(1)]);
        let same = one.slice(1, 2);
        let empty = dictionary(&strings(&[]), vec![None, None]);
        let other = dictionary(&strings(&[Some("z")]), vec![Some(0); 9]);
        let flat = Vector::Flat(strings(&[None, Some(long), Some("b")]));
        let constant = Vector::constant(stoadb_storage::Scalar::text("c"), 3);
        let text = LogicalType::Text;
        assert!(matches!(check(&text, &[one.clone(), same.clone()]), Vector::Dictionary(_)));
        assert!(matches!(check(&text, &[one.clone(), other, empty]), Vector::Dictionary(_)));
        let all = [one, flat, constant, same];
        assert!(matches!(check(&text, &all), Vector::Flat(_)));
        assert!(concat(&text, &[]).unwrap().is_empty());
    }

    #[test]
    fn test_concat_keeps_narrow_integers_narrow() {
        let narrow = |base, offsets: ArrayRef| {
            let ty = LogicalType::Int32;
            Vector::Narrow(NarrowVector { ty, base, offsets, charge: None })
        };
        let a = narrow(10, Arc::new(UInt8Array::from(vec![Some(0), None, Some(255)])));
        let b = narrow(10, Arc::new(UInt8Array::from(vec![1, 2])));
        let c = narrow(-5, Arc::new(UInt32Array::from(vec![Some(7), None])));
        let flat = Vector::Flat(Arc::new(Int32Array::from(vec![Some(i32::MIN), None])));
        let same = check(&LogicalType::Int32, &[a.clone(), b.clone()]);
        assert!(matches!(same, Vector::Narrow(v) if v.base == 10));
        assert!(matches!(check(&LogicalType::Int32, &[a.clone(), c.clone()]), Vector::Narrow(_)));
        assert!(matches!(check(&LogicalType::Int32, &[b, flat, c, a]), Vector::Flat(_)));
    }
}
