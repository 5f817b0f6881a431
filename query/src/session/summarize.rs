//! SUMMARIZE: one row of statistics per column of a table or a query.
//!
//! How: one SELECT computes every statistic of every column in one pass (from block statistics where these suffice); its
//! one row is turned into a row per column. Invariant: everything is exact, distinct values and quantiles too.
//! Next: `run.rs`.

use std::{ops::ControlFlow, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch, StringViewArray,
        TimestampMicrosecondArray,
    },
    compute,
    datatypes::{DataType, Field, Float64Type, Int64Type, Schema as ArrowSchema},
};
use stoadb_storage::{LogicalType, Schema};

use crate::{
    error::{Error, Result},
    session::{create::result_schema, result::QueryResult, run::Session, text::to_text},
    sql::{
        self,
        ast::{Query, Statement, TableFactor, VisitorMut},
        visit::WalkMut,
    },
};

/// A statistic of a column of some type, in SQL; none if the type has none.
type Item = fn(&LogicalType, &str) -> Option<String>;

/// The statistics that are texts: their names and how each is computed.
const TEXTS: [(&str, Item); 7] = [
    ("min", |ty, column| has_order(ty).then(|| format!("min({column})"))),
    ("max", |ty, column| has_order(ty).then(|| format!("max({column})"))),
    ("avg", average),
    ("std", |ty, column| ty.is_numeric().then(|| format!("stddev({column})"))),
    ("q25", |ty, column| quantile(ty, column, "0.25")),
    ("q50", |ty, column| quantile(ty, column, "0.5")),
    ("q75", |ty, column| quantile(ty, column, "0.75")),
];

/// Runs `SUMMARIZE` over a query.
pub(crate) fn summarize(session: &Session<'_>, statement: &Statement) -> Result<QueryResult> {
    let Statement::Query(query) = statement else {
        return Err(Error::internal("SUMMARIZE of no query"));
    };
    let schema = result_schema(&session.prepare(statement)?)?;
    let row = statistics(session, query, &schema)?;
    let columns = &schema.columns;
    let cells = |place: usize| {
        let cell = |index: usize| row[place + index * (TEXTS.len() + 2) + 1].slice(0, 1);
        (0..columns.len()).map(cell).collect::<Vec<ArrayRef>>()
    };
    let rows = integer(&row[0]);
    let texts = |place: usize| -> Result<ArrayRef> {
        let text = |(cell, column): (ArrayRef, &stoadb_storage::ColumnDef)| match TEXTS[place].0 {
            "avg" if !column.ty.is_numeric() => to_text(&moment(&cell)),
            _ => to_text(&cell),
        };
        let texts = cells(place).into_iter().zip(columns).map(text).collect::<Result<Vec<_>>>()?;
        let value = |text: &StringViewArray| text.is_valid(0).then(|| text.value(0).to_string());
        Ok(Arc::new(texts.iter().map(value).collect::<StringViewArray>()))
    };
    let known = |text: fn(&stoadb_storage::ColumnDef) -> String| -> ArrayRef {
        Arc::new(columns.iter().map(|column| Some(text(column))).collect::<StringViewArray>())
    };
    let unique = cells(TEXTS.len()).iter().map(integer).collect::<Int64Array>();
    let counts = cells(TEXTS.len() + 1).into_iter().map(|count| integer(&count));
    // Of hundred, with two digits, rounded half up.
    let nulls = counts.map(|count| {
        let (rows, count) = (i128::from(rows?), i128::from(count?));
        (rows > 0).then(|| ((rows - count) * 20_000 + rows) / (2 * rows))
    });
    let nulls = nulls.collect::<Decimal128Array>().with_data_type(DataType::Decimal128(9, 2));
    let total = (0..columns.len()).map(|_| rows).collect::<Int64Array>();
    let mut all: Vec<(&str, ArrayRef)> = vec![
        ("column_name", known(|column| column.name.clone())),
        ("column_type", known(|column| column.ty.to_string())),
    ];
    for (place, (name, _)) in TEXTS.iter().enumerate() {
        all.push((name, texts(place)?));
    }
    all.insert(4, ("unique", Arc::new(unique)));
    all.push(("count", Arc::new(total)));
    all.push(("null_percentage", Arc::new(nulls)));
    let field =
        |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let schema = Arc::new(ArrowSchema::new(all.iter().map(field).collect::<Vec<_>>()));
    let arrays = all.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(Error::internal)?;
    Ok(QueryResult::batches(schema, vec![batch]))
}

/// The statistics of all columns: the number of rows, then for each column its texts, how many distinct values and how
/// many values it has.
fn statistics(session: &Session<'_>, query: &Query, schema: &Schema) -> Result<Vec<ArrayRef>> {
    let names: Vec<String> = (0..schema.len()).map(|index| format!("c{index}")).collect();
    let mut items = vec!["count(*)".to_string()];
    for (name, column) in names.iter().zip(&schema.columns) {
        for (_, item) in TEXTS {
            items.push(item(&column.ty, name).unwrap_or_else(|| "NULL".into()));
        }
        let counted = column.ty != LogicalType::Null;
        items.push(if counted { format!("count(DISTINCT {name})") } else { "0".into() });
        items.push(if counted { format!("count({name})") } else { "0".into() });
    }
    let sql = format!("SELECT {} FROM (SELECT 1) AS s({})", items.join(", "), names.join(", "));
    let parsed = sql::parse(&sql)?.pop();
    let mut statement = parsed.ok_or_else(|| Error::internal("no statement"))?.statement;
    let mut replaced = Replace(Some(query.clone()));
    if statement.walk_mut(&mut replaced).is_continue() {
        return Err(Error::internal("SUMMARIZE lost its query"));
    }
    let result = session.stream(session.prepare(&statement)?)?;
    let batches = result.collect::<Result<Vec<RecordBatch>>>()?;
    let row = batches.iter().find(|batch| batch.num_rows() == 1);
    Ok(row.ok_or_else(|| Error::internal("SUMMARIZE without a row"))?.columns().to_vec())
}

/// Puts a query in the place of the subquery in FROM.
struct Replace(Option<Query>);

impl VisitorMut for Replace {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match (factor, self.0.take()) {
            (TableFactor::Derived { subquery, .. }, Some(query)) => {
                **subquery = query;
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn has_order(ty: &LogicalType) -> bool {
    !matches!(ty, LogicalType::Null | LogicalType::Map(..))
}

fn is_moment(ty: &LogicalType) -> bool {
    matches!(ty, LogicalType::Date | LogicalType::Timestamp(_, None))
}

/// The average of numbers as a double; that of dates and timestamps in microseconds since 1970.
fn average(ty: &LogicalType, column: &str) -> Option<String> {
    match ty {
        _ if ty.is_numeric() => Some(format!("avg({column})::double")),
        _ if is_moment(ty) => Some(format!(
            "avg(date_diff('microsecond', TIMESTAMP '1970-01-01', {column}::timestamp))"
        )),
        _ => None,
    }
}

/// A value of which at least that fraction of the values is not greater.
fn quantile(ty: &LogicalType, column: &str, fraction: &str) -> Option<String> {
    let ordered = ty.is_numeric()
        || is_moment(ty)
        || matches!(ty, LogicalType::Time(_) | LogicalType::Timestamp(..));
    ordered.then(|| format!("quantile_disc({column}, {fraction})"))
}

/// A timestamp of microseconds.
fn moment(micros: &ArrayRef) -> ArrayRef {
    let micros = micros.as_primitive_opt::<Float64Type>().filter(|micros| micros.is_valid(0));
    #[expect(clippy::cast_possible_truncation, reason = "an average of timestamps is one")]
    let value = micros.map(|micros| micros.value(0).round() as i64);
    Arc::new(TimestampMicrosecondArray::from(vec![value]))
}

fn integer(value: &ArrayRef) -> Option<i64> {
    let value = compute::cast(value, &DataType::Int64).ok()?;
    value.as_primitive_opt::<Int64Type>().filter(|value| value.is_valid(0)).map(|v| v.value(0))
}
