//! JOIN ... USING and NATURAL JOIN become JOIN ... ON.
//!
//! Why: the planner library takes the merged column from whichever table sorts first by name, which is NULL for
//! unmatched rows of an outer join. Here the merged column is the left one of inner and left joins, the right one of
//! right joins, and the first that is not NULL of full joins; `*` shows merged columns first, as in PostgreSQL.
//! Invariant: afterwards no USING is left. Runs on folded identifiers (`names.rs`).

use std::ops::ControlFlow;

use datafusion_common::{HashMap, HashSet};
use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Cte, ExcludeSelectItem, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, JoinConstraint, JoinOperator, ObjectName,
    ObjectNamePart, OrderBy, OrderByExpr, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Spanned, Statement, TableAlias, TableFactor,
    TableWithJoins, Value, VisitMut, VisitorMut, WildcardAdditionalOptions, With,
    helpers::attached_token::AttachedToken,
};

use crate::{
    error::{Error, ErrorKind, Result},
    planner::IN_VIEW,
    sql::{
        asof, friendly,
        names::{EXACT, constraint_mut, unmark},
        parse::place,
        rewrite::{query_of, select_all},
        visit::WalkMut,
        walk, whole_rows,
    },
};

/// Tells the columns of a table in FROM, given the CTEs in scope.
pub type Columns<'a> = dyn Fn(&TableFactor, Vec<Cte>) -> Result<Vec<String>> + 'a;

/// Rewrites every USING and NATURAL of a statement; with `rows`, names of tables stand for their rows where no column has them.
///
/// # Errors
/// `Name` when a column is missing on one side or ambiguous on the left.
pub fn rewrite(statement: &mut Statement, columns: &Columns<'_>, rows: bool) -> Result<()> {
    let mut rewriter = Rewriter { columns, scopes: Vec::new(), fresh: 0, rows, depth: 0 };
    rewriter.rewrite(statement)
}

/// How deeply tables of FROM are rewritten to learn their columns.
const DEPTH: usize = 6;

impl Rewriter<'_> {
    fn rewrite(&mut self, statement: &mut Statement) -> Result<()> {
        match statement.walk_mut(self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// The columns of a table, which may need these rewrites itself.
    fn columns(&self, factor: &TableFactor, ctes: Vec<Cte>) -> Result<Vec<String>> {
        let first = (self.columns)(factor, ctes.clone());
        let in_view = |error: &Error| error.message.starts_with(IN_VIEW);
        if first.is_ok() || self.depth == DEPTH || first.as_ref().is_err_and(in_view) {
            return first;
        }
        let mut probe = probe(factor, ctes);
        let (columns, rows, depth) = (self.columns, self.rows, self.depth + 1);
        let mut inner = Rewriter { columns, scopes: Vec::new(), fresh: self.fresh, rows, depth };
        if inner.rewrite(&mut probe).is_err() {
            return first;
        }
        let Statement::Query(query) = probe else { return first };
        let SetExpr::Select(select) = *query.body else { return first };
        let ctes = query.with.map_or_else(Vec::new, |with| with.cte_tables);
        match select.from.first() {
            Some(table) => (self.columns)(&table.relation, ctes).or(first),
            None => first,
        }
    }
}

/// The query that shows the columns of a table: `WITH ctes SELECT * FROM factor`.
pub fn probe(factor: &TableFactor, ctes: Vec<Cte>) -> Statement {
    let select = select_all(factor.clone());
    let with = (!ctes.is_empty()).then(|| With {
        with_token: AttachedToken::empty(),
        recursive: false,
        cte_tables: ctes,
    });
    Statement::Query(Box::new(Query { with, ..query_of(SetExpr::Select(Box::new(select))) }))
}

struct Rewriter<'a> {
    columns: &'a Columns<'a>,
    scopes: Vec<Scope>,
    fresh: usize,
    /// Whether names of tables stand for their rows.
    rows: bool,
    /// How many statements it takes to learn columns this one is within.
    depth: usize,
}

/// The CTEs of a query around the place where the rewriter is.
struct Scope {
    ctes: Vec<Cte>,
    /// Where the query of each CTE lies, to know it when the visitor comes by.
    places: Vec<*const Query>,
    /// How many are visible: within a CTE, those before it.
    visible: usize,
    /// What was visible of the scope around this one.
    outer_visible: usize,
}

/// A column of the joined tables so far: its name and what it is.
pub type Joined = Vec<(String, Expr)>;

impl VisitorMut for Rewriter<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let mut outer_visible = 0;
        if let Some(outer) = self.scopes.last_mut() {
            outer_visible = outer.visible;
            let here: *const Query = query;
            if let Some(cte) = outer.places.iter().position(|place| std::ptr::eq(*place, here)) {
                outer.visible = cte;
            }
        }
        let ctes = query.with.as_ref().map_or(&[][..], |with| &with.cte_tables);
        self.scopes.push(Scope {
            ctes: ctes.to_vec(),
            places: ctes.iter().map(|cte| std::ptr::from_ref(cte.query.as_ref())).collect(),
            visible: ctes.len(),
            outer_visible,
        });
        let SetExpr::Select(select) = query.body.as_mut() else { return ControlFlow::Continue(()) };
        let mut none = Vec::new();
        let keys = match query.order_by.as_mut().map(|order_by| &mut order_by.kind) {
            Some(OrderByKind::Expressions(keys)) => keys,
            _ => &mut none,
        };
        if let Err(error) = self.select(select, keys) {
            return ControlFlow::Break(error);
        }
        if self.rows
            && let Some(OrderBy { kind, .. }) = &mut query.order_by
            && let OrderByKind::All(options) = kind
            && let Ok(all) = self.columns_of(select)
        {
            // By position: names may be those of several columns.
            let options = *options;
            let key = |position: usize| OrderByExpr {
                expr: Expr::Value(Value::Number(position.to_string(), false).into()),
                options,
                with_fill: None,
            };
            *kind = OrderByKind::Expressions((1..=width(select, &all)).map(key).collect());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        if let Some(scope) = self.scopes.pop()
            && let Some(outer) = self.scopes.last_mut()
        {
            outer.visible = scope.outer_visible;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        match self.select(select, &mut []) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn uses(table: &TableWithJoins) -> bool {
    table.joins.iter().any(|join| {
        let mut operator = join.join_operator.clone();
        matches!(
            constraint_mut(&mut operator),
            Some(JoinConstraint::Using(_) | JoinConstraint::Natural)
        )
    })
}

impl Rewriter<'_> {
    fn select(&mut self, select: &mut Select, order_by: &mut [OrderByExpr]) -> Result<()> {
        let (patterns, aliases) =
            (friendly::has_patterns(select), friendly::reuses_aliases(select));
        let tables = if self.rows { whole_rows::named(select, order_by) } else { HashSet::new() };
        if patterns || aliases || !tables.is_empty() {
            match self.columns_of(select) {
                Ok(all) => {
                    friendly::expand(select, &all)?;
                    friendly::reuse_aliases(select, &all);
                    if !select.from.iter().any(uses) {
                        whole_rows::replace(select, order_by, &all, &tables);
                    }
                }
                Err(error) if patterns => return Err(error),
                // Whatever is wrong with FROM, the planner says it.
                Err(_) => {}
            }
        }
        if !select.from.iter().any(uses) {
            return Ok(());
        }
        let mut all: Joined = Vec::new();
        let mut merged: HashMap<String, Expr> = HashMap::new();
        for table in &mut select.from {
            all.extend(self.table(table, &mut merged)?);
        }
        expand_wildcards(select, &all);
        let aliases: HashSet<String> = select.projection.iter().filter_map(alias_of).collect();
        for item in &mut select.projection {
            name_merged(item, &merged);
        }
        replace_merged(select, &merged);
        for key in order_by {
            let by_alias =
                matches!(&key.expr, Expr::Identifier(ident) if aliases.contains(&ident.value));
            if !by_alias {
                replace_merged(&mut key.expr, &merged);
            }
        }
        Ok(())
    }

    /// The columns of FROM as `*` shows them; FROM itself keeps its form, but for names of derived tables.
    fn columns_of(&mut self, select: &mut Select) -> Result<Joined> {
        let mut all: Joined = Vec::new();
        let using = select.from.iter().any(uses);
        for table in &mut select.from {
            if using {
                all.extend(self.table(&mut table.clone(), &mut HashMap::new())?);
                continue;
            }
            all.extend(self.factor(&mut table.relation)?);
            for join in &mut table.joins {
                let one_sided = matches!(
                    join.join_operator,
                    JoinOperator::LeftSemi(_) | JoinOperator::LeftAnti(_)
                );
                let right = self.factor(&mut join.relation)?;
                if !one_sided {
                    all.extend(right);
                }
            }
        }
        Ok(all)
    }

    /// The columns of one item of FROM; its USING become ON.
    fn table(
        &mut self,
        table: &mut TableWithJoins,
        merged: &mut HashMap<String, Expr>,
    ) -> Result<Joined> {
        let mut joined = self.factor(&mut table.relation)?;
        for join in &mut table.joins {
            let right = self.factor(&mut join.relation)?;
            let relation = join.relation.span();
            let operator = &mut join.join_operator;
            let kind = operator.clone();
            let one_sided = matches!(kind, JoinOperator::LeftSemi(_) | JoinOperator::LeftAnti(_));
            let Some(constraint) = constraint_mut(operator) else {
                joined.extend(right);
                continue;
            };
            let keys: Vec<(String, _)> = match constraint {
                JoinConstraint::Using(names) => {
                    names.iter().map(|name| (last(name), name.span())).collect()
                }
                JoinConstraint::Natural => {
                    let on_right = |name: &&String| right.iter().any(|(other, _)| other == *name);
                    let names = joined.iter().map(|(name, _)| name).filter(on_right);
                    names.map(|name| (name.clone(), relation)).collect()
                }
                _ => {
                    if !one_sided {
                        joined.extend(right);
                    }
                    continue;
                }
            };
            let mut condition: Option<Expr> = None;
            let mut firsts: Joined = Vec::new();
            let asof = std::mem::take(&mut join.global);
            for (at, (key, span)) in keys.iter().enumerate() {
                let left = one(&joined, key, "left").map_err(|e| e.or_span(place(*span)))?;
                let other = one(&right, key, "right").map_err(|e| e.or_span(place(*span)))?;
                let compared = match asof && at + 1 == keys.len() {
                    true => asof::at_or_before(left.clone(), other.clone()),
                    false => equal(left.clone(), other.clone()),
                };
                condition = Some(and(condition, compared));
                let value = match kind {
                    JoinOperator::Right(_) | JoinOperator::RightOuter(_) => other,
                    JoinOperator::FullOuter(_) => coalesce(left, other),
                    _ => left,
                };
                merged.insert(key.clone(), value.clone());
                firsts.push((key.clone(), value));
            }
            let condition = condition.unwrap_or_else(|| Expr::Value(Value::Boolean(true).into()));
            let condition = if asof { asof::marked(condition) } else { condition };
            *constraint = JoinConstraint::On(condition);
            if one_sided {
                continue;
            }
            let rest = |side: Joined| {
                side.into_iter()
                    .filter(|(name, _)| !keys.iter().any(|(key, _)| key == name))
                    .collect::<Joined>()
            };
            firsts.extend(rest(joined));
            firsts.extend(rest(right));
            joined = firsts;
        }
        Ok(joined)
    }

    /// The columns of a table, each as `alias.column`.
    fn factor(&mut self, factor: &mut TableFactor) -> Result<Joined> {
        let span = factor.span();
        let unsupported = || {
            Err(Error::unsupported("this form of a table beside USING, NATURAL, RENAME or COLUMNS")
                .or_span(place(span)))
        };
        let mut scope: Vec<Cte> = Vec::new();
        for cte in self.scopes.iter().flat_map(|scope| &scope.ctes[..scope.visible]) {
            scope.retain(|known| known.alias.name.value != cte.alias.name.value);
            scope.push(cte.clone());
        }
        let names = match factor {
            TableFactor::Derived { lateral: true, .. } => return unsupported(),
            TableFactor::Table { .. } | TableFactor::Derived { .. } => {
                self.columns(factor, scope)?
            }
            _ => return unsupported(),
        };
        let qualifier = match factor {
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. } => alias.name.value.clone(),
            TableFactor::Table { name, .. } => last(name),
            TableFactor::Derived { alias, .. } => {
                let name = format!("{EXACT}join{}", self.fresh);
                self.fresh += 1;
                let ident = Ident::with_quote('"', name.clone());
                *alias =
                    Some(TableAlias { explicit: true, name: ident, columns: Vec::new(), at: None });
                name
            }
            _ => return unsupported(),
        };
        Ok(names.into_iter().map(|name| (name.clone(), column(&qualifier, &name))).collect())
    }
}

/// The last part of a name.
pub fn last(name: &ObjectName) -> String {
    name.0.last().and_then(ObjectNamePart::as_ident).map_or(String::new(), |i| i.value.clone())
}

fn column(qualifier: &str, name: &str) -> Expr {
    let parts = [qualifier, name].map(|part| Ident::with_quote('"', part));
    Expr::CompoundIdentifier(parts.to_vec())
}

fn one(side: &Joined, name: &str, which: &str) -> Result<Expr> {
    let mut found = side.iter().filter(|(other, _)| other == name);
    match (found.next(), found.next()) {
        (Some((_, expr)), None) => Ok(expr.clone()),
        (None, _) => {
            let message =
                format!("there is no column \"{}\" on the {which} side of the join", unmark(name));
            Err(Error::new(ErrorKind::Name, message))
        }
        (Some(_), Some(_)) => {
            let message = format!(
                "the column \"{}\" is ambiguous on the {which} side of the join",
                unmark(name)
            );
            Err(Error::new(ErrorKind::Name, message))
        }
    }
}

fn equal(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::Eq, right: Box::new(right) }
}

fn and(condition: Option<Expr>, more: Expr) -> Expr {
    match condition {
        None => more,
        Some(left) => {
            Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::And, right: Box::new(more) }
        }
    }
}

fn coalesce(left: Expr, right: Expr) -> Expr {
    let args = [left, right].map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("coalesce")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.to_vec(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn alias_of(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        _ => None,
    }
}

/// A merged column that is computed keeps its name.
fn name_merged(item: &mut SelectItem, merged: &HashMap<String, Expr>) {
    if let SelectItem::UnnamedExpr(Expr::Identifier(ident)) = item
        && matches!(merged.get(&ident.value), Some(Expr::Function(_)))
    {
        let alias = ident.clone();
        *item = SelectItem::ExprWithAlias { expr: Expr::Identifier(ident.clone()), alias };
    }
}

/// The item of SELECT that shows a column.
pub fn item_of(name: &str, expr: Expr) -> SelectItem {
    match expr {
        Expr::CompoundIdentifier(_) => SelectItem::UnnamedExpr(expr),
        expr => SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) },
    }
}

/// How many columns a SELECT list has.
fn width(select: &Select, all: &Joined) -> usize {
    let left = |excluded: Vec<String>, table: Option<String>| {
        let shown = |(name, column): &&(String, Expr)| {
            let of_table = table.as_ref().is_none_or(|table| {
                matches!(column, Expr::CompoundIdentifier(parts)
                    if parts.first().is_some_and(|part| part.value == *table))
            });
            of_table && !excluded.contains(name)
        };
        all.iter().filter(shown).count()
    };
    let of_item = |item: &SelectItem| match item {
        SelectItem::Wildcard(options) => left(excluded(options), None),
        SelectItem::QualifiedWildcard(
            SelectItemQualifiedWildcardKind::ObjectName(name),
            options,
        ) => left(excluded(options), Some(last(name))),
        _ => 1,
    };
    select.projection.iter().map(of_item).sum()
}

fn expand_wildcards(select: &mut Select, all: &Joined) {
    let items = std::mem::take(&mut select.projection);
    for item in items {
        match item {
            SelectItem::Wildcard(options) => {
                let excluded = excluded(&options);
                for (name, expr) in all.iter().filter(|(name, _)| !excluded.contains(name)) {
                    let replaced = options.opt_replace.as_ref().and_then(|replace| {
                        replace.items.iter().find(|item| item.column_name.value == *name)
                    });
                    select.projection.push(match replaced {
                        Some(item) => SelectItem::ExprWithAlias {
                            expr: item.expr.clone(),
                            alias: item.column_name.clone(),
                        },
                        None => item_of(name, expr.clone()),
                    });
                }
            }
            item => select.projection.push(item),
        }
    }
}

/// The names that a wildcard leaves out.
pub fn excluded(options: &WildcardAdditionalOptions) -> Vec<String> {
    let mut names = match &options.opt_exclude {
        Some(ExcludeSelectItem::Single(name)) => vec![last(name)],
        Some(ExcludeSelectItem::Multiple(names)) => names.iter().map(last).collect(),
        None => Vec::new(),
    };
    if let Some(except) = &options.opt_except {
        names.push(except.first_element.value.clone());
        names.extend(except.additional_elements.iter().map(|ident| ident.value.clone()));
    }
    names
}

/// Puts merged columns in the place of their names, outside of subqueries.
fn replace_merged(node: &mut impl VisitMut, merged: &HashMap<String, Expr>) {
    walk::replace_names(node, |ident| {
        let mut expr = merged.get(&ident.value)?.clone();
        if let Expr::CompoundIdentifier(parts) = &mut expr {
            parts.iter_mut().for_each(|part| part.span = ident.span);
        }
        Some(expr)
    });
}
