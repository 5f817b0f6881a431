//! Macros: CREATE MACRO, DROP MACRO, and the syntax that their calls stand for.
//!
//! How: a call is replaced by the macro's text, in which parameters are replaced by the call's arguments, each in
//! parentheses, from the outside in. Invariants: a parameter means its argument and never a column; an argument's columns
//! are those of the call's place: where the macro's own FROM would take one for its own, the call is refused. A macro that
//! would use itself is refused, as is one that makes a statement too large.
//! Next: `names.rs`.

use std::{collections::HashMap, ops::ControlFlow, sync::Arc};

use stoadb_storage::catalog::{
    Entry, EntryKind, Macro,
    name::{macro_name, shown_name},
};

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        connection::State,
        create::if_exists,
        information,
        names::{DATABASE, Names},
        result::QueryResult,
        run::{self, Session},
    },
    sql::{
        self,
        ast::{
            AccessExpr, BinaryOperator, DropFunction, Expr, Function, FunctionArg, FunctionArgExpr,
            FunctionArgumentList, FunctionArguments, Ident, MacroArg, MacroDefinition, ObjectName,
            OneOrManyWithParens, Query, Select, SelectItem, Spanned, Statement, TableAlias,
            TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut,
        },
        names::{fold, keep_name},
        parse::place,
        rewrite::table_factor,
        visit::{Walk, WalkMut},
        walk::forget_places,
    },
};

/// How deeply macros may use macros.
const DEPTH: usize = 64;
/// Most calls that are replaced in a statement.
const MOST_CALLS: usize = 10_000;
/// Most nodes that all texts of macros may put into a statement.
const MOST_NODES: usize = 200_000;

/// `CREATE [OR REPLACE] [TEMP] MACRO name(parameters) AS expression | AS TABLE query`.
pub(crate) fn create(
    session: &Session<'_>,
    state: &mut State,
    statement: &Statement,
) -> Result<QueryResult> {
    let mut kept = statement.clone();
    let Statement::CreateMacro { or_replace, temporary, name, args, definition } = &mut kept else {
        return Err(Error::internal("no macro"));
    };
    let (schema, last) = session.names.place_of(name, *temporary)?;
    let (or_replace, key) = (*or_replace, macro_name(&schema, &last));
    for (number, parameter) in args.iter().flatten().enumerate() {
        let same = |other: &MacroArg| fold(&other.name.value) == fold(&parameter.name.value);
        if args.iter().flatten().take(number).any(same) {
            let message = format!("the parameter '{}' is declared twice", parameter.name.value);
            return Err(Error::new(ErrorKind::Name, message));
        }
    }
    match definition {
        MacroDefinition::Expr(expr) => session.names.qualify(expr, *temporary)?,
        MacroDefinition::Table(query) => session.names.qualify(query, *temporary)?,
    }
    refuse_columns(&kept)?;
    if has_placeholder(&kept) {
        return Err(Error::unsupported("parameters ($1, ?) in a macro"));
    }
    refuse_recursion(&session.names, &kept, &key, &mut Vec::new())?;
    let sql = kept.to_string();
    definition_of(&sql)?;
    run::change(session.connection, state, |transaction| {
        transaction.create_macro(&schema, &last, Macro { sql }, if_exists(or_replace, false))?;
        Ok(QueryResult::changed(0))
    })
}

/// `DROP MACRO [TABLE] [IF EXISTS] name`, also `DROP FUNCTION`.
pub(crate) fn drop(
    session: &Session<'_>,
    state: &mut State,
    drop: &DropFunction,
) -> Result<QueryResult> {
    run::change(session.connection, state, |transaction| {
        for what in &drop.func_desc {
            if what.args.as_ref().is_some_and(|args| !args.is_empty()) {
                return Err(Error::unsupported("DROP MACRO with parameters"));
            }
            let key = key_of(&session.names, &what.name)?;
            transaction.drop_entry(&key, EntryKind::Macro, drop.if_exists)?;
        }
        Ok(QueryResult::changed(0))
    })
}

/// The catalog's name of a macro.
pub(super) fn key_of(names: &Names<'_>, name: &ObjectName) -> Result<String> {
    let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).collect();
    let parts: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
    let Some((last, before)) = parts.split_last() else {
        return Err(Error::internal("an empty name"));
    };
    Ok(match names.schema_of(before)? {
        Some(schema) => macro_name(&schema, last),
        None => names.find(|schema| macro_name(schema, last)),
    })
}

/// The statement that makes a macro again, under a name with its schema's.
pub(crate) fn create_text(sql: &str, path: [Ident; 2]) -> Result<String> {
    let parsed = sql::parse(sql)?.pop().map(|parsed| parsed.statement);
    let Some(Statement::CreateMacro { args, definition, .. }) = parsed else {
        return Err(Error::internal(format!("{sql} creates no macro")));
    };
    let name = ObjectName::from(path.to_vec());
    let statement =
        Statement::CreateMacro { or_replace: false, temporary: false, name, args, definition };
    Ok(statement.to_string())
}

/// The parameters of a macro and what it stands for.
struct Definition {
    parameters: Vec<MacroArg>,
    body: MacroDefinition,
}

fn definition_of(sql: &str) -> Result<Definition> {
    let parsed = sql::parse(sql)?.pop().map(|parsed| parsed.statement);
    let Some(Statement::CreateMacro { args, mut definition, .. }) = parsed else {
        return Err(Error::internal(format!("{sql} creates no macro")));
    };
    match &mut definition {
        MacroDefinition::Expr(expr) => forget_places(expr),
        MacroDefinition::Table(query) => forget_places(query),
    }
    Ok(Definition { parameters: args.unwrap_or_default(), body: definition })
}

/// The names of a statement's calls.
#[derive(Default)]
struct Calls {
    names: Vec<ObjectName>,
    placeholder: bool,
}

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => self.names.push(function.name.clone()),
            Expr::Value(value) => {
                self.placeholder |= matches!(value.value, Value::Placeholder(_));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } =
            factor
        {
            self.names.push(name.clone());
        }
        ControlFlow::Continue(())
    }
}

fn calls(statement: &Statement) -> Calls {
    let mut calls = Calls::default();
    if let Statement::CreateMacro { args, definition, .. } = statement {
        for default in args.iter().flatten().filter_map(|arg| arg.default_expr.as_ref()) {
            let _ = default.walk(&mut calls);
        }
        let _ = match definition {
            MacroDefinition::Expr(expr) => expr.walk(&mut calls),
            MacroDefinition::Table(query) => query.walk(&mut calls),
        };
    }
    calls
}

fn has_placeholder(statement: &Statement) -> bool {
    calls(statement).placeholder
}

/// Refuses the columns of an expression outside of its subqueries: a macro knows its parameters alone.
fn refuse_columns(statement: &Statement) -> Result<()> {
    let Statement::CreateMacro { args, definition, .. } = statement else { return Ok(()) };
    let is_own = |name: &str| args.iter().flatten().any(|arg| fold(&arg.name.value) == fold(name));
    let lambdas = match definition {
        MacroDefinition::Expr(body) => lambda_parameters(body),
        MacroDefinition::Table(body) => lambda_parameters(body.as_ref()),
    };
    if let Some(both) = lambdas.iter().find(|name| is_own(name)) {
        return Err(Error::unsupported(format!("a lambda over the macro's parameter {both}")));
    }
    let MacroDefinition::Expr(body) = definition else { return Ok(()) };
    let is_parameter = |name: &str| is_own(name) || lambdas.contains(&fold(name));
    let mut body = body.clone();
    sql::walk::change(&mut body, |expr| {
        let name = match expr {
            Expr::Identifier(name) if !is_parameter(&name.value) => name.to_string(),
            Expr::CompoundIdentifier(names) if !is_parameter(&names[0].value) => expr.to_string(),
            _ => return Ok(()),
        };
        let message = format!("the macro has no parameter {name}");
        Err(Error::new(ErrorKind::Name, message).or_span(place(expr.span())))
    })
}

/// The parameters of the lambdas in a text, folded.
fn lambda_parameters(node: &impl Visit) -> Vec<String> {
    struct Lambdas(Vec<String>);
    impl Visitor for Lambdas {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Lambda(lambda) = expr {
                let names = match &lambda.params {
                    OneOrManyWithParens::One(one) => std::slice::from_ref(one),
                    OneOrManyWithParens::Many(many) => many.as_slice(),
                };
                self.0.extend(names.iter().map(|parameter| fold(&parameter.name.value)));
            }
            ControlFlow::Continue(())
        }
    }
    let mut lambdas = Lambdas(Vec::new());
    let _ = node.walk(&mut lambdas);
    lambdas.0
}

/// Refuses a macro that would use itself, by way of others too.
fn refuse_recursion(
    names: &Names<'_>,
    statement: &Statement,
    key: &str,
    seen: &mut Vec<String>,
) -> Result<()> {
    for name in calls(statement).names {
        let Ok(called) = key_of(names, &name) else { continue };
        if fold(&called) == fold(key) {
            let message = format!("the macro '{}' would use itself", shown_name(key));
            return Err(Error::new(ErrorKind::Catalog, message));
        }
        if let Some(Entry::Macro(text)) = names.snapshot.relation(&called)
            && !seen.contains(&called)
        {
            seen.push(called);
            let text = sql::parse(&text.sql)?.pop();
            if let Some(text) = text {
                refuse_recursion(names, &text.statement, key, seen)?;
            }
        }
    }
    Ok(())
}

/// Puts what macros stand for in the place of their calls.
pub(crate) fn expand(names: &Names<'_>, statement: &mut Statement) -> Result<()> {
    expand_in(names, statement, false)
}

/// The same in an expression that is kept: what functions say of a connection is left to the one that asks.
pub(crate) fn expand_kept(names: &Names<'_>, expr: &mut Expr) -> Result<()> {
    expand_in(names, expr, true)
}

fn expand_in(names: &Names<'_>, node: &mut impl VisitMut, kept: bool) -> Result<()> {
    let (known, levels) = (HashMap::new(), Vec::new());
    let mut expander = Expander { names, kept, known, levels, depth: 0, calls: 0, nodes: 0 };
    match node.walk_mut(&mut expander) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Expander<'a> {
    names: &'a Names<'a>,
    /// Whether the text is kept, and read by other connections.
    kept: bool,
    /// The macros that were asked for, by the catalog's name.
    known: HashMap<String, Arc<Definition>>,
    /// For each node that the walk is within, whether it was a call.
    levels: Vec<bool>,
    depth: usize,
    calls: usize,
    nodes: usize,
}

impl Expander<'_> {
    fn find(&mut self, name: &ObjectName) -> Result<Option<(String, Arc<Definition>)>> {
        let Ok(key) = key_of(self.names, name) else { return Ok(None) };
        if let Some(known) = self.known.get(&key) {
            return Ok(Some((key, Arc::clone(known))));
        }
        let Some(Entry::Macro(text)) = self.names.snapshot.relation(&key) else { return Ok(None) };
        let definition = Arc::new(definition_of(&text.sql)?);
        self.known.insert(key.clone(), Arc::clone(&definition));
        Ok(Some((key, definition)))
    }

    /// The replacements of a macro's parameters by a call's arguments.
    fn bound(
        &mut self,
        key: &str,
        definition: &Definition,
        args: &[FunctionArg],
    ) -> Result<HashMap<String, Expr>> {
        let shown = shown_name(key);
        let parameters = &definition.parameters;
        let mut bound: HashMap<String, Expr> = HashMap::new();
        for (place, arg) in args.iter().enumerate() {
            let Some((name, value)) = argument(arg) else {
                return Err(Error::unsupported(format!("the argument {arg} of the macro {shown}")));
            };
            let parameter = match name {
                Some(name) => parameters.iter().find(|p| fold(&p.name.value) == fold(&name.value)),
                None => parameters.get(place),
            };
            let Some(parameter) = parameter else {
                let message = match name {
                    Some(name) => format!("the macro {shown} has no parameter '{}'", name.value),
                    None => format!("the macro {shown} takes {} arguments", parameters.len()),
                };
                return Err(Error::new(ErrorKind::Type, message));
            };
            if bound.insert(fold(&parameter.name.value), value.clone()).is_some() {
                let message = format!("the macro {shown} gets '{}' twice", parameter.name.value);
                return Err(Error::new(ErrorKind::Type, message));
            }
        }
        for parameter in parameters {
            let name = fold(&parameter.name.value);
            match (&parameter.default_expr, bound.contains_key(&name)) {
                (_, true) => {}
                (Some(default), false) => {
                    bound.insert(name, default.clone());
                }
                (None, false) => {
                    let message =
                        format!("the macro {shown} needs its argument '{}'", parameter.name.value);
                    return Err(Error::new(ErrorKind::Type, message));
                }
            }
        }
        Ok(bound)
    }

    /// Counts what a call adds to the statement.
    fn count(&mut self, key: &str, node: &impl Visit) -> Result<()> {
        struct Count(usize);
        impl Visitor for Count {
            type Break = ();

            fn pre_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<()> {
                self.0 += 1;
                ControlFlow::Continue(())
            }
        }
        let mut count = Count(0);
        let _ = node.walk(&mut count);
        self.nodes += count.0;
        self.calls += 1;
        if self.depth >= DEPTH || self.calls > MOST_CALLS || self.nodes > MOST_NODES {
            let message =
                format!("the macro '{}' uses itself, or macros nest too deeply", shown_name(key));
            return Err(Error::new(ErrorKind::Catalog, message));
        }
        Ok(())
    }

    /// What a call in an expression stands for.
    fn expression(&mut self, function: &Function) -> Result<Option<Expr>> {
        if let Some(value) = self.known_value(function) {
            return Ok(Some(value));
        }
        let Some((key, definition)) = self.find(&function.name)? else { return Ok(None) };
        let shown = shown_name(&key);
        let MacroDefinition::Expr(body) = &definition.body else {
            let message = format!("the macro {shown} is a table: it stands in FROM");
            return Err(Error::new(ErrorKind::Type, message));
        };
        let plain = function.over.is_none()
            && function.filter.is_none()
            && function.within_group.is_empty()
            && function.null_treatment.is_none();
        let Some(args) = arguments(function).filter(|_| plain) else {
            let what = format!("OVER, FILTER, DISTINCT and ORDER BY at the macro {shown}");
            return Err(Error::unsupported(what));
        };
        let bound = self.bound(&key, &definition, args)?;
        let mut body = body.clone();
        self.refuse_capture(&shown, &body, &bound)?;
        let _ = body.walk_mut(&mut Substitute(&bound));
        self.count(&key, &body)?;
        Ok(Some(Expr::Nested(Box::new(body))))
    }

    /// What functions about the connection say.
    fn known_value(&self, function: &Function) -> Option<Expr> {
        if self.kept || arguments(function).is_none_or(|args| !args.is_empty()) {
            return None;
        }
        let text = match fold(&function.name.to_string()).as_str() {
            "current_schema" => self.names.schema.clone(),
            "current_database" | "current_catalog" => DATABASE.into(),
            _ => return None,
        };
        Some(Expr::Value(Value::SingleQuotedString(text).into()))
    }

    /// What a call in FROM stands for.
    fn factor(&mut self, factor: &TableFactor) -> Result<Option<TableFactor>> {
        let (name, args, alias, lateral) = match factor {
            TableFactor::Table { name, args: Some(args), alias, .. } => {
                (name, &args.args, alias, false)
            }
            TableFactor::Function { name, args, alias, lateral, .. } => {
                (name, args, alias, *lateral)
            }
            _ => return Ok(None),
        };
        let last = fold(&name.to_string());
        if information::is_function(&last) && args.is_empty() {
            let named = Some(alias.clone().unwrap_or_else(|| alias_of(&last)));
            let path = [information::SCHEMA, &last].map(Ident::new);
            return Ok(Some(table_factor(ObjectName::from(path.to_vec()), named)));
        }
        let Some((key, definition)) = self.find(name)? else { return Ok(None) };
        let shown = shown_name(&key);
        let MacroDefinition::Table(body) = &definition.body else {
            let message = format!("the macro {shown} is an expression and no table");
            return Err(Error::new(ErrorKind::Type, message)
                .with_hint(format!("CREATE MACRO {shown}(..) AS TABLE query makes one")));
        };
        let bound = self.bound(&key, &definition, args)?;
        for value in bound.values() {
            if lateral || !columns_of(value).is_empty() {
                let what = format!("a column as an argument of the table macro {shown}");
                return Err(Error::unsupported(what));
            }
        }
        let mut body = body.clone();
        let _ = body.walk_mut(&mut Substitute(&bound));
        self.count(&key, &body)?;
        let alias = Some(alias.clone().unwrap_or_else(|| alias_of(&last)));
        let subquery = Box::new(*body);
        Ok(Some(TableFactor::Derived { lateral: false, subquery, alias, sample: None }))
    }

    /// Refuses arguments whose columns the macro's own FROM would take for its own.
    fn refuse_capture(
        &self,
        shown: &str,
        body: &Expr,
        bound: &HashMap<String, Expr>,
    ) -> Result<()> {
        if !sql::walk::has_query(body) {
            return Ok(());
        }
        let mut scope =
            Scope { names: self.names, tables: Vec::new(), columns: Vec::new(), unknown: false };
        let _ = body.walk(&mut scope);
        for name in bound.values().flat_map(columns_of) {
            let (first, qualified) = (fold(&name[0]), name.len() > 1);
            let taken = match qualified {
                true => scope.tables.contains(&first),
                false => scope.unknown || scope.columns.contains(&first),
            };
            if taken {
                let message = format!(
                    "the argument {} would be taken for a column of the macro {shown}'s own query",
                    name.join(".")
                );
                return Err(Error::new(ErrorKind::Name, message)
                    .with_hint("write it with the name of its table, by an alias if need be"));
            }
        }
        Ok(())
    }

    fn enter(&mut self, call: bool) {
        self.levels.push(call);
        self.depth += usize::from(call);
    }

    fn leave(&mut self) {
        let call = self.levels.pop().unwrap_or_default();
        self.depth -= usize::from(call);
    }
}

fn alias_of(name: &str) -> TableAlias {
    let name = name.rsplit('.').next().unwrap_or(name).trim_matches('"');
    TableAlias { explicit: true, name: Ident::with_quote('"', name), columns: Vec::new(), at: None }
}

impl VisitorMut for Expander<'_> {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        // A column keeps the name that its call gives it.
        for item in &mut select.projection {
            let known = |name: &ObjectName| {
                let of_connection = ["current_schema", "current_database", "current_catalog"];
                let is_macro = key_of(self.names, name)
                    .is_ok_and(|key| self.names.snapshot.relation(&key).is_some());
                is_macro || of_connection.contains(&fold(&name.to_string()).as_str())
            };
            keep_name(item, |expr| {
                let mut calls = Calls::default();
                let _ = expr.walk(&mut calls);
                calls.names.iter().any(known)
            });
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Function(function) = &*expr else {
            self.enter(false);
            return ControlFlow::Continue(());
        };
        match self.expression(function) {
            Err(error) => return ControlFlow::Break(error.or_span(place(function.span()))),
            Ok(None) => self.enter(false),
            Ok(Some(expanded)) => {
                *expr = expanded;
                self.enter(true);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _expr: &mut Expr) -> ControlFlow<Error> {
        self.leave();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match self.factor(factor) {
            Err(error) => return ControlFlow::Break(error.or_span(place(factor.span()))),
            Ok(None) => self.enter(false),
            Ok(Some(expanded)) => {
                *factor = expanded;
                self.enter(true);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, _factor: &mut TableFactor) -> ControlFlow<Error> {
        self.leave();
        ControlFlow::Continue(())
    }
}

/// Puts arguments in the place of parameters, in subqueries too.
struct Substitute<'a>(&'a HashMap<String, Expr>);

impl VisitorMut for Substitute<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let value = |name: &Ident| {
            let value = self.0.get(&fold(&name.value))?;
            Some(Expr::Nested(Box::new(value.clone())))
        };
        match expr {
            Expr::Identifier(name) => {
                if let Some(value) = value(name) {
                    *expr = value;
                }
            }
            // A field of an argument.
            Expr::CompoundIdentifier(names) => {
                let (Some(root), Some(fields)) = (names.first().and_then(value), names.get(1..))
                else {
                    return ControlFlow::Continue(());
                };
                let field = |name: &Ident| AccessExpr::Dot(Expr::Identifier(name.clone()));
                let access_chain = fields.iter().map(field).collect();
                *expr = Expr::CompoundFieldAccess { root: Box::new(root), access_chain };
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The columns that an expression names, each as its parts.
fn columns_of(expr: &Expr) -> Vec<Vec<String>> {
    struct Columns(Vec<Vec<String>>);
    impl Visitor for Columns {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(name) => self.0.push(vec![name.value.clone()]),
                Expr::CompoundIdentifier(names) => {
                    self.0.push(names.iter().map(|name| name.value.clone()).collect());
                }
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let mut columns = Columns(Vec::new());
    let _ = expr.walk(&mut columns);
    columns.0
}

/// What names mean within the queries of a macro.
struct Scope<'a> {
    names: &'a Names<'a>,
    tables: Vec<String>,
    columns: Vec<String>,
    /// Whether there is something whose columns are not known.
    unknown: bool,
}

impl Visitor for Scope<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.tables.push(fold(&cte.alias.name.value));
            self.columns.extend(cte.alias.columns.iter().map(|column| fold(&column.name.value)));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for item in &select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => self.columns.push(fold(&alias.value)),
                SelectItem::UnnamedExpr(Expr::Identifier(name)) => {
                    self.columns.push(fold(&name.value));
                }
                SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => {
                    self.columns.extend(names.last().map(|name| fold(&name.value)));
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let alias = match factor {
            TableFactor::Table { name, alias, args, .. } => {
                let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).collect();
                let parts: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
                let is_cte = |last: &&str| parts.len() == 1 && self.tables.contains(&fold(last));
                let of_cte = parts.last().is_some_and(is_cte);
                self.tables.extend(parts.last().map(|last| fold(last)));
                let entry = self.names.plain().known_key(&parts);
                let entry = entry.as_ref().and_then(|key| self.names.snapshot.relation(key));
                match entry.and_then(Entry::relation).filter(|_| args.is_none()) {
                    Some(relation) => {
                        let columns = relation.schema().columns.iter();
                        self.columns.extend(columns.map(|column| fold(&column.name)));
                    }
                    None => self.unknown |= args.is_some() || !of_cte,
                }
                alias
            }
            TableFactor::Derived { alias, .. } => alias,
            _ => {
                self.unknown = true;
                return ControlFlow::Continue(());
            }
        };
        if let Some(alias) = alias {
            self.tables.push(fold(&alias.name.value));
            self.columns.extend(alias.columns.iter().map(|column| fold(&column.name.value)));
        }
        ControlFlow::Continue(())
    }
}

/// The arguments of a call, if it has nothing but arguments.
fn arguments(function: &Function) -> Option<&[FunctionArg]> {
    match &function.args {
        FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses,
        }) if clauses.is_empty() => Some(args),
        FunctionArguments::None => Some(&[]),
        _ => None,
    }
}

/// The name and the value of an argument.
fn argument(arg: &FunctionArg) -> Option<(Option<&Ident>, &Expr)> {
    let (name, arg) = match arg {
        FunctionArg::Named { name, arg, .. } => (Some(name), arg),
        FunctionArg::ExprNamed { name: Expr::Identifier(name), arg, .. } => (Some(name), arg),
        FunctionArg::Unnamed(arg) => (None, arg),
        FunctionArg::ExprNamed { .. } => return None,
    };
    let FunctionArgExpr::Expr(value) = arg else { return None };
    // The parser may take `:=` for an operator.
    match value {
        Expr::BinaryOp { left, op: BinaryOperator::Assignment, right } => match left.as_ref() {
            Expr::Identifier(name) => Some((Some(name), right)),
            _ => None,
        },
        value => Some((name, value)),
    }
}
