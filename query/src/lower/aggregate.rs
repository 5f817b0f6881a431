//! GROUP BY, aggregates, grouping sets and DISTINCT.
//!
//! Invariant: the output follows the logical schema: groups, `__grouping_id` if there are sets, aggregates. Its columns
//! are named by what they compute, as EXPLAIN prints it.

use arrow::array::{Array, AsArray};
use datafusion_expr::{
    Aggregate, Distinct, DistinctOn, Expr as Logical, GroupingSet,
    expr::{AggregateFunction as Call, NullTreatment},
    utils::grouping_set_to_exprlist,
};
use stoadb_engine::{
    Expr,
    plan::{AggregateCall, AggregateFunction, Plan, SortKey},
};
use stoadb_storage::{ColumnDef, LogicalType, Scalar, Schema};

use super::{
    Lowerer, coerce, columns_of, fold::fold_constant, literal::fold_exactly, planner_error,
    schema_of, scope::Scope,
};
use crate::{
    error::{Error, ErrorKind, Result},
    planner::{COUNT_IF, aggregate_function},
};

impl Lowerer {
    pub(super) fn aggregate(&mut self, node: &Aggregate) -> Result<Plan> {
        let input = self.plan(&node.input)?;
        let scope = Scope::new(node.input.schema());
        let group_exprs = grouping_set_to_exprlist(&node.group_expr).map_err(planner_error)?;
        let groups = self.exprs(group_exprs.iter().copied(), &scope)?;
        let mut output = schema_of(&node.schema)?;
        let sets = match node.group_expr.as_slice() {
            [Logical::GroupingSet(sets)] => positions(sets, &group_exprs)?,
            _ => Vec::new(),
        };
        let skipped = groups.len() + usize::from(!sets.is_empty());
        let mut aggregates = Vec::with_capacity(node.aggr_expr.len());
        for (expr, column) in node.aggr_expr.iter().zip(&output.columns[skipped..]) {
            aggregates.push(self.aggregate_call(expr, &scope, &column.ty)?);
        }
        let names = groups.iter().map(|group| group.named(&[input.schema()]).to_string());
        let columns = output.columns.iter_mut();
        columns.zip(names).for_each(|(column, name)| column.name = name);
        let names = aggregates.iter().map(|call| call.named(&[input.schema()]));
        let columns = output.columns[skipped..].iter_mut();
        columns.zip(names).for_each(|(column, name)| column.name = name);
        if sets.is_empty() {
            let (input, schema) = (Box::new(input), output);
            return Ok(Plan::Aggregate { input, schema, groups, grouping_sets: sets, aggregates });
        }
        Ok(grouping_sets(input, groups, sets, aggregates, output))
    }

    pub(super) fn aggregate_call(
        &mut self,
        expr: &Logical,
        scope: &Scope,
        ty: &LogicalType,
    ) -> Result<AggregateCall> {
        let call = match expr {
            Logical::Alias(alias) => return self.aggregate_call(&alias.expr, scope, ty),
            Logical::AggregateFunction(call) => call,
            other => return Err(Error::internal(format!("{other} is no aggregate"))),
        };
        let name = call.func.name().to_ascii_lowercase();
        let function = aggregate_function(&name)
            .ok_or_else(|| Error::unsupported(format!("the aggregate function {name}")))?;
        let params = &call.params;
        let mut args = self.exprs(&params.args, scope)?;
        if name == COUNT_IF {
            args = args.into_iter().map(|arg| coerce::cast(arg, &LogicalType::Int64)).collect();
        }
        let filter = params.filter.as_ref();
        let filter = filter.map(|filter| self.condition(filter, scope)).transpose()?;
        let mut order_by = self.sort_keys(&params.order_by, scope)?;
        let function = special(function, &mut args, params.distinct, call);
        let parameters = parameters(function, &mut args, &mut order_by)?;
        if let Some(filter) = &filter {
            args.iter_mut().for_each(|arg| guard(arg, filter));
            order_by.iter_mut().for_each(|key| guard(&mut key.expr, filter));
        }
        let distinct = params.distinct && (duplicates_matter(function) || !parameters.is_empty());
        if !order_matters(function) {
            order_by.clear();
        }
        let ty = ty.clone();
        Ok(AggregateCall { function, args, parameters, distinct, filter, order_by, ty })
    }

    pub(super) fn distinct(&mut self, node: &Distinct) -> Result<Plan> {
        match node {
            Distinct::All(input) => {
                let input = self.plan(input)?;
                let schema = input.schema().clone();
                Ok(Plan::Aggregate {
                    groups: columns_of(&schema),
                    schema,
                    input: Box::new(input),
                    grouping_sets: Vec::new(),
                    aggregates: Vec::new(),
                })
            }
            Distinct::On(node) => self.distinct_on(node),
        }
    }

    /// DISTINCT ON: the first row of each group in the given order, and the groups in that order.
    fn distinct_on(&mut self, node: &DistinctOn) -> Result<Plan> {
        let input = Box::new(self.plan(&node.input)?);
        let scope = Scope::new(node.input.schema());
        let groups = self.exprs(&node.on_expr, &scope)?;
        let selected = self.exprs(&node.select_expr, &scope)?;
        let keys = self.sort_keys(node.sort_expr.as_deref().unwrap_or_default(), &scope)?;
        let output = schema_of(&node.schema)?;
        let mut columns: Vec<ColumnDef> =
            groups.iter().map(|group| ColumnDef::new("", group.ty())).collect();
        columns.extend(output.columns.iter().cloned());
        let first = |(expr, column): (Expr, &ColumnDef)| AggregateCall {
            function: AggregateFunction::First,
            args: vec![expr],
            parameters: Vec::new(),
            distinct: false,
            filter: None,
            order_by: keys.clone(),
            ty: column.ty.clone(),
        };
        let aggregates = selected.into_iter().zip(&output.columns).map(first).collect();
        let outer_keys: Vec<SortKey> = keys
            .iter()
            .filter_map(|key| {
                let index = groups.iter().position(|group| *group == key.expr)?;
                Some(SortKey { expr: Expr::column(index, key.expr.ty()), ..key.clone() })
            })
            .collect();
        let width = groups.len();
        let grouping_sets = Vec::new();
        let schema = Schema::new(columns);
        let mut plan = Plan::Aggregate { input, schema, groups, grouping_sets, aggregates };
        if !outer_keys.is_empty() {
            plan = Plan::Sort { input: Box::new(plan), keys: outer_keys, limit: None };
        }
        let exprs = columns_of(plan.schema()).split_off(width);
        Ok(Plan::Project { input: Box::new(plan), schema: output, exprs })
    }
}

/// Keeps what may fail from being computed for rows that FILTER removes.
fn guard(arg: &mut Expr, filter: &Expr) {
    if !may_fail(arg) {
        return;
    }
    let ty = arg.ty();
    let value = std::mem::replace(arg, Expr::Literal(Scalar::null(ty.clone())));
    *arg = Expr::Case { branches: vec![(filter.clone(), value)], otherwise: None, ty };
}

/// Whether an expression computes anything that can be an error for some value.
fn may_fail(expr: &Expr) -> bool {
    match expr {
        Expr::Arithmetic { .. } | Expr::Negate(_) if !expr.ty().is_float() => true,
        Expr::Cast { or_null: false, .. } | Expr::Call { .. } | Expr::Lambda { .. } => true,
        _ => expr.children().into_iter().any(may_fail),
    }
}

/// Aggregates over grouping sets, brought into the logical column order. The engine puts `grouping_id` last and takes
/// no set twice: repeated sets get an aggregate of their own.
fn grouping_sets(
    input: Plan,
    groups: Vec<Expr>,
    sets: Vec<Vec<usize>>,
    aggregates: Vec<AggregateCall>,
    output: Schema,
) -> Plan {
    let width = groups.len();
    let mut columns = output.columns.clone();
    let mut id = columns.remove(width);
    let id_ty = std::mem::replace(&mut id.ty, LogicalType::Int64);
    columns.push(id);
    let schema = Schema::new(columns);
    let mut exprs = columns_of(&schema);
    if let Some(id) = exprs.pop() {
        exprs.insert(width, coerce::cast(id, &id_ty));
    }
    let mut rounds: Vec<Vec<Vec<usize>>> = Vec::new();
    for set in sets {
        match rounds.iter_mut().find(|round| !round.contains(&set)) {
            Some(round) => round.push(set),
            None => rounds.push(vec![set]),
        }
    }
    let aggregate = |grouping_sets| Plan::Project {
        input: Box::new(Plan::Aggregate {
            input: Box::new(input.clone()),
            schema: schema.clone(),
            groups: groups.clone(),
            grouping_sets,
            aggregates: aggregates.clone(),
        }),
        schema: output.clone(),
        exprs: exprs.clone(),
    };
    let mut inputs: Vec<Plan> = rounds.into_iter().map(aggregate).collect();
    match inputs.len() {
        1 => inputs.remove(0),
        _ => Plan::Union { schema: output.clone(), inputs },
    }
}

/// The positions of each set's expressions among all group expressions, ascending.
fn positions(sets: &GroupingSet, all: &[&Logical]) -> Result<Vec<Vec<usize>>> {
    let position = |expr: &Logical| {
        let found = all.iter().position(|known| *known == expr);
        found.ok_or_else(|| Error::internal(format!("the grouping expression {expr} is lost")))
    };
    let set = |exprs: &[Logical]| -> Result<Vec<usize>> {
        let mut set = exprs.iter().map(position).collect::<Result<Vec<_>>>()?;
        set.sort_unstable();
        set.dedup();
        Ok(set)
    };
    match sets {
        GroupingSet::GroupingSets(sets) => sets.iter().map(|exprs| set(exprs)).collect(),
        GroupingSet::Rollup(exprs) => {
            (0..=exprs.len()).rev().map(|length| set(&exprs[..length])).collect()
        }
        GroupingSet::Cube(exprs) => {
            let pick = |mask: usize| -> Vec<Logical> {
                let picked = exprs.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1);
                picked.map(|(_, expr)| expr.clone()).collect()
            };
            (0..1_usize << exprs.len()).rev().map(|mask| set(&pick(mask))).collect()
        }
    }
}

/// `count` of something that is never NULL counts rows; `first(x) IGNORE NULLS` is `any_value`.
fn special(
    function: AggregateFunction,
    args: &mut Vec<Expr>,
    distinct: bool,
    call: &Call,
) -> AggregateFunction {
    let constant = |arg: &Expr| matches!(arg, Expr::Literal(value) if !value.is_null());
    match function {
        AggregateFunction::Count if !distinct && args.iter().all(constant) => {
            args.clear();
            AggregateFunction::CountStar
        }
        AggregateFunction::First
            if call.params.null_treatment == Some(NullTreatment::IgnoreNulls) =>
        {
            AggregateFunction::AnyValue
        }
        other => other,
    }
}

/// Takes the constant arguments out of `args`. The order of WITHIN GROUP only says which end a quantile counts from: the
/// sign of a fraction does so for the engine.
fn parameters(
    function: AggregateFunction,
    args: &mut Vec<Expr>,
    order_by: &mut Vec<SortKey>,
) -> Result<Vec<Scalar>> {
    use AggregateFunction as F;
    let constant = |args: &mut Vec<Expr>, what: &str| match args.pop().map(fold_constant) {
        Some(Expr::Literal(value)) => Ok(value),
        _ => Err(Error::unsupported(format!("{what} that is not a constant"))),
    };
    match (function, args.len()) {
        (F::QuantileCont | F::QuantileDisc, 2) => {
            let given = constant(args, "a quantile's fraction")?;
            let descending = order_by.first().is_some_and(|key| key.descending);
            order_by.clear();
            let fraction = |value: Scalar| {
                let double = fold_exactly(&value, &LogicalType::Float64).unwrap_or(value);
                match double.as_f64() {
                    Some(fraction) if descending => Scalar::float64(-fraction),
                    _ => double,
                }
            };
            Ok(elements(given)?.into_iter().map(fraction).collect())
        }
        (F::Min | F::Max | F::ApproxTopK, 2) | (F::ArgMin | F::ArgMax, 3) => {
            Ok(vec![constant(args, "a number of values")?])
        }
        // `mode(x ORDER BY y)` comes as `mode(y, x)` in that order.
        (F::Mode, 2) if order_by.is_empty() => {
            Err(Error::new(ErrorKind::Type, "mode() takes one argument, not 2"))
        }
        (F::Mode, 2) => {
            args.remove(0);
            Ok(Vec::new())
        }
        (F::StringAgg, 2) => Ok(vec![constant(args, "a separator")?]),
        (F::StringAgg, _) => Ok(vec![Scalar::text(",")]),
        _ => Ok(Vec::new()),
    }
}

/// The elements of a constant list; anything else is one by itself.
fn elements(value: Scalar) -> Result<Vec<Scalar>> {
    if value.is_null() || !matches!(value.ty(), LogicalType::List(_)) {
        return Ok(vec![value]);
    }
    let list = value.array().as_list::<i32>().value(0);
    (0..list.len()).map(|row| Ok(Scalar::from_array(&list, row)?)).collect()
}

/// Whether DISTINCT changes the result.
fn duplicates_matter(function: AggregateFunction) -> bool {
    use AggregateFunction as F;
    !matches!(function, F::Min | F::Max | F::BoolAnd | F::BoolOr | F::BitAnd | F::BitOr)
}

/// Whether ORDER BY changes the result.
fn order_matters(function: AggregateFunction) -> bool {
    use AggregateFunction as F;
    matches!(
        function,
        F::AnyValue | F::First | F::Last | F::StringAgg | F::List | F::ArgMin | F::ArgMax | F::Mode
    ) || matches!(function, F::ArgMinNull | F::ArgMaxNull | F::ApproxTopK)
}
