//! PIVOT and UNPIVOT: columns from values, and values from columns.
//!
//! Invariant: PIVOT is a GROUP BY of the columns that it does not name, with an aggregate per value; UNPIVOT gives a row
//! for each of the columns, NULLs left out unless INCLUDE NULLS says otherwise.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, ExprWithAlias, Function, Ident, NullInclusion, PivotValueSource,
    SelectItem, SetExpr, TableFactor, Value,
};

use crate::{
    error::{Error, ErrorKind, Result},
    sql::{
        gate::is_aggregate_call,
        names::expression_name,
        shares::{alias, derived, template, value_name},
        visit::{Walk, WalkMut},
    },
};

/// Rewrites a relation that is one of them.
///
/// # Errors
/// `Unsupported` for PIVOT without a list of values.
pub fn rewrite(factor: &mut TableFactor) -> Result<()> {
    match factor {
        TableFactor::Pivot { .. } => pivot(factor),
        TableFactor::Unpivot { .. } => unpivot(factor),
        _ => Ok(()),
    }
}

fn placeholder() -> TableFactor {
    crate::sql::rewrite::table_factor(
        datafusion_sql::sqlparser::ast::ObjectName::from(vec![Ident::new("\u{4}none")]),
        None,
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The columns that expressions name.
fn columns<'a>(exprs: impl Iterator<Item = &'a Expr>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for expr in exprs {
        let _: ControlFlow<()> = expr.walk_expressions(|expr| {
            let name = match expr {
                Expr::Identifier(name) => Some(name),
                Expr::CompoundIdentifier(parts) => parts.last(),
                _ => None,
            };
            if let Some(name) = name.map(|name| name.value.clone())
                && !names.iter().any(|known| known.eq_ignore_ascii_case(&name))
            {
                names.push(name);
            }
            ControlFlow::Continue(())
        });
    }
    names
}

/// The text of a value as the name of a column.
fn shown(value: &Expr) -> String {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        Expr::Tuple(values) => values.iter().map(shown).collect::<Vec<_>>().join("_"),
        other => other.to_string(),
    }
}

/// The values of the pivot's columns in turn: `x = 1 AND y = 2`.
fn matches(on: &[Expr], value: &Expr) -> Result<Expr> {
    let values: Vec<&Expr> = match value {
        Expr::Tuple(values) => values.iter().collect(),
        other => vec![other],
    };
    if values.len() != on.len() {
        let message =
            format!("PIVOT has {} columns, but a value has {} parts", on.len(), values.len());
        return Err(Error::new(ErrorKind::Syntax, message));
    }
    let equal = |(column, value): (&Expr, &Expr)| {
        Expr::IsNotDistinctFrom(
            Box::new(Expr::Nested(Box::new(column.clone()))),
            Box::new(value.clone()),
        )
    };
    let all = on.iter().zip(values).map(equal).reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    });
    all.ok_or_else(|| Error::new(ErrorKind::Syntax, "PIVOT needs a column"))
}

fn pivot(factor: &mut TableFactor) -> Result<()> {
    let TableFactor::Pivot {
        table,
        aggregate_functions,
        value_column,
        value_source,
        default_on_null,
        alias: name,
    } = std::mem::replace(factor, placeholder())
    else {
        return Ok(());
    };
    let PivotValueSource::List(values) = value_source else {
        return Err(Error::unsupported("PIVOT without a list of values (write IN ('a', 'b'))"));
    };
    let used = columns(aggregate_functions.iter().map(|call| &call.expr).chain(&value_column));
    // The parser has no place for GROUP BY: `parse.rs` puts it here.
    let groups = match default_on_null {
        Some(Expr::Tuple(groups)) => Some(groups),
        Some(Expr::Nested(group)) => Some(vec![*group]),
        Some(_) => return Err(Error::unsupported("DEFAULT ON NULL in PIVOT")),
        None => None,
    };
    let text = match &groups {
        Some(groups) if groups.is_empty() => "SELECT 1 FROM {input}".to_owned(),
        Some(_) => "SELECT 1 FROM {input} GROUP BY ALL".to_owned(),
        None => {
            let used: Vec<String> = used.iter().map(|name| quoted(name)).collect();
            format!("SELECT * EXCLUDE ({}) FROM {{input}} GROUP BY ALL", used.join(", "))
        }
    };
    let mut query = template(&text, *table, &[])?;
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Err(Error::internal("a template is a SELECT"));
    };
    if let Some(groups) = groups {
        select.projection = groups.into_iter().map(SelectItem::UnnamedExpr).collect();
    }
    let several = aggregate_functions.len() > 1;
    for value in values {
        let condition = matches(&value_column, &value.expr)?;
        let label =
            value.alias.as_ref().map_or_else(|| shown(&value.expr), |name| name.value.clone());
        for call in &aggregate_functions {
            let label = match &call.alias {
                Some(alias) => format!("{label}_{}", alias.value),
                None if several => format!("{label}_{}", expression_name(&call.expr)),
                None => label.clone(),
            };
            let mut expr = call.expr.clone();
            filter(&mut expr, &condition)?;
            select
                .projection
                .push(SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', label) });
        }
    }
    *factor = derived(query, Some(name.unwrap_or_else(|| alias("pivoted"))));
    Ok(())
}

/// Gives the aggregates of an expression a filter.
fn filter(expr: &mut Expr, condition: &Expr) -> Result<()> {
    let mut found = false;
    let _: ControlFlow<()> = expr.walk_expressions_mut(|expr| {
        if let Expr::Function(call) = expr
            && is_aggregate_call(call)
        {
            found = true;
            add_filter(call, condition);
        }
        ControlFlow::Continue(())
    });
    match found {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Type, format!("PIVOT takes aggregates, not {expr}"))),
    }
}

fn add_filter(call: &mut Function, condition: &Expr) {
    call.filter = Some(Box::new(match call.filter.take() {
        Some(filter) => Expr::BinaryOp {
            left: Box::new(Expr::Nested(filter)),
            op: BinaryOperator::And,
            right: Box::new(Expr::Nested(Box::new(condition.clone()))),
        },
        None => condition.clone(),
    }));
}

fn unpivot(factor: &mut TableFactor) -> Result<()> {
    let TableFactor::Unpivot { table, value, name, columns: given, null_inclusion, alias: outer } =
        std::mem::replace(factor, placeholder())
    else {
        return Ok(());
    };
    let used: Vec<String> =
        columns(given.iter().map(|column| &column.expr)).iter().map(|name| quoted(name)).collect();
    let Expr::Identifier(value) = value else {
        return Err(Error::unsupported("UNPIVOT of several columns at once"));
    };
    let label = |column: &ExprWithAlias| match (&column.alias, &column.expr) {
        (Some(alias), _) => Ok(alias.value.clone()),
        (None, Expr::Identifier(name)) => Ok(name.value.clone()),
        (None, Expr::CompoundIdentifier(parts)) => {
            Ok(parts.last().map_or_else(String::new, |part| part.value.clone()))
        }
        (None, Expr::Tuple(_)) => Err(Error::unsupported("UNPIVOT of several columns at once")),
        (None, other) => Ok(expression_name(other)),
    };
    let labels = given.iter().map(label).collect::<Result<Vec<_>>>()?;
    let labels: Vec<String> =
        labels.iter().map(|l| format!("'{}'", l.replace('\'', "''"))).collect();
    let stand_ins: Vec<String> = (0..given.len()).map(value_name).collect();
    let shown: Vec<String> = stand_ins.iter().map(|name| quoted(name)).collect();
    let (name, value) = (quoted(&name.value), quoted(&value.value));
    let kept = match null_inclusion {
        Some(NullInclusion::IncludeNulls) => String::new(),
        _ => format!(" WHERE {value} IS NOT NULL"),
    };
    let text = format!(
        "SELECT * FROM (SELECT * EXCLUDE ({}), unnest(make_array({})) AS {name}, \
         unnest(make_array({})) AS {value} FROM {{input}}) AS \"\u{4}rows\"{kept}",
        used.join(", "),
        labels.join(", "),
        shown.join(", "),
    );
    let exprs = given.into_iter().map(|column| column.expr);
    let values: Vec<(&str, Expr)> = stand_ins.iter().map(String::as_str).zip(exprs).collect();
    let query = template(&text, *table, &values)?;
    *factor = derived(query, Some(outer.unwrap_or_else(|| alias("unpivoted"))));
    Ok(())
}
