//! Identifiers: they match without regard to case, and results show them as they were declared.
//!
//! How: every identifier of a statement is folded to lower case and relations show folded column names to the planner
//! library, so that its exact comparison is ours. The declared spelling comes back through `Spelling` and the
//! relations' schemas. Two marks, which cannot be typed in an identifier, keep names apart that fold alike:
//! - `\u{1}`: a column of a relation in which another column differs only by case: `a\u{1}A` is the column "A";
//! - `\u{2}`: a repeated name of a SELECT list: `a\u{2}3` is the third item, named `a` again.
//!
//! Invariant: after `fold_statement` no identifier holds an upper-case letter outside of a mark.
//! Next: `planner/output.rs`, which restores the spelling.

use std::ops::ControlFlow;

use datafusion_common::{HashMap, HashSet};
use datafusion_sql::sqlparser::ast::{
    Cte, ExcludeSelectItem, Expr, Function, FunctionArg, Ident, JoinConstraint, JoinOperator,
    NamedWindowExpr, ObjectName, ObjectNamePart, OrderByExpr, OrderByKind, Query, RenameSelectItem,
    Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Spanned, Statement, TableAlias,
    TableFactor, TableWithJoins, VisitorMut, WildcardAdditionalOptions, WindowType,
};

use crate::sql::{calls::taken, visit::WalkMut};

/// Stands between a folded name and its exact spelling.
pub const EXACT: char = '\u{1}';
/// Stands between a name and the position of its repetition.
pub const REPEATED: char = '\u{2}';
/// Stands before the name of a lambda's parameter.
pub const PARAMETER: char = '\u{3}';
/// Most characters of an expression that name its output column.
const NAME_LENGTH: usize = 200;

/// The name under which names that differ only by case are equal.
pub fn fold(name: &str) -> String {
    name.to_lowercase()
}

/// The folded name of a column whose name differs from a sibling's only by case.
pub fn exact(name: &str) -> String {
    format!("{}{EXACT}{name}", fold(name))
}

/// A name as the user knows it: without our marks.
pub fn unmark(name: &str) -> &str {
    let name = name.split_once(REPEATED).map_or(name, |(name, _)| name);
    let name = name.split_once(EXACT).map_or(name, |(_, exact)| exact);
    name.trim_start_matches(PARAMETER)
}

/// A text of the planner library without our marks.
pub fn unmark_text(text: &str) -> String {
    if !text.contains([EXACT, REPEATED, PARAMETER]) {
        return text.to_owned();
    }
    let is_name =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | EXACT | REPEATED | PARAMETER);
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().chain(std::iter::once(' ')) {
        if is_name(c) {
            word.push(c);
            continue;
        }
        out.push_str(unmark(&word));
        word.clear();
        out.push(c);
    }
    out.pop();
    out
}

/// How the aliases of a statement were spelled, by their folded form. The first spelling of the text counts.
#[derive(Debug, Default, Clone)]
pub struct Spelling {
    aliases: HashMap<String, String>,
}

impl Spelling {
    /// The spelling of an alias; `None` when the text gives none.
    pub fn get(&self, folded: &str) -> Option<&str> {
        self.aliases.get(folded).map(String::as_str)
    }

    /// The spelling of a name that may be marked as a repetition, which has its own.
    pub fn of(&self, name: &str) -> Option<&str> {
        self.get(name).or_else(|| self.get(unmark(name)))
    }

    /// Adds the spellings of a view.
    pub fn extend(&mut self, other: Self) {
        for (folded, spelled) in other.aliases {
            self.remember(&folded, &spelled);
        }
    }

    /// Adds a spelling unless there is one.
    pub fn remember(&mut self, folded: &str, spelled: &str) {
        if !self.aliases.contains_key(folded) {
            self.aliases.insert(folded.to_owned(), spelled.to_owned());
        }
    }
}

/// Folds all identifiers of a statement and names every output column. `clashing` holds the exact names of columns that
/// differ from a sibling only by case. With `rename_all`, every alias that might meet a column of a wildcard is made
/// unique: for statements that fail otherwise.
pub fn fold_statement(
    statement: &mut Statement,
    clashing: &HashSet<String>,
    rename_all: bool,
) -> Spelling {
    let mut folder =
        Folder { clashing, rename_all, spelling: Spelling::default(), in_expression: 0 };
    let _ = statement.walk_mut(&mut folder);
    folder.spelling
}

struct Folder<'a> {
    clashing: &'a HashSet<String>,
    rename_all: bool,
    spelling: Spelling,
    /// How many subqueries of expressions we are in: their columns' names show nowhere.
    in_expression: usize,
}

impl Folder<'_> {
    fn fold(&self, ident: &mut Ident) {
        let quoted = ident.quote_style == Some('"');
        if quoted && self.clashing.contains(&ident.value) {
            ident.value = exact(&ident.value);
        } else if !ident.value.contains([EXACT, REPEATED]) {
            ident.value = fold(&ident.value);
        }
        ident.quote_style = Some('"');
    }

    fn fold_alias(&mut self, ident: &mut Ident) {
        if ident.value.contains([EXACT, REPEATED]) {
            return;
        }
        let folded = fold(&ident.value);
        self.spelling.remember(&folded, &ident.value);
        ident.value = folded;
        ident.quote_style = Some('"');
    }

    fn fold_name(&self, name: &mut ObjectName) {
        for part in &mut name.0 {
            if let ObjectNamePart::Identifier(ident) = part {
                self.fold(ident);
            }
        }
    }

    fn fold_table_alias(&mut self, alias: &mut Option<TableAlias>) {
        if let Some(alias) = alias {
            self.fold_alias(&mut alias.name);
            for column in &mut alias.columns {
                self.fold_alias(&mut column.name);
            }
        }
    }

    fn fold_joins(&self, tables: &mut [TableWithJoins]) {
        for join in tables.iter_mut().flat_map(|table| &mut table.joins) {
            if let Some(JoinConstraint::Using(names)) = constraint_mut(&mut join.join_operator) {
                names.iter_mut().for_each(|name| self.fold_name(name));
            }
        }
    }

    fn fold_wildcard(&mut self, options: &mut WildcardAdditionalOptions) {
        match &mut options.opt_exclude {
            Some(ExcludeSelectItem::Single(name)) => self.fold_name(name),
            Some(ExcludeSelectItem::Multiple(names)) => {
                names.iter_mut().for_each(|name| self.fold_name(name));
            }
            None => {}
        }
        if let Some(except) = &mut options.opt_except {
            self.fold(&mut except.first_element);
            except.additional_elements.iter_mut().for_each(|ident| self.fold(ident));
        }
        if let Some(replace) = &mut options.opt_replace {
            replace.items.iter_mut().for_each(|item| self.fold(&mut item.column_name));
        }
        let renames = match &mut options.opt_rename {
            Some(RenameSelectItem::Single(rename)) => std::slice::from_mut(rename),
            Some(RenameSelectItem::Multiple(renames)) => renames.as_mut_slice(),
            None => &mut [],
        };
        for rename in renames {
            self.fold(&mut rename.ident);
            self.fold_alias(&mut rename.alias);
        }
    }

    /// Names the items of a SELECT list so that all names differ; ORDER BY follows the new names.
    fn name_items(&mut self, select: &mut Select, order_by: &mut [OrderByExpr]) {
        let wildcard = select.projection.iter().any(|item| {
            matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
        });
        // A bare name in ORDER BY is an alias first; the input's column of that name is another.
        let aliases: HashSet<String> = select.projection.iter().filter_map(alias).collect();
        let mut seen: HashMap<String, String> = HashMap::new();
        for position in 0..select.projection.len() {
            let item = &mut select.projection[position];
            let Some((name, text, spelled)) = self.item_name(item) else { continue };
            let column = matches!(item, SelectItem::UnnamedExpr(_)) && spelled.is_none();
            // The same column of two tables is told apart by its table; everything else needs a name of its own.
            let taken = seen.get(&name).is_some_and(|before| {
                !column || *before == text || !before.contains('.') || self.rename_all
            });
            seen.entry(name.clone())
                .or_insert_with(|| if column { text.clone() } else { String::new() });
            if let Some(spelled) = &spelled {
                self.spelling.remember(&name, spelled);
            }
            let hidden = self.in_expression > 0 && spelled.is_none() && !taken;
            let taken = taken || (self.rename_all && wildcard);
            let alias = if taken { format!("{name}{REPEATED}{position}") } else { name.clone() };
            if let (Some(spelled), true) = (&spelled, taken) {
                self.spelling.remember(&alias, spelled);
            }
            if (column && !taken) || (hidden && !matches!(item, SelectItem::ExprWithAlias { .. })) {
                continue;
            }
            let aliased = matches!(item, SelectItem::ExprWithAlias { .. });
            let Some(expr) = take_expr(item) else { continue };
            let old = aliased.then_some(name.as_str());
            for key in order_by.iter_mut() {
                follow(key, &expr, old, &alias, column, &aliases);
            }
            let span = expr.span();
            let mut alias = Ident::with_quote('"', alias);
            alias.span = span;
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }

    /// The folded name of an item, the text of a column reference (for telling columns apart), and the spelling to
    /// remember (none for bare columns, whose relations know it).
    fn item_name(&self, item: &SelectItem) -> Option<(String, String, Option<String>)> {
        match item {
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => {
                let mut ident = ident.clone();
                self.fold(&mut ident);
                Some((ident.value.clone(), ident.value, None))
            }
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                let mut parts = parts.clone();
                parts.iter_mut().for_each(|part| self.fold(part));
                let text = parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>();
                Some((parts.last()?.value.clone(), text.join("."), None))
            }
            SelectItem::UnnamedExpr(expr) => {
                let text = expression_name(expr);
                Some((fold(&text), String::new(), Some(text)))
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                let known = alias.value.contains(REPEATED);
                (!known).then(|| (fold(&alias.value), String::new(), Some(alias.value.clone())))
            }
            _ => None,
        }
    }
}

fn take_expr(item: &mut SelectItem) -> Option<Expr> {
    match std::mem::replace(item, SelectItem::Wildcard(WildcardAdditionalOptions::default())) {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// The folded alias that the text gives an item.
fn alias(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(fold(unmark(&alias.value))),
        _ => None,
    }
}

/// Makes a key of ORDER BY name an item that it repeats as an expression or names by a replaced alias.
fn follow(
    key: &mut OrderByExpr,
    item: &Expr,
    old: Option<&str>,
    new: &str,
    column: bool,
    aliases: &HashSet<String>,
) {
    let name = match &key.expr {
        Expr::Identifier(ident) => Some(fold(&ident.value)),
        _ => None,
    };
    let by_alias = name.is_some() && name.as_deref() == old && old != Some(new);
    let is_alias = name.is_some_and(|name| aliases.contains(&name));
    let by_text = !column && !is_alias && !matches!(item, Expr::Value(_)) && key.expr == *item;
    if by_alias || by_text {
        key.expr = Expr::Identifier(Ident::with_quote('"', new));
    }
}

/// Gives an item of a SELECT list that a rewrite would give another name the one that it has as it is written.
pub fn keep_name(item: &mut SelectItem, changes: impl FnOnce(&Expr) -> bool) {
    if let SelectItem::UnnamedExpr(expr) = item
        && changes(expr)
    {
        let mut alias = Ident::with_quote('"', expression_name(expr));
        alias.span = expr.span();
        *item = SelectItem::ExprWithAlias { expr: taken(expr), alias };
    }
}

/// The text that names the column of an expression without alias.
pub fn expression_name(expr: &Expr) -> String {
    // A hard-wired bound keeps the names of generated expressions out of error messages and plans.
    let mut text = Bounded(String::new());
    let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{expr}"));
    text.0 = super::exclusions::unmarked(text.0);
    if text.0.chars().count() > NAME_LENGTH {
        text.0 = text.0.chars().take(NAME_LENGTH).collect();
        text.0.push_str("...");
    }
    text.0
}

/// Stops taking text somewhat after what a name needs.
struct Bounded(String);

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.push_str(text);
        if self.0.len() > 8 * NAME_LENGTH { Err(std::fmt::Error) } else { Ok(()) }
    }
}

/// The constraint of a join, if it takes one.
pub fn constraint_mut(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint)
        | JoinOperator::AsOf { constraint, .. }
        | JoinOperator::StraightJoin(constraint) => Some(constraint),
        _ => None,
    }
}

impl VisitorMut for Folder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(with) = &mut query.with {
            for Cte { alias, .. } in &mut with.cte_tables {
                let mut taken = Some(alias.clone());
                self.fold_table_alias(&mut taken);
                if let Some(folded) = taken {
                    *alias = folded;
                }
            }
        }
        if let SetExpr::Select(select) = query.body.as_mut() {
            let mut none = Vec::new();
            let keys = match query.order_by.as_mut().map(|order_by| &mut order_by.kind) {
                Some(OrderByKind::Expressions(keys)) => keys,
                _ => &mut none,
            };
            self.name_items(select, keys);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        // Selects of a plain query have their names already, which this keeps.
        self.name_items(select, &mut []);
        for item in &mut select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => self.fold_alias(alias),
                SelectItem::Wildcard(options) => self.fold_wildcard(options),
                SelectItem::QualifiedWildcard(kind, options) => {
                    if let SelectItemQualifiedWildcardKind::ObjectName(name) = kind {
                        self.fold_name(name);
                    }
                    self.fold_wildcard(options);
                }
                _ => {}
            }
        }
        self.fold_joins(&mut select.from);
        for definition in &mut select.named_window {
            self.fold(&mut definition.0);
            match &mut definition.1 {
                NamedWindowExpr::NamedWindow(name) => self.fold(name),
                NamedWindowExpr::WindowSpec(spec) => {
                    spec.window_name.iter_mut().for_each(|name| self.fold(name));
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        self.fold_name(relation);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { alias, .. }
            | TableFactor::Derived { alias, .. }
            | TableFactor::TableFunction { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. } => self.fold_table_alias(alias),
            TableFactor::NestedJoin { table_with_joins, alias } => {
                self.fold_table_alias(alias);
                self.fold_joins(std::slice::from_mut(table_with_joins));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => self.fold(ident),
            Expr::CompoundIdentifier(parts) => parts.iter_mut().for_each(|part| self.fold(part)),
            Expr::Function(Function { name, over, args, .. }) => {
                for part in &mut name.0 {
                    if let ObjectNamePart::Identifier(ident) = part {
                        ident.value = fold(&ident.value);
                    }
                }
                match over {
                    Some(WindowType::NamedWindow(window)) => self.fold(window),
                    Some(WindowType::WindowSpec(spec)) => {
                        spec.window_name.iter_mut().for_each(|name| self.fold(name));
                    }
                    None => {}
                }
                fold_argument_names(args);
            }
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                self.in_expression += 1;
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. }) {
            self.in_expression -= 1;
        }
        ControlFlow::Continue(())
    }
}

fn fold_argument_names(args: &mut datafusion_sql::sqlparser::ast::FunctionArguments) {
    if let datafusion_sql::sqlparser::ast::FunctionArguments::List(list) = args {
        for arg in &mut list.args {
            if let FunctionArg::Named { name, .. } = arg {
                name.value = fold(&name.value);
            }
        }
    }
}
