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
    /// `O(d log g)` for d entries outside of the largest part, between which lie about g of its entries.
    pub(super) fn new(parts: &[Part]) -> Self {
        let base = largest(parts);
        let others: Vec<&Part> =
            parts.iter().enumerate().filter(|(i, _)| Some(*i) != base).map(|(_, p)| p).collect();
        // Of every part the first entry that is not before the key looked at.
        let (mut heads, mut base_head) = (vec![0; others.len()], 0);
        let (mut keys, mut before, mut total) = (vec![], vec![0], 0);
        loop {
            let next: Option<KeyRef<'_>> = others
                .iter()
                .zip(&heads)
                .filter(|(part, head)| **head < part.run.len())
                .map(|(part, head)| part.run.key(*head))
                .min();
            let Some(key) = next else { return Self { keys, before } };
            let mut in_base = 0;
            if let Some(base) = base {
                let run = &parts[base].run;
                base_head = run.seek(base_head, |other| other < key);
                in_base = run.seek(base_head, |other| other <= key) - base_head;
            }
            let mut change = 0;
            for (part, head) in others.iter().zip(&mut heads) {
                let end = part.run.seek(*head, |other| other <= key);
                change += part.sign() * (end - *head) as i64;
                *head = end;
            }
            let effect = i64::from(in_base as i64 + change > 0) - i64::from(in_base > 0);
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
