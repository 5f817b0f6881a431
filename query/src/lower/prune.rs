//! What statistics can judge of a scan's filter.
//!
//! Invariant: the filter implies the prune predicate: whatever has no form here is left out of a conjunction and makes
//! a disjunction unknown. Where the prune predicate is called exact, it implies the filter too.

use stoadb_engine::{
    Expr,
    expr::CompareOp,
    plan::{Plan, ScanPlan},
};
use stoadb_storage::{LogicalType, Prune, Scalar, prune::PruneOp, types::TimeUnit};

use super::{coerce::swapped, literal::fold_exactly};

/// Fills in `ScanPlan::prune` in a whole plan.
pub(super) fn add(plan: &mut Plan) {
    if let Plan::Scan(scan) = plan {
        judge(scan);
    }
    plan.inputs_mut().into_iter().for_each(add);
}

/// A predicate that a condition implies, and whether it is TRUE for just the rows for which the condition is.
struct Known {
    prune: Prune,
    exact: bool,
}

impl Known {
    fn exact(prune: Prune) -> Self {
        Self { prune, exact: true }
    }
}

fn judge(scan: &mut ScanPlan) {
    let known = scan.filter.as_ref().and_then(condition);
    scan.prune_is_exact = known.as_ref().is_some_and(|known| known.exact);
    scan.prune = known.map(|known| known.prune);
}

/// The prune predicate that a condition implies. Only what is TRUE matters: FALSE and NULL are alike to a filter.
fn condition(expr: &Expr) -> Option<Known> {
    match expr {
        Expr::And(all) => {
            let mut known: Vec<Known> = all.iter().filter_map(condition).collect();
            let exact = known.len() == all.len() && known.iter().all(|known| known.exact);
            match known.len() {
                0 => None,
                1 => Some(Known { exact, ..known.remove(0) }),
                _ => {
                    let prune = Prune::And(known.into_iter().map(|known| known.prune).collect());
                    Some(Known { prune, exact })
                }
            }
        }
        Expr::Or(any) => {
            let known: Vec<Known> = any.iter().map(condition).collect::<Option<_>>()?;
            let exact = known.iter().all(|known| known.exact);
            let prune = Prune::Or(known.into_iter().map(|known| known.prune).collect());
            Some(Known { prune, exact })
        }
        Expr::Compare { op, left, right } => match (&**left, &**right) {
            (input, Expr::Literal(value)) => compare(*op, input, value).map(Known::exact),
            (Expr::Literal(value), input) => compare(swapped(*op), input, value).map(Known::exact),
            _ => None,
        },
        Expr::IsNull(input) => Some(Known::exact(Prune::IsNull { column: column(input)?.0 })),
        Expr::IsNotNull(input) => Some(Known::exact(Prune::IsNotNull { column: column(input)?.0 })),
        Expr::InList { input, list, negated: false } => {
            let (column, ty) = plain(input)?;
            let value = |value: &Scalar| fold_exactly(value, ty);
            let known = list.iter().filter(|value| !value.is_null());
            // A value that the column's type cannot hold matches no row.
            let values = known.filter_map(value).collect();
            Some(Known::exact(Prune::In { column, values }))
        }
        Expr::Like { input, pattern, escape, negated: false, ignore_case: false } => {
            prefix(input, pattern, *escape)
        }
        Expr::Column { index, ty: LogicalType::Boolean } => {
            let value = Scalar::boolean(true);
            Some(Known::exact(Prune::Compare { column: *index, op: PruneOp::Eq, value }))
        }
        _ => None,
    }
}

fn compare(op: CompareOp, input: &Expr, value: &Scalar) -> Option<Prune> {
    if op == CompareOp::NotDistinct {
        return match column(input) {
            Some((column, _)) if value.is_null() => Some(Prune::IsNull { column }),
            _ if value.is_null() => None,
            _ => compare(CompareOp::Eq, input, value),
        };
    }
    if value.is_null() {
        return None;
    }
    let op = match op {
        CompareOp::Eq => PruneOp::Eq,
        CompareOp::NotEq => PruneOp::NotEq,
        CompareOp::Lt => PruneOp::Lt,
        CompareOp::LtEq => PruneOp::LtEq,
        CompareOp::Gt => PruneOp::Gt,
        CompareOp::GtEq => PruneOp::GtEq,
        CompareOp::Distinct | CompareOp::NotDistinct => return None,
    };
    let (column, ty) = plain(input)?;
    Some(Prune::Compare { column, op, value: fold_exactly(value, ty)? })
}

/// A bare column.
fn column(input: &Expr) -> Option<(usize, &LogicalType)> {
    match input {
        Expr::Column { index, ty } => Some((*index, ty)),
        _ => None,
    }
}

/// A column, perhaps behind a cast that keeps order and loses nothing.
fn plain(input: &Expr) -> Option<(usize, &LogicalType)> {
    match input {
        Expr::Cast { input, ty, .. } => {
            let (index, from) = column(input)?;
            widens(from, ty).then_some((index, from))
        }
        other => column(other),
    }
}

/// Whether each value of one type is a value of the other, in the same order.
fn widens(from: &LogicalType, to: &LogicalType) -> bool {
    use LogicalType as T;
    let bits = |ty: &T| match ty {
        T::Int8 => Some((8, true)),
        T::Int16 => Some((16, true)),
        T::Int32 => Some((32, true)),
        T::Int64 => Some((64, true)),
        T::UInt8 => Some((8, false)),
        T::UInt16 => Some((16, false)),
        T::UInt32 => Some((32, false)),
        T::UInt64 => Some((64, false)),
        _ => None,
    };
    match (from, to) {
        (T::Float32, T::Float64) => true,
        (T::Decimal { precision: p1, scale: s1 }, T::Decimal { precision: p2, scale: s2 }) => {
            s2 >= s1 && i16::from(*p2) - i16::from(*s2) >= i16::from(*p1) - i16::from(*s1)
        }
        (T::Date, T::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, None)) => true,
        _ => match (bits(from), bits(to)) {
            (Some((narrow, true)), Some((wide, true))) => narrow <= wide,
            (Some((narrow, false)), Some((wide, false))) => narrow <= wide,
            (Some((narrow, false)), Some((wide, true))) => narrow < wide,
            _ => false,
        },
    }
}

/// `column LIKE 'abc%'`: between 'abc' and the first text after all that begin with it.
fn prefix(input: &Expr, pattern: &Expr, escape: Option<char>) -> Option<Known> {
    let (column, ty) = column(input)?;
    let Expr::Literal(pattern) = pattern else { return None };
    if *ty != LogicalType::Text {
        return None;
    }
    let pattern = pattern.as_str()?;
    let escape = escape.unwrap_or('\\');
    let end = pattern.find(['%', '_', escape]).unwrap_or(pattern.len());
    let text = &pattern[..end];
    let compare = |op, text: &str| Prune::Compare { column, op, value: Scalar::text(text) };
    if end == pattern.len() {
        return Some(Known::exact(compare(PruneOp::Eq, text)));
    }
    if text.is_empty() {
        return None;
    }
    let from = compare(PruneOp::GtEq, text);
    let prune = match successor(text) {
        Some(next) => Prune::And(vec![from, compare(PruneOp::Lt, &next)]),
        None => from,
    };
    Some(Known { prune, exact: pattern[end..].chars().all(|rest| rest == '%') })
}

/// The smallest text that is greater than every text with the prefix.
fn successor(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // Code points are ordered as their bytes are; the surrogates' gap holds no characters.
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_successor_is_above_all_texts_with_the_prefix() {
        assert_eq!(successor("abc").as_deref(), Some("abd"));
        assert_eq!(successor("a\u{10FFFF}").as_deref(), Some("b"));
        assert_eq!(successor("\u{D7FF}").as_deref(), Some("\u{E000}"));
        assert_eq!(successor("\u{10FFFF}"), None);
        for prefix in ["abc", "z\u{7F}", "\u{7FF}", "\u{FFFF}"] {
            let next = successor(prefix).unwrap();
            assert!(next.as_str() > prefix && !next.starts_with(prefix));
            assert!(next > format!("{prefix}\u{10FFFF}\u{10FFFF}"));
        }
    }
}
