//! Ranges of keys: from where to where, in the order of the index.
//!
//! Invariant: a `Cut` lies between two entries, wherever entries with equal keys are; a range is what lies between two
//! cuts, so that every comparison of SQL, inclusive or not, on ascending or descending columns, is one.
//! Next: `keys.rs`, which finds cuts.

use std::{cmp::Ordering, ops::Bound};

use super::{
    code::{self, Codes, code_bits, mask, misfit},
    spec::{Form, IndexSpec, KeyColumn, NULL, VALUE, push_code, push_text},
};
use crate::{error::Result, scalar::Scalar};

/// The code of a key, apart from its index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyCode {
    Narrow(u64),
    Wide(u128),
    Bytes(Box<[u8]>),
    /// NULL in a key of one column: after everything else.
    Null,
}

/// The code of a key, within its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyRef<'a> {
    Narrow(u64),
    Wide(u128),
    Bytes(&'a [u8]),
    /// NULL in a key of one column: after everything else.
    Null,
}

impl KeyCode {
    pub(super) fn borrow(&self) -> KeyRef<'_> {
        match self {
            Self::Narrow(word) => KeyRef::Narrow(*word),
            Self::Wide(word) => KeyRef::Wide(*word),
            Self::Bytes(bytes) => KeyRef::Bytes(bytes),
            Self::Null => KeyRef::Null,
        }
    }
}

impl KeyRef<'_> {
    pub(super) fn to_owned(self) -> KeyCode {
        match self {
            Self::Narrow(word) => KeyCode::Narrow(word),
            Self::Wide(word) => KeyCode::Wide(word),
            Self::Bytes(bytes) => KeyCode::Bytes(bytes.into()),
            Self::Null => KeyCode::Null,
        }
    }
}

/// A place between entries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cut {
    /// Before the first entry.
    Start,
    /// Before the first entry with this key or a later one; before the NULLs of a single column for `KeyCode::Null`.
    Before(KeyCode),
    /// After the last entry.
    End,
}

/// A range of keys of the indexes of one spec, ready to be looked up. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    pub(super) lower: Cut,
    pub(super) upper: Cut,
}

impl KeyRange {
    /// Every entry, NULLs included.
    pub fn all() -> Self {
        Self { lower: Cut::Start, upper: Cut::End }
    }

    fn none() -> Self {
        Self { lower: Cut::End, upper: Cut::End }
    }

    /// What lies before the beginning of a later range.
    pub fn until(&self, next: &Self) -> Self {
        Self { lower: self.lower.clone(), upper: next.lower.clone().max(self.lower.clone()) }
    }

    /// Which of two ranges begins first, in the order of the index.
    pub fn cmp_begin(&self, other: &Self) -> Ordering {
        self.lower.cmp(&other.lower)
    }

    /// What lies in both.
    pub fn intersect(&self, other: &Self) -> Self {
        let lower = (&self.lower).max(&other.lower).clone();
        let upper = (&self.upper).min(&other.upper).max(&lower).clone();
        Self { lower, upper }
    }
}

/// A code under construction: the columns that are given.
enum Prefix {
    Word { value: u128, rest: u32 },
    Bytes(Vec<u8>),
}

impl IndexSpec {
    /// The entries that agree with `equal` in the first columns (a NULL there means IS NULL) and whose next column lies
    /// within bounds as SQL compares, so that NULL never does; on a descending column too, `lower` is the lesser value.
    /// Without bounds on both sides: where the next column is not NULL. A bound that is NULL is met by nothing.
    ///
    /// # Errors
    /// `Internal` when there are more values than columns, or of other types.
    pub fn range(
        &self,
        equal: &[Scalar],
        lower: Bound<&Scalar>,
        upper: Bound<&Scalar>,
    ) -> Result<KeyRange> {
        let null = |bound: Bound<&Scalar>| match bound {
            Bound::Included(value) | Bound::Excluded(value) => value.is_null(),
            Bound::Unbounded => false,
        };
        let key = self.keys.get(equal.len()).ok_or_else(misfit)?;
        if null(lower) || null(upper) {
            return Ok(KeyRange::none());
        }
        let form = self.form()?;
        let prefix = self.prefix(form, equal)?;
        let (first, last) = if key.descending { (upper, lower) } else { (lower, upper) };
        let first = match first {
            Bound::Unbounded => cut(form, open(form, &prefix, key)?, false),
            Bound::Included(value) => cut(form, extend(form, &prefix, key, value)?, false),
            Bound::Excluded(value) => cut(form, extend(form, &prefix, key, value)?, true),
        };
        let last = match last {
            Bound::Unbounded if matches!(form, Form::One { .. } | Form::Raw) => {
                Cut::Before(KeyCode::Null)
            }
            Bound::Unbounded => cut(form, null_of(&prefix, key)?, false),
            Bound::Included(value) => cut(form, extend(form, &prefix, key, value)?, true),
            Bound::Excluded(value) => cut(form, extend(form, &prefix, key, value)?, false),
        };
        Ok(KeyRange { lower: first, upper: last })
    }

    /// The entries that agree with `equal` in the first columns, where NULL means IS NULL. With all columns given: those of
    /// one key. With none: all.
    ///
    /// # Errors
    /// As `range`.
    pub fn equal(&self, equal: &[Scalar]) -> Result<KeyRange> {
        let form = self.form()?;
        match equal {
            [] => Ok(KeyRange::all()),
            [value] if value.is_null() && matches!(form, Form::One { .. } | Form::Raw) => {
                Ok(KeyRange { lower: Cut::Before(KeyCode::Null), upper: Cut::End })
            }
            _ => {
                let lower = cut(form, self.prefix(form, equal)?, false);
                Ok(KeyRange { lower, upper: cut(form, self.prefix(form, equal)?, true) })
            }
        }
    }

    /// The entries that agree with `equal` in the first columns and whose next column, a text or blob, begins with `start`.
    ///
    /// # Errors
    /// As `range`.
    pub fn starting_with(&self, equal: &[Scalar], start: &[u8]) -> Result<KeyRange> {
        let form = self.form()?;
        let key = self.keys.get(equal.len()).ok_or_else(misfit)?;
        let mut bytes = match self.prefix(form, equal)? {
            Prefix::Bytes(bytes) if code_bits(&key.ty)?.is_none() => bytes,
            _ => return Err(misfit()),
        };
        match form {
            Form::Raw => bytes.extend_from_slice(start),
            _ => push_text(&mut bytes, key, start, false),
        }
        let upper = match successor(bytes.clone()) {
            Some(next) => Cut::Before(KeyCode::Bytes(next.into())),
            None => Cut::Before(KeyCode::Null),
        };
        Ok(KeyRange { lower: Cut::Before(KeyCode::Bytes(bytes.into())), upper })
    }

    fn prefix(&self, form: Form, equal: &[Scalar]) -> Result<Prefix> {
        if equal.len() > self.keys.len() {
            return Err(misfit());
        }
        let mut prefix = match form {
            Form::One { .. } => {
                let bits = code_bits(&self.keys[0].ty)?.ok_or_else(misfit)?;
                Prefix::Word { value: 0, rest: bits }
            }
            Form::Packed { bits } => Prefix::Word { value: 0, rest: bits },
            Form::Raw | Form::Encoded => Prefix::Bytes(vec![]),
        };
        for (value, key) in equal.iter().zip(&self.keys) {
            prefix = match value.is_null() {
                true => null_of(&prefix, key)?,
                false => extend(form, &prefix, key, value)?,
            };
        }
        Ok(prefix)
    }
}

/// The prefix with a column that is NULL.
fn null_of(prefix: &Prefix, key: &KeyColumn) -> Result<Prefix> {
    Ok(match prefix {
        Prefix::Word { value, rest } => {
            let bits = code_bits(&key.ty)?.ok_or_else(misfit)?;
            let rest = rest.checked_sub(bits + 1).ok_or_else(misfit)?;
            Prefix::Word { value: value << 1 << bits | 1 << bits, rest }
        }
        Prefix::Bytes(bytes) => Prefix::Bytes([bytes, &[NULL][..]].concat()),
    })
}

/// What all values of the next column begin with.
fn open(form: Form, prefix: &Prefix, key: &KeyColumn) -> Result<Prefix> {
    Ok(match prefix {
        Prefix::Word { value, rest } => {
            let bits = code_bits(&key.ty)?.ok_or_else(misfit)?;
            let flag = if matches!(form, Form::One { .. }) { 0 } else { 1 };
            let rest = rest.checked_sub(bits + flag).ok_or_else(misfit)?;
            Prefix::Word { value: value.checked_shl(bits).unwrap_or(0) << flag, rest }
        }
        Prefix::Bytes(bytes) if form == Form::Raw => Prefix::Bytes(bytes.clone()),
        Prefix::Bytes(bytes) => Prefix::Bytes([bytes, &[VALUE][..]].concat()),
    })
}

/// The prefix with a column of a value that is not NULL.
fn extend(form: Form, prefix: &Prefix, key: &KeyColumn, value: &Scalar) -> Result<Prefix> {
    if *value.ty() != key.ty {
        return Err(misfit());
    }
    let bits = code_bits(&key.ty)?.unwrap_or(0);
    let code = match code::codes(value.array(), &key.ty)? {
        Codes::Narrow(codes) => u128::from(codes[0]),
        Codes::Wide(codes) => codes[0],
        Codes::Bytes(texts) => {
            let Prefix::Bytes(bytes) = prefix else { return Err(misfit()) };
            let mut bytes = bytes.clone();
            match form {
                // No other string than this one and longer ones begin with it: a zero more is the next one.
                Form::Raw => bytes.extend_from_slice(texts.value(0)),
                _ => push_text(&mut bytes, key, texts.value(0), true),
            }
            return Ok(Prefix::Bytes(bytes));
        }
    };
    Ok(match prefix {
        Prefix::Bytes(bytes) => {
            let mut bytes = bytes.clone();
            push_code(&mut bytes, key, bits, code);
            Prefix::Bytes(bytes)
        }
        Prefix::Word { .. } => {
            let flip = if key.descending { mask(bits) } else { 0 };
            match open(form, prefix, key)? {
                Prefix::Word { value, rest } => Prefix::Word { value: value | code ^ flip, rest },
                Prefix::Bytes(_) => return Err(misfit()),
            }
        }
    })
}

/// The cut before all keys that begin with a prefix, or after them.
fn cut(form: Form, prefix: Prefix, after: bool) -> Cut {
    match prefix {
        Prefix::Word { value, rest } => {
            let value = if after { value.checked_add(1) } else { Some(value) };
            let shifted = value.and_then(|value| match value == 0 {
                true => Some(0),
                false => value.checked_shl(rest).filter(|word| word >> rest == value),
            });
            let wide = match form {
                Form::One { wide } => wide,
                Form::Packed { bits } => bits > 64,
                Form::Raw | Form::Encoded => false,
            };
            match shifted {
                Some(word) if wide => Cut::Before(KeyCode::Wide(word)),
                Some(word) => match u64::try_from(word) {
                    Ok(word) => Cut::Before(KeyCode::Narrow(word)),
                    Err(_) => Cut::Before(KeyCode::Null),
                },
                None => Cut::Before(KeyCode::Null),
            }
        }
        Prefix::Bytes(mut bytes) if form == Form::Raw => {
            if after {
                bytes.push(0);
            }
            Cut::Before(KeyCode::Bytes(bytes.into()))
        }
        Prefix::Bytes(bytes) if after => match successor(bytes) {
            Some(next) => Cut::Before(KeyCode::Bytes(next.into())),
            None => Cut::Before(KeyCode::Null),
        },
        Prefix::Bytes(bytes) => Cut::Before(KeyCode::Bytes(bytes.into())),
    }
}

/// The least byte string that is greater than all that begin with the given one.
pub(super) fn successor(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    while let Some(last) = bytes.pop() {
        if last < u8::MAX {
            bytes.push(last + 1);
            return Some(bytes);
        }
    }
    None
}
