//! ALTER TABLE: columns added, dropped, renamed, of another type; constraints; another name for the table.
//!
//! Invariants: the operations of a statement are made one after the other on the table that the transaction sees, and
//! published together or not at all; only another type, and a default that differs by row, write values anew.
//! Next: `rules.rs`; `stoadb_storage::TableVersion::with_columns`.

use std::sync::Arc;

use arrow::array::RecordBatch;
use stoadb_storage::{
    Relation, Scalar, Schema, TableVersion,
    catalog::{
        EntryKind, IfExists,
        name::{entry_name, split_name},
    },
    table::{NewColumn, TableRules},
};

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        change::{Target, query},
        connection::State,
        create::{self, check_names, declared_types},
        insert::column_of,
        result::QueryResult,
        rules,
        run::{self, Session},
    },
    sql::{
        ast::{
            AlterColumnOperation, AlterTable, AlterTableOperation, CastKind,
            ColumnDef as AstColumn, ColumnOption, DataType, Expr, Ident, ObjectName,
            RenameTableNameKind, SelectItem, SetExpr, Statement, TableConstraint,
        },
        rewrite::select_all,
    },
};

/// `ALTER TABLE table ...`.
pub(crate) fn table(
    session: &Session<'_>,
    state: &mut State,
    alter: &AlterTable,
) -> Result<QueryResult> {
    if alter.only
        || alter.location.is_some()
        || alter.on_cluster.is_some()
        || alter.table_type.is_some()
    {
        return Err(Error::unsupported("a clause of this ALTER TABLE"));
    }
    let name = session.names.key(&alter.name)?;
    if alter.if_exists && session.names.snapshot.relation(&name).is_none() {
        return Ok(QueryResult::changed(0));
    }
    let mut target = Target::named(session, &alter.name, None)?;
    let mut renamed = None;
    for operation in &alter.operations {
        match operation {
            AlterTableOperation::RenameTable { table_name: kind } => {
                let (RenameTableNameKind::To(new) | RenameTableNameKind::As(new)) = kind;
                let [new] = new.0.as_slice() else {
                    return Err(Error::unsupported("moving a table to another schema"));
                };
                let new = new.as_ident().map_or_else(|| new.to_string(), |new| new.value.clone());
                renamed = Some(entry_name(split_name(&target.name).0, &new));
            }
            operation => {
                if let Some(table) = altered(session, &target, operation)? {
                    target.table = Arc::new(table);
                }
            }
        }
    }
    run::change(session.connection, state, |transaction| {
        // Also before another name: whoever changes the table meanwhile is in conflict with this.
        transaction.replace(&target.name, target.table.as_ref().clone())?;
        if let Some(new) = renamed {
            transaction.drop_entry(&target.name, EntryKind::Table, false)?;
            transaction.create_table(&new, target.table.as_ref().clone(), IfExists::Fail)?;
        }
        Ok(())
    })?;
    Ok(QueryResult::changed(0))
}

/// A table's columns and rules while it is altered.
struct Altered<'a> {
    session: &'a Session<'a>,
    target: &'a Target,
    schema: Schema,
    rules: TableRules,
}

/// The table after an operation; `None` when it changes nothing.
fn altered(
    session: &Session<'_>,
    target: &Target,
    operation: &AlterTableOperation,
) -> Result<Option<TableVersion>> {
    let schema = target.table.shared_schema().as_ref().clone();
    let rules = target.table.rules().as_ref().clone();
    let this = Altered { session, target, schema, rules };
    match operation {
        AlterTableOperation::AddColumn { if_not_exists, column_def, column_position, .. } => {
            if column_position.is_some() {
                return Err(Error::unsupported(
                    "FIRST and AFTER: a column is added as the last one",
                ));
            }
            match *if_not_exists && this.find(&column_def.name).is_ok() {
                true => Ok(None),
                false => this.add(column_def).map(Some),
            }
        }
        AlterTableOperation::DropColumn { column_names, if_exists, drop_behavior, .. } => {
            if drop_behavior.is_some() {
                return Err(Error::unsupported("CASCADE and RESTRICT of DROP COLUMN"));
            }
            let mut gone = Vec::new();
            for name in column_names {
                match this.find(name) {
                    Ok(column) => gone.push(column),
                    Err(_) if *if_exists => {}
                    Err(error) => return Err(error),
                }
            }
            if gone.is_empty() { Ok(None) } else { this.drop(&gone).map(Some) }
        }
        AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
            this.rename(old_column_name, &new_column_name.value).map(Some)
        }
        AlterTableOperation::AlterColumn { column_name, op } => {
            let column = this.find(column_name)?;
            this.alter(column, op).map(Some)
        }
        AlterTableOperation::AddConstraint { constraint, not_valid: false } => {
            this.constrain(constraint).map(Some)
        }
        AlterTableOperation::DropConstraint { if_exists, name, drop_behavior: None } => {
            this.unconstrain(name, *if_exists)
        }
        other => Err(Error::unsupported(format!("ALTER TABLE ... {other}"))),
    }
}

impl Altered<'_> {
    fn find(&self, name: &Ident) -> Result<usize> {
        column_of(&ObjectName::from(vec![name.clone()]), &self.schema, &self.target.alias.value)
    }

    fn all(&self) -> Vec<NewColumn> {
        (0..self.schema.len()).map(NewColumn::Old).collect()
    }

    /// The table of the columns and rules, whose values come from where `from` says.
    fn table(self, from: &[NewColumn]) -> Result<TableVersion> {
        check_names(&self.schema)?;
        let workers = self.session.workers()?;
        let (schema, rules) = (Arc::new(self.schema), Arc::new(self.rules));
        self.target.ruled(self.target.table.with_columns(schema, from, rules, &workers))
    }

    fn add(mut self, declared: &AstColumn) -> Result<TableVersion> {
        let mut added = declared_types(self.session, std::slice::from_ref(declared))?;
        let Some(mut column) = added.columns.pop() else {
            return Err(Error::internal("no column"));
        };
        let mut default = None;
        for option in &declared.options {
            match &option.option {
                ColumnOption::Null => {}
                ColumnOption::NotNull => column.nullable = false,
                ColumnOption::Default(value) => {
                    default = Some(rules::default(self.session, &column, value)?);
                }
                other => {
                    return Err(Error::unsupported(format!("ADD COLUMN with {other}"))
                        .with_hint("add the column, then ALTER TABLE ... ADD CONSTRAINT"));
                }
            }
        }
        let null = Scalar::null(column.ty.clone());
        let value = match &default {
            None => Some(null),
            Some(text) => self.constant(text, &column.ty.to_string())?,
        };
        let (name, ty) = (column.name.clone(), column.ty.to_string());
        let nulls = value.as_ref().is_some_and(Scalar::is_null) && self.target.table.rows() > 0;
        if !column.nullable && nulls {
            let message =
                format!("the new column '{name}' is NOT NULL, but would be NULL in every row");
            return Err(Error::new(ErrorKind::Constraint, message).with_hint("give it a DEFAULT"));
        }
        let ordinal = self.schema.len();
        let mut from = self.all();
        let computed = value.is_none().then(|| default.clone()).flatten();
        self.schema.columns.push(column);
        check_names(&self.schema)?;
        self.rules.defaults.extend(default.map(|text| (ordinal, text)));
        match (value, computed) {
            (Some(value), _) => {
                from.push(NewColumn::New(value));
                self.table(&from)
            }
            (None, text) => {
                let text = text.unwrap_or_default();
                let mut items = self.columns();
                items.truncate(ordinal);
                items.push(rules::expression(&format!("CAST(({text}) AS {ty})"))?);
                self.rewritten(items)
            }
        }
    }

    /// The value of a default that is the same in every row.
    fn constant(&self, text: &str, ty: &str) -> Result<Option<Scalar>> {
        let parsed = crate::sql::parse(&format!("SELECT CAST(({text}) AS {ty})"))?;
        let Some(parsed) = parsed.first() else { return Err(Error::internal("no query")) };
        let prepared = self.session.prepare(&parsed.statement)?;
        if !prepared.repeatable {
            return Ok(None);
        }
        let rows = self.session.stream(prepared)?.collect::<Result<Vec<RecordBatch>>>()?;
        let row = rows.iter().find(|batch| batch.num_rows() == 1);
        let row = row.ok_or_else(|| Error::internal("a default without a value"))?;
        Ok(Some(Scalar::from_array(row.column(0).as_ref(), 0)?))
    }

    fn drop(mut self, gone: &[usize]) -> Result<TableVersion> {
        let left: Vec<usize> = (0..self.schema.len()).filter(|c| !gone.contains(c)).collect();
        if left.is_empty() {
            let message = format!("the table '{}' would have no columns", self.target.alias.value);
            return Err(Error::new(ErrorKind::Catalog, message));
        }
        let place = |column: usize| left.iter().position(|&other| other == column);
        for key in &mut self.rules.keys {
            if let Some(&column) = key.columns.iter().find(|column| gone.contains(column)) {
                let name = &self.schema.columns[column].name;
                let message =
                    format!("the column '{name}' is needed by {}", key.describe(&self.schema));
                return Err(Error::new(ErrorKind::Catalog, message));
            }
            key.columns = key.columns.iter().filter_map(|&column| place(column)).collect();
        }
        for index in &mut self.rules.indexes {
            if let Some(&column) = gone.iter().find(|&&column| index.uses(column)) {
                let name = &self.schema.columns[column].name;
                let message =
                    format!("the column '{name}' is needed by {}", index.describe(&self.schema));
                return Err(Error::new(ErrorKind::Catalog, message).with_hint("DROP INDEX first"));
            }
            if let Some(moved) = index.with_columns(place) {
                *index = moved;
            }
        }
        for &column in gone {
            let name = &self.schema.columns[column].name;
            for check in &self.rules.checks {
                if rules::names_column(&check.sql, name)? {
                    let message = format!("the column '{name}' is needed by CHECK ({})", check.sql);
                    return Err(Error::new(ErrorKind::Catalog, message));
                }
            }
        }
        let defaults = std::mem::take(&mut self.rules.defaults).into_iter();
        self.rules.defaults = defaults.filter_map(|(c, text)| Some((place(c)?, text))).collect();
        let columns = left.iter().map(|&column| self.schema.columns[column].clone());
        self.schema = Schema::new(columns.collect());
        let from: Vec<NewColumn> = left.iter().map(|&column| NewColumn::Old(column)).collect();
        self.table(&from)
    }

    fn rename(mut self, old: &Ident, new: &str) -> Result<TableVersion> {
        let column = self.find(old)?;
        let old = std::mem::replace(&mut self.schema.columns[column].name, new.to_owned());
        for check in &mut self.rules.checks {
            if rules::names_column(&check.sql, &old)? {
                check.sql = rules::with_column_renamed(&check.sql, &old, new)?;
            }
        }
        let from = self.all();
        self.table(&from)
    }

    fn alter(mut self, column: usize, op: &AlterColumnOperation) -> Result<TableVersion> {
        let from = self.all();
        match op {
            AlterColumnOperation::SetNotNull => {
                self.refuse_nulls(column)?;
                self.schema.columns[column].nullable = false;
                self.table(&from)
            }
            AlterColumnOperation::DropNotNull => {
                if self.rules.keys.iter().any(|key| key.primary && key.columns.contains(&column)) {
                    let name = &self.schema.columns[column].name;
                    let message = format!("the column '{name}' is of the PRIMARY KEY: NOT NULL");
                    return Err(Error::new(ErrorKind::Catalog, message));
                }
                self.schema.columns[column].nullable = true;
                self.table(&from)
            }
            AlterColumnOperation::SetDefault { value } => {
                let text = rules::default(self.session, &self.schema.columns[column], value)?;
                self.rules.defaults.insert(column, text);
                self.table(&from)
            }
            AlterColumnOperation::DropDefault => {
                self.rules.defaults.remove(&column);
                self.table(&from)
            }
            AlterColumnOperation::SetDataType { data_type, using, .. } => {
                self.retype(column, data_type, using.as_ref())
            }
            other => Err(Error::unsupported(format!("ALTER COLUMN ... {other}"))),
        }
    }

    fn constrain(mut self, constraint: &TableConstraint) -> Result<TableVersion> {
        let (keys, checks) = (self.rules.keys.len(), self.rules.checks.len());
        let table = self.target.alias.value.clone();
        rules::add(self.session, &mut self.schema, &mut self.rules, &table, constraint)?;
        rules::check_conditions(self.session, &table, &self.schema, &self.rules)?;
        for key in self.rules.keys[keys..].iter().filter(|key| key.primary) {
            key.columns.iter().try_for_each(|&column| self.refuse_nulls(column))?;
        }
        if self.rules.checks.len() > checks {
            let all = self.rewritten_segments(self.columns(), &Arc::new(self.schema.clone()))?;
            let schema = Arc::new(self.schema.clone());
            rules::enforce(self.session, &self.target.name, &self.rules, &schema, &all)?;
        }
        let from = self.all();
        self.table(&from)
    }

    fn unconstrain(mut self, name: &Ident, if_exists: bool) -> Result<Option<TableVersion>> {
        let is = |named: &Option<String>| {
            named.as_ref().is_some_and(|named| named.eq_ignore_ascii_case(&name.value))
        };
        let before = self.rules.clone();
        self.rules.keys.retain(|key| !is(&key.name));
        self.rules.checks.retain(|check| !is(&check.name));
        if self.rules == before {
            let table = &self.target.alias.value;
            let message = format!("the table '{table}' has no constraint '{}'", name.value);
            return if if_exists { Ok(None) } else { Err(Error::new(ErrorKind::Name, message)) };
        }
        let from = self.all();
        self.table(&from).map(Some)
    }

    fn columns(&self) -> Vec<Expr> {
        self.schema.columns.iter().map(|column| self.target.column(&column.name)).collect()
    }

    /// A query over the table as it is.
    fn over(&self, items: Vec<Expr>, selection: Option<Expr>) -> Statement {
        let mut select = select_all(self.target.factor());
        let item = |(number, expr): (usize, Expr)| SelectItem::ExprWithAlias {
            expr,
            alias: Ident::with_quote('"', format!("c{number}")),
        };
        select.projection = items.into_iter().enumerate().map(item).collect();
        select.selection = selection;
        query(None, SetExpr::Select(Box::new(select)))
    }

    fn refuse_nulls(&self, column: usize) -> Result<()> {
        let name = &self.schema.columns[column].name;
        let is_null = Expr::IsNull(Box::new(self.target.column(name)));
        let statement = self.over(vec![self.target.column(name)], Some(is_null));
        let session = self.session.reading(Arc::clone(&self.target.table) as Arc<_>);
        for batch in session.stream(session.prepare(&statement)?)? {
            if batch?.num_rows() > 0 {
                let message =
                    format!("the column '{name}' cannot be NOT NULL: a row has NULL there");
                return Err(Error::new(ErrorKind::Value, message));
            }
        }
        Ok(())
    }

    /// The table with the values of a column in another type.
    fn retype(
        mut self,
        column: usize,
        data_type: &DataType,
        using: Option<&Expr>,
    ) -> Result<TableVersion> {
        let mut items = self.columns();
        items[column] = Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(using.cloned().unwrap_or_else(|| items[column].clone())),
            data_type: data_type.clone(),
            array: false,
            format: None,
        };
        let statement = self.over(items.clone(), None);
        let session = self.session.reading(Arc::clone(&self.target.table) as Arc<_>);
        let types = create::result_schema(&session.prepare(&statement)?)?;
        self.schema.columns[column].ty = types.columns[column].ty.clone();
        if let Some(text) = self.rules.defaults.get(&column) {
            let changed = &self.schema.columns[column];
            let (name, ty) = (&changed.name, changed.ty.to_string());
            self.constant(text, &ty).map_err(|error| {
                let message =
                    format!("DEFAULT {text} of the column '{name}' is no {ty}: {}", error.message);
                Error { message, span: None, ..error }
                    .with_hint("ALTER TABLE ... ALTER COLUMN ... DROP DEFAULT, or set another one")
            })?;
        }
        rules::check_conditions(self.session, &self.target.name, &self.schema, &self.rules)?;
        self.rewritten(items)
    }

    fn rewritten_segments(
        &self,
        items: Vec<Expr>,
        schema: &Arc<Schema>,
    ) -> Result<Vec<Arc<stoadb_storage::Segment>>> {
        let session = self.session.reading(Arc::clone(&self.target.table) as Arc<_>);
        let prepared = session.prepare(&self.over(items, None))?;
        self.target.write(self.session, prepared, schema)
    }

    /// The table with the values that expressions over it give.
    fn rewritten(self, items: Vec<Expr>) -> Result<TableVersion> {
        let schema = Arc::new(self.schema.clone());
        let segments = self.rewritten_segments(items, &schema)?;
        rules::enforce(self.session, &self.target.name, &self.rules, &schema, &segments)?;
        let table = TableVersion::new(schema, &segments)?;
        let workers = self.session.workers()?;
        self.target.ruled(table.with_rules(Arc::new(self.rules), &workers))
    }
}
