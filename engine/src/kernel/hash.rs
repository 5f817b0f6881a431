//! 64-bit hashes of vectors of every type and encoding.
//!
//! Invariants: values that are equal for GROUP BY and joins (see `bits.rs`) hash equal in every encoding; NULL has a
//! hash; hashes do not change between runs. A text or blob has 32 bits of hash, spread over 64, so that a dictionary
//! can keep one beside each entry and no query hashes an entry twice. Next: `key.rs`.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    buffer::NullBuffer,
    datatypes::DataType,
};
use stoadb_storage::Vector;

use super::bits::{Bits, NestedRows, bits};
use crate::error::{EngineError, Result};

/// The hash of NULL, whatever its type.
pub const NULL_HASH: u64 = 0x7b1c_62d9_5a3f_e045;

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const SEED: u64 = 0x243f_6a88_85a3_08d3;

/// The hash of 64 normalised bits. All 64 bits of the result are usable.
#[inline]
pub fn hash_u64(value: u64) -> u64 {
    folded(value ^ SEED, MULTIPLIER)
}

/// The hash of 128 normalised bits. A sign-extended 64-bit value hashes like its lower half.
#[inline]
pub fn hash_u128(value: u128) -> u64 {
    let (low, high) = (value as u64, (value >> 64) as u64);
    let sign = ((low as i64) >> 63) as u64;
    if high == sign { hash_u64(low) } else { combine(hash_u64(low), hash_u64(high)) }
}

/// The 32-bit hash of a byte string.
#[inline]
pub fn hash_bytes(bytes: &[u8]) -> u32 {
    let mut state = SEED ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = folded(state ^ u64::from_le_bytes(*word), MULTIPLIER);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        state = folded(state ^ u64::from_le_bytes(last), MULTIPLIER.rotate_left(17));
    }
    (state ^ (state >> 32)) as u32
}

/// The hash of two hashed things, in this order.
#[inline]
pub fn combine(first: u64, second: u64) -> u64 {
    folded(first.rotate_left(23) ^ second, MULTIPLIER)
}

#[inline]
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    let fold = (product as u64) ^ (product >> 64) as u64;
    // The fold leaves runs of low bits related for small inputs: one more shift spreads them.
    (fold ^ (fold >> 29)).wrapping_mul(MULTIPLIER | 1)
}

/// The hashes of a vector's values, one per row, replacing what `out` held. O(rows), plus O(entries) once per dictionary
/// of texts or blobs.
///
/// # Errors
/// `Unsupported` for nested types that cannot be compared; `Internal` when the encoding is inconsistent.
pub fn hash_vector(vector: &Vector, out: &mut Vec<u64>) -> Result<()> {
    out.clear();
    match vector {
        Vector::Constant { value, rows } => {
            let mut one = Vec::with_capacity(1);
            hash_vector(&Vector::Flat(value.array().clone()), &mut one)?;
            out.resize(*rows, one[0]);
            return Ok(());
        }
        Vector::Dictionary(dictionary) if is_bytes(dictionary.dictionary.values()) => {
            let hashes = dictionary.dictionary.hashes(hash_entries);
            let codes = dictionary.codes_u32();
            // A dictionary may be empty when all its codes are NULL.
            let hash = |&code: &u32| match hashes.get(code as usize) {
                Some(&hash) => hash_u64(hash.into()),
                None => NULL_HASH,
            };
            out.extend(codes.iter().map(hash));
        }
        Vector::Flat(array) if is_bytes(array) => {
            out.extend(hash_entries(array).into_iter().map(|hash| hash_u64(hash.into())));
        }
        _ => {
            let ty = vector.ty()?;
            if ty.is_nested() {
                let rows = NestedRows::new(&ty)?.encode(&vector.flatten()?)?;
                out.extend(rows.iter().map(|row| hash_u64(hash_bytes(row.data()).into())));
            } else {
                match bits(vector)? {
                    Bits::Narrow(values) => out.extend(values.iter().map(|&v| hash_u64(v))),
                    Bits::Wide(values) => out.extend(values.iter().map(|&v| hash_u128(v))),
                }
            }
        }
    }
    if let Some(nulls) = vector_nulls(vector) {
        set_nulls(&nulls, out);
    }
    Ok(())
}

/// The hashes of rows of several columns, one per row, replacing what `out` held. Without columns every row has the same.
///
/// # Errors
/// As `hash_vector`; `Internal` when a column has another number of rows.
pub fn hash_columns(columns: &[Vector], rows: usize, out: &mut Vec<u64>) -> Result<()> {
    let Some((first, others)) = columns.split_first() else {
        out.clear();
        out.resize(rows, SEED);
        return Ok(());
    };
    if columns.iter().any(|column| column.len() != rows) {
        return Err(EngineError::Internal("columns of different lengths to hash".into()));
    }
    hash_vector(first, out)?;
    let mut hashes = Vec::with_capacity(rows);
    for column in others {
        hash_vector(column, &mut hashes)?;
        for (hash, &other) in out.iter_mut().zip(&hashes) {
            *hash = combine(*hash, other);
        }
    }
    Ok(())
}

fn vector_nulls(vector: &Vector) -> Option<NullBuffer> {
    vector.nulls().filter(|nulls| nulls.null_count() > 0)
}

fn set_nulls(nulls: &NullBuffer, out: &mut [u64]) {
    for (row, hash) in out.iter_mut().enumerate() {
        if nulls.is_null(row) {
            *hash = NULL_HASH;
        }
    }
}

fn is_bytes(array: &ArrayRef) -> bool {
    matches!(array.data_type(), DataType::Utf8View | DataType::BinaryView)
}

/// The 32-bit hashes of texts or blobs: what `DictionaryValues::hashes` keeps for dictionaries of these types.
pub fn hash_entries(array: &ArrayRef) -> Vec<u32> {
    match array.data_type() {
        DataType::Utf8View => {
            let texts = array.as_string_view();
            (0..texts.len()).map(|i| hash_bytes(texts.value(i).as_bytes())).collect()
        }
        _ => {
            let blobs = array.as_binary_view();
            (0..blobs.len()).map(|i| hash_bytes(blobs.value(i))).collect()
        }
    }
}
