//! Look-ups of many keys: each a range of one key, or of one prefix of it.
//!
//! Invariants: ranges ascend in the order of the index and do not overlap, whatever order keys come in and however often;
//! a key with a NULL in it finds nothing, as `=` does.
//! Next: `version.rs`.

use arrow::array::Array;

use super::{
    predicate::{KeyRanges, disjoint},
    range::{Cut, KeyCode, KeyRange, successor},
    spec::{IndexSpec, KeyCodes},
};
use crate::{
    error::Result,
    scalar::Scalar,
    vector::{Selection, Vector},
};

impl IndexSpec {
    /// The ranges of the entries whose first key columns have the values of one of some rows; `columns` are vectors of as
    /// many of the first key columns as there are. `O(m log m)` for m rows, quickest where all key columns are given.
    ///
    /// # Errors
    /// `Internal` when there are more columns than the key has, or of other types.
    pub fn points(&self, columns: &[Vector]) -> Result<KeyRanges> {
        let rows = columns.first().map_or(0, Vector::len);
        let nulls: Vec<_> = columns.iter().filter_map(Vector::nulls).collect();
        let is_key = |row: &u32| nulls.iter().all(|nulls| !nulls.is_null(*row as usize));
        let kept: Vec<u32> = (0..rows as u32).filter(is_key).collect();
        let kept = Selection::new(kept);
        let columns = columns.iter().map(|column| column.select(&kept));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let ranges = if columns.len() == self.keys.len() {
            self.codes(&columns)?.0.ranges()
        } else {
            let range = |row| {
                let values = columns.iter().map(|column| column.scalar(row));
                self.equal(&values.collect::<Result<Vec<Scalar>>>()?)
            };
            disjoint((0..kept.len()).map(range).collect::<Result<_>>()?)
        };
        Ok(KeyRanges { ranges, fixed: columns.len(), exact: false })
    }
}

impl KeyCodes {
    /// The range of each code.
    fn ranges(self) -> Vec<KeyRange> {
        let after = |code: Option<KeyCode>| Cut::Before(code.unwrap_or(KeyCode::Null));
        let range = |code, next| KeyRange { lower: Cut::Before(code), upper: after(next) };
        match self {
            Self::Narrow(mut codes) => {
                codes.sort_unstable();
                codes.dedup();
                let next = |code: u64| code.checked_add(1).map(KeyCode::Narrow);
                codes.into_iter().map(|code| range(KeyCode::Narrow(code), next(code))).collect()
            }
            Self::Wide(mut codes) => {
                codes.sort_unstable();
                codes.dedup();
                let next = |code: u128| code.checked_add(1).map(KeyCode::Wide);
                codes.into_iter().map(|code| range(KeyCode::Wide(code), next(code))).collect()
            }
            Self::Raw(texts) => {
                let mut texts: Vec<&[u8]> = (0..texts.len()).map(|at| texts.value(at)).collect();
                texts.sort_unstable();
                texts.dedup();
                let next = |text: &[u8]| Some(KeyCode::Bytes([text, &[0]].concat().into()));
                texts.into_iter().map(|t| range(KeyCode::Bytes(t.into()), next(t))).collect()
            }
            Self::Encoded(list) => {
                let mut all: Vec<&[u8]> = (0..list.len()).map(|at| list.get(at)).collect();
                all.sort_unstable();
                all.dedup();
                let next = |key: &[u8]| successor(key.to_vec()).map(|n| KeyCode::Bytes(n.into()));
                all.into_iter().map(|k| range(KeyCode::Bytes(k.into()), next(k))).collect()
            }
        }
    }
}
