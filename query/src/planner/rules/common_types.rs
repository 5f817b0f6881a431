//! Common types of mixed operands, where those of the planner library would lose or refuse values.
//!
//! - A decimal beside a float becomes DOUBLE. The library would take both to `DECIMAL(30,15)`, which has no tiny and no
//!   large values, no infinity and no NaN.
//! - A date beside a timestamp becomes a timestamp of the other's precision and time zone, and a text compared with a
//!   timestamp one of microseconds at least. The library would take all to nanoseconds, which hold the years 1677 to 2262 only and hide
//!   that a date compares with a midnight as a date does (`lower/fold.rs` takes the cast off again there).
//!
//! Invariant: runs before types are coerced, and adds casts for these mixtures alone.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion_common::{
    Column, DFSchema, DFSchemaRef, DataFusionError, ExprSchema, Result, tree_node::Transformed,
};
use datafusion_expr::{
    Between, BinaryExpr, Case, Cast, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder,
    Operator, Subquery, Union, Values, cast,
    expr::{Exists, InList, InSubquery, ScalarFunction, SetComparison},
    expr_rewriter::NamePreserver,
    utils::merge_schema,
};

use datafusion_functions_nested::length::array_length_udf;

use stoadb_storage::LogicalType;

use crate::{
    error::{Error, ErrorKind},
    planner::{
        diagnose::our_span,
        scalars::DIVIDE,
        trees::{PlanWalk, TreeWalk},
    },
};

/// Brings the mixed operands of a plan and of its subqueries to common types.
///
/// # Errors
/// Those of the planner library when a plan does not fit together.
pub fn common_types(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut changed = false;
    Ok(bring_together(plan, &mut changed)?.data)
}

/// Inputs first, then the subqueries of the node's expressions, which may use columns of the inputs, then the node.
fn bring_together(plan: LogicalPlan, changed: &mut bool) -> Result<Transformed<LogicalPlan>> {
    let plan = match plan {
        LogicalPlan::Join(join) => join_inputs(join, changed)?,
        plan => plan.map_children_dyn(|input| bring_together(input, changed))?,
    };
    let schema = match plan.data.inputs().as_slice() {
        [] => plan.data.schema().as_ref().clone(),
        inputs => merge_schema(inputs),
    };
    let plan = match *changed {
        true => plan.transform_data(|plan| {
            plan.map_expressions_dyn(|expr| {
                expr.transform_up_dyn(|expr| retype_subquery(expr, &schema))
            })
        })?,
        false => plan,
    };
    let plan =
        plan.transform_data(|plan| plan.map_subqueries_dyn(|plan| bring_together(plan, changed)))?;
    let plan = plan.transform_data(|plan| {
        let names = NamePreserver::new(&plan);
        plan.map_expressions_dyn(|expr| {
            let name = names.save(&expr);
            let typed = expr.transform_up_dyn(|expr| unify(expr, &schema))?;
            Ok(match typed.transformed {
                true => typed.update_data(|expr| name.restore(expr)),
                false => typed,
            })
        })
    })?;
    let plan = plan.transform_data(columns)?;
    *changed |= plan.transformed;
    // Types below may have changed, and with them those of the columns here.
    match changed {
        true => plan.map_data(LogicalPlan::recompute_schema),
        false => Ok(plan),
    }
}

/// The right side of a LATERAL join may use columns of the left one.
fn join_inputs(mut join: Join, changed: &mut bool) -> Result<Transformed<LogicalPlan>> {
    let left = bring_together(Arc::unwrap_or_clone(join.left), changed)?;
    let right = Arc::unwrap_or_clone(join.right);
    let right = match *changed {
        true => retype_outer(right, left.data.schema())?,
        false => right,
    };
    let right = bring_together(right, changed)?;
    let transformed = left.transformed || right.transformed;
    join.left = Arc::new(left.data);
    join.right = Arc::new(right.data);
    let plan = LogicalPlan::Join(join);
    Ok(if transformed { Transformed::yes(plan) } else { Transformed::no(plan) })
}

/// The outer columns of a subquery with the types that they have now.
fn retype_subquery(expr: Expr, outer: &DFSchema) -> Result<Transformed<Expr>> {
    let retype = |subquery: Subquery| -> Result<Subquery> {
        let plan = retype_outer(Arc::unwrap_or_clone(subquery.subquery), outer)?;
        let columns = subquery.outer_ref_columns.into_iter();
        let outer_ref_columns = columns
            .map(|expr| Ok(expr.transform_up_dyn(|expr| Ok(retype_column(expr, outer)))?.data))
            .collect::<Result<_>>()?;
        Ok(Subquery { subquery: Arc::new(plan), outer_ref_columns, ..subquery })
    };
    Ok(Transformed::yes(match expr {
        Expr::ScalarSubquery(subquery) => Expr::ScalarSubquery(retype(subquery)?),
        Expr::Exists(Exists { subquery, negated }) => {
            Expr::Exists(Exists { subquery: retype(subquery)?, negated })
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            Expr::InSubquery(InSubquery { expr, subquery: retype(subquery)?, negated })
        }
        Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
            let subquery = retype(subquery)?;
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier })
        }
        other => return Ok(Transformed::no(other)),
    }))
}

fn retype_outer(plan: LogicalPlan, outer: &DFSchema) -> Result<LogicalPlan> {
    let retyped = plan.transform_up_with_subqueries_dyn(|plan| {
        let plan = plan.map_expressions_dyn(|expr| {
            expr.transform_up_dyn(|expr| Ok(retype_column(expr, outer)))
        })?;
        match plan.transformed {
            true => plan.map_data(LogicalPlan::recompute_schema),
            false => Ok(plan),
        }
    })?;
    Ok(retyped.data)
}

fn retype_column(expr: Expr, outer: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::OuterReferenceColumn(known, column) => match outer.field_from_column(&column) {
            Ok(field) if field.data_type() != known.data_type() => {
                Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column))
            }
            _ => Transformed::no(Expr::OuterReferenceColumn(known, column)),
        },
        expr => Transformed::no(expr),
    }
}

/// What operands are brought together for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Arithmetic,
    Comparison,
    /// One of them is the result.
    Choice,
}

fn purpose(op: Operator) -> Option<Purpose> {
    use Operator as O;
    match op {
        O::Eq
        | O::NotEq
        | O::Lt
        | O::LtEq
        | O::Gt
        | O::GtEq
        | O::IsDistinctFrom
        | O::IsNotDistinctFrom => Some(Purpose::Comparison),
        O::Plus | O::Minus | O::Multiply | O::Divide | O::Modulo => Some(Purpose::Arithmetic),
        _ => None,
    }
}

fn unify(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if purpose(op) == Some(Purpose::Comparison) {
                comparable(&left, [&*right], schema)?;
            }
            let ty = purpose(op).and_then(|purpose| of_pair(&left, &right, purpose, schema));
            let ty = ty.or_else(|| distance(&left, op, &right, schema));
            let [left, right] =
                [left, right].map(|side| Box::new(bring_to(*side, ty.as_ref(), schema)));
            made(Expr::BinaryExpr(BinaryExpr { left, op, right }), ty.is_some())
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            comparable(&expr, [&*low, &*high], schema)?;
            let ty = of([&*expr, &*low, &*high], Purpose::Comparison, schema);
            let [expr, low, high] =
                [expr, low, high].map(|side| Box::new(bring_to(*side, ty.as_ref(), schema)));
            made(Expr::Between(Between { expr, negated, low, high }), ty.is_some())
        }
        Expr::InList(InList { expr, list, negated }) => {
            comparable(&expr, &list, schema)?;
            let operands = std::iter::once(expr.as_ref()).chain(&list);
            let ty = of(operands, Purpose::Comparison, schema);
            let expr = Box::new(bring_to(*expr, ty.as_ref(), schema));
            let list = bring_all(list, ty.as_ref(), schema);
            made(Expr::InList(InList { expr, list, negated }), ty.is_some())
        }
        Expr::Case(case) => {
            let thens = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
            one_kind("CASE", thens.chain(case.else_expr.as_deref()), schema)?;
            if let Some(tested) = &case.expr {
                let whens = case.when_then_expr.iter().map(|(when, _)| when.as_ref());
                comparable(tested, whens, schema)?;
            }
            unify_case(case, schema)
        }
        Expr::WindowFunction(call) => {
            let shifts = matches!(call.fun.name(), "lag" | "lead");
            if let ([value, _, default], true) = (call.params.args.as_slice(), shifts) {
                one_kind(call.fun.name(), [value, default], schema)?;
            }
            Transformed::no(Expr::WindowFunction(call))
        }
        Expr::ScalarFunction(ScalarFunction { func, args })
            if is_length_of_list(func.name(), &args, schema) =>
        {
            Transformed::yes(array_length_udf().call(args))
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            let ty = match func.name() {
                "coalesce" | "nvl" | "greatest" | "least" | "make_array" => {
                    one_kind(func.name(), &args, schema)?;
                    of(&args, Purpose::Choice, schema)
                }
                "nullif" => {
                    if let [one, other] = args.as_slice() {
                        comparable(one, [other], schema)?;
                    }
                    of(&args, Purpose::Comparison, schema)
                }
                DIVIDE => of(&args, Purpose::Arithmetic, schema),
                _ => None,
            };
            let args = bring_all(args, ty.as_ref(), schema);
            match (func.name(), <[Expr; 2]>::try_from(args)) {
                // The dividend or the divisor was a decimal only until its own operands had their types.
                (DIVIDE, Ok([left, right])) if ty.is_some() || floats([&left, &right], schema) => {
                    let (left, right) = (Box::new(left), Box::new(right));
                    let quotient = BinaryExpr { left, op: Operator::Divide, right };
                    Transformed::yes(Expr::BinaryExpr(quotient))
                }
                (_, args) => {
                    let args = args.map_or_else(|args| args, Vec::from);
                    made(Expr::ScalarFunction(ScalarFunction { func, args }), ty.is_some())
                }
            }
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let (expr, subquery, known) = unify_subquery(*expr, subquery, schema)?;
            let expr = Box::new(expr);
            made(Expr::InSubquery(InSubquery { expr, subquery, negated }), known)
        }
        Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
            let (expr, subquery, known) = unify_subquery(*expr, subquery, schema)?;
            let expr = Box::new(expr);
            made(Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }), known)
        }
        other => Transformed::no(other),
    })
}

/// Refuses comparisons of moments with numbers, which the library would make by way of the moments' representation.
fn comparable<'e>(
    one: &Expr,
    others: impl IntoIterator<Item = &'e Expr>,
    schema: &DFSchema,
) -> Result<()> {
    for other in others {
        let Ok(theirs) = other.get_type(schema) else { continue };
        if !theirs.is_temporal() && !theirs.is_numeric() {
            continue;
        }
        let Ok(ours) = one.get_type(schema) else { continue };
        if differ(&ours, &theirs) {
            return Err(not_comparable(one, &ours, other, &theirs));
        }
    }
    Ok(())
}

fn not_comparable(one: &Expr, ours: &DataType, other: &Expr, theirs: &DataType) -> DataFusionError {
    let message = format!("cannot compare {} with {}", shown(ours), shown(theirs));
    of_mixture(message, one.column_refs().into_iter().chain(other.column_refs()))
}

/// Refuses values of one result of which some are moments and others numbers.
fn one_kind<'e>(
    name: &str,
    values: impl IntoIterator<Item = &'e Expr>,
    schema: &DFSchema,
) -> Result<()> {
    let values: Vec<(&Expr, DataType)> = values
        .into_iter()
        .filter_map(|value| Some((value, value.get_type(schema).ok()?)))
        .collect();
    let types: Vec<&DataType> = values.iter().map(|(_, ty)| ty).collect();
    match two_kinds(&types) {
        Some((one, other)) => {
            let columns = values.iter().filter(|(_, ty)| ty == other);
            let columns = columns.flat_map(|(value, _)| value.column_refs());
            Err(of_mixture(mixed(name, one, other), columns))
        }
        None => Ok(()),
    }
}

/// Two types of which one is of moments and the other of numbers.
fn two_kinds<'t>(types: &[&'t DataType]) -> Option<(&'t DataType, &'t DataType)> {
    let first = types.iter().find(|ty| ty.is_temporal() || ty.is_numeric())?;
    types.iter().find(|ty| differ(first, ty)).map(|other| (*first, *other))
}

fn mixed(name: &str, one: &DataType, other: &DataType) -> String {
    let call = if name.starts_with(char::is_lowercase) { "()" } else { "" };
    format!("{name}{call} cannot give values of {} and of {}", shown(one), shown(other))
}

fn of_mixture<'c>(
    message: String,
    columns: impl IntoIterator<Item = &'c Column>,
) -> DataFusionError {
    let span = columns.into_iter().find_map(|column| column.spans.first());
    let error = Error::new(ErrorKind::Type, message).or_span(span.map(our_span));
    DataFusionError::External(Box::new(error))
}

/// Whether one is a type of moments and the other one of numbers.
fn differ(one: &DataType, other: &DataType) -> bool {
    one.is_temporal() && other.is_numeric() || one.is_numeric() && other.is_temporal()
}

fn shown(ty: &DataType) -> String {
    LogicalType::from_arrow(ty).map_or_else(|_| ty.to_string(), |ty| ty.to_string())
}

/// `length(list)`, whose argument the library would take for a text.
fn is_length_of_list(function: &str, args: &[Expr], schema: &DFSchema) -> bool {
    let [arg] = args else { return false };
    matches!(function, "length" | "character_length")
        && matches!(arg.get_type(schema), Ok(DataType::List(_) | DataType::LargeList(_)))
}

fn unify_case(case: Case, schema: &DFSchema) -> Transformed<Expr> {
    let Case { expr, when_then_expr, else_expr } = case;
    let whens = when_then_expr.iter().map(|(when, _)| when.as_ref());
    let tested = expr.as_ref().and_then(|expr| {
        of(std::iter::once(expr.as_ref()).chain(whens), Purpose::Comparison, schema)
    });
    let thens = when_then_expr.iter().map(|(_, then)| then.as_ref());
    let result = of(thens.chain(else_expr.as_deref()), Purpose::Choice, schema);
    let known = tested.is_some() || result.is_some();
    let bring =
        |expr: Box<Expr>, ty: &Option<DataType>| Box::new(bring_to(*expr, ty.as_ref(), schema));
    let case = Case {
        expr: expr.map(|expr| bring(expr, &tested)),
        when_then_expr: when_then_expr
            .into_iter()
            .map(|(when, then)| (bring(when, &tested), bring(then, &result)))
            .collect(),
        else_expr: else_expr.map(|expr| bring(expr, &result)),
    };
    made(Expr::Case(case), known)
}

fn unify_subquery(
    expr: Expr,
    subquery: Subquery,
    schema: &DFSchema,
) -> Result<(Expr, Subquery, bool)> {
    let (Ok(left), [right]) = (expr.get_type(schema), subquery.subquery.schema().fields().as_ref())
    else {
        return Ok((expr, subquery, false));
    };
    let Some(ty) = common([&left, right.data_type()], Purpose::Comparison) else {
        return Ok((expr, subquery, false));
    };
    let plan = Arc::unwrap_or_clone(subquery.subquery);
    let plan = bring_columns(plan, &[Some(ty.clone())])?;
    let subquery = Subquery { subquery: Arc::new(plan), ..subquery };
    Ok((bring_to(expr, Some(&ty), schema), subquery, true))
}

/// The columns that a plan itself brings together: those of set operations, VALUES and joins.
fn columns(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Union(union) => unify_union(union),
        LogicalPlan::Values(values) => unify_values(values),
        LogicalPlan::Join(mut join) => {
            let known = unify_keys(&mut join)?;
            let plan = LogicalPlan::Join(join);
            Ok(if known { Transformed::yes(plan) } else { Transformed::no(plan) })
        }
        plan => Ok(Transformed::no(plan)),
    }
}

fn unify_keys(join: &mut Join) -> Result<bool> {
    let mut known = false;
    for (left, right) in &mut join.on {
        let (left_schema, right_schema) = (join.left.schema(), join.right.schema());
        let types = (left.get_type(left_schema), right.get_type(right_schema));
        let (Ok(left_type), Ok(right_type)) = types else { continue };
        if differ(&left_type, &right_type) {
            return Err(not_comparable(left, &left_type, right, &right_type));
        }
        if let Some(ty) = common([&left_type, &right_type], Purpose::Comparison) {
            *left = bring_to(std::mem::take(left), Some(&ty), left_schema);
            *right = bring_to(std::mem::take(right), Some(&ty), right_schema);
            known = true;
        }
    }
    Ok(known)
}

fn unify_union(union: Union) -> Result<Transformed<LogicalPlan>> {
    let Union { inputs, schema } = union;
    let count = schema.fields().len();
    if inputs.iter().any(|input| input.schema().fields().len() != count) {
        return Ok(Transformed::no(LogicalPlan::Union(Union { inputs, schema })));
    }
    let types = |column: usize| -> Vec<&DataType> {
        inputs.iter().map(|input| input.schema().field(column).data_type()).collect()
    };
    for column in 0..count {
        let types = types(column);
        if let Some((one, other)) = two_kinds(&types) {
            return Err(of_mixture(mixed("UNION", one, other), []));
        }
    }
    let casts: Vec<Option<DataType>> =
        (0..count).map(|column| common(types(column), Purpose::Choice)).collect();
    // The union's own schema may be older than what its inputs became.
    let wanted: Vec<Option<DataType>> = casts
        .iter()
        .enumerate()
        .map(|(column, ty)| match (ty, types(column).as_slice()) {
            (Some(ty), _) => Some(ty.clone()),
            (None, [first, rest @ ..]) if rest.iter().all(|ty| ty == first) => {
                Some((*first).clone())
            }
            _ => None,
        })
        .collect();
    let retyped = retyped(&schema, &wanted)?;
    if retyped.is_none() && casts.iter().all(Option::is_none) {
        return Ok(Transformed::no(LogicalPlan::Union(Union { inputs, schema })));
    }
    let inputs = bring_inputs(inputs, &casts)?;
    let schema = retyped.unwrap_or(schema);
    Ok(Transformed::yes(LogicalPlan::Union(Union { inputs, schema })))
}

fn bring_inputs(
    inputs: Vec<Arc<LogicalPlan>>,
    types: &[Option<DataType>],
) -> Result<Vec<Arc<LogicalPlan>>> {
    let bring = |input| bring_columns(Arc::unwrap_or_clone(input), types).map(Arc::new);
    inputs.into_iter().map(bring).collect()
}

/// The library has put its casts into the rows already; they come off where the values have another common type.
fn unify_values(values: Values) -> Result<Transformed<LogicalPlan>> {
    let Values { schema, values: mut rows } = values;
    let mut wanted = vec![None; schema.fields().len()];
    for (column, wanted) in wanted.iter_mut().enumerate() {
        let ty = schema.field(column).data_type();
        if !ty.is_decimal() && !matches!(ty, DataType::Timestamp(..)) {
            continue;
        }
        let types: Option<Vec<DataType>> = rows
            .iter()
            .map(|row| match row.get(column)? {
                Expr::Literal(value, _) if value.is_null() => Some(DataType::Null),
                expr => uncast(expr, ty).get_type(&schema).ok(),
            })
            .collect();
        let common = types.and_then(|types| common(&types, Purpose::Choice));
        let Some(common) = common.filter(|common| common != ty) else { continue };
        for value in rows.iter_mut().filter_map(|row| row.get_mut(column)) {
            *value = bring_to(uncast(value, ty).clone(), Some(&common), &schema);
        }
        *wanted = Some(common);
    }
    Ok(match retyped(&schema, &wanted)? {
        Some(schema) => Transformed::yes(LogicalPlan::Values(Values { schema, values: rows })),
        None => Transformed::no(LogicalPlan::Values(Values { schema, values: rows })),
    })
}

/// The operand of a cast to `ty`.
fn uncast<'a>(expr: &'a Expr, ty: &DataType) -> &'a Expr {
    match expr {
        Expr::Cast(Cast { expr, field }) if field.data_type() == ty => expr,
        expr => expr,
    }
}

/// The schema with other types in some columns, unless it has them already.
fn retyped(schema: &DFSchema, types: &[Option<DataType>]) -> Result<Option<DFSchemaRef>> {
    let mut changed = false;
    let fields = schema.iter().zip(types).map(|((qualifier, field), ty)| {
        let field = match ty {
            Some(ty) if ty != field.data_type() => {
                changed = true;
                Arc::new(Field::clone(field).with_data_type(ty.clone()))
            }
            _ => Arc::clone(field),
        };
        (qualifier.cloned(), field)
    });
    let fields = fields.collect();
    if !changed {
        return Ok(None);
    }
    DFSchema::new_with_metadata(fields, schema.metadata().clone()).map(|schema| Some(schema.into()))
}

/// The plan with some of its columns cast.
fn bring_columns(plan: LogicalPlan, types: &[Option<DataType>]) -> Result<LogicalPlan> {
    let mut changed = false;
    let exprs: Vec<Expr> = plan
        .schema()
        .iter()
        .zip(types)
        .map(|((qualifier, field), ty)| {
            let column = Expr::Column(Column::from((qualifier, field)));
            match ty {
                Some(ty) if ty != field.data_type() => {
                    changed = true;
                    cast(column, ty.clone()).alias_qualified(qualifier.cloned(), field.name())
                }
                _ => column,
            }
        })
        .collect();
    match changed {
        true => LogicalPlanBuilder::from(plan).project(exprs)?.build(),
        false => Ok(plan),
    }
}

fn of_pair(left: &Expr, right: &Expr, purpose: Purpose, schema: &DFSchema) -> Option<DataType> {
    // Chains nest to the left, so that the right side tells at little cost that most need nothing.
    let right = right.get_type(schema).ok()?;
    let temporal = matches!(right, DataType::Date32 | DataType::Timestamp(..)) || is_text(&right);
    if right.is_floating() || right.is_decimal() || temporal && purpose != Purpose::Arithmetic {
        return common([&left.get_type(schema).ok()?, &right], purpose);
    }
    None
}

/// The type of a date and a timestamp of which one is taken from the other.
fn distance(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> Option<DataType> {
    if op != Operator::Minus {
        return None;
    }
    match right.get_type(schema).ok()? {
        DataType::Date32 => match left.get_type(schema).ok()? {
            moment @ DataType::Timestamp(..) => Some(moment),
            _ => None,
        },
        moment @ DataType::Timestamp(..) => {
            (left.get_type(schema).ok()? == DataType::Date32).then_some(moment)
        }
        _ => None,
    }
}

fn of<'a>(
    operands: impl IntoIterator<Item = &'a Expr>,
    purpose: Purpose,
    schema: &DFSchema,
) -> Option<DataType> {
    let types: Vec<DataType> =
        operands.into_iter().map(|operand| operand.get_type(schema).ok()).collect::<Option<_>>()?;
    common(&types, purpose)
}

/// The common type, where it is not the library's.
fn common<'a>(types: impl IntoIterator<Item = &'a DataType>, purpose: Purpose) -> Option<DataType> {
    let (mut floats, mut decimals, mut numbers) = (false, false, false);
    let (mut dates, mut texts) = (false, false);
    let mut finest: Option<TimeUnit> = None;
    let mut zone: Option<Arc<str>> = None;
    for ty in types {
        match ty {
            DataType::Null => {}
            ty if ty.is_floating() => floats = true,
            ty if ty.is_decimal() => decimals = true,
            ty if ty.is_integer() => numbers = true,
            DataType::Date32 => dates = true,
            DataType::Timestamp(unit, of) => {
                finest = Some(finest.map_or(*unit, |known| known.max(*unit)));
                match (&zone, of) {
                    (Some(known), Some(of)) if known != of => return None,
                    (None, Some(of)) => zone = Some(Arc::clone(of)),
                    _ => {}
                }
            }
            ty if is_text(ty) && purpose == Purpose::Comparison => texts = true,
            _ => return None,
        }
    }
    if floats && decimals {
        return (finest.is_none() && !dates && !texts).then_some(DataType::Float64);
    }
    if floats || decimals || numbers || purpose == Purpose::Arithmetic {
        return None;
    }
    let unit = match texts {
        true => finest?.max(TimeUnit::Microsecond),
        false => finest.filter(|_| dates)?,
    };
    Some(DataType::Timestamp(unit, zone))
}

fn is_text(ty: &DataType) -> bool {
    matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn floats(operands: [&Expr; 2], schema: &DFSchema) -> bool {
    operands.iter().any(|operand| operand.get_type(schema).is_ok_and(|ty| ty.is_floating()))
}

fn made(expr: Expr, changed: bool) -> Transformed<Expr> {
    if changed { Transformed::yes(expr) } else { Transformed::no(expr) }
}

fn bring_all(exprs: Vec<Expr>, ty: Option<&DataType>, schema: &DFSchema) -> Vec<Expr> {
    match ty {
        Some(_) => exprs.into_iter().map(|expr| bring_to(expr, ty, schema)).collect(),
        None => exprs,
    }
}

fn bring_to(expr: Expr, ty: Option<&DataType>, schema: &DFSchema) -> Expr {
    match ty {
        Some(ty) if expr.get_type(schema).is_ok_and(|known| known != *ty) => cast(expr, ty.clone()),
        _ => expr,
    }
}
