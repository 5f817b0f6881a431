//! How the smaller parts of an index change the number of distinct keys of the largest one.
//!
//! Invariant: a key has an effect of one when the largest part does not have it and the index does, of minus one when it
//! is the other way round; keys without effect are left out. Found once a version, when distinct keys are asked for.
//! Next: `view.rs`.

use super::{
    range::{Cut, KeyCode, KeyRef},
    version::Part,
};

/// Keys in order, and the effects of all before each.
#[derive(Debug, Clone, Default)]
pub(super) struct Effects {
    keys: Vec<KeyCode>,
    /// One more than keys.
    before: Vec<i64>,
}

/// The largest part of entries that there are.
pub(super) fn largest(parts: &[Part]) -> Option<usize> {
    (0..parts.len()).filter(|&i| !parts[i].gone).max_by_key(|&i| parts[i].run.len())
}

impl Effects {
    /// `O(d log n)` for d entries outside of the largest part.
    pub(super) fn new(parts: &[Part]) -> Self {
        let base = largest(parts);
        let others: Vec<&Part> =
            parts.iter().enumerate().filter(|(i, _)| Some(*i) != base).map(|(_, p)| p).collect();
        let mut heads = vec![0; others.len()];
        let (mut keys, mut before, mut total) = (vec![], vec![0], 0);
        loop {
            let next: Option<KeyRef<'_>> = others
                .iter()
                .zip(&heads)
                .filter(|(part, head)| **head < part.run.len())
                .map(|(part, head)| part.run.key(*head))
                .min();
            let Some(key) = next else { return Self { keys, before } };
            let in_base = base.map_or(0, |base| parts[base].run.equal(key).len() as i64);
            let mut change = 0;
            for (part, head) in others.iter().zip(&mut heads) {
                let equal = part.run.equal(key);
                change += part.sign() * equal.len() as i64;
                *head = equal.end.max(*head);
            }
            let effect = i64::from(in_base + change > 0) - i64::from(in_base > 0);
            if effect != 0 {
                total += effect;
                keys.push(key.to_owned());
                before.push(total);
            }
        }
    }

    /// The effects between two cuts.
    pub(super) fn between(&self, lower: &Cut, upper: &Cut) -> i64 {
        let place = |cut: &Cut| match cut {
            Cut::Start => 0,
            Cut::Before(key) => self.keys.partition_point(|other| other < key),
            Cut::End => self.keys.len(),
        };
        let at = |place: usize| self.before.get(place).copied().unwrap_or(0);
        at(place(upper)) - at(place(lower))
    }
}
