//! Constants without planning: the values of literals and parameters, one by one and as the rows of a VALUES list.
//!
//! Invariant: a value and its type are those that planning would give; whatever else an expression is, is left to planning.

use stoadb_engine::{Expr as PlanExpr, Plan};
use stoadb_storage::{ColumnDef, LogicalType, Scalar, Schema};

use crate::{
    planner::parameters,
    sql::ast::{Expr, UnaryOperator, Value, Values},
};

/// The value of a literal, of a number with a sign before it, or of a parameter.
pub(super) fn constant(expr: &Expr, parameters: &[Scalar]) -> Option<Scalar> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(text, false) => number(text, false),
            Value::SingleQuotedString(text) => Some(Scalar::text(text)),
            Value::Boolean(value) => Some(Scalar::boolean(*value)),
            Value::Null => Some(Scalar::null(LogicalType::Null)),
            Value::Placeholder(name) => parameter(name, parameters).cloned(),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            Expr::Value(value) => match &value.value {
                Value::Number(text, false) => number(text, true),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// The value of a parameter by its name, `$1`.
pub(super) fn parameter<'a>(name: &str, parameters: &'a [Scalar]) -> Option<&'a Scalar> {
    parameters.get(parameters::number(name)?.checked_sub(1)?)
}

/// A number as the planner types it: a BIGINT, or a decimal of the digits that are written.
fn number(text: &str, negative: bool) -> Option<Scalar> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || digits.len() > 60 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value = digits.parse::<i128>().ok()?;
    let value = if negative { -value } else { value };
    if !text.contains('.') {
        return i64::try_from(value).ok().map(Scalar::int64);
    }
    let scale = i8::try_from(fraction.len()).ok()?;
    let written = digits.trim_start_matches('0').len().max(1).max(fraction.len());
    let precision = u8::try_from(written).ok().filter(|precision| *precision <= 38)?;
    (scale > 0).then(|| Scalar::decimal(value, precision, scale))
}

/// The rows of a VALUES list of constants, if those of each column have one type.
pub(super) fn rows(values: &Values, parameters: &[Scalar]) -> Option<Plan> {
    let width = values.rows.first()?.len();
    let mut types = vec![LogicalType::Null; width];
    let mut rows = Vec::with_capacity(values.rows.len());
    for row in &values.rows {
        if row.len() != width {
            return None;
        }
        let mut constants = Vec::with_capacity(width);
        for (expr, ty) in row.iter().zip(&mut types) {
            let value = constant(expr, parameters)?;
            *ty = common_type(ty, value.ty())?;
            constants.push(value);
        }
        rows.push(constants);
    }
    let typed = |(value, ty): (Scalar, &LogicalType)| {
        let literal = match value.is_null() {
            true => Scalar::null(ty.clone()),
            false => rescaled(&value, ty).unwrap_or(value),
        };
        match literal.ty() == ty {
            true => PlanExpr::Literal(literal),
            false => PlanExpr::Cast {
                input: Box::new(PlanExpr::Literal(literal)),
                ty: ty.clone(),
                or_null: false,
            },
        }
    };
    let rows = rows.into_iter().map(|row| row.into_iter().zip(&types).map(typed).collect());
    let rows = rows.collect();
    let names = (1..).map(|number| format!("column{number}"));
    let columns = names.zip(types).map(|(name, ty)| ColumnDef::new(name, ty)).collect();
    Some(Plan::Values { schema: Schema::new(columns), rows })
}

/// A decimal with the digits of another type, where that is what they differ in.
fn rescaled(value: &Scalar, ty: &LogicalType) -> Option<Scalar> {
    use LogicalType::Decimal;
    let (Decimal { scale: from, .. }, Decimal { precision, scale }) = (value.ty(), ty) else {
        return None;
    };
    let more = u32::try_from(i16::from(*scale) - i16::from(*from)).ok()?;
    let digits = value.as_i128()?.checked_mul(10_i128.checked_pow(more)?)?;
    Some(Scalar::decimal(digits, *precision, *scale))
}

/// The type of a column that has values of both; decimals of different digits meet in one that has them all.
fn common_type(left: &LogicalType, right: &LogicalType) -> Option<LogicalType> {
    use LogicalType::{Decimal, Null};
    match (left, right) {
        (left, right) if left == right => Some(left.clone()),
        (Null, ty) | (ty, Null) => Some(ty.clone()),
        (Decimal { precision: p1, scale: s1 }, Decimal { precision: p2, scale: s2 }) => {
            let whole = |precision: &u8, scale: &i8| i16::from(*precision) - i16::from(*scale);
            let scale = *s1.max(s2);
            let precision = whole(p1, s1).max(whole(p2, s2)) + i16::from(scale);
            let precision = u8::try_from(precision).ok().filter(|digits| *digits <= 38)?;
            Some(Decimal { precision, scale })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::RecordBatch;
    use stoadb_storage::Scalar;

    use crate::{Connection, Database, sql};

    fn answer(connection: &Connection, sql: &str) -> Result<String, String> {
        let batches = connection.query(sql).map_err(|error| error.to_string())?;
        let batches: Vec<RecordBatch> =
            batches.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        Ok(arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string())
    }

    #[test]
    fn test_constants_have_the_types_that_planning_gives() {
        let connection = Database::open_in_memory().connect();
        for text in [
            "1",
            "-1",
            "9223372036854775807",
            "-9223372036854775808",
            "0",
            "-0",
            "1.5",
            "-1.50",
            "0.05",
            "00.5",
            "0.0",
            "12345678901234567890.123456789",
            "'a'",
            "''",
            "TRUE",
            "FALSE",
            "NULL",
            "5.",
            "99999999999999999999",
            "1e3",
            "0x10",
            "1_000",
            "'a' || 'b'",
            ".5",
        ] {
            let parsed = sql::parse(&format!("VALUES ({text})")).unwrap();
            let sql::ast::Statement::Query(query) = &parsed[0].statement else { panic!("{text}") };
            let sql::ast::SetExpr::Values(values) = &*query.body else { panic!("{text}") };
            let Some(value) = super::constant(&values.rows[0][0], &[]) else { continue };
            let batch =
                connection.query(&format!("SELECT {text}")).unwrap().next().unwrap().unwrap();
            let planned = Scalar::from_array(batch.column(0).as_ref(), 0).unwrap();
            assert_eq!((value.ty(), &value), (planned.ty(), &planned), "{text}");
        }
    }

    /// What is inserted does not depend on the way.
    #[test]
    fn test_rows_are_those_of_planning() {
        for (ty, values) in [
            ("INTEGER", "(1), (-2), (NULL)"),
            ("INTEGER", "(1.5), (2.25), (NULL)"),
            ("SMALLINT", "(70000)"),
            ("VARCHAR", "(1.5), (2.25)"),
            ("VARCHAR", "(1), (2.5)"),
            ("DATE", "('2020-02-29'), (NULL)"),
            ("DATE", "('2020-02-30')"),
            ("TIMESTAMP", "('2020-01-01 10:00:00.5')"),
            ("DOUBLE", "(1.1), (2.22)"),
            ("BOOLEAN", "(TRUE), ('f'), (NULL)"),
            ("BOOLEAN", "(1)"),
            ("DECIMAL(5, 1)", "(1.25), (10)"),
            ("BLOB", "('a')"),
            ("INTEGER", "('x')"),
            ("INTEGER", "('12')"),
            ("INTERVAL", "('1 day')"),
            ("INTEGER[]", "('[1, 2]')"),
            ("UUID", "('6a0e5b0c-0d8f-4e3c-8d4a-0b1c2d3e4f50')"),
        ] {
            let connection = Database::open_in_memory().connect();
            let insert = |table: &str, from: String| {
                connection.execute(&format!("CREATE TABLE {table} (v {ty})")).unwrap();
                let inserted = connection.execute(&format!("INSERT INTO {table} {from}"));
                inserted.map_err(|error| error.kind)?;
                Ok(answer(&connection, &format!("SELECT v FROM {table}")))
            };
            let direct: Result<_, crate::ErrorKind> = insert("direct", format!("VALUES {values}"));
            let planned = insert("planned", format!("SELECT * FROM (VALUES {values}) AS t"));
            assert_eq!(direct, planned, "{ty} {values}");
        }
    }
}
