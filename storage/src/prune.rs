//! What a predicate says about a range of values: which blocks and row groups cannot hold a match.
//!
//! Invariant: pruning is conservative. "Unknown" keeps the block; NaN never lets a block be skipped, or be taken as a
//! whole, wrongly.

use std::cmp::Ordering;

use crate::{scalar::Scalar, types::LogicalType};

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

impl Prune {
    /// Whether rows with the given column ranges may hold a match. `false` is a proof that there is none; `true`
    /// says nothing. Takes time linear in the predicate.
    ///
    /// NaN is the largest value and equals itself, so a range with `no_nan == false` reaches up to NaN whatever its
    /// `max` says. Bounds of a type that does not compare with the literal are treated as unknown.
    pub fn may_match(&self, range: &dyn Fn(usize) -> ColumnRange) -> bool {
        match self {
            Self::Compare { column, op, value } => range(*column).may_match(*op, value),
            Self::In { column, values } => {
                let range = range(*column);
                values.iter().any(|value| range.may_match(PruneOp::Eq, value))
            }
            Self::IsNull { column } => range(*column).nulls != Some(0),
            Self::IsNotNull { .. } => true,
            Self::And(parts) => parts.iter().all(|part| part.may_match(range)),
            Self::Or(parts) => parts.iter().any(|part| part.may_match(range)),
        }
    }

    /// Whether the predicate is TRUE for every row with the given column ranges. `true` is a proof; `false` says
    /// nothing. Takes time linear in the predicate.
    pub fn all_match(&self, range: &dyn Fn(usize) -> ColumnRange) -> bool {
        match self {
            Self::Compare { column, op, value } => range(*column).all_match(*op, value),
            Self::In { column, values } => {
                let range = range(*column);
                values.iter().any(|value| range.all_match(PruneOp::Eq, value))
            }
            Self::IsNull { .. } => false,
            Self::IsNotNull { column } => range(*column).nulls == Some(0),
            Self::And(parts) => parts.iter().all(|part| part.all_match(range)),
            Self::Or(parts) => parts.iter().any(|part| part.all_match(range)),
        }
    }

    /// Calls `visit` for each column that the predicate mentions, as often as it does.
    pub fn visit_columns(&self, visit: &mut dyn FnMut(usize)) {
        match self {
            Self::Compare { column, .. }
            | Self::In { column, .. }
            | Self::IsNull { column }
            | Self::IsNotNull { column } => visit(*column),
            Self::And(parts) | Self::Or(parts) => {
                parts.iter().for_each(|part| part.visit_columns(visit));
            }
        }
    }
}

impl ColumnRange {
    /// Whether a value of the range may compare to `value` as `op` says. A NULL literal matches nothing, but is not
    /// judged here.
    pub fn may_match(&self, op: PruneOp, value: &Scalar) -> bool {
        let min = self.min.as_ref().and_then(|min| compare_scalars(min, value));
        let max = self.upper_bound(value);
        match op {
            // NaN equals no number, so that only the numbers' own bound counts.
            PruneOp::Eq if value.as_f64().is_some_and(|literal| !literal.is_nan()) => {
                let max = self.max.as_ref().and_then(|max| compare_scalars(max, value));
                min != Some(Ordering::Greater) && max != Some(Ordering::Less)
            }
            PruneOp::Eq => min != Some(Ordering::Greater) && max != Some(Ordering::Less),
            PruneOp::NotEq => min != Some(Ordering::Equal) || max != Some(Ordering::Equal),
            PruneOp::Lt => !matches!(min, Some(Ordering::Equal | Ordering::Greater)),
            PruneOp::LtEq => min != Some(Ordering::Greater),
            PruneOp::Gt => !matches!(max, Some(Ordering::Equal | Ordering::Less)),
            PruneOp::GtEq => max != Some(Ordering::Less),
        }
    }

    /// Whether every value of the range compares to `value` as `op` says, and none is NULL.
    pub fn all_match(&self, op: PruneOp, value: &Scalar) -> bool {
        use Ordering::{Equal, Greater, Less};
        // Beside NaN as the literal nothing is proven; as a value it is greater than every literal.
        if self.nulls != Some(0) || value.as_f64().is_some_and(f64::is_nan) {
            return false;
        }
        let (Some(min), Some(max)) = (&self.min, &self.max) else { return false };
        let order = compare_scalars(min, value).zip(compare_scalars(max, value));
        let Some((min, max)) = order else { return false };
        match op {
            PruneOp::Eq => (min, max) == (Equal, Equal) && self.no_nan,
            PruneOp::NotEq => min == Greater || max == Less,
            PruneOp::Lt => max == Less && self.no_nan,
            PruneOp::LtEq => max != Greater && self.no_nan,
            PruneOp::Gt => min == Greater,
            PruneOp::GtEq => min != Less,
        }
    }

    /// How the upper bound compares with `value`; `None` when unknown. Where NaN may be present it is the bound.
    fn upper_bound(&self, value: &Scalar) -> Option<Ordering> {
        if value.ty().is_float() && !self.no_nan {
            let is_nan = value.as_f64().is_some_and(f64::is_nan);
            return Some(if is_nan { Ordering::Equal } else { Ordering::Greater });
        }
        self.max.as_ref().and_then(|max| compare_scalars(max, value))
    }

    /// How many whole numbers lie within the bounds; `None` where they are unknown or of another type.
    pub fn whole_numbers(&self) -> Option<u128> {
        let (min, max) = (self.min.as_ref()?, self.max.as_ref()?);
        let of = |bound: &Scalar| bound.as_i128().filter(|_| bound.ty().is_integer());
        of(max)?
            .checked_sub(of(min)?)
            .and_then(|span| u128::try_from(span).ok())
            .map(|span| span + 1)
    }

    /// The range of two sets of rows together.
    pub fn union(&self, other: &Self) -> Self {
        let pick = |a: &Option<Scalar>, b: &Option<Scalar>, keep: Ordering| match (a, b) {
            (Some(a), Some(b)) => {
                let order = compare_scalars(a, b)?;
                Some(if order == keep { a.clone() } else { b.clone() })
            }
            _ => None,
        };
        Self {
            min: pick(&self.min, &other.min, Ordering::Less),
            max: pick(&self.max, &other.max, Ordering::Greater),
            nulls: self.nulls.zip(other.nulls).map(|(a, b)| a.saturating_add(b)),
            no_nan: self.no_nan && other.no_nan,
        }
    }
}

/// The order of two values of the same kind; `None` for NULL, for types that do not compare (different units, scales
/// or kinds) and for nested types. NaN is the largest float and equals itself; -0.0 equals 0.0; text and blobs compare
/// bytewise.
pub fn compare_scalars(left: &Scalar, right: &Scalar) -> Option<Ordering> {
    use LogicalType as T;
    match (left.ty(), right.ty()) {
        (a, b) if a.is_float() && b.is_float() => {
            let (a, b) = (left.as_f64()?, right.as_f64()?);
            Some(a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())))
        }
        (T::Text, T::Text) | (T::Blob, T::Blob) => Some(left.as_bytes()?.cmp(right.as_bytes()?)),
        (T::Boolean, T::Boolean) => Some(left.as_bool()?.cmp(&right.as_bool()?)),
        (T::Decimal { scale: a, .. }, T::Decimal { scale: b, .. }) if a != b => None,
        (T::Timestamp(a, z), T::Timestamp(b, y)) if a != b || z.is_some() != y.is_some() => None,
        (T::Time(a), T::Time(b)) | (T::Duration(a), T::Duration(b)) if a != b => None,
        (a, b) if (a.is_integer() && b.is_integer()) || same_kind(a, b) => {
            Some(left.as_i128()?.cmp(&right.as_i128()?))
        }
        _ => None,
    }
}

fn same_kind(left: &LogicalType, right: &LogicalType) -> bool {
    std::mem::discriminant(left) == std::mem::discriminant(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(min: Scalar, max: Scalar, no_nan: bool) -> ColumnRange {
        ColumnRange { min: Some(min), max: Some(max), nulls: Some(0), no_nan }
    }

    fn compare(op: PruneOp, value: Scalar) -> Prune {
        Prune::Compare { column: 0, op, value }
    }

    const OPS: [PruneOp; 6] =
        [PruneOp::Eq, PruneOp::NotEq, PruneOp::Lt, PruneOp::LtEq, PruneOp::Gt, PruneOp::GtEq];

    fn holds(op: PruneOp, order: Ordering) -> bool {
        match op {
            PruneOp::Eq => order.is_eq(),
            PruneOp::NotEq => order.is_ne(),
            PruneOp::Lt => order.is_lt(),
            PruneOp::LtEq => order.is_le(),
            PruneOp::Gt => order.is_gt(),
            PruneOp::GtEq => order.is_ge(),
        }
    }

    #[test]
    fn test_may_match_integers_is_exact_for_tight_ranges() {
        for min in -3..3_i64 {
            for max in min..3 {
                let stats = range(Scalar::int64(min), Scalar::int64(max), true);
                for literal in -4..4 {
                    for op in OPS {
                        let expected = (min..=max).any(|v| holds(op, v.cmp(&literal)));
                        let prune = compare(op, Scalar::int64(literal));
                        let got = prune.may_match(&|_| stats.clone());
                        assert_eq!(got, expected, "[{min}, {max}] {op:?} {literal}");
                    }
                }
            }
        }
    }

    #[test]
    fn test_whole_numbers_are_counted_where_bounds_are_known() {
        let count = |min, max| range(min, max, true).whole_numbers();
        assert_eq!(count(Scalar::int64(-3), Scalar::int64(4)), Some(8));
        let all = count(Scalar::int64(i64::MIN), Scalar::int64(i64::MAX));
        assert_eq!(all, Some(1 << 64));
        assert_eq!(count(Scalar::float64(0.0), Scalar::float64(4.0)), None);
        assert_eq!(ColumnRange::default().whole_numbers(), None);
    }

    #[test]
    fn test_may_match_floats_never_prunes_what_nan_satisfies() {
        let literals = [f64::NEG_INFINITY, -1.0, -0.0, 0.0, 2.0, f64::INFINITY, f64::NAN];
        for no_nan in [false, true] {
            let stats = range(Scalar::float64(-0.0), Scalar::float64(1.0), no_nan);
            let mut values = vec![-0.0, 0.0, 0.5, 1.0];
            values.extend((!no_nan).then_some(f64::NAN));
            for literal in literals {
                for op in OPS {
                    let order = |v: f64| {
                        compare_scalars(&Scalar::float64(v), &Scalar::float64(literal)).unwrap()
                    };
                    let expected = values.iter().any(|&v| holds(op, order(v)));
                    let got = compare(op, Scalar::float64(literal)).may_match(&|_| stats.clone());
                    assert!(got || !expected, "{op:?} {literal} no_nan={no_nan}");
                    // Within [0, 1] a value strictly inside exists, so that the bounds decide exactly here.
                    assert_eq!(got, expected, "{op:?} {literal} no_nan={no_nan}");
                }
            }
        }
    }

    #[test]
    fn test_all_match_is_a_proof_and_finds_what_bounds_show() {
        let literals = [f64::NEG_INFINITY, -1.0, -0.0, 0.0, 1.0, 2.0, f64::INFINITY, f64::NAN];
        for no_nan in [false, true] {
            for nulls in [None, Some(0), Some(2)] {
                let bounds = range(Scalar::float64(-0.0), Scalar::float64(1.0), no_nan);
                let stats = ColumnRange { nulls, ..bounds };
                let mut values = vec![-0.0, 0.5, 1.0];
                values.extend((!no_nan).then_some(f64::NAN));
                for literal in literals {
                    for op in OPS {
                        let order = |v: f64| {
                            compare_scalars(&Scalar::float64(v), &Scalar::float64(literal)).unwrap()
                        };
                        let all = values.iter().all(|&v| holds(op, order(v)));
                        let got =
                            compare(op, Scalar::float64(literal)).all_match(&|_| stats.clone());
                        let wanted = all && nulls == Some(0) && !literal.is_nan();
                        assert_eq!(got, wanted, "{op:?} {literal} no_nan={no_nan} {nulls:?}");
                    }
                }
            }
        }
        // Nothing but NaN: no bounds, no proof.
        let stats = ColumnRange { nulls: Some(0), ..ColumnRange::default() };
        assert!(!compare(PruneOp::Gt, Scalar::float64(0.0)).all_match(&|_| stats.clone()));
    }

    #[test]
    fn test_all_match_integers_and_logic() {
        for min in -3..3_i64 {
            for max in min..3 {
                let stats = range(Scalar::int64(min), Scalar::int64(max), true);
                for literal in -4..4 {
                    for op in OPS {
                        let expected = (min..=max).all(|v| holds(op, v.cmp(&literal)));
                        let prune = compare(op, Scalar::int64(literal));
                        let got = prune.all_match(&|_| stats.clone());
                        assert_eq!(got, expected, "[{min}, {max}] {op:?} {literal}");
                        let or = Prune::Or(vec![Prune::IsNull { column: 0 }, prune.clone()]);
                        assert_eq!(or.all_match(&|_| stats.clone()), expected);
                        let and = Prune::And(vec![Prune::IsNotNull { column: 0 }, prune]);
                        assert_eq!(and.all_match(&|_| stats.clone()), expected);
                    }
                }
                let values = vec![Scalar::int64(7), Scalar::int64(min)];
                let listed = Prune::In { column: 0, values };
                assert_eq!(listed.all_match(&|_| stats.clone()), min == max);
            }
        }
        assert!(!Prune::IsNotNull { column: 0 }.all_match(&|_| ColumnRange::default()));
        let stats = range(Scalar::text("b"), Scalar::text("c"), true);
        assert!(!compare(PruneOp::GtEq, Scalar::int64(1)).all_match(&|_| stats.clone()));
        assert!(compare(PruneOp::GtEq, Scalar::text("b")).all_match(&|_| stats.clone()));
    }

    #[test]
    fn test_may_match_unknown_bounds_keep() {
        for op in OPS {
            assert!(compare(op, Scalar::int64(1)).may_match(&|_| ColumnRange::default()));
            assert!(compare(op, Scalar::text("a")).may_match(&|_| ColumnRange::default()));
            // A range of another type proves nothing.
            let stats = range(Scalar::text("b"), Scalar::text("c"), true);
            assert!(compare(op, Scalar::int64(1)).may_match(&|_| stats.clone()));
            let stats = range(Scalar::decimal(100, 10, 2), Scalar::decimal(200, 10, 2), true);
            assert!(compare(op, Scalar::decimal(1, 10, 3)).may_match(&|_| stats.clone()));
        }
    }

    #[test]
    fn test_may_match_logic_and_nulls() {
        let stats = |column: usize| match column {
            0 => range(Scalar::int64(10), Scalar::int64(20), true),
            _ => {
                ColumnRange { nulls: Some(3), ..range(Scalar::text("b"), Scalar::text("d"), true) }
            }
        };
        let low = compare(PruneOp::Lt, Scalar::int64(5));
        let high = compare(PruneOp::Gt, Scalar::int64(5));
        let text =
            Prune::In { column: 1, values: vec![Scalar::text("a"), Scalar::text("c\u{e9}")] };
        assert!(text.may_match(&stats));
        assert!(!Prune::In { column: 1, values: vec![Scalar::text("a")] }.may_match(&stats));
        assert!(!Prune::And(vec![high.clone(), low.clone()]).may_match(&stats));
        assert!(Prune::Or(vec![high.clone(), low.clone()]).may_match(&stats));
        assert!(!Prune::Or(vec![low.clone(), low]).may_match(&stats));
        assert!(Prune::And(vec![high, text]).may_match(&stats));
        assert!(!Prune::IsNull { column: 0 }.may_match(&stats));
        assert!(Prune::IsNull { column: 1 }.may_match(&stats));
        assert!(Prune::IsNotNull { column: 1 }.may_match(&stats));
        assert!(Prune::IsNull { column: 0 }.may_match(&|_| ColumnRange::default()));
    }

    #[test]
    fn test_union_of_ranges() {
        let a = range(Scalar::int64(1), Scalar::int64(5), true);
        let b = range(Scalar::int64(-2), Scalar::int64(3), false);
        let both = a.union(&b);
        assert_eq!(both.min, Some(Scalar::int64(-2)));
        assert_eq!(both.max, Some(Scalar::int64(5)));
        assert_eq!(both.nulls, Some(0));
        assert!(!both.no_nan);
        let unknown = a.union(&ColumnRange::default());
        assert!(unknown.min.is_none() && unknown.max.is_none() && unknown.nulls.is_none());
    }
}
