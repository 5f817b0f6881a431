//! INSERT ... ON CONFLICT, INSERT OR IGNORE, INSERT OR REPLACE: what becomes of rows whose key a row of the table has.
//!
//! How: the table says for every new row which of its rows is in the way; those new rows are left out, or joined with the
//! rows in the way for their new values. Invariant: of several new rows with one key the first is inserted; a row is
//! updated once at most.
//! Next: `stoadb_storage::table::TableIndex::rows_of`.

use std::{collections::HashSet, sync::Arc};

use arrow::array::Int64Array;
use stoadb_storage::{
    ColumnDef, LogicalType, Relation, Schema, TableBuilder, TableVersion, Vector,
    table::{RowSet, Segment, TableIndex, WithPositions},
};

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        change::{Target, assigned, position_name, positions, query, target_name},
        connection::State,
        indexes,
        insert::column_of,
        result::QueryResult,
        returning::returning,
        rules,
        run::{self, Session},
    },
    sql::{
        ast::{
            Assignment, AssignmentTarget, BinaryOperator, ConflictTarget, Expr, Ident, Insert,
            ObjectName, OnConflictAction, OnInsert, SelectItem, SetExpr, SqliteOnConflict,
            TableAlias, TableWithJoins,
        },
        names::EXACT,
        rewrite::{select_all, table_factor},
        walk,
    },
};

/// The rows that are inserted, as SET and WHERE name them.
const EXCLUDED: &str = "excluded";

/// What a statement does with rows whose key is taken.
pub(super) struct Conflict {
    /// The unique indexes that count.
    keys: Vec<Arc<TableIndex>>,
    /// The new values, and a condition for them; none to leave the row out.
    update: Option<(Vec<Assignment>, Option<Expr>)>,
}

impl Conflict {
    /// What the statement says; `None` when a taken key is an error.
    pub(super) fn of(insert: &Insert, target: &Target) -> Result<Option<Self>> {
        let on = match (&insert.or, &insert.on) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(Error::new(ErrorKind::Syntax, "INSERT OR ... with ON CONFLICT"));
            }
            (Some(SqliteOnConflict::Abort), None) => return Ok(None),
            (Some(SqliteOnConflict::Ignore), None) => {
                return Ok(Some(Self { keys: all_keys(target), update: None }));
            }
            (Some(SqliteOnConflict::Replace), None) => {
                let assignments = replacing(insert, target);
                return Ok(Some(Self {
                    keys: one_key(target)?,
                    update: Some((assignments, None)),
                }));
            }
            (Some(other), None) => return Err(Error::unsupported(format!("INSERT {other}"))),
            (None, Some(OnInsert::OnConflict(on))) => on,
            (None, Some(_)) => {
                return Err(Error::unsupported("ON DUPLICATE KEY UPDATE (write ON CONFLICT)"));
            }
        };
        let update = match &on.action {
            OnConflictAction::DoNothing => None,
            OnConflictAction::DoUpdate(update) => {
                Some((update.assignments.clone(), update.selection.clone()))
            }
        };
        let keys = match &on.conflict_target {
            None if update.is_none() => all_keys(target),
            None => one_key(target)?,
            Some(ConflictTarget::Columns(columns)) => vec![key_of(columns, target)?],
            Some(ConflictTarget::OnConstraint(name)) => {
                let name = name.to_string();
                let is = |key: &Arc<TableIndex>| {
                    let known = &key.definition().name;
                    known.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(&name))
                };
                let key = all_keys(target).into_iter().find(is).ok_or_else(|| {
                    let message = format!("no key of the table is called {name}");
                    Error::new(ErrorKind::Name, message)
                })?;
                vec![key]
            }
        };
        Ok(Some(Self { keys, update }))
    }

    /// Inserts the rows whose keys are free and deals with the others.
    pub(super) fn insert(
        self,
        session: &Session<'_>,
        state: &mut State,
        target: &Target,
        segments: Vec<Arc<Segment>>,
        items: Option<&[SelectItem]>,
    ) -> Result<QueryResult> {
        let schema = Arc::clone(target.table.shared_schema());
        let rules = Arc::clone(target.table.rules());
        let found = self.find(session, target, &segments)?;
        let all = TableVersion::new(Arc::clone(&schema), &segments)?;
        let mut new = match found.free.len() == all.rows() {
            true => segments.clone(),
            false => select(session, target, Arc::new(all.only(&found.free)?), &schema)?,
        };
        rules::enforce(session, &target.name, &rules, &schema, &new)?;
        let mut gone = RowSet::default();
        if let Some((assignments, selection)) = &self.update {
            let changed = Changed { session, target, schema: &schema };
            let excluded = excluded(&schema, &segments, &found.taken)?;
            let changed = changed.rows(excluded, assignments, selection.as_ref())?;
            let (rows, repeated) = positions(&changed)?;
            if repeated {
                return Err(twice(target));
            }
            gone = rows;
            let columns = |segment: &Arc<Segment>| {
                let columns = segment.columns();
                Ok(Arc::new(Segment::of(columns[..columns.len() - 1].to_vec())?))
            };
            let changed = changed.iter().map(columns).collect::<Result<Vec<_>>>()?;
            rules::enforce(session, &target.name, &rules, &schema, &changed)?;
            new.extend(changed);
        }
        let returned = match items {
            None => None,
            Some(items) => {
                let rows = Arc::new(TableVersion::new(schema, &new)?);
                Some(returning(session, None, target, rows, items)?)
            }
        };
        let _memory = indexes::reserve(session, &target.table, &new)?;
        let count = run::change(session.connection, state, |transaction| {
            let rows = new.iter().map(|segment| segment.rows()).sum();
            transaction.set_workers(Arc::new(session.workers_for(rows)?));
            transaction.delete(&target.name, gone)?;
            Ok(transaction.append(&target.name, new)?)
        })?;
        Ok(QueryResult::returned(returned, count))
    }

    /// Which new rows have free keys, and which rows of the table are in the way of the others.
    fn find(
        &self,
        session: &Session<'_>,
        target: &Target,
        segments: &[Arc<Segment>],
    ) -> Result<Found> {
        let workers = session.workers()?;
        for key in &self.keys {
            key.index_on(&workers)?;
        }
        let mut found = Found { free: RowSet::default(), taken: Vec::new() };
        let mut claimed: Vec<HashSet<Box<[u8]>>> = vec![HashSet::new(); self.keys.len()];
        let mut start = 0;
        for segment in segments {
            let known = self.keys.iter().map(|key| key.rows_of(segment));
            let known = known.collect::<stoadb_storage::Result<Vec<_>>>()?;
            let texts = self.keys.iter().map(|key| key.keys_of(segment));
            let texts = texts.collect::<stoadb_storage::Result<Vec<_>>>()?;
            for row in 0..segment.rows() {
                let taken = known.iter().find_map(|rows| rows[row]);
                let earlier = texts.iter().zip(&claimed).any(|(texts, claimed)| {
                    texts[row].as_ref().is_some_and(|key| claimed.contains(key))
                });
                if self.update.is_some() && earlier {
                    return Err(twice(target));
                }
                if taken.is_none() && !earlier {
                    found.free.insert(start + row as u64);
                    for (texts, claimed) in texts.iter().zip(&mut claimed) {
                        claimed.extend(texts[row].clone());
                    }
                }
                found.taken.push(taken.and_then(|position| i64::try_from(position).ok()));
            }
            start += segment.rows() as u64;
        }
        Ok(found)
    }
}

/// What the keys of the new rows meet.
struct Found {
    /// The new rows whose keys are free, by position among them.
    free: RowSet,
    /// For each new row the position of the row in its way.
    taken: Vec<Option<i64>>,
}

fn twice(target: &Target) -> Error {
    let message = format!(
        "ON CONFLICT would change a row of '{}' twice: several of the new rows have its key",
        target.alias.value
    );
    Error::new(ErrorKind::Value, message)
        .with_hint("let the new rows have each key once, with GROUP BY or DISTINCT ON")
}

fn all_keys(target: &Target) -> Vec<Arc<TableIndex>> {
    let indexes = target.table.indexes().iter();
    indexes.filter(|index| index.definition().is_unique()).cloned().collect()
}

/// The one key of a table.
fn one_key(target: &Target) -> Result<Vec<Arc<TableIndex>>> {
    let keys = all_keys(target);
    match keys.len() {
        1 => Ok(keys),
        count => {
            let message = format!("the table '{}' has {count} keys", target.alias.value);
            Err(Error::new(ErrorKind::Catalog, message)
                .with_hint("ON CONFLICT (columns) DO UPDATE ... says which one is meant"))
        }
    }
}

/// The key over these columns, in any order.
fn key_of(columns: &[Ident], target: &Target) -> Result<Arc<TableIndex>> {
    let schema = target.table.shared_schema();
    let find = |name: &Ident| {
        column_of(&ObjectName::from(vec![name.clone()]), schema, &target.alias.value)
    };
    let mut wanted = columns.iter().map(find).collect::<Result<Vec<_>>>()?;
    wanted.sort_unstable();
    let same = |key: &Arc<TableIndex>| {
        let mut columns: Vec<usize> = key.definition().keys.iter().map(|key| key.column).collect();
        columns.sort_unstable();
        columns == wanted
    };
    all_keys(target).into_iter().find(same).ok_or_else(|| {
        let names: Vec<_> = columns.iter().map(|name| name.value.as_str()).collect();
        let message =
            format!("no PRIMARY KEY, UNIQUE and UNIQUE INDEX is over ({})", names.join(", "));
        Error::new(ErrorKind::Catalog, message)
    })
}

/// What OR REPLACE assigns: all columns that the statement names, but those of keys.
fn replacing(insert: &Insert, target: &Target) -> Vec<Assignment> {
    let keys = all_keys(target);
    let is_key = |column: usize| {
        keys.iter().any(|key| key.definition().keys.iter().any(|key| key.column == column))
    };
    let is_named = |name: &str| {
        let named = |column: &ObjectName| {
            let last = column.0.last().and_then(|part| part.as_ident());
            last.is_some_and(|last| last.value.eq_ignore_ascii_case(name))
        };
        insert.columns.is_empty() || insert.columns.iter().any(named)
    };
    let columns = target.table.shared_schema().columns.iter().enumerate();
    let columns = columns.filter(|(ordinal, column)| !is_key(*ordinal) && is_named(&column.name));
    let assignment = |(_, column): (usize, &ColumnDef)| {
        let name = Ident::with_quote('"', &column.name);
        Assignment {
            target: AssignmentTarget::ColumnName(ObjectName::from(vec![name.clone()])),
            value: Expr::CompoundIdentifier(vec![Ident::new(EXCLUDED), name]),
        }
    };
    columns.map(assignment).collect()
}

/// Some rows as segments of the table.
fn select(
    session: &Session<'_>,
    target: &Target,
    rows: Arc<TableVersion>,
    schema: &Arc<Schema>,
) -> Result<Vec<Arc<Segment>>> {
    let all = query(None, SetExpr::Select(Box::new(select_all(target.factor()))));
    let session = session.reading(rows);
    target.write(&session, session.prepare(&all)?, schema)
}

/// The name of the column that says which row is in the way. It cannot be typed.
fn taken_name() -> String {
    format!("{EXACT}taken")
}

/// The new rows, each with the position of the row in its way.
fn excluded(
    schema: &Schema,
    segments: &[Arc<Segment>],
    taken: &[Option<i64>],
) -> Result<TableVersion> {
    let mut columns = schema.columns.clone();
    columns.iter_mut().for_each(|column| column.nullable = true);
    columns.push(ColumnDef::new(taken_name(), LogicalType::Int64));
    let schema = Arc::new(Schema::new(columns));
    let mut builder = TableBuilder::new(Arc::clone(&schema));
    let mut start = 0;
    for segment in segments {
        let rows = segment.rows();
        let columns = segment.columns().iter().map(|column| column.read(0..rows));
        let mut vectors = columns.collect::<stoadb_storage::Result<Vec<_>>>()?;
        let taken: Int64Array = taken[start..start + rows].iter().copied().collect();
        vectors.push(Vector::Flat(Arc::new(taken)));
        builder.push(&vectors, None)?;
        start += rows;
    }
    Ok(TableVersion::new(schema, &builder.finish()?)?)
}

/// The rows that DO UPDATE changes.
struct Changed<'a> {
    session: &'a Session<'a>,
    target: &'a Target,
    schema: &'a Arc<Schema>,
}

impl Changed<'_> {
    /// Their new values, and their positions in the last column.
    fn rows(
        &self,
        excluded: TableVersion,
        assignments: &[Assignment],
        selection: Option<&Expr>,
    ) -> Result<Vec<Arc<Segment>>> {
        let Self { session, target, schema } = self;
        let mut items = Vec::with_capacity(schema.len() + 1);
        let assigned = assigned(target, schema, assignments)?;
        for (column, value) in schema.columns.iter().zip(assigned) {
            let value = value.map(|value| self.meant(value));
            let value = value.unwrap_or_else(|| target.column(&column.name));
            items.push((value, column.name.clone()));
        }
        items.push((target.position(), position_name()));
        let mut select = select_all(target.factor());
        let alias = TableAlias {
            explicit: true,
            name: Ident::new(EXCLUDED),
            columns: Vec::new(),
            at: None,
        };
        let own = format!("{EXACT}{EXCLUDED}");
        let name = ObjectName::from(vec![Ident::with_quote('"', &own)]);
        let relation = table_factor(name, Some(alias));
        select.from.push(TableWithJoins { relation, joins: Vec::new() });
        let item = |(expr, name): (Expr, String)| SelectItem::ExprWithAlias {
            expr,
            alias: Ident::with_quote('"', name),
        };
        select.projection = items.into_iter().map(item).collect();
        let taken = vec![Ident::new(EXCLUDED), Ident::with_quote('"', taken_name())];
        let same = Expr::BinaryOp {
            left: Box::new(target.position()),
            op: BinaryOperator::Eq,
            right: Box::new(Expr::CompoundIdentifier(taken)),
        };
        select.selection = Some(match selection {
            None => same,
            Some(wanted) => Expr::BinaryOp {
                left: Box::new(same),
                op: BinaryOperator::And,
                right: Box::new(Expr::Nested(Box::new(self.meant(wanted.clone())))),
            },
        });
        let statement = query(None, SetExpr::Select(Box::new(select)));
        let mut columns = schema.columns.clone();
        columns.push(ColumnDef::new(position_name(), LogicalType::Int64));
        let session = session.reading_all(vec![
            (target_name(), WithPositions::new(&target.table, &position_name())),
            (own, Arc::new(excluded)),
        ]);
        target.write(&session, session.prepare(&statement)?, &Arc::new(Schema::new(columns)))
    }

    /// A value in which bare names are columns of the table, not of the new rows.
    fn meant(&self, mut value: Expr) -> Expr {
        walk::replace_names(&mut value, |name| {
            let known =
                self.schema.columns.iter().find(|c| c.name.eq_ignore_ascii_case(&name.value));
            known.map(|column| self.target.column(&column.name))
        });
        value
    }
}
