//! How the smaller parts of an index change the number of distinct keys of the largest one.
//!
//! Invariants: a key has an effect of one when the largest part does not have it and the index does, of minus one when it
//! is the other way round; keys without effect are left out. A version finds them for the ranges that it is asked of, and
//! keeps those of the whole index once these ranges came to as much work.
//! Next: `view.rs`.

use std::{
    ops::Range,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    range::{Cut, KeyCode, KeyRange, KeyRef},
    version::Part,
};

/// The effects that one version of an index has found.
#[derive(Debug, Default)]
pub(super) struct Effects {
    all: OnceLock<Prefixes>,
    /// Entries that were walked for ranges.
    walked: AtomicUsize,
}

/// Keys that have an effect, in order.
#[derive(Debug)]
struct Prefixes {
    keys: Vec<KeyCode>,
    /// The effects of all keys before each, and of all; one more than keys.
    before: Vec<i64>,
}

/// The largest part of entries that there are.
pub(super) fn largest(parts: &[Part]) -> Option<usize> {
    (0..parts.len()).filter(|&i| !parts[i].gone).max_by_key(|&i| parts[i].run.len())
}

impl Effects {
    /// The effects of the keys in a range, which is a stretch of each part. `O(d log g)` for d entries of it outside of the
    /// largest part, between which lie about g of that part's entries; `O(log d)` once the whole index was looked at.
    pub(super) fn of(&self, parts: &[Part], range: &KeyRange, stretches: &[Range<usize>]) -> i64 {
        if self.all.get().is_none() {
            let others = |stretches: &[Range<usize>]| -> usize {
                let lengths = stretches.iter().map(Range::len);
                lengths.clone().sum::<usize>() - largest(parts).map_or(0, |i| stretches[i].len())
            };
            let whole: Vec<Range<usize>> = parts.iter().map(|part| 0..part.run.len()).collect();
            let wanted = others(stretches);
            if self.walked.fetch_add(wanted, Ordering::Relaxed) + wanted < others(&whole) {
                let mut total = 0;
                walk(parts, stretches, |_, effect| total += effect);
                return total;
            }
            self.all.get_or_init(|| Prefixes::new(parts, &whole));
        }
        self.all.get().map_or(0, |all| all.between(&range.lower, &range.upper))
    }
}

impl Prefixes {
    fn new(parts: &[Part], whole: &[Range<usize>]) -> Self {
        let (mut keys, mut before, mut total) = (vec![], vec![0], 0);
        walk(parts, whole, |key, effect| {
            total += effect;
            keys.push(key.to_owned());
            before.push(total);
        });
        Self { keys, before }
    }

    /// The effects between two cuts.
    fn between(&self, lower: &Cut, upper: &Cut) -> i64 {
        let place = |cut: &Cut| match cut {
            Cut::Start => 0,
            Cut::Before(key) => self.keys.partition_point(|other| other < key),
            Cut::End => self.keys.len(),
        };
        let at = |place: usize| self.before.get(place).copied().unwrap_or(0);
        at(place(upper)) - at(place(lower))
    }
}

/// Calls `found` with each key that has an effect, in order.
fn walk<'a>(parts: &'a [Part], stretches: &[Range<usize>], mut found: impl FnMut(KeyRef<'a>, i64)) {
    let base = largest(parts);
    let mut others: Vec<(&Part, Range<usize>)> = (0..parts.len())
        .filter(|i| Some(*i) != base)
        .map(|i| (&parts[i], stretches[i].clone()))
        .collect();
    // Of every part what is not before the key looked at.
    let mut base = base.map(|i| (&parts[i].run, stretches[i].clone()));
    loop {
        let next = others.iter().filter(|(_, left)| !left.is_empty());
        let Some(key) = next.map(|(part, left)| part.run.key(left.start)).min() else { return };
        let mut in_base = 0;
        if let Some((run, left)) = &mut base {
            let start = run.seek(left.clone(), |other| other < key);
            left.start = run.seek(start..left.end, |other| other <= key);
            in_base = left.start - start;
        }
        let mut change = 0;
        for (part, left) in &mut others {
            let end = part.run.seek(left.clone(), |other| other <= key);
            change += part.sign() * (end - left.start) as i64;
            left.start = end;
        }
        let effect = i64::from(in_base as i64 + change > 0) - i64::from(in_base > 0);
        if effect != 0 {
            found(key, effect);
        }
    }
}
