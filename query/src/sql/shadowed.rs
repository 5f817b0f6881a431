//! WITH within a query that gives a name which is given around it, too: the inner one gets another name, for the planner
//! library takes both for one.
//!
//! Invariant: relations keep the names under which expressions know them. Runs on written identifiers. Next: `using.rs`.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Ident, ObjectName, Query, Statement, TableAlias, TableFactor, VisitorMut,
};

use crate::sql::{
    names::{EXACT, fold},
    visit::WalkMut,
};

/// Renames what is shadowed; whether there was something.
pub fn rename(statement: &mut Statement) -> bool {
    let mut finder = Finder { scopes: Vec::new(), renamed: 0 };
    let _ = statement.walk_mut(&mut finder);
    finder.renamed > 0
}

struct Finder {
    /// The names that WITH gives in each query around.
    scopes: Vec<Vec<String>>,
    renamed: usize,
}

fn names_of(query: &Query) -> Vec<String> {
    let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
    ctes.map(|cte| fold(&cte.alias.name.value)).collect()
}

impl VisitorMut for Finder {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let names = names_of(query);
        for name in &names {
            if !self.scopes.iter().flatten().any(|outer| outer == name) {
                continue;
            }
            self.renamed += 1;
            let new = format!("{EXACT}with{}", self.renamed);
            let mut references = References { name, new: &new, depth: 0, hidden: 0 };
            let _ = query.walk_mut(&mut references);
            let ctes = query.with.iter_mut().flat_map(|with| &mut with.cte_tables);
            for cte in ctes.filter(|cte| fold(&cte.alias.name.value) == *name) {
                cte.alias.name = Ident::with_quote('"', new.clone());
            }
        }
        self.scopes.push(names);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }
}

/// Puts the new name in the place of the old one, but where it is given once more.
struct References<'a> {
    name: &'a str,
    new: &'a str,
    depth: usize,
    /// How many queries around give the name once more.
    hidden: usize,
}

impl References<'_> {
    fn gives(&self, query: &Query) -> usize {
        usize::from(self.depth > 0 && names_of(query).iter().any(|name| name == self.name))
    }
}

impl VisitorMut for References<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.hidden += self.gives(query);
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        self.hidden -= self.gives(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if self.hidden > 0 {
            return ControlFlow::Continue(());
        }
        if let TableFactor::Table { name, alias, args: None, .. } = factor
            && let [part] = name.0.as_slice()
            && let Some(ident) = part.as_ident()
            && fold(&ident.value) == self.name
        {
            let shown = ident.clone();
            alias.get_or_insert_with(|| TableAlias {
                explicit: true,
                name: shown,
                columns: Vec::new(),
                at: None,
            });
            *name = ObjectName::from(vec![Ident::with_quote('"', self.new)]);
        }
        ControlFlow::Continue(())
    }
}
