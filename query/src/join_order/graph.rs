//! The join graph: leaves, classes of equal expressions, and the conditions that are no plain equality.
//!
//! Invariants: columns count over all leaves in order; a class's members are expressions over one leaf each, all equal
//! in every row of the result, so that any one member of each side makes a join key; conditions over a single leaf are
//! in `filters` and nowhere else.

use std::ops::Range;

use stoadb_engine::{
    Expr,
    expr::CompareOp,
    plan::{JoinKey, Plan},
};

use crate::lower::{and, conjuncts};

/// A set of leaves, a bit each.
pub(super) type Mask = u64;

/// A member of a class: an expression over one leaf.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub(super) leaf: usize,
    pub(super) expr: Expr,
}

/// A condition over several leaves.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    /// The leaves whose columns it uses.
    pub(super) mask: Mask,
    pub(super) expr: Expr,
    /// For equalities: the leaves of each operand.
    pub(super) sides: Option<(Mask, Mask)>,
}

/// The join graph of a region.
#[derive(Debug)]
pub(super) struct Graph {
    offsets: Vec<usize>,
    /// Classes of equal expressions, each over at least two leaves.
    pub(super) classes: Vec<Vec<Member>>,
    /// The other conditions over several leaves.
    pub(super) conditions: Vec<Condition>,
    /// The conditions over each leaf alone.
    pub(super) filters: Vec<Vec<Expr>>,
    neighbours: Vec<Mask>,
}

/// The condition that two expressions are equal.
pub(super) fn equality((left, right): (Expr, Expr), null_equal: bool) -> Expr {
    let op = if null_equal { CompareOp::NotDistinct } else { CompareOp::Eq };
    Expr::Compare { op, left: Box::new(left), right: Box::new(right) }
}

impl Graph {
    /// The graph of leaves of the given widths under the given conditions.
    pub(super) fn new(widths: &[usize], conditions: Vec<Expr>) -> Self {
        let mut offsets = vec![0];
        offsets.extend(widths.iter().scan(0, |end, width| {
            *end += width;
            Some(*end)
        }));
        let leaves = widths.len();
        let mut graph = Self {
            offsets,
            classes: Vec::new(),
            conditions: Vec::new(),
            filters: vec![Vec::new(); leaves],
            neighbours: vec![0; leaves],
        };
        conditions.into_iter().for_each(|condition| graph.add(condition));
        graph.close();
        graph
    }

    /// How many columns all leaves have.
    pub(super) fn width(&self) -> usize {
        self.offsets.last().copied().unwrap_or_default()
    }

    /// How many leaves there are.
    pub(super) fn leaves(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The columns of a leaf.
    pub(super) fn columns(&self, leaf: usize) -> Range<usize> {
        self.offsets[leaf]..self.offsets[leaf + 1]
    }

    /// Expressions over one leaf, counted in its own columns.
    pub(super) fn localised(&self, leaf: usize, mut exprs: Vec<Expr>) -> Vec<Expr> {
        let offset = self.offsets[leaf];
        exprs.iter_mut().for_each(|expr| expr.map_columns(&mut |column| column - offset));
        exprs
    }

    fn leaf_of(&self, column: usize) -> usize {
        self.offsets.partition_point(|&offset| offset <= column) - 1
    }

    fn mask(&self, expr: &Expr) -> Mask {
        let mut mask = 0;
        expr.for_each_column(&mut |column| mask |= 1 << self.leaf_of(column));
        mask
    }

    fn add(&mut self, condition: Expr) {
        let mask = self.mask(&condition);
        if mask.count_ones() < 2 {
            // Conditions without columns hold everywhere or nowhere: the first leaf asks them.
            let leaf = if mask == 0 { 0 } else { mask.trailing_zeros() as usize };
            if !self.filters[leaf].contains(&condition) {
                self.filters[leaf].push(condition);
            }
            return;
        }
        let sides = match &condition {
            Expr::Compare { op: CompareOp::Eq | CompareOp::NotDistinct, left, right } => {
                Some((self.mask(left), self.mask(right)))
            }
            _ => None,
        };
        match (condition, sides) {
            (Expr::Compare { op: CompareOp::Eq, left, right }, Some((one, other)))
                if one.count_ones() == 1 && other.count_ones() == 1 =>
            {
                let member =
                    |mask: Mask, expr| Member { leaf: mask.trailing_zeros() as usize, expr };
                self.unite(member(one, *left), member(other, *right));
            }
            (expr, sides) => {
                let sides =
                    sides.filter(|(one, other)| one & other == 0 && *one != 0 && *other != 0);
                self.conditions.push(Condition { mask, expr, sides });
            }
        }
    }

    fn unite(&mut self, one: Member, other: Member) {
        let find = |classes: &[Vec<Member>], member: &Member| {
            classes.iter().position(|class| class.contains(member))
        };
        match (find(&self.classes, &one), find(&self.classes, &other)) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => {
                let moved = self.classes.remove(a.max(b));
                self.classes[a.min(b)].extend(moved);
            }
            (Some(a), None) => self.classes[a].push(other),
            (None, Some(b)) => self.classes[b].push(one),
            (None, None) => self.classes.push(vec![one, other]),
        }
    }

    /// Two members over one leaf are equal within that leaf; classes then say which leaves are neighbours.
    fn close(&mut self) {
        for class in &mut self.classes {
            class.sort_by_key(|member| (member.leaf, !matches!(member.expr, Expr::Column { .. })));
            for pair in class.windows(2) {
                if pair[0].leaf == pair[1].leaf {
                    let sides = (pair[0].expr.clone(), pair[1].expr.clone());
                    self.filters[pair[0].leaf].push(equality(sides, false));
                }
            }
            let all = class.iter().fold(0, |mask: Mask, member| mask | 1 << member.leaf);
            class.iter().for_each(|member| self.neighbours[member.leaf] |= all);
        }
    }

    /// What is asked of one member of a class by a constant holds for all of them: `a.k = b.k AND a.k = 5` means
    /// `b.k = 5` too.
    pub(super) fn infer(&mut self, leaves: &[Plan]) {
        let mut inferred = Vec::new();
        for (leaf, plan) in leaves.iter().enumerate() {
            let offset = self.offsets[leaf];
            let known = self.filters[leaf].iter().cloned().chain(scan_conditions(plan, offset));
            for condition in known.collect::<Vec<_>>() {
                let Some(column) = judged_column(&condition) else { continue };
                let is_it = |member: &Member| matches!(member.expr, Expr::Column { index, .. } if index == column);
                let Some(class) = self.classes.iter().find(|class| class.iter().any(is_it)) else {
                    continue;
                };
                for member in class {
                    if let Expr::Column { index, .. } = member.expr
                        && index != column
                    {
                        let mut copy = condition.clone();
                        copy.map_columns(&mut |_| index);
                        inferred.push((member.leaf, copy));
                    }
                }
            }
        }
        for (leaf, condition) in inferred {
            if !self.filters[leaf].contains(&condition) {
                self.filters[leaf].push(condition);
            }
        }
    }

    /// Whether a condition can serve as a key between two sets.
    pub(super) fn connected(&self, one: Mask, other: Mask) -> bool {
        let mut rest = one;
        while rest != 0 {
            if self.neighbours[rest.trailing_zeros() as usize] & other != 0 {
                return true;
            }
            rest &= rest - 1;
        }
        self.conditions.iter().any(|condition| condition.splits(one, other).is_some())
    }

    /// The leaves that a chain of conditions connects with a leaf, itself included. Conditions that are no equality
    /// count only for `all`.
    pub(super) fn component(&self, leaf: usize) -> Mask {
        let mut mask: Mask = 1 << leaf;
        loop {
            let mut grown = mask;
            for leaf in (0..self.leaves()).filter(|leaf| mask >> leaf & 1 == 1) {
                grown |= self.neighbours[leaf];
            }
            for condition in &self.conditions {
                if condition.sides.is_some() && condition.mask & mask != 0 {
                    grown |= condition.mask;
                }
            }
            if grown == mask {
                return mask;
            }
            mask = grown;
        }
    }

    /// The keys and the residual of the join of two sets: one key per class, and every other condition whose columns
    /// meet here first.
    pub(super) fn conditions_between(
        &self,
        left: Mask,
        right: Mask,
    ) -> (Vec<JoinKey>, Option<Expr>) {
        let mut keys = Vec::new();
        for class in &self.classes {
            let member = |mask: Mask| class.iter().find(|member| mask >> member.leaf & 1 == 1);
            if let (Some(one), Some(other)) = (member(left), member(right)) {
                let (left, right) = (one.expr.clone(), other.expr.clone());
                keys.push(JoinKey { left, right, null_equal: false });
            }
        }
        let mut residual = Vec::new();
        for condition in &self.conditions {
            match (condition.splits(left, right), &condition.expr) {
                (Some(straight), Expr::Compare { op, left, right }) => {
                    let (one, other) = if straight { (left, right) } else { (right, left) };
                    let (left, right) = ((**one).clone(), (**other).clone());
                    keys.push(JoinKey { left, right, null_equal: *op == CompareOp::NotDistinct });
                }
                _ if condition.meets(left, right) => residual.push(condition.expr.clone()),
                _ => {}
            }
        }
        (keys, (!residual.is_empty()).then(|| and(residual)))
    }
}

impl Condition {
    /// Whether an equality's operands lie one in each set: `Some(true)` if the first lies in the first.
    fn splits(&self, one: Mask, other: Mask) -> Option<bool> {
        let (left, right) = self.sides?;
        let within = |part: Mask, whole: Mask| part & !whole == 0;
        match (within(left, one) && within(right, other), within(left, other) && within(right, one))
        {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }

    /// Whether the join of two sets is the first to have all columns.
    pub(super) fn meets(&self, one: Mask, other: Mask) -> bool {
        let within = |whole: Mask| self.mask & !whole == 0;
        within(one | other) && !within(one) && !within(other)
    }
}

/// The conditions of a scan's filter over one returned column, counted over all leaves.
fn scan_conditions(plan: &Plan, offset: usize) -> Vec<Expr> {
    let Plan::Scan(scan) = plan else { return Vec::new() };
    let mut conditions = scan.filter.clone().map(conjuncts).unwrap_or_default();
    conditions.retain_mut(|condition| {
        let Some(column) = judged_column(condition) else { return false };
        match scan.projection.iter().position(|&read| read == column) {
            Some(position) => {
                condition.map_columns(&mut |_| position + offset);
                true
            }
            None => false,
        }
    });
    conditions
}

/// The column of a condition that compares one bare column with constants.
fn judged_column(condition: &Expr) -> Option<usize> {
    let column = |expr: &Expr| match expr {
        Expr::Column { index, .. } => Some(*index),
        _ => None,
    };
    match condition {
        Expr::Compare { left, right, .. } => match (&**left, &**right) {
            (input, Expr::Literal(_) | Expr::Subquery { .. })
            | (Expr::Literal(_) | Expr::Subquery { .. }, input) => column(input),
            _ => None,
        },
        Expr::InList { input, .. } => column(input),
        _ => None,
    }
}
