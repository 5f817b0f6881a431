//! What a predicate says about a range of values: which blocks and row groups cannot hold a match.
//!
//! Invariant: pruning is conservative. "Unknown" keeps the block; NaN never lets a block be skipped wrongly.

use crate::scalar::Scalar;

/// A comparison that pruning understands; the column stands on the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneOp {
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
}

/// A predicate over a relation's columns, as far as statistics can judge it. Columns are ordinals of the relation.
#[derive(Debug, Clone, PartialEq)]
pub enum Prune {
    /// Column against a non-NULL literal of the column's type.
    Compare {
        /// The column.
        column: usize,
        /// The comparison.
        op: PruneOp,
        /// The literal.
        value: Scalar,
    },
    /// `column IN (values)`, no NULL among them.
    In {
        /// The column.
        column: usize,
        /// The values.
        values: Vec<Scalar>,
    },
    /// `column IS NULL`.
    IsNull {
        /// The column.
        column: usize,
    },
    /// `column IS NOT NULL`.
    IsNotNull {
        /// The column.
        column: usize,
    },
    /// All hold.
    And(Vec<Prune>),
    /// One holds.
    Or(Vec<Prune>),
}

/// What is known of a column within a range of rows.
#[derive(Debug, Clone, Default)]
pub struct ColumnRange {
    /// A lower bound of the values that are not NULL; absent when unknown.
    pub min: Option<Scalar>,
    /// An upper bound of the values that are not NULL; absent when unknown.
    pub max: Option<Scalar>,
    /// How many are NULL; absent when unknown.
    pub nulls: Option<u64>,
    /// Whether NaN is known to be absent. Always true for types without NaN.
    pub no_nan: bool,
}
