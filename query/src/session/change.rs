//! DELETE, UPDATE and TRUNCATE: rows of a table found by a query, deleted, and for UPDATE appended with new values.
//!
//! Invariants: a query finds the rows and computes their new values, so that WHERE, SET and FROM mean what they mean in
//! SELECT; it reads the table as the statement's transaction sees it. Nothing is changed before all of it, RETURNING
//! included, is computed; a statement that fails leaves nothing behind.
//! Next: `returning.rs`; `stoadb_storage::table::RowSet`.

use std::sync::Arc;

use arrow::{array::AsArray, datatypes::Int64Type};
use stoadb_storage::{
    ColumnDef, LogicalType, Schema, StorageError,
    catalog::name::split_name,
    table::{RowSet, Segment, TableVersion, WithPositions},
};

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        connection::State,
        create, indexes,
        insert::column_of,
        result::QueryResult,
        returning::returning,
        rules,
        run::{self, Prepared, Session},
    },
    sql::{
        ast::{
            Assignment, AssignmentTarget, Delete, Expr, FromTable, Ident, ObjectName, Query,
            SelectItem, SetExpr, Statement, TableAlias, TableFactor, TableWithJoins, Truncate,
            Update, UpdateTableFromKind, With,
        },
        names::EXACT,
        rewrite::{query_of, select_all, table_factor},
    },
};

/// The name under which a statement's own query finds the table that it changes. It cannot be typed.
pub(crate) fn target_name() -> String {
    format!("{EXACT}target")
}

/// The name of the positions' column. It cannot be typed.
pub(super) fn position_name() -> String {
    format!("{EXACT}position")
}

/// A table to change.
pub(super) struct Target {
    pub(super) name: String,
    /// What the statement calls it.
    pub(super) alias: Ident,
    pub(super) table: Arc<TableVersion>,
}

impl Target {
    /// The table that a statement names to change it.
    pub(super) fn new(session: &Session<'_>, factor: &TableFactor) -> Result<Self> {
        let TableFactor::Table { name, alias, args, .. } = factor else {
            return Err(Error::unsupported(format!("changing {factor}: a table is changed")));
        };
        let alias = match alias {
            Some(alias) if !alias.columns.is_empty() => {
                return Err(Error::unsupported(
                    "other names for the columns of a table that is changed",
                ));
            }
            Some(alias) => Some(alias.name.clone()),
            None => None,
        };
        let plain = table_factor(name.clone(), None);
        let mut given = factor.clone();
        if let TableFactor::Table { alias, .. } = &mut given {
            *alias = None;
        }
        if args.is_some() || plain != given {
            return Err(Error::unsupported(format!("changing {factor}: a table is changed")));
        }
        Self::named(session, name, alias)
    }

    /// The table of a name.
    pub(super) fn named(
        session: &Session<'_>,
        name: &ObjectName,
        alias: Option<Ident>,
    ) -> Result<Self> {
        let last = name.0.last().and_then(|part| part.as_ident()).cloned();
        let name = session.names.key(name)?;
        let table = Arc::clone(session.names.snapshot.table(&name)?);
        let alias = alias.or(last).unwrap_or_else(|| Ident::with_quote('"', &name));
        Ok(Self { name, alias, table })
    }

    /// A version of a table under its own name.
    pub(super) fn of(name: &str, table: Arc<TableVersion>) -> Self {
        let alias = Ident::with_quote('"', split_name(name).1);
        Self { name: name.to_owned(), alias, table }
    }

    /// Runs a query into segments of rows for the table.
    pub(super) fn write(
        &self,
        session: &Session<'_>,
        prepared: Prepared,
        schema: &Arc<Schema>,
    ) -> Result<Vec<Arc<Segment>>> {
        create::write(session, prepared, schema).map_err(|mut error| {
            if error.kind == ErrorKind::Constraint {
                let name = split_name(&self.name).1;
                error.message = format!("the table '{name}' would have {}", error.message);
            }
            error
        })
    }

    /// A version of the table, or that it would break a rule.
    pub(super) fn ruled(
        &self,
        table: stoadb_storage::Result<TableVersion>,
    ) -> Result<TableVersion> {
        table.map_err(|error| match error {
            StorageError::Constraint(message) => {
                let name = &self.alias.value;
                let message = format!("the table '{name}' has {message}");
                Error::new(ErrorKind::Constraint, message)
            }
            other => other.into(),
        })
    }

    /// The table, or what stands for it, in FROM under its alias.
    pub(super) fn factor(&self) -> TableFactor {
        let name = ObjectName::from(vec![Ident::with_quote('"', target_name())]);
        let alias = self.alias.clone();
        let alias = TableAlias { explicit: true, name: alias, columns: Vec::new(), at: None };
        table_factor(name, Some(alias))
    }

    pub(super) fn column(&self, name: &str) -> Expr {
        Expr::CompoundIdentifier(vec![self.alias.clone(), Ident::with_quote('"', name)])
    }

    pub(super) fn position(&self) -> Expr {
        self.column(&position_name())
    }
}

/// What a statement selects to find its rows.
struct Search<'a> {
    with: Option<&'a With>,
    items: Vec<(Expr, String)>,
    /// More tables that it reads.
    from: Vec<TableWithJoins>,
    selection: Option<Expr>,
}

/// A query around the body of a SELECT.
pub(super) fn query(with: Option<&With>, body: SetExpr) -> Statement {
    Statement::Query(Box::new(Query { with: with.cloned(), ..query_of(body) }))
}

impl Search<'_> {
    /// Runs the search into segments of the given columns.
    fn run(
        self,
        session: &Session<'_>,
        target: &Target,
        schema: &Arc<Schema>,
    ) -> Result<Vec<Arc<Segment>>> {
        let mut select = select_all(target.factor());
        select.from.extend(self.from);
        let item = |(expr, name): (Expr, String)| SelectItem::ExprWithAlias {
            expr,
            alias: Ident::with_quote('"', name),
        };
        select.projection = self.items.into_iter().map(item).collect();
        select.selection = self.selection;
        let statement = query(self.with, SetExpr::Select(Box::new(select)));
        let relation = WithPositions::new(&target.table, &position_name());
        let prepared = session.reading(relation).prepare(&statement)?;
        target.write(session, prepared, schema)
    }
}

fn refuse_if(unwanted: bool, what: &str) -> Result<()> {
    if unwanted { Err(Error::unsupported(what)) } else { Ok(()) }
}

/// `DELETE FROM table [USING ...] [WHERE ...] [RETURNING ...]`.
pub(crate) fn delete(
    session: &Session<'_>,
    state: &mut State,
    with: Option<&With>,
    delete: &Delete,
) -> Result<QueryResult> {
    refuse_if(!delete.optimizer_hints.is_empty(), "hints in DELETE")?;
    refuse_if(!delete.tables.is_empty(), "DELETE of several tables")?;
    refuse_if(delete.output.is_some(), "DELETE ... OUTPUT (write RETURNING)")?;
    refuse_if(!delete.order_by.is_empty(), "DELETE ... ORDER BY")?;
    refuse_if(delete.limit.is_some(), "DELETE ... LIMIT")?;
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let [TableWithJoins { relation, joins }] = from.as_slice() else {
        return Err(Error::unsupported("DELETE of several tables"));
    };
    refuse_if(!joins.is_empty(), "DELETE FROM a join (write USING)")?;
    let target = Target::new(session, relation)?;
    let rows = if delete.selection.is_none() && delete.using.is_none() {
        target.table.live_rows()
    } else {
        let position = ColumnDef::new(position_name(), LogicalType::Int64);
        let search = Search {
            with,
            items: vec![(target.position(), position_name())],
            from: delete.using.clone().unwrap_or_default(),
            selection: delete.selection.clone(),
        };
        let found = search.run(session, &target, &Arc::new(Schema::new(vec![position])))?;
        positions(&found)?.0
    };
    let returned = match &delete.returning {
        None => None,
        Some(items) => {
            let gone = Arc::new(target.table.only(&rows)?);
            Some(returning(session, with, &target, gone, items)?)
        }
    };
    let count = run::change(session.connection, state, |transaction| {
        Ok(transaction.delete(&target.name, rows)?)
    })?;
    Ok(QueryResult::returned(returned, count))
}

/// `TRUNCATE [TABLE] tables`.
pub(crate) fn truncate(
    session: &Session<'_>,
    state: &mut State,
    truncate: &Truncate,
) -> Result<QueryResult> {
    let Truncate { table_names, partitions, identity, cascade, on_cluster, if_exists, .. } =
        truncate;
    let clauses = partitions.is_some() || identity.is_some() || cascade.is_some();
    refuse_if(clauses || on_cluster.is_some(), "a clause of this TRUNCATE")?;
    refuse_if(table_names.iter().any(|t| t.only || t.has_asterisk), "TRUNCATE ONLY")?;
    let mut targets: Vec<Target> = Vec::new();
    for table in table_names {
        let name = session.names.key(&table.name)?;
        if *if_exists && session.names.snapshot.relation(&name).is_none() {
            continue;
        }
        let target = Target::named(session, &table.name, None)?;
        if !targets.iter().any(|other| other.name.eq_ignore_ascii_case(&target.name)) {
            targets.push(target);
        }
    }
    let count = run::change(session.connection, state, |transaction| {
        let mut count = 0;
        for target in &targets {
            count += transaction.delete(&target.name, target.table.live_rows())?;
        }
        Ok(count)
    })?;
    Ok(QueryResult::changed(count))
}

/// `UPDATE table SET column = value, ... [FROM ...] [WHERE ...] [RETURNING ...]`.
pub(crate) fn update(
    session: &Session<'_>,
    state: &mut State,
    with: Option<&With>,
    update: &Update,
) -> Result<QueryResult> {
    refuse_if(!update.optimizer_hints.is_empty(), "hints in UPDATE")?;
    refuse_if(update.or.is_some(), "UPDATE OR ...")?;
    refuse_if(update.output.is_some(), "UPDATE ... OUTPUT (write RETURNING)")?;
    refuse_if(!update.order_by.is_empty(), "UPDATE ... ORDER BY")?;
    refuse_if(update.limit.is_some(), "UPDATE ... LIMIT")?;
    refuse_if(!update.table.joins.is_empty(), "UPDATE of a join (write FROM)")?;
    let from = match &update.from {
        None => Vec::new(),
        Some(UpdateTableFromKind::AfterSet(from)) => from.clone(),
        Some(UpdateTableFromKind::BeforeSet(_)) => {
            return Err(Error::unsupported("UPDATE ... FROM before SET"));
        }
    };
    let target = Target::new(session, &update.table.relation)?;
    let schema = Arc::clone(target.table.shared_schema());
    let mut values = assigned(&target, &schema, &update.assignments)?;
    let mut items = Vec::with_capacity(schema.len() + 1);
    for (column, value) in schema.columns.iter().zip(&mut values) {
        let value = value.take().unwrap_or_else(|| target.column(&column.name));
        items.push((value, column.name.clone()));
    }
    items.push((target.position(), position_name()));
    let mut columns = schema.columns.clone();
    columns.push(ColumnDef::new(position_name(), LogicalType::Int64));
    let search = Search { with, items, from, selection: update.selection.clone() };
    let found = search.run(session, &target, &Arc::new(Schema::new(columns)))?;
    let (rows, repeated) = positions(&found)?;
    if repeated {
        let message = format!(
            "a row of '{}' would be updated twice: FROM has several rows for it",
            target.name
        );
        return Err(Error::new(ErrorKind::Value, message)
            .with_hint("let FROM have one row for each, with GROUP BY or DISTINCT ON"));
    }
    let segments = found.iter().map(|segment| {
        let columns = segment.columns();
        Ok(Arc::new(Segment::of(columns[..columns.len() - 1].to_vec())?))
    });
    let segments = segments.collect::<Result<Vec<_>>>()?;
    rules::enforce(session, &target.name, target.table.rules(), &schema, &segments)?;
    let returned = match &update.returning {
        None => None,
        Some(items) => {
            let new = Arc::new(TableVersion::new(Arc::clone(&schema), &segments)?);
            Some(returning(session, with, &target, new, items)?)
        }
    };
    let _memory = indexes::reserve(session, &target.table, &segments)?;
    let count = run::change(session.connection, state, |transaction| {
        transaction.set_workers(Arc::new(session.workers()?));
        let count = transaction.delete(&target.name, rows)?;
        transaction.append(&target.name, segments)?;
        Ok(count)
    })?;
    Ok(QueryResult::returned(returned, count))
}

/// The new value of each column of the table that gets one.
pub(super) fn assigned(
    target: &Target,
    schema: &Schema,
    assignments: &[Assignment],
) -> Result<Vec<Option<Expr>>> {
    let mut values: Vec<Option<Expr>> = vec![None; schema.len()];
    for assignment in assignments {
        let pairs: Vec<(&ObjectName, Expr)> = match (&assignment.target, &assignment.value) {
            (AssignmentTarget::ColumnName(name), value) => vec![(name, value.clone())],
            (AssignmentTarget::Tuple(names), Expr::Tuple(values))
                if names.len() == values.len() =>
            {
                names.iter().zip(values.iter().cloned()).collect()
            }
            (AssignmentTarget::Tuple(names), Expr::Nested(value)) if names.len() == 1 => {
                names.iter().map(|name| (name, value.as_ref().clone())).collect()
            }
            (AssignmentTarget::Tuple(names), Expr::Tuple(values)) => {
                let (names, values) = (names.len(), values.len());
                let message = format!("{names} columns get {values} values");
                return Err(Error::new(ErrorKind::Type, message));
            }
            (AssignmentTarget::Tuple(_), _) => {
                return Err(Error::unsupported("SET (columns) = anything but (values)"));
            }
        };
        for (name, value) in pairs {
            let column = match name.0.as_slice() {
                [_] => column_of(name, schema, &target.name)?,
                [table, column] if is_named(table.as_ident(), target) => {
                    column_of(&ObjectName(vec![column.clone()]), schema, &target.name)?
                }
                _ => return Err(Error::unsupported(format!("assigning to {name}"))),
            };
            let value = match is_default(&value) {
                true => rules::default_of(target.table.rules(), column)?,
                false => value,
            };
            if values[column].replace(value).is_some() {
                let name = &schema.columns[column].name;
                let message = format!("the column '{name}' is assigned twice");
                return Err(Error::new(ErrorKind::Name, message));
            }
        }
    }
    Ok(values)
}

fn is_named(table: Option<&Ident>, target: &Target) -> bool {
    table.is_some_and(|table| {
        table.value.eq_ignore_ascii_case(&target.alias.value)
            || table.value.eq_ignore_ascii_case(&target.name)
    })
}

/// Whether a value is the word DEFAULT.
pub(super) fn is_default(value: &Expr) -> bool {
    matches!(value, Expr::Identifier(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"))
}

/// The positions in the last column of segments, and whether one of them occurs twice.
pub(super) fn positions(segments: &[Arc<Segment>]) -> Result<(RowSet, bool)> {
    let mut rows = RowSet::default();
    let mut repeated = false;
    for segment in segments {
        let Some(column) = segment.columns().last() else { continue };
        let array = column.read(0..segment.rows())?.flatten()?;
        let missing = || Error::internal("positions of another type");
        let values = array.as_primitive_opt::<Int64Type>().ok_or_else(missing)?.values();
        repeated |= !rows.insert_all(values.iter().map(|&position| position.unsigned_abs()));
    }
    Ok((rows, repeated))
}
