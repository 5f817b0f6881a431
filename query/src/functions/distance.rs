//! How much two texts differ.
//!
//! Invariant: texts are compared by characters; `jaro_similarity` and its like are 1 for equal texts and 0 for texts
//! without anything in common. Time and memory grow with the product of the lengths for the distances of edits.

use std::collections::BTreeSet;

use arrow::{array::ArrayRef, datatypes::Float64Type};
use datafusion_common::{Result, exec_err};

use super::{BIGINT, Call, DOUBLE, Def};

pub(super) const TABLE: &[Def] = &[
    Def {
        name: "hamming",
        aliases: &["mismatches"],
        takes: "text text",
        gives: BIGINT,
        body: hamming,
    },
    Def {
        name: "damerau_levenshtein",
        aliases: &[],
        takes: "text text",
        gives: BIGINT,
        body: |call| integers(call, |a, b| Ok(damerau(a, b))),
    },
    Def { name: "jaccard", aliases: &[], takes: "text text", gives: DOUBLE, body: jaccard },
    Def {
        name: "jaro_similarity",
        aliases: &[],
        takes: "text text double?",
        gives: DOUBLE,
        body: |call| similarity(call, jaro),
    },
    Def {
        name: "jaro_winkler_similarity",
        aliases: &[],
        takes: "text text double?",
        gives: DOUBLE,
        body: |call| similarity(call, jaro_winkler),
    },
];

fn integers(call: &Call, f: impl Fn(&[char], &[char]) -> Result<usize>) -> Result<ArrayRef> {
    let (left, right) = (call.texts(0)?, call.texts(1)?);
    call.give_integers(|row| {
        let (Some(a), Some(b)) = (left.at(row), right.at(row)) else { return Ok(None) };
        let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
        Ok(i64::try_from(f(&a, &b)?).ok())
    })
}

fn hamming(call: &Call) -> Result<ArrayRef> {
    integers(call, |a, b| {
        if a.len() != b.len() {
            return exec_err!(
                "the texts have {} and {} characters: they need as many",
                a.len(),
                b.len()
            );
        }
        Ok(a.iter().zip(b).filter(|(a, b)| a != b).count())
    })
}

/// How many insertions, deletions, replacements and exchanges of neighbours make one of the other.
fn damerau(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 2;
    let most = a.len() + b.len();
    let mut costs = vec![0; (a.len() + 2) * width];
    costs[0] = most;
    for i in 0..=a.len() {
        costs[(i + 1) * width] = most;
        costs[(i + 1) * width + 1] = i;
    }
    for j in 0..=b.len() {
        costs[j + 1] = most;
        costs[width + j + 1] = j;
    }
    let mut last_row: std::collections::BTreeMap<char, usize> = std::collections::BTreeMap::new();
    for i in 1..=a.len() {
        let mut last_match = 0;
        for j in 1..=b.len() {
            let row = last_row.get(&b[j - 1]).copied().unwrap_or(0);
            let column = last_match;
            let replaced = usize::from(a[i - 1] != b[j - 1]);
            if replaced == 0 {
                last_match = j;
            }
            let exchanged = costs[row * width + column] + (i - row - 1) + 1 + (j - column - 1);
            costs[(i + 1) * width + j + 1] = (costs[i * width + j] + replaced)
                .min(costs[(i + 1) * width + j] + 1)
                .min(costs[i * width + j + 1] + 1)
                .min(exchanged);
        }
        last_row.insert(a[i - 1], i);
    }
    costs[(a.len() + 1) * width + b.len() + 1]
}

/// The characters of both among those of either.
fn jaccard(call: &Call) -> Result<ArrayRef> {
    let (left, right) = (call.texts(0)?, call.texts(1)?);
    call.give_numbers::<Float64Type>(|row| {
        let (Some(a), Some(b)) = (left.at(row), right.at(row)) else { return Ok(None) };
        if a.is_empty() || b.is_empty() {
            return exec_err!("a text without characters has no similarity to another");
        }
        let (a, b): (BTreeSet<char>, BTreeSet<char>) = (a.chars().collect(), b.chars().collect());
        Ok(Some(a.intersection(&b).count() as f64 / a.union(&b).count() as f64))
    })
}

fn similarity(call: &Call, f: impl Fn(&[char], &[char]) -> f64) -> Result<ArrayRef> {
    let (left, right) = (call.texts(0)?, call.texts(1)?);
    let least = call.has(2).then(|| call.numbers::<Float64Type>(2)).transpose()?;
    call.give_numbers::<Float64Type>(|row| {
        let least = least.as_ref().map_or(Some(0.0), |least| least.at(row));
        let (Some(a), Some(b), Some(least)) = (left.at(row), right.at(row), least) else {
            return Ok(None);
        };
        let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
        let similarity = f(&a, &b);
        Ok(Some(if similarity < least { 0.0 } else { similarity }))
    })
}

fn jaro(a: &[char], b: &[char]) -> f64 {
    let window = (a.len().max(b.len()) / 2).saturating_sub(1);
    let mut taken = vec![false; b.len()];
    let mut first = Vec::new();
    for (i, c) in a.iter().enumerate() {
        let range = i.saturating_sub(window)..(i + window + 1).min(b.len());
        for j in range {
            if !taken[j] && b[j] == *c {
                taken[j] = true;
                first.push(*c);
                break;
            }
        }
    }
    if first.is_empty() {
        return 0.0;
    }
    let second = b.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(c, _)| c);
    let transposed = first.iter().zip(second).filter(|(a, b)| a != b).count() / 2;
    let matches = first.len() as f64;
    (matches / a.len() as f64 + matches / b.len() as f64 + (matches - transposed as f64) / matches)
        / 3.0
}

fn jaro_winkler(a: &[char], b: &[char]) -> f64 {
    let similarity = jaro(a, b);
    if similarity <= 0.7 {
        return similarity;
    }
    let prefix = a.iter().zip(b).take(4).take_while(|(a, b)| a == b).count();
    similarity + prefix as f64 * 0.1 * (1.0 - similarity)
}
