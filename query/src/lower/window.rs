//! Window functions: one engine node for each partitioning and order, frames spelt out.
//!
//! Invariant: the output follows the logical schema: the input's columns, then the calls as they were written, whatever
//! the order in which the nodes compute them.

use arrow::{array::AsArray, datatypes::IntervalMonthDayNanoType};
use datafusion_common::ScalarValue;
use datafusion_expr::{
    Expr as Logical, Window, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition,
    expr::{
        AggregateFunction as Call, AggregateFunctionParams, NullTreatment, WindowFunction,
        WindowFunctionParams,
    },
};
use stoadb_engine::{
    Expr,
    expr::ArithmeticOp,
    plan::{
        Exclude, Frame, FrameBound, FrameUnit, Plan, Rank, SortKey, Which, WindowCall, WindowPlan,
    },
};
use stoadb_storage::{ColumnDef, LogicalType, Scalar, Schema, types::TimeUnit};

use super::{Lowerer, coerce, columns_of, literal, project, schema_of, scope::Scope};
use crate::{
    error::{Error, ErrorKind, Result},
    sql::exclusions::EXCLUDE,
};

/// Calls over one partitioning and order, and where each stands among all calls.
struct Group {
    partition_by: Vec<Expr>,
    order_by: Vec<SortKey>,
    calls: Vec<(usize, WindowCall)>,
}

impl Lowerer {
    pub(super) fn window(&mut self, node: &Window) -> Result<Plan> {
        let mut plan = self.plan(&node.input)?;
        let scope = Scope::new(node.input.schema());
        let output = schema_of(&node.schema)?;
        let width = plan.schema().len();
        let mut groups: Vec<Group> = Vec::new();
        for (index, expr) in node.window_expr.iter().enumerate() {
            let function = function_of(expr)?;
            let parts: Vec<Logical> = function.params.partition_by.clone();
            let (marks, parts): (Vec<Logical>, Vec<Logical>) =
                parts.into_iter().partition(|part| exclusion(part).is_some());
            let exclude = marks.iter().find_map(exclusion).unwrap_or_default();
            let partition_by = self.exprs(&parts, &scope)?;
            let order_by = self.sort_keys(&function.params.order_by, &scope)?;
            let ty = &output.columns[width + index].ty;
            let mut call = self.window_call(function, &order_by, &scope, ty)?;
            if let WindowCall::Pick { frame, .. } | WindowCall::Aggregate { frame, .. } = &mut call
            {
                frame.exclude = exclude;
            }
            let same = |group: &&mut Group| {
                group.partition_by == partition_by && group.order_by == order_by
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.calls.push((index, call)),
                None => groups.push(Group { partition_by, order_by, calls: vec![(index, call)] }),
            }
        }
        // Where each call's column comes to stand.
        let mut places = vec![0; node.window_expr.len()];
        for Group { partition_by, order_by, calls } in groups {
            let mut columns = plan.schema().columns.clone();
            for (index, call) in &calls {
                places[*index] = columns.len();
                let name = call.named(&[plan.schema()]);
                columns.push(ColumnDef { name, ..output.columns[width + index].clone() });
            }
            let (input, schema) = (Box::new(plan), Schema::new(columns));
            let calls = calls.into_iter().map(|(_, call)| call).collect();
            plan = Plan::Window(WindowPlan { input, schema, partition_by, order_by, calls });
        }
        let all = columns_of(plan.schema());
        let exprs: Vec<Expr> = (0..width).chain(places).map(|index| all[index].clone()).collect();
        let names = exprs.iter().map(|expr| match expr {
            Expr::Column { index, .. } => plan.schema().columns[*index].clone(),
            _ => ColumnDef::new("", expr.ty()),
        });
        let names = Schema::new(names.collect());
        Ok(project(plan, names, exprs))
    }

    fn window_call(
        &mut self,
        function: &WindowFunction,
        order_by: &[SortKey],
        scope: &Scope,
        ty: &LogicalType,
    ) -> Result<WindowCall> {
        let params = &function.params;
        let definition = match &function.fun {
            WindowFunctionDefinition::AggregateUDF(udf) => {
                let params = aggregate_params(params);
                let call = Call { func: udf.clone(), params };
                let call = self.aggregate_call(&Logical::AggregateFunction(call), scope, ty)?;
                let frame = frame(&function.params.window_frame, order_by)?;
                return Ok(WindowCall::Aggregate { call, frame });
            }
            WindowFunctionDefinition::WindowUDF(udf) => udf,
        };
        let name = definition.name().to_ascii_lowercase();
        let mut args = self.exprs(&params.args, scope)?.into_iter();
        let ignore_nulls = params.null_treatment == Some(NullTreatment::IgnoreNulls);
        let missing = || Error::internal(format!("{name}() without its arguments"));
        let number = |arg: Expr| coerce::cast(arg, &LogicalType::Int64);
        if let Some(rank) = rank(&name) {
            return Ok(WindowCall::Rank(rank));
        }
        let value = args.next().ok_or_else(missing)?;
        let second = args.next().map(number);
        Ok(match name.as_str() {
            "ntile" => WindowCall::Ntile(number(value)),
            "lag" | "lead" => WindowCall::Shift {
                distance: second.unwrap_or(Expr::Literal(Scalar::int64(1))),
                default: args.next().map(|default| coerce::cast(default, &value.ty())),
                forward: name == "lead",
                ignore_nulls,
                value,
            },
            "first_value" | "last_value" | "nth_value" => {
                let which = match name.as_str() {
                    "first_value" => Which::First,
                    "last_value" => Which::Last,
                    _ => Which::Nth(second.ok_or_else(missing)?),
                };
                let frame = frame(&params.window_frame, order_by)?;
                WindowCall::Pick { value, which, ignore_nulls, frame }
            }
            _ => return Err(Error::unsupported(format!("the window function {name}"))),
        })
    }
}

/// What a constant of PARTITION BY says of the frame, if it is the one that stands for EXCLUDE.
fn exclusion(part: &Logical) -> Option<Exclude> {
    let text = match part {
        Logical::Alias(alias) => return exclusion(&alias.expr),
        Logical::Cast(cast) => return exclusion(&cast.expr),
        Logical::Literal(value, _) => value.try_as_str()??,
        _ => return None,
    };
    Some(match text.strip_prefix(EXCLUDE)? {
        "current row" => Exclude::CurrentRow,
        "group" => Exclude::Group,
        "ties" => Exclude::Ties,
        _ => Exclude::Nothing,
    })
}

fn function_of(expr: &Logical) -> Result<&WindowFunction> {
    match expr {
        Logical::Alias(alias) => function_of(&alias.expr),
        Logical::WindowFunction(function) => Ok(function),
        other => Err(Error::internal(format!("{other} is no window function"))),
    }
}

fn aggregate_params(params: &WindowFunctionParams) -> AggregateFunctionParams {
    AggregateFunctionParams {
        args: params.args.clone(),
        distinct: params.distinct,
        filter: params.filter.clone(),
        order_by: Vec::new(),
        null_treatment: params.null_treatment,
    }
}

fn rank(name: &str) -> Option<Rank> {
    Some(match name {
        "row_number" => Rank::RowNumber,
        "rank" => Rank::Rank,
        "dense_rank" => Rank::DenseRank,
        "percent_rank" => Rank::PercentRank,
        "cume_dist" => Rank::CumeDist,
        _ => return None,
    })
}

fn frame(frame: &WindowFrame, order_by: &[SortKey]) -> Result<Frame> {
    let unit = match frame.units {
        WindowFrameUnits::Rows => FrameUnit::Rows,
        WindowFrameUnits::Range => FrameUnit::Range,
        WindowFrameUnits::Groups => FrameUnit::Groups,
    };
    let start = bound(&frame.start_bound, unit, order_by)?;
    let end = bound(&frame.end_bound, unit, order_by)?;
    Ok(Frame { unit, start, end, exclude: Exclude::Nothing })
}

fn bound(bound: &WindowFrameBound, unit: FrameUnit, order_by: &[SortKey]) -> Result<FrameBound> {
    let (distance, following) = match bound {
        WindowFrameBound::CurrentRow => return Ok(FrameBound::CurrentRow),
        WindowFrameBound::Preceding(distance) => (distance, false),
        WindowFrameBound::Following(distance) => (distance, true),
    };
    if distance.is_null() {
        return Ok(FrameBound::Unbounded);
    }
    match (unit, order_by) {
        (FrameUnit::Range, [key]) => key_bound(distance, following, key),
        (FrameUnit::Range, _) => {
            Err(Error::unsupported("RANGE with a distance and other than one ORDER BY expression"))
        }
        (FrameUnit::Rows | FrameUnit::Groups, _) => {
            let rows = match distance {
                ScalarValue::UInt64(Some(rows)) => i64::try_from(*rows).unwrap_or(i64::MAX),
                other => return Err(negative(other)),
            };
            Ok(FrameBound::Offset(if following { rows } else { -rows }))
        }
    }
}

/// The key so far before or after the row's own, in a type in which nothing overflows or loses its time of day.
fn key_bound(distance: &ScalarValue, following: bool, key: &SortKey) -> Result<FrameBound> {
    let distance = literal::scalar(distance)?;
    if distance.as_f64().is_some_and(|distance| distance < 0.0 || distance.is_nan()) {
        return Err(negative(&distance));
    }
    if let Some(interval) = distance.array().as_primitive_opt::<IntervalMonthDayNanoType>()
        && !distance.is_null()
    {
        let interval = interval.value(0);
        if interval.months < 0 || interval.days < 0 || interval.nanoseconds < 0 {
            return Err(negative(&distance));
        }
    }
    let ty = match key.expr.ty() {
        ty if ty.is_integer() => LogicalType::Decimal { precision: 38, scale: 0 },
        LogicalType::Decimal { scale, .. } => LogicalType::Decimal { precision: 38, scale },
        LogicalType::Date => LogicalType::Timestamp(TimeUnit::Microsecond, None),
        ty @ (LogicalType::Timestamp(..) | LogicalType::Time(_) | LogicalType::Duration(_)) => ty,
        ty if ty.is_float() => ty,
        ty => {
            let message = format!(
                "RANGE with a distance needs a number, date or timestamp in ORDER BY, not {ty}"
            );
            return Err(Error::new(ErrorKind::Type, message));
        }
    };
    let op = match following != key.descending {
        true => ArithmeticOp::Add,
        false => ArithmeticOp::Subtract,
    };
    let widen = |expr: Expr| match expr.ty() {
        LogicalType::Interval => expr,
        _ => coerce::cast(expr, &ty),
    };
    let key = coerce::cast(key.expr.clone(), &ty);
    let limit = coerce::arithmetic(op, key.clone(), widen(Expr::Literal(distance)))?;
    Ok(FrameBound::Key { limit: coerce::cast(limit, &ty), key })
}

fn negative(distance: &impl std::fmt::Display) -> Error {
    let message = format!("the distance of a frame must not be negative, but is {distance}");
    Error::new(ErrorKind::Value, message)
}
