//! MERGE INTO: rows of a table changed, deleted and inserted by what a source says of them.
//!
//! How: one query joins the table with the source and says for each pair which clause it is for, with the new values; one
//! finds the rows of the source without a partner, one those of the table. Invariants: all of it sees the table as it was
//! before the statement; the first clause whose condition holds counts; a row is changed once at most.
//! Next: `change.rs`.

use std::{ops::ControlFlow, sync::Arc};

use datafusion_expr::Volatility;
use stoadb_storage::{
    ColumnDef, LogicalType, Schema, TableVersion,
    catalog::name::is_plain,
    table::{RowSet, Segment, WithPositions},
};

use crate::{
    error::{Error, ErrorKind, Result},
    planner::scalar_functions,
    session::{
        change::{Target, assigned, is_default, position_name, positions, query, target_name},
        connection::State,
        create::{self, table_schema},
        indexes,
        insert::column_of,
        result::QueryResult,
        rules,
        run::{self, Session},
    },
    sql::{
        ast::{
            CaseWhen, CastKind, Expr, Ident, Join, JoinConstraint, JoinOperator, Merge,
            MergeAction, MergeClause, MergeClauseKind, MergeInsertExpr, MergeInsertKind,
            ObjectName, SelectItem, SetExpr, Statement, TableAlias, TableFactor, TableWithJoins,
            Value, helpers::attached_token::AttachedToken,
        },
        names::{EXACT, fold},
        rewrite::{select_all, table_factor},
        visit::Walk,
    },
};

/// `MERGE INTO table USING source ON condition WHEN ...`.
pub(crate) fn merge(
    session: &Session<'_>,
    state: &mut State,
    merge: &Merge,
) -> Result<QueryResult> {
    if merge.output.is_some() || !merge.optimizer_hints.is_empty() {
        return Err(Error::unsupported("a clause of this MERGE"));
    }
    refuse_random(merge)?;
    let target = Target::new(session, &merge.table)?;
    let (factor, own) = source(session, &merge.source)?;
    let this = Merging { session, target: &target, merge, source: factor, own };
    let schema = Arc::clone(target.table.shared_schema());
    let mut gone = RowSet::default();
    let mut new: Vec<Arc<Segment>> = Vec::new();
    // Each row that is updated or deleted, and each that is inserted, counts once.
    let mut count = 0;
    for kind in [MergeClauseKind::Matched, MergeClauseKind::NotMatchedBySource] {
        let clauses = this.clauses(|of| *of == kind);
        if clauses.is_empty() {
            continue;
        }
        let (rows, changed) = this.changed(&clauses, kind == MergeClauseKind::Matched)?;
        for position in rows.iter() {
            if !gone.insert(position) {
                return Err(Error::internal("a row with and without a partner"));
            }
        }
        count += rows.len();
        new.extend(changed);
    }
    let inserts = this.clauses(|of| {
        matches!(of, MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget)
    });
    if !inserts.is_empty() {
        let inserted = this.inserted(&inserts)?;
        count += inserted.iter().map(|segment| segment.rows() as u64).sum::<u64>();
        new.extend(inserted);
    }
    rules::enforce(session, &target.name, target.table.rules(), &schema, &new)?;
    let _memory = indexes::reserve(session, &target.table, &new)?;
    run::change(session.connection, state, |transaction| {
        transaction.set_workers(Arc::new(session.workers()?));
        transaction.delete(&target.name, gone)?;
        transaction.append(&target.name, new)?;
        Ok(())
    })?;
    Ok(QueryResult::changed(count))
}

/// The source in FROM, read once: with what it holds, unless it is a table.
fn source(
    session: &Session<'_>,
    factor: &TableFactor,
) -> Result<(TableFactor, Option<Arc<TableVersion>>)> {
    if let TableFactor::Table { name, args: None, .. } = factor
        && let Ok(key) = session.names.key(name)
        && session.names.snapshot.table(&key).is_ok()
    {
        return Ok((factor.clone(), None));
    }
    let alias = match factor {
        TableFactor::Table { name, alias: None, .. } => {
            let last = name.0.last().and_then(|part| part.as_ident());
            let name = last.cloned().filter(|name| is_plain(&name.value));
            let name = name.unwrap_or_else(|| Ident::new("source"));
            TableAlias { explicit: true, name, columns: Vec::new(), at: None }
        }
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } => {
            TableAlias { columns: Vec::new(), ..alias.clone() }
        }
        other => return Err(Error::unsupported(format!("MERGE ... USING {other} without alias"))),
    };
    let all = query(None, SetExpr::Select(Box::new(select_all(factor.clone()))));
    let prepared = session.prepare(&all)?;
    let schema = Arc::new(table_schema(&prepared)?);
    let segments = create::write(session, prepared, &schema)?;
    let rows = Arc::new(TableVersion::new(schema, &segments)?);
    let name = ObjectName::from(vec![Ident::with_quote('"', source_name())]);
    Ok((table_factor(name, Some(alias)), Some(rows)))
}

/// The name of the source's rows. It cannot be typed.
fn source_name() -> String {
    format!("{EXACT}source")
}

/// The name of the column that says which clause a row is for. It cannot be typed.
fn clause_name() -> String {
    format!("{EXACT}clause")
}

fn number(value: usize) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).into())
}

fn truth() -> Expr {
    Expr::Value(Value::Boolean(true).into())
}

/// CASE with a value for each clause whose condition is the first to hold.
fn case(branches: Vec<(Expr, Expr)>, otherwise: Expr) -> Expr {
    let when = |(condition, result)| CaseWhen { condition, result };
    let null = Expr::Value(Value::Null.into());
    // Everything else, NULL included, is left to the last branch.
    let else_result = if otherwise == null { None } else { Some(Box::new(otherwise)) };
    let conditions = branches.into_iter().map(when).collect();
    let (case_token, end_token) = (AttachedToken::empty(), AttachedToken::empty());
    Expr::Case { case_token, end_token, operand: None, conditions, else_result }
}

/// The clauses of a row are chosen more than once, so that a condition has to come out the same each time.
fn refuse_random(merge: &Merge) -> Result<()> {
    let functions = scalar_functions();
    let predicates = merge.clauses.iter().filter_map(|clause| clause.predicate.as_ref());
    for predicate in predicates {
        let drawn = predicate.walk_expressions(|expr| match expr {
            Expr::Function(call) => {
                let name = fold(&call.name.to_string());
                let volatile = functions
                    .get(&name)
                    .is_some_and(|udf| udf.signature().volatility == Volatility::Volatile);
                if volatile { ControlFlow::Break(name) } else { ControlFlow::Continue(()) }
            }
            _ => ControlFlow::Continue(()),
        });
        if let ControlFlow::Break(name) = drawn {
            let error = Error::unsupported(format!("{name}() in a condition of MERGE"));
            return Err(error.with_hint("compute it in the source: USING (SELECT ..) s"));
        }
    }
    Ok(())
}

struct Merging<'a> {
    session: &'a Session<'a>,
    target: &'a Target,
    merge: &'a Merge,
    source: TableFactor,
    own: Option<Arc<TableVersion>>,
}

impl Merging<'_> {
    fn clauses(&self, wanted: impl Fn(&MergeClauseKind) -> bool) -> Vec<&MergeClause> {
        self.merge.clauses.iter().filter(|clause| wanted(&clause.clause_kind)).collect()
    }

    /// The session that reads the table with its positions, and the source.
    fn reading(&self) -> Session<'_> {
        let positions = WithPositions::new(&self.target.table, &position_name());
        let mut own = vec![(target_name(), positions as Arc<dyn stoadb_storage::Relation>)];
        own.extend(self.own.iter().map(|rows| (source_name(), Arc::clone(rows) as Arc<_>)));
        self.session.reading_all(own)
    }

    fn table(&self, relation: TableFactor, other: TableFactor, outer: bool) -> TableWithJoins {
        let on = JoinConstraint::On(self.merge.on.as_ref().clone());
        let join_operator = if outer { JoinOperator::Anti(on) } else { JoinOperator::Inner(on) };
        TableWithJoins {
            relation,
            joins: vec![Join { relation: other, global: false, join_operator }],
        }
    }

    /// The rows of the table that clauses change or delete, and the new values of those that are changed.
    fn changed(
        &self,
        clauses: &[&MergeClause],
        matched: bool,
    ) -> Result<(RowSet, Vec<Arc<Segment>>)> {
        let schema = self.target.table.shared_schema();
        let mut choices = Vec::new();
        let mut values: Vec<Vec<(Expr, Expr)>> = vec![Vec::new(); schema.len()];
        for (place, clause) in clauses.iter().enumerate() {
            choices.push((clause.predicate.clone().unwrap_or_else(truth), number(place)));
            let condition = clause.predicate.clone().unwrap_or_else(truth);
            let assigned = match &clause.action {
                MergeAction::Update(update) => {
                    if update.update_predicate.is_some() || update.delete_predicate.is_some() {
                        return Err(Error::unsupported("WHERE in a clause of MERGE (write AND)"));
                    }
                    assigned(self.target, schema, &update.assignments)?
                }
                MergeAction::Delete { .. } => vec![None; schema.len()],
                MergeAction::Insert(_) => return Err(Error::internal("INSERT of a match")),
            };
            for ((values, value), column) in values.iter_mut().zip(assigned).zip(&schema.columns) {
                let value = match value {
                    Some(value) => cast(value, column)?,
                    None => self.target.column(&column.name),
                };
                values.push((condition.clone(), value));
            }
        }
        let null = || Expr::Value(Value::Null.into());
        let choice = case(choices, null());
        let mut items = Vec::new();
        for (values, column) in values.into_iter().zip(&schema.columns) {
            let kept = self.target.column(&column.name);
            items.push((case(values, kept), column.name.clone()));
        }
        items.push((self.target.position(), position_name()));
        items.push((choice.clone(), clause_name()));
        let mut columns = schema.columns.clone();
        columns.iter_mut().for_each(|column| column.nullable = true);
        columns.push(ColumnDef::new(position_name(), LogicalType::Int64));
        columns.push(ColumnDef::new(clause_name(), LogicalType::Int64));
        let wide = Arc::new(Schema::new(columns));
        let from = self.table(self.target.factor(), self.source.clone(), !matched);
        let found = self.rows(from, items, Some(Expr::IsNotNull(Box::new(choice))), &wide)?;
        let narrow = |segment: &Arc<Segment>| {
            let columns = segment.columns();
            Ok(Arc::new(Segment::of(columns[..columns.len() - 1].to_vec())?))
        };
        let positioned = found.iter().map(narrow).collect::<Result<Vec<_>>>()?;
        let (rows, repeated) = positions(&positioned)?;
        if repeated {
            let message = format!(
                "a row of '{}' would be changed twice: the source has several rows for it",
                self.target.alias.value
            );
            return Err(Error::new(ErrorKind::Value, message));
        }
        Ok((rows, self.updated(clauses, &wide, &found)?))
    }

    /// The new values of the rows that are for clauses of UPDATE.
    fn updated(
        &self,
        clauses: &[&MergeClause],
        wide: &Arc<Schema>,
        found: &[Arc<Segment>],
    ) -> Result<Vec<Arc<Segment>>> {
        let updates = clauses.iter().enumerate();
        let updates = updates.filter(|(_, c)| matches!(c.action, MergeAction::Update(_)));
        let list: Vec<Expr> = updates.map(|(place, _)| number(place)).collect();
        if list.is_empty() {
            return Ok(Vec::new());
        }
        let schema = self.target.table.shared_schema();
        let found = TableVersion::new(Arc::clone(wide), found)?;
        let target = Target::of(&self.target.name, Arc::new(found));
        let mut select = select_all(target.factor());
        let column = |column: &ColumnDef| SelectItem::UnnamedExpr(target.column(&column.name));
        select.projection = schema.columns.iter().map(column).collect();
        let clause = Box::new(target.column(&clause_name()));
        select.selection = Some(Expr::InList { expr: clause, list, negated: false });
        let session = self.session.reading(Arc::clone(&target.table) as Arc<_>);
        let statement = query(None, SetExpr::Select(Box::new(select)));
        self.target.write(&session, session.prepare(&statement)?, schema)
    }

    /// The rows that clauses make of rows of the source without a partner.
    fn inserted(&self, clauses: &[&MergeClause]) -> Result<Vec<Arc<Segment>>> {
        let schema = self.target.table.shared_schema();
        let mut choices = Vec::new();
        let mut values: Vec<Vec<(Expr, Expr)>> = vec![Vec::new(); schema.len()];
        for (place, clause) in clauses.iter().enumerate() {
            let condition = clause.predicate.clone().unwrap_or_else(truth);
            choices.push((condition.clone(), number(place)));
            let MergeAction::Insert(insert) = &clause.action else {
                return Err(Error::internal("no INSERT"));
            };
            for (values, value) in values.iter_mut().zip(self.given(insert)?) {
                values.push((condition.clone(), value));
            }
        }
        let null = || Expr::Value(Value::Null.into());
        let items = values.into_iter().zip(&schema.columns);
        let items = items.map(|(values, column)| (case(values, null()), column.name.clone()));
        let selection = Expr::IsNotNull(Box::new(case(choices, null())));
        let from = self.table(self.source.clone(), self.target.factor(), true);
        self.rows(from, items.collect(), Some(selection), schema)
    }

    /// The values that an INSERT gives the columns of the table.
    fn given(&self, insert: &MergeInsertExpr) -> Result<Vec<Expr>> {
        let (schema, rules) = (self.target.table.shared_schema(), self.target.table.rules());
        let MergeInsertKind::Values(values) = &insert.kind else {
            return Err(Error::unsupported("INSERT ROW in MERGE"));
        };
        let ([row], None) = (values.rows.as_slice(), &insert.insert_predicate) else {
            return Err(Error::unsupported("INSERT in MERGE with other than one row of VALUES"));
        };
        let table = self.target.alias.value.as_str();
        let targets = match insert.columns.is_empty() {
            true => (0..schema.len()).collect(),
            false => {
                let columns = insert.columns.iter();
                columns.map(|name| column_of(name, schema, table)).collect::<Result<Vec<_>>>()?
            }
        };
        if row.len() != targets.len() {
            let message =
                format!("{} columns of '{table}' get {} values", targets.len(), row.len());
            return Err(Error::new(ErrorKind::Type, message));
        }
        let value = |column: usize| {
            let given = targets.iter().position(|&target| target == column);
            let given = given.map(|place| &row[place]).filter(|value| !is_default(value));
            let value = match given {
                Some(value) => value.clone(),
                None => rules::default_of(rules, column)?,
            };
            cast(value, &schema.columns[column])
        };
        (0..schema.len()).map(value).collect()
    }

    /// Runs a query over the table and the source.
    fn rows(
        &self,
        from: TableWithJoins,
        items: Vec<(Expr, String)>,
        selection: Option<Expr>,
        schema: &Arc<Schema>,
    ) -> Result<Vec<Arc<Segment>>> {
        let mut select = select_all(self.target.factor());
        select.from = vec![from];
        let item = |(expr, name): (Expr, String)| SelectItem::ExprWithAlias {
            expr,
            alias: Ident::with_quote('"', name),
        };
        select.projection = items.into_iter().map(item).collect();
        select.selection = selection;
        let statement: Statement = query(None, SetExpr::Select(Box::new(select)));
        let session = self.reading();
        self.target.write(&session, session.prepare(&statement)?, schema)
    }
}

/// A value as one of a column's type, so that the clauses' values are of one type.
fn cast(value: Expr, column: &ColumnDef) -> Result<Expr> {
    let expr = rules::expression(&format!("CAST(NULL AS {})", column.ty))?;
    match expr {
        Expr::Nested(inner) => match *inner {
            Expr::Cast { data_type, .. } => Ok(Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(value),
                data_type,
                array: false,
                format: None,
            }),
            _ => Err(Error::internal("no cast")),
        },
        _ => Err(Error::internal("no cast")),
    }
}
