//! The check behind lowering: ordinals, types and widths of a whole plan.
//!
//! Invariant: a plan that passes binds: every column exists below and has the type that is claimed, every operator's
//! schema follows from its inputs. A mistake becomes an internal error here rather than a wrong answer later.

use std::sync::Arc;

use stoadb_engine::{
    Expr,
    plan::{
        AggregateFunction, JoinPlan, Plan, QueryPlan, ScanPlan, UnnestColumn, WindowCall,
        WindowPlan,
    },
};
use stoadb_storage::{LogicalType, Relation, Schema};

use super::join::output_schema;
use crate::error::{Error, Result};

/// Checks a whole plan.
///
/// # Errors
/// `Internal`, naming what does not fit.
pub(super) fn verify(plan: &QueryPlan, relations: &[Arc<dyn Relation>]) -> Result<()> {
    let mut scope = Checker { relations, subqueries: Vec::new(), shared: Vec::new() };
    for shared in &plan.shared {
        scope.shared.push(types(shared.schema()));
    }
    for subquery in &plan.subqueries {
        scope.plan(subquery)?;
        match types(subquery.schema()).as_slice() {
            [ty] => scope.subqueries.push(ty.clone()),
            _ => return wrong("a scalar subquery has several columns"),
        }
    }
    for shared in &plan.shared {
        scope.plan(shared)?;
    }
    scope.plan(&plan.root)
}

struct Checker<'a> {
    relations: &'a [Arc<dyn Relation>],
    subqueries: Vec<LogicalType>,
    shared: Vec<Vec<LogicalType>>,
}

fn types(schema: &Schema) -> Vec<LogicalType> {
    schema.columns.iter().map(|column| column.ty.clone()).collect()
}

fn wrong<T>(what: impl std::fmt::Display) -> Result<T> {
    Err(Error::internal(format!("the plan does not fit together: {what}")))
}

fn must(holds: bool, what: impl std::fmt::Display) -> Result<()> {
    if holds { Ok(()) } else { wrong(what) }
}

impl Checker<'_> {
    fn plan(&self, plan: &Plan) -> Result<()> {
        for input in plan.inputs() {
            self.plan(input)?;
        }
        let output = types(plan.schema());
        match plan {
            Plan::Values { rows, .. } => {
                for row in rows {
                    self.row(row, &output, &[])?;
                }
                Ok(())
            }
            Plan::Scan(scan) => self.scan(scan),
            Plan::Shared { id, .. } => {
                must(self.shared.get(*id) == Some(&output), "a shared plan's columns")
            }
            Plan::Filter { input, predicate } => self.condition(predicate, &types(input.schema())),
            Plan::Project { input, exprs, .. } => self.row(exprs, &output, &types(input.schema())),
            Plan::Aggregate { .. } => self.aggregate(plan, &output),
            Plan::Join(join) => self.join(join),
            Plan::Sort { input, keys, .. } => {
                let input = types(input.schema());
                keys.iter().try_for_each(|key| self.expr(&key.expr, &input))
            }
            Plan::Limit { .. } | Plan::WorkTable { .. } => Ok(()),
            Plan::Recursive(plan) => {
                let same = [&plan.base, &plan.step].map(|plan| types(plan.schema()) == output);
                must(same == [true, true], "the columns of a recursive query")
            }
            Plan::Unnest { input, columns, .. } => {
                let input = types(input.schema());
                let ty = |column: &UnnestColumn| match (column, input.get(column.input())?) {
                    (UnnestColumn::Repeat(_), ty) => Some(ty.clone()),
                    (UnnestColumn::Elements(_), LogicalType::List(element)) => {
                        LogicalType::from_arrow(element.data_type()).ok()
                    }
                    (UnnestColumn::Field(_, field), LogicalType::Struct(fields)) => {
                        LogicalType::from_arrow(fields.get(*field)?.data_type()).ok()
                    }
                    _ => None,
                };
                let expected: Option<Vec<LogicalType>> = columns.iter().map(ty).collect();
                must(expected == Some(output), "the columns of unnest()")
            }
            Plan::Window(window) => self.window(window, &output),
            Plan::Union { inputs, .. } => {
                let same = inputs.iter().all(|input| types(input.schema()) == output);
                must(same, "a UNION's inputs differ")
            }
        }
    }

    fn scan(&self, scan: &ScanPlan) -> Result<()> {
        let Some(relation) = self.relations.get(scan.relation.0) else {
            return wrong(format!("no relation {}", scan.relation.0));
        };
        let all = types(relation.schema());
        let read: Option<Vec<LogicalType>> =
            scan.projection.iter().map(|&column| all.get(column).cloned()).collect();
        must(read == Some(types(&scan.schema)), format!("the columns of {}", scan.name))?;
        scan.filter.as_ref().map_or(Ok(()), |filter| self.condition(filter, &all))
    }

    fn aggregate(&self, plan: &Plan, output: &[LogicalType]) -> Result<()> {
        let Plan::Aggregate { input, groups, grouping_sets, aggregates, .. } = plan else {
            return Ok(());
        };
        let input = types(input.schema());
        let mut expected: Vec<LogicalType> = groups.iter().map(Expr::ty).collect();
        expected.extend(aggregates.iter().map(|call| call.ty.clone()));
        expected.extend((!grouping_sets.is_empty()).then_some(LogicalType::Int64));
        must(expected == output, "an aggregate's columns")?;
        let known = grouping_sets.iter().flatten().all(|&group| group < groups.len());
        must(known, "a grouping set names no group")?;
        groups.iter().try_for_each(|group| self.expr(group, &input))?;
        for call in aggregates {
            let no_args = call.function == AggregateFunction::CountStar;
            must(call.args.is_empty() == no_args, "an aggregate's arguments")?;
            call.args.iter().try_for_each(|arg| self.expr(arg, &input))?;
            call.order_by.iter().try_for_each(|key| self.expr(&key.expr, &input))?;
            call.filter.iter().try_for_each(|filter| self.condition(filter, &input))?;
        }
        Ok(())
    }

    fn window(&self, window: &WindowPlan, output: &[LogicalType]) -> Result<()> {
        let input = types(window.input.schema());
        window.exprs().into_iter().try_for_each(|expr| self.expr(expr, &input))?;
        let mut expected = input;
        expected.extend(window.calls.iter().map(WindowCall::ty));
        must(expected == output, "a window's columns")
    }

    fn join(&self, join: &JoinPlan) -> Result<()> {
        let (left, right) = (types(join.left.schema()), types(join.right.schema()));
        for key in &join.keys {
            self.expr(&key.left, &left)?;
            self.expr(&key.right, &right)?;
            must(key.left.ty() == key.right.ty(), "a join key's types")?;
        }
        if let Some(nearest) = &join.nearest {
            self.expr(&nearest.left, &left)?;
            self.expr(&nearest.right, &right)?;
            must(nearest.left.ty() == nearest.right.ty(), "the types of an ASOF join's moments")?;
        }
        let expected = output_schema(join.kind, join.left.schema(), join.right.schema());
        must(types(&join.schema) == types(&expected), "a join's columns")?;
        let both: Vec<LogicalType> = left.into_iter().chain(right).collect();
        join.residual.iter().try_for_each(|residual| self.condition(residual, &both))
    }

    fn row(&self, row: &[Expr], output: &[LogicalType], input: &[LogicalType]) -> Result<()> {
        let found: Vec<LogicalType> = row.iter().map(Expr::ty).collect();
        must(found == output, "a row's types")?;
        row.iter().try_for_each(|expr| self.expr(expr, input))
    }

    fn condition(&self, expr: &Expr, input: &[LogicalType]) -> Result<()> {
        must(expr.ty() == LogicalType::Boolean, format!("the condition {expr}"))?;
        self.expr(expr, input)
    }

    fn expr(&self, expr: &Expr, input: &[LogicalType]) -> Result<()> {
        let boolean = |expr: &Expr| expr.ty() == LogicalType::Boolean;
        let fits = match expr {
            Expr::Column { index, ty } => input.get(*index) == Some(ty),
            Expr::Subquery { id, ty } => self.subqueries.get(*id) == Some(ty),
            Expr::Parameter { .. } => false,
            Expr::Compare { left, right, .. } => left.ty() == right.ty(),
            Expr::And(args) | Expr::Or(args) => !args.is_empty() && args.iter().all(boolean),
            Expr::Not(input) => boolean(input),
            Expr::Arithmetic { left, right, ty, .. } => {
                let plain = ty.is_integer() || ty.is_float();
                let same = left.ty() == *ty && right.ty() == *ty;
                // Dates and timestamps subtract to something else.
                !plain || same || !(left.ty().is_numeric() && right.ty().is_numeric())
            }
            Expr::Case { branches, otherwise, ty } => {
                let results = branches.iter().map(|(_, then)| then).chain(otherwise.as_deref());
                let mut results = results.map(Expr::ty);
                branches.iter().all(|(when, _)| boolean(when)) && results.all(|then| then == *ty)
            }
            Expr::InList { input, list, .. } => list.iter().all(|value| *value.ty() == input.ty()),
            Expr::Like { input, pattern, .. } => input.ty() == pattern.ty(),
            Expr::Literal(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::Negate(_)
            | Expr::Cast { .. }
            | Expr::Call { .. }
            | Expr::Lambda { .. } => true,
        };
        must(fits, format!("the expression {expr}"))?;
        expr.children().into_iter().try_for_each(|child| self.expr(child, input))
    }
}

#[cfg(test)]
mod tests {
    use stoadb_engine::expr::CompareOp;

    use super::{
        super::testing::{lowered, plan_text},
        *,
    };

    #[test]
    fn test_verify_finds_wrong_ordinals_and_types() {
        let good = lowered("SELECT a, sum(b) FROM t WHERE i > 3 GROUP BY a");
        assert!(verify(&good.plan, &good.relations).is_ok());
        let break_it = |change: &dyn Fn(&mut ScanPlan)| {
            let Plan::Aggregate { mut input, schema, groups, grouping_sets, aggregates } =
                good.plan.root.clone()
            else {
                panic!("{}", plan_text("SELECT a, sum(b) FROM t WHERE i > 3 GROUP BY a"));
            };
            let Plan::Scan(scan) = &mut *input else { panic!("a scan") };
            change(scan);
            let root = Plan::Aggregate { input, schema, groups, grouping_sets, aggregates };
            let plan = QueryPlan { root, subqueries: Vec::new(), shared: Vec::new() };
            verify(&plan, &good.relations).is_err()
        };
        assert!(!break_it(&|_| ()));
        assert!(break_it(&|scan| scan.projection[0] = 2));
        assert!(break_it(&|scan| scan.schema.columns.truncate(1)));
        assert!(break_it(&|scan| scan.filter = Some(Expr::column(0, LogicalType::Int64))));
        assert!(break_it(&|scan| scan.filter = Some(Expr::column(99, LogicalType::Boolean))));
        assert!(break_it(&|scan| {
            let left = Box::new(Expr::column(0, LogicalType::Int64));
            let right = Box::new(Expr::column(2, LogicalType::Int32));
            scan.filter = Some(Expr::Compare { op: CompareOp::Eq, left, right });
        }));
    }
}
