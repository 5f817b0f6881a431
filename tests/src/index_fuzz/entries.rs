//! An index by itself: entries come and go, runs are merged at once or later, ids change, and versions of before are asked
//! in other threads.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use stoadb_benches::random::Random;
use stoadb_storage::index::{self, Index, Merge, Serial};

use super::{
    Tally,
    model::{Entries, KINDS, Kind, Row, Shape, check},
};

/// A version for the readers.
type Held = (Index, Arc<Entries>, u64);

/// A version to go back to, with the next row's id.
type Kept = (Index, Arc<Entries>, u64);

struct Round<'a> {
    shape: Shape,
    index: Index,
    entries: Arc<Entries>,
    next: u64,
    /// Different values of a column, about.
    spread: u64,
    random: Random,
    /// A merge that is carried out later.
    waiting: Option<Merge>,
    tally: &'a Tally,
}

fn shape(random: &mut Random) -> Shape {
    let columns = 5;
    let kinds: Vec<Kind> = (0..columns).map(|_| KINDS[random.below(8) as usize]).collect();
    let pick = |random: &mut Random| (random.below(columns) as usize, random.below(2) == 0);
    let keys = [1, 1, 1, 2, 3][random.below(5) as usize];
    let keys = (0..keys).map(|_| pick(random)).collect();
    let includes = (0..random.below(4)).map(|_| pick(random)).collect();
    Shape { kinds, keys, includes }
}

pub(super) fn round(seed: u64, tally: &Tally) {
    let mut random = Random::new(seed);
    let shape = shape(&mut random);
    // Most are small, so that they are many; some are so large that runs stay apart.
    let (rows, steps, ranges) = match random.below(20) {
        0 if !cfg!(debug_assertions) => (120_000, 12, 1),
        0..3 if !cfg!(debug_assertions) => (6_000, 12, 2),
        0..8 => (900, 30, 2),
        _ => (150, 40, 3),
    };
    let spread = [4, 40, 1000, 1 << 30][random.below(4) as usize];
    let (index, entries) = (Index::new(shape.spec()).unwrap(), Arc::default());
    let (sender, receiver) = mpsc::channel::<Held>();
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        for _ in 0..2 {
            let (receiver, shape) = (&receiver, shape.clone());
            scope.spawn(move || {
                loop {
                    let held = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((index, entries, seed)) = held else { break };
                    let mut random = Random::new(seed);
                    check(&index, &shape, &entries, &mut random, 1);
                    Tally::count(&tally.read);
                }
            });
        }
        let waiting = None;
        let mut round =
            Round { shape: shape.clone(), index, entries, next: 0, spread, random, waiting, tally };
        round.run(rows, steps, ranges, &sender);
        drop(sender);
    });
}

impl Round<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound.max(1))
    }

    fn run(&mut self, rows: u64, steps: usize, ranges: usize, readers: &mpsc::Sender<Held>) {
        let mut kept: Vec<Kept> = Vec::new();
        self.insert(rows / 3);
        for step in 0..steps {
            self.step(rows, &kept);
            Tally::count(&self.tally.changes);
            if step % 2 == 0 {
                self.check(ranges);
            }
            if self.below(4) == 0 {
                let seed = self.random.bits();
                let _ = readers.send((self.index.clone(), Arc::clone(&self.entries), seed));
                kept.push((self.index.clone(), Arc::clone(&self.entries), self.next));
                kept.drain(..kept.len().saturating_sub(3));
            }
        }
        while let Some(merge) = self.index.merge_due() {
            self.index = self.index.with_merged(&merge.run().unwrap()).unwrap();
        }
        self.check(ranges);
        for (index, entries, _) in kept {
            check(&index, &self.shape, &entries, &mut self.random, 1);
        }
    }

    fn check(&mut self, ranges: usize) {
        let answers = check(&self.index, &self.shape, &self.entries, &mut self.random, ranges);
        self.tally.answers.fetch_add(answers, std::sync::atomic::Ordering::Relaxed);
    }

    fn step(&mut self, rows: u64, kept: &[Kept]) {
        match self.below(16) {
            0..6 if (self.entries.len() as u64) < rows => {
                let most = [3, rows / 20, rows / 4][self.below(3) as usize];
                let count = 1 + self.below(most);
                self.insert(count);
            }
            0..11 => self.delete(),
            11 => {
                // What is due, at once or begun now and done later.
                self.finish();
                self.waiting = self.index.merge_due();
                if self.below(2) == 0 {
                    self.finish();
                }
            }
            12 => self.waiting = self.index.merge_all(),
            13 => self.finish(),
            14 => {
                // Compaction: rows move up to the places of those that are gone.
                let mut ids: Vec<u64> = self.entries.keys().map(|key| key.id).collect();
                ids.sort_unstable();
                let shift = self.below(3) << 32;
                let place = |id: u64| ids.partition_point(|&other| other < id) as u64 + shift;
                self.index = self.index.with_rows(place).unwrap();
                let moved = self.entries.values().zip(self.entries.keys());
                let moved =
                    moved.map(|(row, key)| (self.shape.key(place(key.id), row), row.clone()));
                self.entries = Arc::new(moved.collect());
                self.next = shift + ids.len() as u64;
                self.waiting = None;
            }
            _ => {
                // Back to a version of before, as after a transaction that is rolled back.
                if let Some((index, entries, next)) = kept.last() {
                    let entries = Arc::clone(entries);
                    (self.index, self.entries, self.next) = (index.clone(), entries, *next);
                }
            }
        }
    }

    fn finish(&mut self) {
        let Some(merge) = self.waiting.take() else { return };
        // Parts of it may have been merged otherwise meanwhile.
        if let Some(next) = self.index.with_merged(&merge.run().unwrap()) {
            self.index = next;
        }
    }

    fn insert(&mut self, count: u64) {
        let spread = self.spread;
        let rows: Vec<Row> = (0..count)
            .map(|_| {
                self.shape.kinds.iter().map(|kind| kind.random(&mut self.random, spread)).collect()
            })
            .collect();
        let mut added = index::Entries::new(&self.shape.spec(), 0).unwrap();
        let mut ids = Vec::new();
        for rows in rows.chunks(1 + self.below(count) as usize) {
            let keys = self.shape.vectors(&self.shape.keys, rows.iter());
            let includes = self.shape.vectors(&self.shape.includes, rows.iter());
            // Ids have gaps.
            let here: Vec<u64> = rows
                .iter()
                .map(|_| {
                    self.next += 1 + u64::from(self.random.below(9) == 0);
                    self.next - 1
                })
                .collect();
            added.push(&keys, &includes, here.iter().copied()).unwrap();
            ids.extend(here);
        }
        self.index = self.index.insert(added, &Serial).unwrap();
        let entries = Arc::make_mut(&mut self.entries);
        entries.extend(ids.iter().zip(rows).map(|(&id, row)| (self.shape.key(id, &row), row)));
    }

    /// Deletes some at random, or neighbours in the order of the index, so that whole keys and bounds go, or all.
    fn delete(&mut self) {
        let n = self.entries.len() as u64;
        let most = [3, n / 10 + 1, n / 3 + 1][self.below(3) as usize];
        let count = 1 + self.below(most);
        let start = self.below(n);
        let keys = self.entries.keys();
        let mut gone: Vec<_> = match self.random.below(40) {
            0 => keys.cloned().collect(),
            1..16 => keys.skip(start as usize).take(count as usize).cloned().collect(),
            _ => {
                let chance = (count * 1000 / n.max(1)).max(1);
                keys.filter(|_| self.random.chance(chance)).cloned().collect()
            }
        };
        gone.sort_by_key(|key| key.id);
        let ids: Vec<u64> = gone.iter().map(|key| key.id).collect();
        let rows: Vec<Row> = gone.iter().map(|key| self.entries[key].clone()).collect();
        let keys = self.shape.vectors(&self.shape.keys, rows.iter());
        self.index = self.index.delete(&keys, &ids).unwrap();
        let entries = Arc::make_mut(&mut self.entries);
        gone.iter().for_each(|key| drop(entries.remove(key)));
    }
}
