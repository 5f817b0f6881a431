//! Calls that are written otherwise than the planner library knows them: other names, other orders of arguments, named
//! arguments, `IGNORE NULLS` in aggregates.
//!
//! Invariant: what a call becomes means the same, and NULLs and errors stay what they were. Next: `rewrite.rs`, which
//! keeps the name of the output column.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, CastKind, DataType, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident,
    LambdaFunction, NullTreatment, ObjectName, OneOrManyWithParens, Select, Statement,
    TimezoneInfo, Value, VisitorMut, helpers::attached_token::AttachedToken,
};

use crate::{
    error::{Error, ErrorKind, Result},
    functions::arity_text,
    planner::functions::{is_aggregate, is_scalar},
    sql::{
        gate::has_lambda,
        names::{PARAMETER, fold, keep_name},
        visit::WalkMut,
        walk,
    },
};

/// `CAST(expr AS type)`.
pub fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// The part that a function of that name extracts.
fn date_part(function: &str) -> Option<&'static str> {
    Some(match function {
        "millennium" => "millennium",
        "century" => "century",
        "decade" => "decade",
        "year" => "year",
        "isoyear" => "isoyear",
        "quarter" => "quarter",
        "month" => "month",
        "week" | "weekofyear" => "week",
        "day" | "dayofmonth" => "day",
        "dayofweek" | "weekday" => "dow",
        "isodow" => "isodow",
        "dayofyear" => "doy",
        "hour" => "hour",
        "minute" => "minute",
        "second" => "second",
        "millisecond" => "millisecond",
        "microsecond" => "microsecond",
        "nanosecond" => "nanosecond",
        "epoch" => "epoch",
        _ => return None,
    })
}

/// The aggregate of `list_sum(..)` and its like.
fn list_aggregate(function: &str) -> Option<&str> {
    let name = function.strip_prefix("list_").or_else(|| function.strip_prefix("array_"))?;
    (is_aggregate(name) && !is_scalar(function) && !is_aggregate(function)).then_some(name)
}

/// Whether a text matches a pattern of GLOB.
pub const GLOB: &str = "glob_op";

/// The planner library's `now`.
pub const NOW: &str = "now_op";

/// Whether a call of that name is written otherwise by `call`.
pub fn is_rewritten(function: &str) -> bool {
    const NAMES: [&str; 26] = [
        "if",
        "iff",
        "ifnull",
        "mod",
        "add",
        "subtract",
        "multiply",
        "divide",
        "generate_subscripts",
        "date",
        "date_add",
        "version",
        "age",
        "make_timestamp",
        "localtimestamp",
        "current_localtimestamp",
        "now",
        "current_timestamp",
        "transaction_timestamp",
        "get_current_timestamp",
        "add_months",
        "strftime",
        "date_format",
        "list_sort",
        "array_sort",
        "grouping_id",
    ];
    NAMES.contains(&function)
        || takes_names(function)
        || date_part(function).is_some()
        || list_aggregate(function).is_some()
}

/// Whether a function takes fields as `name := value`.
fn takes_names(function: &str) -> bool {
    matches!(function, "struct_pack" | "struct_insert" | "struct_update")
}

/// How many arguments a call of that name has at least and at most.
fn arity(name: &str) -> (usize, usize) {
    match name {
        "if" | "iff" => (3, 3),
        "ifnull" | "mod" | "date_add" | "add_months" | "strftime" | "date_format" => (2, 2),
        "subtract" | "multiply" | "divide" | "generate_subscripts" => (2, 2),
        "add" => (1, 2),
        "list_sort" | "array_sort" => (1, 3),
        "grouping_id" => (1, usize::MAX),
        "age" => (1, 2),
        "make_timestamp" => (1, 6),
        "version"
        | "localtimestamp"
        | "current_localtimestamp"
        | "now"
        | "current_timestamp"
        | "transaction_timestamp"
        | "get_current_timestamp" => (0, 0),
        _ if list_aggregate(name).is_some() => (1, 9),
        _ => (1, 1),
    }
}

/// A value and before it a text that tells it from others.
pub const NAMED: &str = "named_op";

/// Puts every cast into a call that names its type, so that its name is another one than that of the value itself.
pub fn name_casts(statement: &mut Statement) {
    struct Casts;
    impl VisitorMut for Casts {
        type Break = ();

        fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            for item in &mut select.projection {
                keep_name(item, |expr| walk::any(expr, |expr| matches!(expr, Expr::Cast { .. })));
            }
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Cast { data_type, kind, .. } = expr {
                let name = text(format!("{kind:?} {data_type}"));
                *expr = call_of(NAMED, vec![name, taken(expr)]);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = statement.walk_mut(&mut Casts);
}

/// What a call of one of our own names stands for.
///
/// # Errors
/// `Type` when the number of its arguments is wrong.
pub fn call(function: &mut Function) -> Result<Option<Expr>> {
    let name = fold(&function.name.to_string());
    nulls_left_out(function, &name);
    if !is_rewritten(&name) || has_lambda(function) {
        return Ok(None);
    }
    if takes_names(&name) {
        return named_fields(function, &name);
    }
    let mut args = take_arguments(function, &name)?;
    let (least, most) = arity(&name);
    if args.len() < least || args.len() > most {
        let message = arity_text(&name, (least, most), args.len());
        return Err(Error::new(ErrorKind::Type, message));
    }
    let now = |zone| cast(call_of(NOW, Vec::new()), DataType::Timestamp(None, zone));
    let mut next = || args.remove(0);
    Ok(Some(match name.as_str() {
        "if" | "iff" => Expr::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions: vec![CaseWhen { condition: next(), result: next() }],
            else_result: Some(Box::new(next())),
        },
        "version" => {
            let version = concat!("StoaDB v", env!("CARGO_PKG_VERSION")).to_owned();
            text(version)
        }
        // In microseconds, as TIMESTAMP: nanoseconds have no moment after 2262 to compare with.
        "localtimestamp" | "current_localtimestamp" => now(TimezoneInfo::None),
        "now" | "current_timestamp" | "transaction_timestamp" | "get_current_timestamp" => {
            now(TimezoneInfo::WithTimeZone)
        }
        "subtract" => binary(next(), BinaryOperator::Minus, next()),
        "multiply" => binary(next(), BinaryOperator::Multiply, next()),
        "divide" => binary(next(), BinaryOperator::DuckIntegerDivide, next()),
        "generate_subscripts" => {
            let number = |digits: &str| Expr::Value(Value::Number(digits.to_owned(), false).into());
            let length = call_of("array_length", args);
            let length = call_of("coalesce", vec![length, number("0")]);
            let length = cast(length, DataType::BigInt(None));
            call_of("unnest", vec![call_of("generate_series", vec![number("1"), length])])
        }
        "ifnull" => renamed(function, "coalesce", args),
        "mod" => binary(next(), BinaryOperator::Modulo, next()),
        "date_add" => binary(next(), BinaryOperator::Plus, next()),
        "add_months" => {
            let date = next();
            binary(date, BinaryOperator::Plus, call_of("to_months", args))
        }
        // Either order, told by which of them is a text.
        "strftime" | "date_format" => {
            if is_text(&args[0]) && !is_text(&args[1]) {
                args.swap(0, 1);
            }
            // Microseconds, as in Python.
            if let Some(Expr::Value(format)) = args.get_mut(1)
                && let Value::SingleQuotedString(text) = &mut format.value
            {
                *text = text.replace("%f", "%6f");
            }
            renamed(function, "strftime", args)
        }
        // NULLs come last unless the call says otherwise, as in ORDER BY.
        "list_sort" | "array_sort" => {
            if args.len() == 1 {
                args.push(text("ASC".to_owned()));
            }
            if args.len() == 2 {
                args.push(text("NULLS LAST".to_owned()));
            }
            renamed(function, "array_sort", args)
        }
        "grouping_id" => renamed(function, "grouping", args),
        "date" => cast(next(), DataType::Date),
        "add" if args.len() == 1 => args.remove(0),
        "add" => binary(args.remove(0), BinaryOperator::Plus, args.remove(0)),
        "age" if args.len() == 1 => {
            let today = cast(
                call_of("current_date", Vec::new()),
                DataType::Timestamp(None, TimezoneInfo::None),
            );
            renamed(function, "age", vec![today, args.remove(0)])
        }
        "make_timestamp" if args.len() == 1 => renamed(function, "make_timestamp_us", args),
        "age" | "make_timestamp" => renamed(function, &name, args),
        other => match (date_part(other), list_aggregate(other)) {
            (None, Some(aggregate)) => {
                args.insert(1, text(aggregate.to_owned()));
                renamed(function, "list_aggregate", args)
            }
            (part, _) => {
                let part = text(part.unwrap_or("year").to_owned());
                args.insert(0, part);
                renamed(function, "date_part", args)
            }
        },
    }))
}

fn text(text: String) -> Expr {
    Expr::Value(Value::SingleQuotedString(text).into())
}

fn is_text(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)))
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    let nested = |expr| Box::new(Expr::Nested(Box::new(expr)));
    Expr::BinaryOp { left: nested(left), op, right: nested(right) }
}

/// `struct_pack(a := 1)` is `named_struct('a', 1)`; a column without a name has its own.
fn named_fields(function: &mut Function, name: &str) -> Result<Option<Expr>> {
    let FunctionArguments::List(list) = &mut function.args else { return Ok(None) };
    let packs = name == "struct_pack";
    let mut args = Vec::new();
    for (at, arg) in std::mem::take(&mut list.args).into_iter().enumerate() {
        match arg {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                args.extend([text(name.value), expr]);
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if at == 0 && !packs => {
                args.push(expr);
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if packs => {
                let field = match &expr {
                    Expr::Identifier(ident) => ident.value.clone(),
                    Expr::CompoundIdentifier(parts) => {
                        parts.last().map_or_else(String::new, |part| part.value.clone())
                    }
                    _ => return Err(unnamed_field(name)),
                };
                args.extend([text(field), expr]);
            }
            _ => return Err(unnamed_field(name)),
        }
    }
    let name = if packs { "named_struct" } else { "struct_insert" };
    Ok(Some(renamed(function, name, args)))
}

fn unnamed_field(name: &str) -> Error {
    Error::new(ErrorKind::Type, format!("{name}() takes fields as in name := value"))
}

/// What `date_part(['year', 'month'], d)` and `regexp_extract(s, p, ['y', 'm'])` stand for: a struct with a field for each
/// name of the list. `None` for other calls.
pub fn by_names(function: &Function) -> Option<Expr> {
    let name = fold(&function.name.to_string());
    let of_parts = matches!(name.as_str(), "date_part" | "datepart");
    if !of_parts && name != "regexp_extract" {
        return None;
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    let expr = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    let mut args = list.args.iter().map(expr).collect::<Option<Vec<_>>>()?;
    let at = if of_parts { 0 } else { 2 };
    let Expr::Array(names) = args.get(at)?.clone() else { return None };
    let mut fields = Vec::new();
    for (nth, name) in names.elem.into_iter().enumerate() {
        if !is_text(&name) {
            return None;
        }
        args[at] = match of_parts {
            true => name.clone(),
            false => Expr::Value(Value::Number((nth + 1).to_string(), false).into()),
        };
        fields.extend([name, renamed(function, &function.name.to_string(), args.clone())]);
    }
    Some(call_of("named_struct", fields))
}

/// `list(x) IGNORE NULLS` is `list(x) FILTER (WHERE x IS NOT NULL)`; other aggregates leave NULLs out anyway.
fn nulls_left_out(function: &mut Function, name: &str) {
    let windows = matches!(name, "first" | "first_value" | "last" | "last_value");
    if !is_aggregate(name) || (function.over.is_some() && windows) {
        return;
    }
    let keeps =
        matches!(name, "list" | "array_agg" | "first" | "first_value" | "last" | "last_value");
    let FunctionArguments::List(list) = &mut function.args else { return };
    let within = list.clauses.iter().find_map(|clause| match clause {
        FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => Some(*treatment),
        _ => None,
    });
    let ignores = match function.null_treatment.or(within) {
        Some(NullTreatment::IgnoreNulls) => true,
        Some(NullTreatment::RespectNulls) if keeps => false,
        _ => return,
    };
    function.null_treatment = None;
    list.clauses.retain(|c| !matches!(c, FunctionArgumentClause::IgnoreOrRespectNulls(_)));
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(value))) = list.args.first() else {
        return;
    };
    if !ignores || !keeps {
        return;
    }
    let valid = Expr::IsNotNull(Box::new(Expr::Nested(Box::new(value.clone()))));
    function.filter = Some(Box::new(match function.filter.take() {
        Some(filter) => binary(*filter, BinaryOperator::And, valid),
        None => valid,
    }));
}

/// Gives the parameters of a lambda names that no column has.
pub fn lambda_parameters(lambda: &mut LambdaFunction) {
    let parameters: Vec<String> = lambda.params.iter().map(|p| fold(&p.name.value)).collect();
    let mark = |name: &mut Ident| {
        let folded = fold(&name.value);
        if parameters.contains(&folded) {
            *name = Ident::with_quote('"', format!("{PARAMETER}{folded}"));
        }
    };
    match &mut lambda.params {
        OneOrManyWithParens::One(parameter) => mark(&mut parameter.name),
        OneOrManyWithParens::Many(parameters) => {
            parameters.iter_mut().for_each(|parameter| mark(&mut parameter.name));
        }
    }
    let _: ControlFlow<()> = lambda.body.walk_expressions_mut(|expr| {
        match expr {
            Expr::Identifier(name) => mark(name),
            Expr::CompoundIdentifier(parts) => {
                let mut parts = parts.clone().into_iter();
                if let Some(mut first) = parts.next() {
                    mark(&mut first);
                    if first.value.starts_with(PARAMETER) {
                        let field = |name: Ident| {
                            let text = Value::SingleQuotedString(name.value);
                            AccessExpr::Dot(Expr::Value(text.into()))
                        };
                        *expr = Expr::CompoundFieldAccess {
                            root: Box::new(Expr::Identifier(first)),
                            access_chain: parts.map(field).collect(),
                        };
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
}

fn list(args: Vec<FunctionArg>) -> FunctionArguments {
    FunctionArguments::List(FunctionArgumentList {
        duplicate_treatment: None,
        args,
        clauses: Vec::new(),
    })
}

/// An expression, of which NULL is left behind.
pub fn taken(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.into()))
}

/// A call that the text does not have.
pub fn call_of(name: &str, args: Vec<Expr>) -> Expr {
    let function = Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: list(Vec::new()),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    };
    renamed(&function, name, args)
}

fn renamed(function: &Function, name: &str, args: Vec<Expr>) -> Expr {
    let mut function = function.clone();
    function.name = ObjectName::from(vec![Ident::new(name)]);
    let unnamed = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    function.args = list(args.into_iter().map(unnamed).collect());
    Expr::Function(function)
}

fn take_arguments(function: &mut Function, name: &str) -> Result<Vec<Expr>> {
    let list = match &mut function.args {
        FunctionArguments::List(list) if list.clauses.is_empty() => list,
        FunctionArguments::None => return Ok(Vec::new()),
        _ => return Err(Error::unsupported(format!("this form of {name}()"))),
    };
    let argument = |arg: FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
        other => Err(Error::unsupported(format!("the argument {other} of {name}()"))),
    };
    std::mem::take(&mut list.args).into_iter().map(argument).collect()
}
