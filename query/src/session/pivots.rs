//! PIVOT without a list of values: the values are asked of the data before the statement is planned.
//!
//! Invariant: the values are those of the snapshot that the statement reads, in the order of their texts, without NULL; what is left
//! has a list. Next: `sql/pivot.rs`, which makes a GROUP BY of it.

use std::{borrow::Cow, ops::ControlFlow};

use arrow::{
    array::{Array, RecordBatch},
    datatypes::DataType,
};

use crate::{
    error::{Error, Result},
    session::{run::Session, text::to_text},
    sql::{
        self,
        ast::{
            Cte, Expr, ExprWithAlias, Ident, PivotValueSource, Query, SelectItem, SetExpr,
            Statement, TableFactor, Value, Visitor, VisitorMut, With,
            helpers::attached_token::AttachedToken,
        },
        visit::{Walk, WalkMut},
    },
};

/// Most columns that a PIVOT makes of values that nobody listed.
const MOST: usize = 10_000;

/// The statement with the values of its PIVOTs listed.
///
/// # Errors
/// Those of the queries for the values; `Unsupported` for PIVOT on several columns, or with more than 10,000 values.
pub(crate) fn resolve<'s>(
    session: &Session<'_>,
    statement: &'s Statement,
) -> Result<Cow<'s, Statement>> {
    if statement.walk(&mut Finder).is_continue() {
        return Ok(Cow::Borrowed(statement));
    }
    let mut statement = statement.clone();
    match statement.walk_mut(&mut Resolver { session, ctes: Vec::new() }) {
        ControlFlow::Continue(()) => Ok(Cow::Owned(statement)),
        ControlFlow::Break(error) => Err(error),
    }
}

fn is_open(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::Pivot { value_source: PivotValueSource::Any(_), .. })
}

fn name(value: &ExprWithAlias) -> &str {
    value.alias.as_ref().map_or("", |alias| &alias.value)
}

struct Finder;

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if is_open(factor) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

struct Resolver<'a, 's> {
    session: &'a Session<'s>,
    /// Those of the queries around, the outermost first.
    ctes: Vec<Vec<Cte>>,
}

impl VisitorMut for Resolver<'_, '_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        // One that has such a PIVOT itself would be asked for its own values without end.
        let closed = |cte: &&Cte| cte.query.as_ref().walk(&mut Finder).is_continue();
        let own = query
            .with
            .as_ref()
            .map(|with| with.cte_tables.iter().filter(closed).cloned().collect());
        self.ctes.push(own.unwrap_or_default());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.ctes.pop();
        ControlFlow::Continue(())
    }

    // After what the relation itself is made of.
    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        if !is_open(factor) {
            return ControlFlow::Continue(());
        }
        let TableFactor::Pivot { table, value_column, value_source, .. } = factor else {
            return ControlFlow::Continue(());
        };
        match self.values(table, value_column) {
            Ok(values) => {
                *value_source = PivotValueSource::List(values);
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Resolver<'_, '_> {
    fn values(&self, table: &TableFactor, columns: &[Expr]) -> Result<Vec<ExprWithAlias>> {
        let [column] = columns else {
            return Err(Error::unsupported("PIVOT on several columns without a list of values"));
        };
        let text = "SELECT DISTINCT 1 FROM (SELECT 1) AS s";
        let parsed = sql::parse(text)?.pop();
        let mut statement = parsed.ok_or_else(|| Error::internal("no statement"))?.statement;
        let Statement::Query(query) = &mut statement else {
            return Err(Error::internal("a SELECT is a query"));
        };
        let SetExpr::Select(select) = query.body.as_mut() else {
            return Err(Error::internal("a SELECT is one"));
        };
        let alias = Ident::with_quote('"', "value");
        select.projection = vec![SelectItem::ExprWithAlias { expr: column.clone(), alias }];
        select.selection = Some(Expr::IsNotNull(Box::new(Expr::Nested(Box::new(column.clone())))));
        if let Some(from) = select.from.first_mut() {
            from.relation = table.clone();
        }
        let cte_tables: Vec<Cte> = self.ctes.iter().flatten().cloned().collect();
        if !cte_tables.is_empty() {
            let with_token = AttachedToken::empty();
            query.with = Some(With { with_token, recursive: false, cte_tables });
        }
        let result = self.session.stream(self.session.prepare(&statement)?)?;
        let batches = result.collect::<Result<Vec<RecordBatch>>>()?;
        let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if count > MOST {
            return Err(Error::unsupported(format!("PIVOT on {count} values (at most {MOST})")));
        }
        let mut values = Vec::with_capacity(count);
        for batch in &batches {
            let is_number = batch.column(0).data_type().is_numeric();
            let is_boolean = *batch.column(0).data_type() == DataType::Boolean;
            for text in to_text(batch.column(0))?.iter().flatten() {
                let value = match () {
                    () if is_boolean => Value::Boolean(text == "true"),
                    () if is_number => Value::Number(text.to_owned(), false),
                    () => Value::SingleQuotedString(text.to_owned()),
                };
                let alias = Some(Ident::with_quote('"', text));
                values.push(ExprWithAlias { expr: Expr::Value(value.into()), alias });
            }
        }
        // As texts, whatever their type.
        values.sort_by(|one, other| name(one).cmp(name(other)));
        Ok(values)
    }
}
