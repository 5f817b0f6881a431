//! ASOF joins: of the right rows on one side of a moment the nearest one.
//!
//! How: each right row is given the moment at which the next one of its keys takes over; a left row then matches the one
//! right row whose time it lies in. The join itself is an ordinary one on the keys and the two bounds.
//!
//! Invariants: at most one right row matches a left one, the last of those with equal moments; the column with the next
//! moment has a name that cannot be typed, and `*` leaves it out.

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, ExcludeSelectItem, Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName,
    Select, SelectItem, TableAlias, TableFactor, WildcardAdditionalOptions,
};

use crate::{
    error::{Error, ErrorKind, Result},
    sql::{
        names::{constraint_mut, fold},
        parse::place,
        shares::{derived, template},
    },
};

/// Begins the names of the columns with the next moments.
const NEXT: &str = "\u{4}next";

/// Rewrites the ASOF joins of a query.
///
/// # Errors
/// `Syntax` when the condition is not equalities and one inequality between the two sides.
pub fn rewrite(select: &mut Select) -> Result<()> {
    let mut added = Vec::new();
    for table in &mut select.from {
        for join in &mut table.joins {
            if let Some(found) = moments(join) {
                let name = format!("{NEXT}{}", added.len());
                one(join, found?, &name)?;
                added.push(name);
            }
        }
    }
    if added.is_empty() {
        return Ok(());
    }
    for item in &mut select.projection {
        if let SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) = item {
            leave_out(options, &added);
        }
    }
    Ok(())
}

fn leave_out(options: &mut WildcardAdditionalOptions, added: &[String]) {
    let mut names: Vec<ObjectName> = match options.opt_exclude.take() {
        Some(ExcludeSelectItem::Single(name)) => vec![name],
        Some(ExcludeSelectItem::Multiple(names)) => names,
        None => Vec::new(),
    };
    names.extend(added.iter().map(|name| ObjectName::from(vec![Ident::with_quote('"', name)])));
    options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
}

/// The condition of an ASOF join, whose operator becomes an ordinary one; `None` for other joins.
fn moments(join: &mut Join) -> Option<Result<Expr>> {
    if join.global {
        join.global = false;
        let span = place(datafusion_sql::sqlparser::ast::Spanned::span(&join.relation));
        return Some(match constraint_mut(&mut join.join_operator) {
            Some(JoinConstraint::On(condition)) => Ok(condition.clone()),
            Some(JoinConstraint::Using(_)) => Err(Error::unsupported(
                "ASOF JOIN ... USING (write ON a.key = b.key AND a.time >= b.time)",
            )),
            _ => Err(Error::new(ErrorKind::Syntax, "an ASOF JOIN needs ON").or_span(span)),
        });
    }
    let JoinOperator::AsOf { match_condition, constraint } = &join.join_operator else {
        return None;
    };
    let condition = match constraint {
        JoinConstraint::On(keys) => Ok(Expr::BinaryOp {
            left: Box::new(Expr::Nested(Box::new(keys.clone()))),
            op: BinaryOperator::And,
            right: Box::new(match_condition.clone()),
        }),
        JoinConstraint::None => Ok(match_condition.clone()),
        _ => Err(Error::unsupported("ASOF JOIN ... USING (write ON)")),
    };
    let none = JoinConstraint::On(match_condition.clone());
    // As where it comes from: a left row without a match is kept.
    join.join_operator = JoinOperator::LeftOuter(none);
    Some(condition)
}

fn conjuncts<'a>(expr: &'a Expr, all: &mut Vec<&'a Expr>) {
    match expr {
        Expr::Nested(inner) => conjuncts(inner, all),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, all);
            conjuncts(right, all);
        }
        other => all.push(other),
    }
}

/// Whether all columns of an expression are those of a relation; `None` when that cannot be told.
fn is_of(expr: &Expr, relation: &str) -> Option<bool> {
    let (mut inside, mut outside, mut bare) = (false, false, false);
    let _ = datafusion_sql::sqlparser::ast::visit_expressions(expr, |expr| {
        match expr {
            Expr::CompoundIdentifier(parts) if parts.len() > 1 => {
                match fold(&parts[parts.len() - 2].value) == relation {
                    true => inside = true,
                    false => outside = true,
                }
            }
            Expr::Identifier(_) => bare = true,
            _ => {}
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    match (inside, outside, bare) {
        (true, false, false) => Some(true),
        (false, true, false) => Some(false),
        _ => None,
    }
}

/// The operands of a comparison, that of the left relations first, and the operator between them so.
fn sides<'a>(
    left: &'a Expr,
    op: &BinaryOperator,
    right: &'a Expr,
    relation: &str,
) -> Option<(&'a Expr, BinaryOperator, &'a Expr)> {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq};
    match (is_of(left, relation), is_of(right, relation)) {
        (Some(false), Some(true)) => Some((left, op.clone(), right)),
        (Some(true), Some(false)) => {
            let turned = match op {
                Gt => Lt,
                GtEq => LtEq,
                Lt => Gt,
                LtEq => GtEq,
                _ => Eq,
            };
            Some((right, turned, left))
        }
        _ => None,
    }
}

fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::Syntax, format!("an ASOF JOIN takes {message}"))
        .with_hint("for example ON a.key = b.key AND a.time >= b.time")
}

fn one(join: &mut Join, condition: Expr, name: &str) -> Result<()> {
    let alias = match &join.relation {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } => alias.name.clone(),
        TableFactor::Table { name, .. } => {
            let last = name.0.last().and_then(|part| part.as_ident().cloned());
            last.ok_or_else(|| wrong("a relation with a name on its right side"))?
        }
        _ => return Err(wrong("a relation with a name on its right side")),
    };
    let relation = fold(&alias.value);
    let mut all = Vec::new();
    conjuncts(&condition, &mut all);
    let (mut keys, mut order) = (Vec::new(), None);
    for conjunct in all {
        let Expr::BinaryOp { left, op, right } = conjunct else {
            return Err(wrong("equalities and one inequality"));
        };
        let Some((left, op, right)) = sides(left, op, right, &relation) else {
            return Err(wrong(
                "comparisons between columns of both sides, with the names of their relations",
            ));
        };
        match op {
            BinaryOperator::Eq => keys.push(right.to_string()),
            BinaryOperator::Gt
            | BinaryOperator::GtEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
                if order.is_none() =>
            {
                order = Some((left.clone(), op, right.clone()));
            }
            _ => return Err(wrong("equalities and one inequality (>=, >, <= or <)")),
        }
    }
    let Some((moment, op, right)) = order else {
        return Err(wrong("one inequality beside its equalities"));
    };
    let backward = matches!(op, BinaryOperator::Gt | BinaryOperator::GtEq);
    let partition = match keys.is_empty() {
        true => String::new(),
        false => format!("PARTITION BY {} ", keys.join(", ")),
    };
    let direction = if backward { "ASC" } else { "DESC" };
    let text = format!(
        "SELECT *, lead({right}) OVER ({partition}ORDER BY {right} {direction} NULLS LAST) AS \"{name}\" FROM {{input}}"
    );
    let outer = TableAlias { explicit: true, name: alias.clone(), columns: Vec::new(), at: None };
    let input = std::mem::replace(&mut join.relation, derived_none());
    join.relation = derived(template(&text, input, &[])?, Some(outer));
    // Until the next one takes over.
    let until = match op {
        BinaryOperator::GtEq => BinaryOperator::Lt,
        BinaryOperator::Gt => BinaryOperator::LtEq,
        BinaryOperator::LtEq => BinaryOperator::Gt,
        _ => BinaryOperator::GtEq,
    };
    let next = Expr::CompoundIdentifier(vec![alias, Ident::with_quote('"', name)]);
    let bound = Expr::Nested(Box::new(Expr::BinaryOp {
        left: Box::new(Expr::IsNull(Box::new(next.clone()))),
        op: BinaryOperator::Or,
        right: Box::new(Expr::BinaryOp {
            left: Box::new(Expr::Nested(Box::new(moment))),
            op: until,
            right: Box::new(next),
        }),
    }));
    let whole = Expr::BinaryOp {
        left: Box::new(Expr::Nested(Box::new(condition))),
        op: BinaryOperator::And,
        right: Box::new(bound),
    };
    match constraint_mut(&mut join.join_operator) {
        Some(constraint) => *constraint = JoinConstraint::On(whole),
        None => return Err(Error::unsupported("this kind of ASOF JOIN")),
    }
    Ok(())
}

fn derived_none() -> TableFactor {
    crate::sql::rewrite::table_factor(ObjectName::from(vec![Ident::new("\u{4}none")]), None)
}
