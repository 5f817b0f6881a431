//! Expressions as text that reads like SQL, for EXPLAIN and for messages.
//!
//! Invariant: parentheses stand where the operators' precedence needs them and nowhere else. Columns print as `#ordinal`
//! unless names are given.

use std::fmt;

use stoadb_storage::Schema;

use crate::{
    expr::{ArithmeticOp, CompareOp, Expr},
    plan::{AggregateCall, AggregateFunction, SortKey},
};

/// How tightly an expression's outermost operator binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Or,
    And,
    Not,
    Compare,
    Sum,
    Product,
    Unary,
    Atom,
}

/// An expression with the names of the columns that it is over.
pub struct Named<'a> {
    expr: &'a Expr,
    columns: &'a [&'a Schema],
}

impl Expr {
    /// The expression as text with the names of the input's columns; with two schemas, of those of both in order.
    pub fn named<'a>(&'a self, columns: &'a [&'a Schema]) -> Named<'a> {
        Named { expr: self, columns }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.named(&[]).fmt(f)
    }
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, self.expr)
    }
}

impl Named<'_> {
    fn write(&self, f: &mut fmt::Formatter<'_>, expr: &Expr) -> fmt::Result {
        match expr {
            Expr::Column { index, .. } => self.column(f, *index),
            Expr::Literal(value) => write!(f, "{value}"),
            Expr::Subquery { id, .. } => write!(f, "(subquery {id})"),
            Expr::Parameter { index, .. } => write!(f, "${}", index + 1),
            Expr::Compare { op, left, right } => {
                self.infix(f, left, op.symbol(), right, Binding::Compare, Binding::Sum)
            }
            Expr::And(args) => self.joined(f, args, " AND ", Binding::And),
            Expr::Or(args) => self.joined(f, args, " OR ", Binding::Or),
            Expr::Not(input) => {
                f.write_str("NOT ")?;
                self.operand(f, input, Binding::Not)
            }
            Expr::IsNull(input) => self.postfix(f, input, "IS NULL"),
            Expr::IsNotNull(input) => self.postfix(f, input, "IS NOT NULL"),
            Expr::Arithmetic { op, left, right, .. } => {
                let (own, right_needs) = op.bindings();
                self.infix(f, left, op.symbol(), right, own, right_needs)
            }
            Expr::Negate(input) => {
                f.write_str("-")?;
                self.operand(f, input, Binding::Atom)
            }
            Expr::Cast { input, ty, or_null } => {
                f.write_str(if *or_null { "TRY_CAST(" } else { "CAST(" })?;
                self.write(f, input)?;
                write!(f, " AS {ty})")
            }
            Expr::Case { branches, otherwise, .. } => {
                f.write_str("CASE")?;
                for (when, then) in branches {
                    f.write_str(" WHEN ")?;
                    self.write(f, when)?;
                    f.write_str(" THEN ")?;
                    self.write(f, then)?;
                }
                if let Some(otherwise) = otherwise {
                    f.write_str(" ELSE ")?;
                    self.write(f, otherwise)?;
                }
                f.write_str(" END")
            }
            Expr::InList { input, list, negated } => {
                self.operand(f, input, Binding::Sum)?;
                f.write_str(if *negated { " NOT IN (" } else { " IN (" })?;
                for (i, value) in list.iter().enumerate() {
                    if i == LIST_SHOWN {
                        write!(f, ", .. {} in all", list.len())?;
                        break;
                    }
                    write!(f, "{}{value}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Expr::Like { input, pattern, escape, negated, ignore_case } => {
                let not = if *negated { "NOT " } else { "" };
                let like = if *ignore_case { "ILIKE" } else { "LIKE" };
                let op = format!("{not}{like}");
                self.infix(f, input, &op, pattern, Binding::Compare, Binding::Sum)?;
                match escape {
                    Some(escape) => write!(f, " ESCAPE '{escape}'"),
                    None => Ok(()),
                }
            }
            Expr::Lambda { kind, args, body, .. } => {
                write!(f, "{}(", kind.name())?;
                self.list(f, args)?;
                // Columns of the body are its own.
                write!(f, ", lambda: {body})")
            }
            Expr::Call { function, args, .. } => {
                write!(f, "{function}(")?;
                self.list(f, args)?;
                f.write_str(")")
            }
        }
    }

    fn column(&self, f: &mut fmt::Formatter<'_>, index: usize) -> fmt::Result {
        let mut offset = 0;
        for schema in self.columns {
            if let Some(column) = index.checked_sub(offset).and_then(|i| schema.columns.get(i)) {
                return f.write_str(&column.name);
            }
            offset += schema.len();
        }
        write!(f, "#{index}")
    }

    fn operand(&self, f: &mut fmt::Formatter<'_>, expr: &Expr, needs: Binding) -> fmt::Result {
        if binding(expr) >= needs {
            return self.write(f, expr);
        }
        f.write_str("(")?;
        self.write(f, expr)?;
        f.write_str(")")
    }

    fn infix(
        &self,
        f: &mut fmt::Formatter<'_>,
        left: &Expr,
        op: &str,
        right: &Expr,
        own: Binding,
        right_needs: Binding,
    ) -> fmt::Result {
        // Comparisons do not chain.
        let left_needs = if own == Binding::Compare { Binding::Sum } else { own };
        self.operand(f, left, left_needs)?;
        write!(f, " {op} ")?;
        self.operand(f, right, right_needs)
    }

    fn postfix(&self, f: &mut fmt::Formatter<'_>, input: &Expr, op: &str) -> fmt::Result {
        self.operand(f, input, Binding::Sum)?;
        write!(f, " {op}")
    }

    fn joined(
        &self,
        f: &mut fmt::Formatter<'_>,
        args: &[Expr],
        separator: &str,
        own: Binding,
    ) -> fmt::Result {
        for (i, arg) in args.iter().enumerate() {
            if i > 0 {
                f.write_str(separator)?;
            }
            self.operand(f, arg, if own == Binding::Or { Binding::And } else { Binding::Not })?;
        }
        Ok(())
    }

    fn list(&self, f: &mut fmt::Formatter<'_>, args: &[Expr]) -> fmt::Result {
        for (i, arg) in args.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            self.write(f, arg)?;
        }
        Ok(())
    }
}

/// How many values of an IN list are printed.
const LIST_SHOWN: usize = 20;

fn binding(expr: &Expr) -> Binding {
    match expr {
        Expr::Or(args) | Expr::And(args) if args.len() == 1 => Binding::Or,
        Expr::Or(_) => Binding::Or,
        Expr::And(_) => Binding::And,
        Expr::Not(_) => Binding::Not,
        Expr::Compare { .. }
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::InList { .. }
        | Expr::Like { .. } => Binding::Compare,
        Expr::Arithmetic { op, .. } => op.bindings().0,
        Expr::Negate(_) => Binding::Unary,
        Expr::Column { .. }
        | Expr::Literal(_)
        | Expr::Subquery { .. }
        | Expr::Parameter { .. }
        | Expr::Cast { .. }
        | Expr::Case { .. }
        | Expr::Call { .. }
        | Expr::Lambda { .. } => Binding::Atom,
    }
}

impl CompareOp {
    /// The operator in SQL.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::NotEq => "<>",
            Self::Lt => "<",
            Self::LtEq => "<=",
            Self::Gt => ">",
            Self::GtEq => ">=",
            Self::Distinct => "IS DISTINCT FROM",
            Self::NotDistinct => "IS NOT DISTINCT FROM",
        }
    }
}

impl ArithmeticOp {
    /// The operator in SQL.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }

    /// Its own binding, and the one that its right operand needs.
    fn bindings(self) -> (Binding, Binding) {
        match self {
            Self::Add | Self::Subtract => (Binding::Sum, Binding::Product),
            Self::Multiply | Self::Divide | Self::Modulo => (Binding::Product, Binding::Unary),
        }
    }
}

impl SortKey {
    /// The key as in ORDER BY; `NULLS` is left out where NULLs come last.
    pub fn named(&self, columns: &[&Schema]) -> String {
        let direction = if self.descending { " DESC" } else { "" };
        let nulls = if self.nulls_first { " NULLS FIRST" } else { "" };
        format!("{}{direction}{nulls}", self.expr.named(columns))
    }
}

impl AggregateCall {
    /// The aggregate as in SELECT.
    pub fn named(&self, columns: &[&Schema]) -> String {
        let mut args: Vec<String> =
            self.args.iter().map(|arg| arg.named(columns).to_string()).collect();
        args.extend(self.parameters.iter().map(ToString::to_string));
        if self.function == AggregateFunction::CountStar {
            args.push("*".into());
        }
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let mut text = format!("{}({distinct}{}", self.function.name(), args.join(", "));
        if !self.order_by.is_empty() {
            let keys: Vec<String> = self.order_by.iter().map(|key| key.named(columns)).collect();
            text.push_str(&format!(" ORDER BY {}", keys.join(", ")));
        }
        text.push(')');
        if let Some(filter) = &self.filter {
            text.push_str(&format!(" FILTER (WHERE {})", filter.named(columns)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use stoadb_storage::{ColumnDef, LogicalType, Scalar};

    use super::*;

    fn column(index: usize) -> Expr {
        Expr::column(index, LogicalType::Int64)
    }

    fn arithmetic(op: ArithmeticOp, left: Expr, right: Expr) -> Expr {
        let (left, right) = (Box::new(left), Box::new(right));
        Expr::Arithmetic { op, left, right, ty: LogicalType::Int64 }
    }

    fn compare(left: Expr, right: Expr) -> Expr {
        Expr::Compare { op: CompareOp::Lt, left: Box::new(left), right: Box::new(right) }
    }

    #[test]
    fn test_display_writes_parentheses_only_where_needed() {
        use ArithmeticOp::{Add, Multiply, Subtract};
        let sum = arithmetic(Add, column(0), column(1));
        let product = arithmetic(Multiply, sum.clone(), column(2));
        assert_eq!(product.to_string(), "(#0 + #1) * #2");
        assert_eq!(
            arithmetic(Add, product.clone(), sum.clone()).to_string(),
            "(#0 + #1) * #2 + (#0 + #1)"
        );
        assert_eq!(arithmetic(Subtract, sum.clone(), column(2)).to_string(), "#0 + #1 - #2");
        let lt = compare(sum, column(2));
        let or = Expr::Or(vec![lt.clone(), Expr::And(vec![lt.clone(), lt.clone()])]);
        assert_eq!(or.to_string(), "#0 + #1 < #2 OR #0 + #1 < #2 AND #0 + #1 < #2");
        let and = Expr::And(vec![or, Expr::Not(Box::new(lt.clone()))]);
        let text = "(#0 + #1 < #2 OR #0 + #1 < #2 AND #0 + #1 < #2) AND NOT #0 + #1 < #2";
        assert_eq!(and.to_string(), text);
        assert_eq!(compare(lt, column(3)).to_string(), "(#0 + #1 < #2) < #3");
    }

    #[test]
    fn test_named_uses_both_schemas_and_falls_back_to_ordinals() {
        let schema = |name: &str| Schema::new(vec![ColumnDef::new(name, LogicalType::Int64)]);
        let (left, right) = (schema("a"), schema("b"));
        let expr =
            Expr::And(vec![compare(column(0), column(1)), Expr::IsNull(Box::new(column(2)))]);
        assert_eq!(expr.named(&[&left, &right]).to_string(), "a < b AND #2 IS NULL");
    }

    #[test]
    fn test_display_of_the_other_forms() {
        let text = Box::new(Expr::column(0, LogicalType::Text));
        let like = Expr::Like {
            input: text.clone(),
            pattern: Box::new(Expr::Literal(Scalar::text("a%"))),
            escape: Some('!'),
            negated: true,
            ignore_case: true,
        };
        assert_eq!(like.to_string(), "#0 NOT ILIKE 'a%' ESCAPE '!'");
        let list = (0..30).map(Scalar::int64).collect();
        let list = Expr::InList { input: Box::new(column(0)), list, negated: false };
        assert!(list.to_string().starts_with("#0 IN (0, 1, 2"));
        assert!(list.to_string().ends_with("19, .. 30 in all)"));
        let case = Expr::Case {
            branches: vec![(Expr::IsNotNull(text), column(1))],
            otherwise: Some(Box::new(Expr::Negate(Box::new(column(2))))),
            ty: LogicalType::Int64,
        };
        assert_eq!(case.to_string(), "CASE WHEN #0 IS NOT NULL THEN #1 ELSE -#2 END");
        let cast = Expr::Cast { input: Box::new(case), ty: LogicalType::Date, or_null: true };
        assert!(
            cast.to_string().starts_with("TRY_CAST(CASE") && cast.to_string().ends_with("AS DATE)")
        );
    }
}
