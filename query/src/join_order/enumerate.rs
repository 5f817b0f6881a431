//! The search for the cheapest join tree.
//!
//! Dynamic programming over connected sets of leaves (bushy trees included) up to `EXACT_LEAVES`, greedy above. The
//! cost of a join is the rows that it gives, reads and builds from; building a row costs more than probing with one.
//! Invariants: of two inputs the one with fewer rows is built from; cross joins come last and only where no condition
//! connects; among equally cheap trees the first in a fixed order wins.

use super::{
    cardinality::Sizes,
    graph::{Graph, Mask},
};

/// Up to this many leaves every tree is considered: 3^12 pairs of sets.
const EXACT_LEAVES: u32 = 12;

/// What building from a row costs, when probing with one costs 1 and giving one costs 1.
const BUILD_COST: f64 = 2.0;

/// A join tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    Leaf(usize),
    Join { probe: Box<Tree>, build: Box<Tree> },
}

/// The cheapest tree over all leaves.
pub(super) fn cheapest(graph: &Graph, sizes: &Sizes) -> Tree {
    let mut parts: Vec<(Mask, Tree)> = Vec::new();
    let mut seen: Mask = 0;
    for leaf in 0..graph.leaves() {
        if seen >> leaf & 1 == 1 {
            continue;
        }
        let component = graph.component(leaf);
        seen |= component;
        let exact = if component.count_ones() <= EXACT_LEAVES {
            exhaustive(graph, sizes, component)
        } else {
            None
        };
        parts.push((component, exact.unwrap_or_else(|| greedy(graph, sizes, component))));
    }
    cross(parts, sizes)
}

/// Joins parts that no equality connects: the largest probes, the others are built from, smallest first.
fn cross(mut parts: Vec<(Mask, Tree)>, sizes: &Sizes) -> Tree {
    parts.sort_by(|(one, _), (other, _)| sizes.rows(*one).total_cmp(&sizes.rows(*other)));
    let Some((_, largest)) = parts.pop() else { return Tree::Leaf(0) };
    parts.into_iter().fold(largest, |probe, (_, build)| Tree::Join {
        probe: Box::new(probe),
        build: Box::new(build),
    })
}

/// The best way to join a set so far.
#[derive(Clone, Copy)]
struct Best {
    cost: f64,
    rows: f64,
    probe: Mask,
    build: Mask,
}

/// Dynamic programming over the subsets of a component; `None` if only cross joins connect it. Subsets are numbered by
/// the component's own leaves, so that a small component of a large region stays cheap.
fn exhaustive(graph: &Graph, sizes: &Sizes, component: Mask) -> Option<Tree> {
    let leaves: Vec<usize> =
        (0..graph.leaves()).filter(|leaf| component >> leaf & 1 == 1).collect();
    let spread = |subset: usize| -> Mask {
        let members = leaves.iter().enumerate().filter(|(bit, _)| subset >> bit & 1 == 1);
        members.fold(0, |mask, (_, leaf)| mask | 1 << leaf)
    };
    let full = (1_usize << leaves.len()) - 1;
    let masks: Vec<Mask> = (0..=full).map(spread).collect();
    let mut best: Vec<Option<Best>> = vec![None; full + 1];
    for subset in 1..=full {
        let rows = sizes.rows(masks[subset]);
        if subset.is_power_of_two() {
            best[subset] = Some(Best { cost: 0.0, rows, probe: 0, build: 0 });
            continue;
        }
        let lowest = subset & subset.wrapping_neg();
        let rest = subset ^ lowest;
        // Each split once: the part with the lowest leaf, and the others. Parts in ascending order.
        let mut part: usize = 0;
        loop {
            let (one, other) = (part | lowest, rest ^ part);
            if other != 0
                && let (Some(first), Some(second)) = (best[one], best[other])
                && graph.connected(masks[one], masks[other])
            {
                let (probe, build) =
                    if second.rows <= first.rows { (one, other) } else { (other, one) };
                let cost = first.cost + second.cost + join_cost(first.rows, second.rows, rows);
                if best[subset].is_none_or(|known| cost < known.cost) {
                    let (probe, build) = (probe as Mask, build as Mask);
                    best[subset] = Some(Best { cost, rows, probe, build });
                }
            }
            if part == rest {
                break;
            }
            part = part.wrapping_sub(rest) & rest;
        }
    }
    best[full]?;
    unfold(full, &best, &leaves)
}

fn unfold(subset: usize, best: &[Option<Best>], leaves: &[usize]) -> Option<Tree> {
    if subset.is_power_of_two() {
        return Some(Tree::Leaf(leaves[subset.trailing_zeros() as usize]));
    }
    let choice = best[subset]?;
    let probe = Box::new(unfold(choice.probe as usize, best, leaves)?);
    let build = Box::new(unfold(choice.build as usize, best, leaves)?);
    Some(Tree::Join { probe, build })
}

fn join_cost(one: f64, other: f64, output: f64) -> f64 {
    output + one.max(other) + BUILD_COST * one.min(other)
}

/// Joins the pair that costs least, again and again; unconnected pairs only when no connected one is left.
fn greedy(graph: &Graph, sizes: &Sizes, component: Mask) -> Tree {
    let leaves = (0..graph.leaves()).filter(|leaf| component >> leaf & 1 == 1);
    let mut parts: Vec<(Mask, Tree)> = leaves.map(|leaf| (1 << leaf, Tree::Leaf(leaf))).collect();
    while parts.len() > 1 {
        let mut choice: Option<(bool, f64, usize, usize)> = None;
        for first in 0..parts.len() {
            for second in first + 1..parts.len() {
                let (one, other) = (parts[first].0, parts[second].0);
                let apart = !graph.connected(one, other);
                let output = sizes.rows(one | other);
                let cost = join_cost(sizes.rows(one), sizes.rows(other), output);
                let better = |known: (bool, f64, usize, usize)| (apart, cost) < (known.0, known.1);
                if choice.is_none_or(better) {
                    choice = Some((apart, cost, first, second));
                }
            }
        }
        let Some((_, _, first, second)) = choice else { break };
        let (other, other_tree) = parts.remove(second);
        let (one, one_tree) = parts.remove(first);
        let (probe, build) = if sizes.rows(other) <= sizes.rows(one) {
            (one_tree, other_tree)
        } else {
            (other_tree, one_tree)
        };
        let tree = Tree::Join { probe: Box::new(probe), build: Box::new(build) };
        parts.insert(first, (one | other, tree));
    }
    parts.pop().map_or(Tree::Leaf(0), |(_, tree)| tree)
}
