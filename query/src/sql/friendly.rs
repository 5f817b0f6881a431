//! What needs the columns of FROM: aliases of SELECT reused beside and below it, `* RENAME`, `COLUMNS('pattern')`.
//!
//! Invariants: a column of FROM goes before an alias of its name, as in DuckDB; an alias is what it stands for, computed
//! anew. Runs on folded identifiers, from `using.rs`, which knows the columns.

use std::ops::ControlFlow;

use datafusion_common::{HashMap, HashSet};
use datafusion_sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, RenameSelectItem,
    Select, SelectItem, SelectItemQualifiedWildcardKind, Spanned, Value, VisitorMut,
    WildcardAdditionalOptions,
};

use crate::{
    error::{Error, ErrorKind, Result},
    planner::diagnose::closest,
    sql::{
        names::{REPEATED, expression_name, fold, unmark},
        parse::place,
        shorthand::UNPACKED,
        using::{Joined, excluded, item_of, last},
        visit::WalkMut,
        walk,
    },
};

/// Stands for the alias of an item whose name follows from the columns that it becomes.
pub const UNNAMED: &str = "\u{2}columns";

/// Whether an item of SELECT calls COLUMNS.
pub fn has_columns(expr: &Expr) -> bool {
    walk::any(
        expr,
        |expr| matches!(expr, Expr::Function(function) if ["columns", UNPACKED].contains(&fold(&function.name.to_string()).as_str())),
    )
}

/// Whether a query needs its columns for `expand`.
pub fn has_patterns(select: &Select) -> bool {
    select.projection.iter().any(|item| match item {
        SelectItem::Wildcard(options) => {
            options.opt_rename.is_some() || options.opt_replace.is_some()
        }
        SelectItem::QualifiedWildcard(_, options) => options.opt_replace.is_some(),
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => has_columns(expr),
        _ => false,
    })
}

/// Whether a condition or a later item of a query uses a name that is also an alias.
pub fn reuses_aliases(select: &Select) -> bool {
    let mut aliases = HashSet::new();
    let uses = |expr: &Expr, aliases: &HashSet<String>| {
        let is_alias =
            |expr: &Expr| matches!(expr, Expr::Identifier(ident) if aliases.contains(&ident.value));
        !aliases.is_empty() && walk::any(expr, is_alias)
    };
    for item in &select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) if uses(expr, &aliases) => return true,
            SelectItem::ExprWithAlias { expr, alias } => {
                if uses(expr, &aliases) {
                    return true;
                }
                aliases.insert(alias.value.clone());
            }
            _ => {}
        }
    }
    select.selection.as_ref().is_some_and(|condition| uses(condition, &aliases))
}

/// Puts what aliases stand for in the places where they are reused.
pub fn reuse_aliases(select: &mut Select, columns: &Joined) {
    let known: HashSet<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut meanings: HashMap<String, Expr> = HashMap::new();
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                replace(expr, &meanings);
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                replace(expr, &meanings);
                let name = &alias.value;
                if !known.contains(name.as_str()) && !meanings.contains_key(name) {
                    meanings.insert(name.clone(), expr.clone());
                }
            }
            _ => {}
        }
    }
    if let Some(condition) = &mut select.selection {
        replace(condition, &meanings);
    }
}

fn replace(expr: &mut Expr, meanings: &HashMap<String, Expr>) {
    let meaning = |ident: &Ident| meanings.get(&ident.value).cloned();
    walk::replace_names(expr, |ident| Some(Expr::Nested(Box::new(meaning(ident)?))));
}

/// Expands `* RENAME` and COLUMNS.
///
/// # Errors
/// `Name` for a pattern without columns or a renamed column that is not there.
pub fn expand(select: &mut Select, all: &Joined) -> Result<()> {
    for mut item in std::mem::take(&mut select.projection) {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = &mut item {
            unpack(expr, all)?;
        }
        match item {
            SelectItem::QualifiedWildcard(kind, options) => {
                if let SelectItemQualifiedWildcardKind::ObjectName(table) = &kind {
                    let table = last(table);
                    let of_table = |(_, column): &&(String, Expr)| {
                        matches!(column, Expr::CompoundIdentifier(parts)
                            if parts.first().is_some_and(|part| part.value == table))
                    };
                    let columns: Joined = all.iter().filter(of_table).cloned().collect();
                    if !columns.is_empty() {
                        replaced_are_there(&options, &columns)?;
                    }
                }
                select.projection.push(SelectItem::QualifiedWildcard(kind, options));
            }
            SelectItem::Wildcard(options) if options.opt_rename.is_none() => {
                replaced_are_there(&options, all)?;
                select.projection.push(SelectItem::Wildcard(options));
            }
            SelectItem::Wildcard(options) => {
                replaced_are_there(&options, all)?;
                select.projection.extend(renamed(&options, all)?);
            }
            SelectItem::ExprWithAlias { expr, alias }
                if has_columns(&expr) || alias.value == UNNAMED =>
            {
                select.projection.extend(matched(&expr, Some(&alias), all)?);
            }
            SelectItem::UnnamedExpr(expr) if has_columns(&expr) => {
                select.projection.extend(matched(&expr, None, all)?);
            }
            item => select.projection.push(item),
        }
    }
    Ok(())
}

/// Puts columns in the place of `*COLUMNS(..)` among the arguments of a call.
fn unpack(expr: &mut Expr, all: &Joined) -> Result<()> {
    walk::change(expr, |expr| {
        let Expr::Function(function) = expr else { return Ok(()) };
        let FunctionArguments::List(list) = &mut function.args else { return Ok(()) };
        for arg in std::mem::take(&mut list.args) {
            let columns = match &arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(inner)))
                    if fold(&inner.name.to_string()) == UNPACKED =>
                {
                    Some(named_columns(inner, all)?)
                }
                _ => None,
            };
            match columns {
                Some(columns) => list.args.extend(
                    columns
                        .into_iter()
                        .map(|(_, column)| FunctionArg::Unnamed(FunctionArgExpr::Expr(column))),
                ),
                None => list.args.push(arg),
            }
        }
        Ok(())
    })
}

/// The columns that a call of COLUMNS names.
fn named_columns(function: &Function, all: &Joined) -> Result<Joined> {
    match &function.args {
        FunctionArguments::List(list) => match list.args.as_slice() {
            [FunctionArg::Unnamed(arg)] => chosen(arg, all),
            _ => Err(Error::unsupported("COLUMNS of several arguments")),
        },
        _ => Err(Error::unsupported("this form of COLUMNS")),
    }
}

/// Whether the columns that REPLACE names are there.
fn replaced_are_there(options: &WildcardAdditionalOptions, all: &Joined) -> Result<()> {
    for item in options.opt_replace.iter().flat_map(|replace| &replace.items) {
        let name = &item.column_name;
        if !all.iter().any(|(known, _)| *known == name.value) {
            let message = format!("there is no column \"{}\" to replace", unmark(&name.value));
            let error = Error::new(ErrorKind::Name, message).or_span(place(name.span));
            let known: Vec<&str> = all.iter().map(|(known, _)| unmark(known)).collect();
            return Err(match closest(unmark(&name.value), known.iter().copied()) {
                Some(close) => error.with_hint(format!("did you mean \"{close}\"?")),
                None => error.with_hint(format!("columns are {}", known.join(", "))),
            });
        }
    }
    Ok(())
}

fn renamed(options: &WildcardAdditionalOptions, all: &Joined) -> Result<Vec<SelectItem>> {
    let renames = match &options.opt_rename {
        Some(RenameSelectItem::Single(rename)) => std::slice::from_ref(rename),
        Some(RenameSelectItem::Multiple(renames)) => renames.as_slice(),
        None => &[],
    };
    for rename in renames {
        if !all.iter().any(|(name, _)| *name == rename.ident.value) {
            let message = format!("there is no column \"{}\"", unmark(&rename.ident.value));
            return Err(Error::new(ErrorKind::Name, message).or_span(place(rename.ident.span)));
        }
    }
    let excluded = excluded(options);
    if let Some(gone) = renames.iter().find(|rename| excluded.contains(&rename.ident.value)) {
        let message =
            format!("the column \"{}\" is both left out and renamed", unmark(&gone.ident.value));
        return Err(Error::new(ErrorKind::Name, message).or_span(place(gone.ident.span)));
    }
    let mut items = Vec::with_capacity(all.len());
    for (name, column) in all.iter().filter(|(name, _)| !excluded.contains(name)) {
        let replaced = options
            .opt_replace
            .as_ref()
            .and_then(|replace| replace.items.iter().find(|item| item.column_name.value == *name));
        let rename = renames.iter().find(|rename| rename.ident.value == *name);
        let expr = replaced.map_or_else(|| column.clone(), |item| item.expr.clone());
        items.push(match (rename, replaced) {
            (Some(rename), _) => SelectItem::ExprWithAlias { expr, alias: rename.alias.clone() },
            (None, Some(item)) => {
                SelectItem::ExprWithAlias { expr, alias: item.column_name.clone() }
            }
            (None, None) => item_of(name, expr),
        });
    }
    Ok(items)
}

/// An item for each column that the calls of COLUMNS in it name.
fn matched(expr: &Expr, alias: Option<&Ident>, all: &Joined) -> Result<Vec<SelectItem>> {
    let mut filler = Filler { all, columns: Vec::new(), at: 0, asked: false, failed: None };
    let mut first = expr.clone();
    let _ = first.walk_mut(&mut filler);
    let mut items = Vec::new();
    for at in 0..filler.columns.len().max(1) {
        filler.at = at;
        let mut expr = expr.clone();
        let _ = expr.walk_mut(&mut filler);
        if let Some(error) = filler.failed.take() {
            return Err(error);
        }
        let name = match alias {
            Some(alias) if alias.value != UNNAMED => match at {
                0 => alias.value.clone(),
                _ => format!("{}{REPEATED}columns{at}", alias.value),
            },
            _ => match (&expr, filler.columns.get(at)) {
                (Expr::CompoundIdentifier(_), Some((name, column))) => {
                    items.push(item_of(name, column.clone()));
                    continue;
                }
                _ => fold(&shown(&expr)),
            },
        };
        items.push(SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) });
    }
    Ok(items)
}

/// The text of an expression with bare names.
fn shown(expr: &Expr) -> String {
    struct Bare;
    impl VisitorMut for Bare {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::CompoundIdentifier(parts) = expr
                && let Some(last) = parts.last()
            {
                *expr = Expr::Identifier(Ident::new(unmark(&last.value)));
            }
            ControlFlow::Continue(())
        }
    }
    let mut bare = expr.clone();
    let _ = bare.walk_mut(&mut Bare);
    expression_name(&bare)
}

/// Puts a column in the place of each call of COLUMNS.
struct Filler<'a> {
    all: &'a Joined,
    columns: Joined,
    at: usize,
    asked: bool,
    failed: Option<Error>,
}

impl VisitorMut for Filler<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        if fold(&function.name.to_string()) != "columns" {
            return ControlFlow::Continue(());
        }
        let span = place(function.span());
        let found =
            named_columns(function, self.all).and_then(|columns| match columns.is_empty() {
                true => Err(Error::new(ErrorKind::Name, "COLUMNS names no column of FROM")),
                false if self.asked && columns != self.columns => {
                    Err(Error::unsupported("several COLUMNS of other columns in one expression"))
                }
                false => Ok(columns),
            });
        match found {
            Ok(columns) => {
                self.columns = columns;
                self.asked = true;
                if let Some((_, column)) = self.columns.get(self.at) {
                    *expr = column.clone();
                }
                ControlFlow::Continue(())
            }
            Err(error) => {
                self.failed = Some(error.or_span(span));
                ControlFlow::Break(())
            }
        }
    }
}

/// The columns that the argument of COLUMNS names.
fn chosen(arg: &FunctionArgExpr, all: &Joined) -> Result<Joined> {
    match arg {
        FunctionArgExpr::Wildcard => Ok(all.clone()),
        FunctionArgExpr::WildcardWithOptions(options)
            if options.opt_rename.is_none() && options.opt_replace.is_none() =>
        {
            let excluded: Vec<String> = excluded(options).iter().map(|name| fold(name)).collect();
            Ok(all.iter().filter(|(name, _)| !excluded.contains(name)).cloned().collect())
        }
        FunctionArgExpr::Expr(Expr::Value(value)) => {
            let Value::SingleQuotedString(pattern) = &value.value else {
                return Err(Error::unsupported("COLUMNS of this argument"));
            };
            let matches = pattern_of(pattern)?;
            Ok(all.iter().filter(|(name, _)| matches(unmark(name))).cloned().collect())
        }
        _ => Err(Error::unsupported("COLUMNS of this argument (write a pattern in quotes, or *)")),
    }
}

/// Whether a name matches a regular expression somewhere.
fn pattern_of(pattern: &str) -> Result<impl Fn(&str) -> bool> {
    let pattern = regex::RegexBuilder::new(pattern).case_insensitive(true).build();
    let pattern = pattern.map_err(|error| {
        Error::new(ErrorKind::Value, format!("COLUMNS takes a regular expression: {error}"))
    })?;
    Ok(move |name: &str| pattern.is_match(name))
}
