//! `min` and `max` of texts and blobs.
//!
//! Invariant: an entry of a dictionary is compared once a morsel where all rows are of one group.

use arrow::array::Array;
use stoadb_storage::{Vector, vector::DictionaryVector};

use super::{
    Groups,
    extreme::{Best, Extreme},
    input::text,
};
use crate::error::Result;

/// The entries of the dictionary that came last which group 0 has met already: each is compared once.
#[derive(Default)]
pub(super) struct Met {
    dictionary: Option<u64>,
    pub(super) entries: Vec<bool>,
}

impl Extreme {
    pub(super) fn update_bytes(&mut self, arg: &Vector, groups: Groups<'_>) -> Result<()> {
        match arg {
            Vector::Dictionary(vector) if matches!(groups, Groups::One(_)) => {
                self.meet(vector);
            }
            Vector::Dictionary(vector) => {
                let entries = vector.dictionary.values();
                for (row, &code) in vector.codes_u32().iter().enumerate() {
                    self.consider(groups.id(row), text(entries, code as usize));
                }
            }
            Vector::Constant { value, rows } => {
                let value = text(value.array(), 0);
                (0..*rows).for_each(|row| self.consider(groups.id(row), value));
            }
            _ => {
                let array = arg.flatten()?;
                (0..array.len()).for_each(|row| self.consider(groups.id(row), text(&array, row)));
            }
        }
        Ok(())
    }

    /// Takes texts of group 0.
    fn meet(&mut self, vector: &DictionaryVector) {
        let (entries, id) = (vector.dictionary.values(), vector.dictionary.id());
        let mut met = std::mem::take(&mut self.met);
        if met.dictionary != Some(id) {
            met = Met { dictionary: Some(id), entries: vec![false; entries.len()] };
        }
        for &code in vector.codes_u32().iter() {
            let known = &mut met.entries[code as usize];
            if !*known {
                *known = true;
                self.consider(0, text(entries, code as usize));
            }
        }
        self.met = met;
    }

    fn consider(&mut self, group: usize, value: &[u8]) {
        let Best::Bytes(best) = &mut self.best else { return };
        if !self.seen[group] || is_better(value, &best[group], self.largest) {
            best[group] = value.into();
            self.seen[group] = true;
        }
    }
}

/// Whether a value takes the place of the best one so far.
pub(super) fn is_better(value: &[u8], best: &[u8], largest: bool) -> bool {
    if largest { value > best } else { value < best }
}
