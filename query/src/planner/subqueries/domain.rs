//! Correlation as rows: a subquery is computed for all distinct values of the columns that it uses of the enclosing query
//! (its domain), side by side, with these values as further columns.
//!
//! After Neumann and Kemper, "Unnesting Arbitrary Queries" (2015). Slower than `lift.rs`, for what that does not take.
//! Invariants: the rows of `push(plan)` with given values of the domain are the rows of `plan` for these values; its
//! columns are those of `plan` and one of a made name for each column of the domain.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::{Column, DFSchema, JoinType, Result, ScalarValue, tree_node::Transformed};
use datafusion_expr::{
    Aggregate, Distinct, DistinctOn, Expr, ExprFunctionExt, FetchType, Join, Limit, LogicalPlan,
    LogicalPlanBuilder, SkipType, Sort, SortExpr, Union, Values, Window, cast, expr::Alias, lit,
};

use crate::planner::{
    rules::is_asof,
    trees::{PlanWalk, TreeWalk},
};

use super::{
    Unnester,
    plans::{self, Names},
};

/// Most nodes that a statement's subqueries may become: what is correlated across levels doubles at each of them.
const PUSHED_MAX: usize = 5_000;

/// The distinct values of some columns of an enclosing query.
pub(super) struct Domain {
    plan: LogicalPlan,
    /// The enclosing query's column, and the made name that it has in `plan`.
    columns: Vec<(Column, String)>,
}

impl Domain {
    pub(super) fn new(outer: &LogicalPlan, used: &[Column], names: &mut Names) -> Result<Self> {
        let volatile =
            outer.exists_dyn(|node| Ok(node.expressions().iter().any(Expr::is_volatile)))?;
        if volatile {
            return plans::refuse(
                "a subquery of this form that uses columns beside a random value",
            );
        }
        let columns: Vec<(Column, String)> = used
            .iter()
            .map(|column| (column.clone(), names.next_for(&Expr::Column(column.clone()))))
            .collect();
        let exprs = columns
            .iter()
            .map(|(column, name)| Expr::Column(column.clone()).alias(name.clone()))
            .collect();
        let plan = plans::project(outer.clone(), exprs)?;
        Ok(Self { plan: LogicalPlan::Distinct(Distinct::All(Arc::new(plan))), columns })
    }

    /// The same rows under other names.
    fn again(&self, names: &mut Names) -> Result<Self> {
        let columns: Vec<(Column, String)> = self
            .columns
            .iter()
            .map(|(column, _)| (column.clone(), names.next_for(&Expr::Column(column.clone()))))
            .collect();
        let rename = |((_, old), (_, new)): (&(Column, String), &(Column, String))| {
            Ok(plans::named(self.plan.schema(), old)?.alias(new.clone()))
        };
        let exprs = self.columns.iter().zip(&columns).map(rename).collect::<Result<_>>()?;
        Ok(Self { plan: plans::project(self.plan.clone(), exprs)?, columns })
    }

    /// The domain's columns in a schema that has them.
    fn in_schema(&self, schema: &DFSchema) -> Result<Vec<Expr>> {
        self.columns.iter().map(|(_, name)| plans::named(schema, name)).collect()
    }

    /// Each column of the enclosing query and the made name of its value.
    pub(super) fn columns(&self) -> &[(Column, String)] {
        &self.columns
    }

    /// That the values of two instances agree.
    fn agrees(&self, schema: &DFSchema, other: &Self, theirs: &DFSchema) -> Result<Vec<Expr>> {
        let (ours, theirs) = (self.in_schema(schema)?, other.in_schema(theirs)?);
        Ok(ours.into_iter().zip(theirs).map(|(ours, theirs)| plans::same(ours, theirs)).collect())
    }

    fn is_used(&self, expr: &Expr) -> bool {
        let used = expr.exists_dyn(|expr| {
            Ok(matches!(expr, Expr::OuterReferenceColumn(_, column)
                if self.columns.iter().any(|(known, _)| known == column)))
        });
        used.unwrap_or(true)
    }

    fn is_used_in(&self, plan: &LogicalPlan) -> Result<bool> {
        plan.exists_dyn(|node| {
            let mut found = false;
            node.apply_expressions_dyn(|expr| {
                found |= self.is_used(expr);
                Ok(datafusion_common::tree_node::TreeNodeRecursion::Continue)
            })?;
            Ok(found)
        })
    }

    /// An expression with the domain's values in place of the enclosing query's columns.
    fn bind(&self, expr: Expr, schema: &DFSchema) -> Result<Expr> {
        let bound = expr.transform_up_dyn(|expr| match expr {
            Expr::OuterReferenceColumn(field, column) => {
                match self.columns.iter().find(|(known, _)| *known == column) {
                    Some((_, name)) => plans::named(schema, name).map(Transformed::yes),
                    None => Ok(Transformed::no(Expr::OuterReferenceColumn(field, column))),
                }
            }
            expr => Ok(Transformed::no(expr)),
        })?;
        Ok(bound.data)
    }

    fn bind_keys(&self, keys: &[SortExpr], schema: &DFSchema) -> Result<Vec<SortExpr>> {
        keys.iter()
            .map(|key| Ok(SortExpr { expr: self.bind(key.expr.clone(), schema)?, ..key.clone() }))
            .collect()
    }
}

impl Unnester<'_> {
    /// A subquery for all values of its domain.
    pub(super) fn push(&mut self, plan: &LogicalPlan, domain: &Domain) -> Result<LogicalPlan> {
        self.pushed += 1;
        if self.pushed > PUSHED_MAX {
            return plans::refuse("correlation across so many levels of subqueries");
        }
        if !domain.is_used_in(plan)? {
            return LogicalPlanBuilder::from(plan.clone()).cross_join(domain.plan.clone())?.build();
        }
        match plan {
            LogicalPlan::Filter(node) => {
                let input = self.push(&node.input, domain)?;
                let predicate = domain.bind(node.predicate.clone(), input.schema())?;
                plans::filter(input, vec![predicate])
            }
            LogicalPlan::Projection(node) => {
                let input = self.push(&node.input, domain)?;
                let bind = |(field, expr): (usize, &Expr)| {
                    let expr = domain.bind(expr.clone(), input.schema())?;
                    Ok(plans::keep_name(expr, &node.schema, field))
                };
                let mut exprs =
                    node.expr.iter().enumerate().map(bind).collect::<Result<Vec<_>>>()?;
                exprs.extend(domain.in_schema(input.schema())?);
                plans::project(input, exprs)
            }
            LogicalPlan::SubqueryAlias(node) => {
                plans::alias(self.push(&node.input, domain)?, node.alias.table())
            }
            LogicalPlan::Sort(node) => {
                let input = self.push(&node.input, domain)?;
                let expr = domain.bind_keys(&node.expr, input.schema())?;
                let input = Arc::new(input);
                Ok(LogicalPlan::Sort(Sort { expr, input, fetch: node.fetch }))
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input = Arc::new(self.push(input, domain)?);
                Ok(LogicalPlan::Distinct(Distinct::All(input)))
            }
            LogicalPlan::Limit(node) => self.push_limit(node, domain),
            LogicalPlan::Window(node) => self.push_window(node, domain),
            LogicalPlan::Unnest(node) => {
                let input = LogicalPlanBuilder::from(self.push(&node.input, domain)?);
                let columns = node.exec_columns.clone();
                input.unnest_columns_with_options(columns, node.options.clone())?.build()
            }
            LogicalPlan::Distinct(Distinct::On(node)) => self.push_distinct_on(node, domain),
            LogicalPlan::Values(node) => self.push_values(node, domain),
            LogicalPlan::Aggregate(node) => self.push_aggregate(node, domain),
            LogicalPlan::Join(node) => self.push_join(node, domain),
            LogicalPlan::Union(node) => self.push_union(node, domain),
            LogicalPlan::Subquery(_) => plans::refuse("LATERAL in a correlated subquery"),
            _ => plans::refuse("a correlated subquery of this form"),
        }
    }

    /// LIMIT and OFFSET: the rows of each value by their number.
    fn push_limit(&mut self, node: &Limit, domain: &Domain) -> Result<LogicalPlan> {
        let (FetchType::Literal(fetch), SkipType::Literal(skip)) =
            (node.get_fetch_type()?, node.get_skip_type()?)
        else {
            return plans::refuse("LIMIT and OFFSET of a value in a correlated subquery");
        };
        let (below, keys) = match node.input.as_ref() {
            LogicalPlan::Sort(sort) => (sort.input.as_ref(), sort.expr.as_slice()),
            // The order may lie below a projection, which changes no rows.
            LogicalPlan::Projection(projection) => {
                let rows = Limit { input: Arc::clone(&projection.input), ..node.clone() };
                let mut projection = projection.clone();
                projection.input = Arc::new(LogicalPlan::Limit(rows));
                return self.push(&LogicalPlan::Projection(projection), domain);
            }
            input => (input, &[][..]),
        };
        let schema = Arc::clone(below.schema());
        let input = self.push(below, domain)?;
        let keys = domain.bind_keys(keys, input.schema())?;
        let Some(number) = self.functions.window("row_number") else {
            return plans::refuse("LIMIT in a correlated subquery");
        };
        let within = domain.in_schema(input.schema())?;
        let mut number = number.call(Vec::new()).partition_by(within);
        if !keys.is_empty() {
            number = number.order_by(keys);
        }
        let number = number.build()?;
        let name = self.names.next();
        let width = input.schema().fields().len();
        let rows = LogicalPlan::Window(Window::try_new(vec![number], Arc::new(input))?);
        let mut exprs = plans::columns(rows.schema());
        exprs[width] = std::mem::take(&mut exprs[width]).alias(name.clone());
        let rows = plans::project(rows, exprs)?;
        let number = cast(plans::named(rows.schema(), &name)?, DataType::Int64);
        let bound = |rows: usize| lit(i64::try_from(rows).unwrap_or(i64::MAX));
        let mut kept = vec![number.clone().gt(bound(skip))];
        kept.extend(fetch.map(|fetch| number.lt_eq(bound(skip.saturating_add(fetch)))));
        let rows = plans::filter(rows, kept)?;
        let mut exprs = plans::columns(&schema);
        exprs.extend(domain.in_schema(rows.schema())?);
        plans::project(rows, exprs)
    }

    /// Windows within each value.
    fn push_window(&mut self, node: &Window, domain: &Domain) -> Result<LogicalPlan> {
        let input = self.push(&node.input, domain)?;
        let within = domain.in_schema(input.schema())?;
        let windows = node.window_expr.iter().map(|expr| {
            let bound = domain.bind(expr.clone(), input.schema())?;
            let parted = bound.transform_up_dyn(|expr| match expr {
                Expr::WindowFunction(mut window) => {
                    window.params.partition_by.extend(within.iter().cloned());
                    Ok(Transformed::yes(Expr::WindowFunction(window)))
                }
                expr => Ok(Transformed::no(expr)),
            })?;
            Ok(parted.data)
        });
        let windows = windows.collect::<Result<Vec<_>>>()?;
        let width = input.schema().fields().len();
        let rows = LogicalPlan::Window(Window::try_new(windows, Arc::new(input))?);
        let own = node.input.schema().fields().len();
        let mut exprs = plans::columns(node.input.schema());
        for (position, column) in
            plans::columns(rows.schema()).split_off(width).into_iter().enumerate()
        {
            exprs.push(plans::keep_name(column, &node.schema, own + position));
        }
        exprs.extend(domain.in_schema(rows.schema())?);
        plans::project(rows, exprs)
    }

    fn push_distinct_on(&mut self, node: &DistinctOn, domain: &Domain) -> Result<LogicalPlan> {
        let input = self.push(&node.input, domain)?;
        let schema = Arc::clone(input.schema());
        let within = domain.in_schema(&schema)?;
        let bind = |exprs: &[Expr]| -> Result<Vec<Expr>> {
            exprs.iter().map(|expr| domain.bind(expr.clone(), &schema)).collect()
        };
        let mut on = within.clone();
        on.extend(bind(&node.on_expr)?);
        let mut selected = Vec::with_capacity(node.select_expr.len() + within.len());
        for (field, expr) in bind(&node.select_expr)?.into_iter().enumerate() {
            selected.push(plans::keep_name(expr, &node.schema, field));
        }
        selected.extend(within.iter().cloned());
        let keys = node.sort_expr.as_deref().map(|keys| -> Result<Vec<SortExpr>> {
            let mut all: Vec<SortExpr> =
                within.iter().map(|value| value.clone().sort(true, false)).collect();
            all.extend(domain.bind_keys(keys, &schema)?);
            Ok(all)
        });
        let rows = DistinctOn::try_new(on, selected, keys.transpose()?, Arc::new(input))?;
        Ok(LogicalPlan::Distinct(Distinct::On(rows)))
    }

    /// VALUES of outer columns: a row of each value.
    fn push_values(&mut self, node: &Values, domain: &Domain) -> Result<LogicalPlan> {
        let mut inputs = Vec::with_capacity(node.values.len());
        for row in &node.values {
            let mut exprs = Vec::with_capacity(row.len() + domain.columns.len());
            for (expr, field) in row.iter().zip(node.schema.fields()) {
                let expr = domain.bind(expr.clone(), domain.plan.schema())?;
                exprs.push(expr.alias(field.name().clone()));
            }
            exprs.extend(domain.in_schema(domain.plan.schema())?);
            inputs.push(Arc::new(plans::project(domain.plan.clone(), exprs)?));
        }
        Ok(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?))
    }

    fn push_aggregate(&mut self, node: &Aggregate, domain: &Domain) -> Result<LogicalPlan> {
        if node.group_expr.iter().any(|group| matches!(group, Expr::GroupingSet(_))) {
            return plans::refuse("GROUPING SETS, ROLLUP and CUBE in a correlated subquery");
        }
        let input = self.push(&node.input, domain)?;
        let width = node.group_expr.len();
        let bind = |exprs: &[Expr], first: usize| -> Result<Vec<Expr>> {
            let bind = |(position, expr): (usize, &Expr)| {
                let bound = domain.bind(expr.clone(), input.schema())?;
                Ok(plans::keep_name(bound, &node.schema, first + position))
            };
            exprs.iter().enumerate().map(bind).collect()
        };
        let (mut groups, calls) = (bind(&node.group_expr, 0)?, bind(&node.aggr_expr, width)?);
        groups.extend(domain.in_schema(input.schema())?);
        let rows = Aggregate::try_new(Arc::new(input), groups, calls)?;
        let rows = LogicalPlan::Aggregate(rows);
        if width > 0 {
            return Ok(rows);
        }
        // A row even for no rows.
        let all = domain.again(&mut self.names)?;
        let agrees = all.agrees(all.plan.schema(), domain, rows.schema())?;
        let joined = plans::join(all.plan.clone(), rows, JoinType::Left, agrees, false)?;
        let mut exprs = Vec::with_capacity(node.aggr_expr.len() + all.columns.len());
        for (position, call) in node.aggr_expr.iter().enumerate() {
            let column = Expr::Column(Column::from(node.schema.qualified_field(position)));
            let value = or_nothing(column, call, &node.input)?;
            exprs.push(plans::keep_name(value, &node.schema, position));
        }
        for ((_, own), (_, wanted)) in all.columns.iter().zip(&domain.columns) {
            exprs.push(plans::named(joined.schema(), own)?.alias(wanted.clone()));
        }
        plans::project(joined, exprs)
    }

    fn push_join(&mut self, node: &Join, domain: &Domain) -> Result<LogicalPlan> {
        let kind = node.join_type;
        let mut on = node.on.iter().flat_map(|(left, right)| [left, right]);
        if on.any(|expr| domain.is_used(expr)) {
            return plans::refuse("a join in a correlated subquery with the outer column in USING");
        }
        let (in_left, in_right) = (domain.is_used_in(&node.left)?, domain.is_used_in(&node.right)?);
        if is_asof(node) && in_right {
            return plans::refuse("ASOF JOIN with the outer column on its right side");
        }
        let mut conditions: Vec<Expr> = Vec::new();
        let (left, right) = match kind {
            JoinType::Full => return plans::refuse("FULL JOIN in a correlated subquery"),
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                let right = self.push(&node.right, domain)?;
                let left = self.other_side(&node.left, in_left, domain, &right, &mut conditions)?;
                (left, right)
            }
            JoinType::Inner if in_right && !in_left => {
                (node.left.as_ref().clone(), self.push(&node.right, domain)?)
            }
            _ => {
                let left = self.push(&node.left, domain)?;
                let right =
                    self.other_side(&node.right, in_right, domain, &left, &mut conditions)?;
                (left, right)
            }
        };
        let both = left.schema().join(right.schema())?;
        let filter = node.filter.clone().map(|filter| domain.bind(filter, &both)).transpose()?;
        let filter = datafusion_expr::utils::conjunction(filter.into_iter().chain(conditions));
        let joined = LogicalPlan::Join(Join::try_new(
            Arc::new(left),
            Arc::new(right),
            node.on.clone(),
            filter,
            kind,
            node.join_constraint,
            node.null_equality,
            node.null_aware,
        )?);
        let mut exprs = plans::columns(&node.schema);
        exprs.extend(domain.in_schema(joined.schema())?);
        plans::project(joined, exprs)
    }

    /// The side of a join that does not bring the domain's columns.
    fn other_side(
        &mut self,
        side: &LogicalPlan,
        uses: bool,
        domain: &Domain,
        across: &LogicalPlan,
        conditions: &mut Vec<Expr>,
    ) -> Result<LogicalPlan> {
        if !uses {
            return Ok(side.clone());
        }
        let again = domain.again(&mut self.names)?;
        let side = self.push(side, &again)?;
        conditions.extend(domain.agrees(across.schema(), &again, side.schema())?);
        Ok(side)
    }

    fn push_union(&mut self, node: &Union, domain: &Domain) -> Result<LogicalPlan> {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for input in &node.inputs {
            let fields = plans::columns(input.schema());
            let pushed = self.push(input, domain)?;
            let name = |(expr, field): (Expr, &arrow::datatypes::FieldRef)| {
                expr.alias(field.name().clone())
            };
            let mut exprs: Vec<Expr> =
                fields.into_iter().zip(node.schema.fields()).map(name).collect();
            for ((_, name), column) in domain.columns.iter().zip(domain.in_schema(pushed.schema())?)
            {
                exprs.push(column.alias(name.clone()));
            }
            inputs.push(Arc::new(plans::project(pushed, exprs)?));
        }
        let union = LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?);
        let mut exprs = plans::columns(union.schema());
        for (field, expr) in exprs.iter_mut().enumerate().take(node.schema.fields().len()) {
            *expr = plans::keep_name(std::mem::take(expr), &node.schema, field);
        }
        plans::project(union, exprs)
    }
}

/// The value of an aggregate after an outer join: what it is over no rows where the join found nothing.
pub(super) fn or_nothing(value: Expr, call: &Expr, input: &LogicalPlan) -> Result<Expr> {
    use datafusion_expr::ExprSchemable;
    let mut inner = call;
    while let Expr::Alias(Alias { expr, .. }) = inner {
        inner = expr;
    }
    let Expr::AggregateFunction(function) = inner else { return Ok(value) };
    let nothing: ScalarValue = function.func.default_value(&inner.get_type(input.schema())?)?;
    if nothing.is_null() {
        return Ok(value);
    }
    datafusion_expr::when(value.clone().is_null(), Expr::Literal(nothing, None)).otherwise(value)
}
