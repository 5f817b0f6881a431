//! Predicates straight to row positions: conjuncts one after the other on what the earlier ones kept.
//!
//! Invariants: positions are those of the whole batch and ascend; a predicate sees the candidates only, unless it cannot
//! fail. Simple comparisons run on the columns in place, without gathering the candidates first.

use arrow::array::Array;
use stoadb_storage::{Selection, Vector};

use super::{
    lazy::difference,
    node::{NodeId, Op},
    run::Run,
};
use crate::{
    error::Result,
    kernel::{
        arity::{positions, true_rows},
        compare::compare_rows,
        physical::booleans,
        range::{Range, rows_in_range},
    },
};

impl Run<'_> {
    /// The rows among the candidates (`None`: all) for which a boolean node is TRUE. The current frame must be that of
    /// the whole batch.
    pub(super) fn rows_where_true(
        &mut self,
        id: NodeId,
        candidates: Option<&[u32]>,
    ) -> Result<Vec<u32>> {
        let rows = self.rows();
        let nodes = self.nodes;
        if candidates.map_or(rows, <[u32]>::len) == 0 {
            return Ok(Vec::new());
        }
        match &nodes[id].op {
            Op::And(operands) => {
                let mut kept: Option<Vec<u32>> = None;
                let mut rest = operands.as_slice();
                while let Some((&operand, others)) = rest.split_first() {
                    let candidates = kept.as_deref().or(candidates);
                    let (rows, used) = match self.rows_in_range(rest, candidates)? {
                        Some(found) => found,
                        None => (self.rows_where_true(operand, candidates)?, 1),
                    };
                    kept = Some(rows);
                    rest = &others[used - 1..];
                }
                return Ok(kept.unwrap_or_else(|| all(rows, candidates)));
            }
            Op::Or(operands) => {
                let mut open = all(rows, candidates);
                let mut kept = Vec::new();
                for &operand in operands {
                    let found = self.rows_where_true(operand, Some(&open))?;
                    open = difference(&open, &found);
                    kept.extend(found);
                }
                kept.sort_unstable();
                return Ok(kept);
            }
            Op::Constant(value) => {
                return Ok(match value.as_bool() {
                    Some(true) => all(rows, candidates),
                    _ => Vec::new(),
                });
            }
            _ => {}
        }
        if let Some(kept) = self.rows_by_dictionary(id, candidates)? {
            return Ok(kept);
        }
        match &nodes[id].op {
            Op::Compare(op, left, right) => {
                if let Some((kept, _)) = self.rows_in_range(&[id], candidates)? {
                    return Ok(kept);
                }
                if let Some((left, right)) = self.in_place(*left).zip(self.in_place(*right)) {
                    return compare_rows(*op, &left, &right, rows, candidates);
                }
            }
            Op::IsNull { input, negated } => {
                if let Some(input) = self.in_place(*input) {
                    return Ok(match input.nulls() {
                        None if *negated => all(rows, candidates),
                        None => Vec::new(),
                        Some(nulls) => {
                            positions(rows, candidates, |row| nulls.is_valid(row) == *negated)
                        }
                    });
                }
            }
            _ => {}
        }
        self.rows_by_value(id, candidates)
    }

    /// The rows among the candidates in which the first of some conjuncts is TRUE, and those right after it that bound the
    /// same column of whole numbers, with their number; `None` when the first one is no such bound.
    fn rows_in_range(
        &self,
        conjuncts: &[NodeId],
        candidates: Option<&[u32]>,
    ) -> Result<Option<(Vec<u32>, usize)>> {
        let mut bounds = conjuncts.iter().map_while(|&id| self.bound(id));
        let Some((column, mut range)) = bounds.next() else { return Ok(None) };
        let mut used = 1;
        for (_, bound) in bounds.take_while(|(other, _)| *other == column) {
            range = range.and(bound);
            used += 1;
        }
        let Some(values) = self.whole_column(column) else { return Ok(None) };
        Ok(rows_in_range(values, range, candidates)?.map(|kept| (kept, used)))
    }

    /// The column and the range of whole numbers that a comparison with a literal asks for.
    fn bound(&self, id: NodeId) -> Option<(usize, Range)> {
        let Op::Compare(op, left, right) = &self.nodes[id].op else { return None };
        let (&Op::Column(column), Op::Constant(literal)) =
            (&self.nodes[*left].op, &self.nodes[*right].op)
        else {
            return None;
        };
        Some((column, Range::of(*op, literal.as_i128()?)?))
    }

    /// A column (not a dictionary, whose codes say nothing here) or a constant, as it stands in the batch.
    fn in_place(&self, id: NodeId) -> Option<Vector> {
        match &self.nodes[id].op {
            Op::Constant(value) => {
                Some(Vector::Constant { value: value.clone(), rows: self.rows() })
            }
            Op::Column(index) => self
                .whole_column(*index)
                .filter(|column| !matches!(column, Vector::Dictionary(_)))
                .cloned(),
            _ => None,
        }
    }

    fn rows_by_value(&mut self, id: NodeId, candidates: Option<&[u32]>) -> Result<Vec<u32>> {
        let node = &self.nodes[id];
        let rows = self.rows();
        let Some(candidates) = candidates else {
            return Ok(true_rows(&booleans(&self.value(id)?)?));
        };
        let mostly = candidates.len() * 4 > rows * 3;
        if mostly && !node.can_fail && node.is_pure {
            let truth = booleans(&self.value(id)?)?;
            return Ok(positions(rows, Some(candidates), |row| {
                truth.value(row) && truth.is_valid(row)
            }));
        }
        self.enter(Selection::new(candidates.to_vec()));
        let truth = self.value(id).and_then(|values| booleans(&values));
        self.leave();
        Ok(true_rows(&truth?).into_iter().map(|row| candidates[row as usize]).collect())
    }
}

fn all(rows: usize, candidates: Option<&[u32]>) -> Vec<u32> {
    candidates.map_or_else(|| (0..rows as u32).collect(), <[u32]>::to_vec)
}
