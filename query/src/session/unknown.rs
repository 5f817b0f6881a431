//! The names that a statement reads from and that the catalog does not know: for hosts whose variables are tables.
//!
//! Invariant: only bare names are given, never those of WITH, of files or of functions, each once.
//! Next: `connection.rs`.

use std::ops::ControlFlow;

use crate::{
    planner::{Catalog, ObjectNameParts},
    session::names::Names,
    sql::{
        ast::{CopySource, ObjectName, ObjectNamePart, Query, Statement, TableFactor, VisitorMut},
        names::fold,
        visit::WalkMut,
    },
};

/// The names, as they are written, in their order.
pub(crate) fn unknown(names: &Names<'_>, statement: &Statement) -> Vec<String> {
    let mut found = Collector::default();
    // What a statement makes or fills is not read.
    match statement.clone() {
        Statement::CreateTable(create) => found.visit(create.query),
        Statement::CreateView(create) => found.visit(Some(create.query)),
        Statement::Insert(insert) => found.visit(insert.source),
        Statement::ExplainTable { table_name, .. } => found.add(&table_name),
        Statement::Copy { source, to: true, .. } => match source {
            CopySource::Table { table_name, .. } => found.add(&table_name),
            CopySource::Query(query) => found.visit(Some(query)),
        },
        mut statement @ (Statement::Query(_)
        | Statement::Delete(_)
        | Statement::Update(_)
        | Statement::Merge(_)
        | Statement::Explain { .. }) => {
            let _ = statement.walk_mut(&mut found);
        }
        _ => {}
    }
    let is_unknown = |name: &String| {
        let parts = ObjectNameParts::unquoted(vec![name.clone()]);
        !found.given.contains(&fold(name)) && matches!(names.relation(&parts), Ok(None))
    };
    found.read.iter().filter(|name| is_unknown(name)).cloned().collect()
}

/// Collects the names that are read, and those that WITH gives.
#[derive(Default)]
struct Collector {
    read: Vec<String>,
    given: Vec<String>,
    /// Whether the name that comes next is a function's.
    of_function: bool,
}

impl Collector {
    fn visit(&mut self, query: Option<Box<Query>>) {
        if let Some(mut query) = query {
            let _ = query.walk_mut(self);
        }
    }

    fn add(&mut self, name: &ObjectName) {
        let [ObjectNamePart::Identifier(last)] = name.0.as_slice() else { return };
        // Files stand in quotes or, once they are requests, under names that nobody types.
        let is_file = last.quote_style == Some('\'') || last.value.starts_with(char::is_control);
        if !is_file && !self.read.contains(&last.value) {
            self.read.push(last.value.clone());
        }
    }
}

impl VisitorMut for Collector {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.given.extend(ctes.map(|cte| fold(&cte.alias.name.value)));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        self.of_function = matches!(factor, TableFactor::Table { args: Some(_), .. });
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<()> {
        if !std::mem::take(&mut self.of_function) {
            self.add(name);
        }
        ControlFlow::Continue(())
    }
}
