//! Joins: keys, residual conditions and the kinds that the engine has.
//!
//! Invariant: every equality between the two sides becomes a key, whether the library found it or not; what is left
//! becomes the residual. Next: `join_order`, which decides order and sides.

use datafusion_common::{JoinType, NullEquality};
use datafusion_expr::Join;
use stoadb_engine::{
    Expr,
    expr::CompareOp,
    plan::{JoinKey, JoinKind, JoinPlan, NearestKey, Plan},
};
use stoadb_storage::{ColumnDef, LogicalType, Schema};

use super::{
    Lowerer, asof, coerce,
    expr::{and, conjuncts},
    schema_of,
    scope::Scope,
};
use crate::{
    error::{Error, Result},
    planner::condition_of_asof,
};

impl Lowerer {
    pub(super) fn join(&mut self, node: &Join) -> Result<Plan> {
        let left = self.plan(&node.left)?;
        let right = self.plan(&node.right)?;
        let (left_scope, right_scope) =
            (Scope::new(node.left.schema()), Scope::new(node.right.schema()));
        let null_equal = node.null_equality == NullEquality::NullEqualsNull;
        let mut keys = Vec::with_capacity(node.on.len());
        for (first, second) in &node.on {
            let (first, second) = match self.expr(first, &left_scope) {
                Ok(lowered) => (lowered, self.expr(second, &right_scope)?),
                Err(_) => (self.expr(second, &left_scope)?, self.expr(first, &right_scope)?),
            };
            let (left, right) = coerce::unify(first, second)?;
            keys.push(JoinKey { left, right, null_equal });
        }
        let width = left.schema().len();
        let mut residual = Vec::new();
        let (mut right, mut nearest) = (right, None);
        if let Some(asof) = node.filter.as_ref().and_then(condition_of_asof) {
            let scope = Scope::pair(node.left.schema(), node.right.schema());
            let parts = asof::parts(conjuncts(self.condition(asof, &scope)?), width)?;
            keys.extend(parts.keys);
            nearest = Some(parts.nearest);
            right = asof::before(right, parts.right, node.join_type)?;
            residual = parts.left;
        } else if let Some(filter) = &node.filter {
            let scope = Scope::pair(node.left.schema(), node.right.schema());
            for condition in conjuncts(self.condition(filter, &scope)?) {
                match key_of(condition, width) {
                    Ok(key) => keys.push(key),
                    Err(condition) => residual.push(condition),
                }
            }
        }
        let residual = (!residual.is_empty()).then(|| and(residual));
        if node.null_aware && (node.join_type != JoinType::LeftAnti || keys.is_empty()) {
            return Err(Error::unsupported("NOT IN (SELECT ..) of this form"));
        }
        let join = Sides { left, right, keys, residual };
        let plan = with_nearest(join.into_plan(node.join_type, node.null_aware), nearest);
        let (found, wanted) = (plan.schema(), schema_of(&node.schema)?);
        let types = |schema: &Schema| -> Vec<LogicalType> {
            schema.columns.iter().map(|column| column.ty.clone()).collect()
        };
        if types(found) != types(&wanted) {
            return Err(Error::internal("a join's columns differ from its inputs'"));
        }
        Ok(plan)
    }
}

/// What a join is made of, before its kind is known.
struct Sides {
    left: Plan,
    right: Plan,
    keys: Vec<JoinKey>,
    residual: Option<Expr>,
}

impl Sides {
    fn into_plan(self, ty: JoinType, null_aware: bool) -> Plan {
        let (kind, sides) = match ty {
            JoinType::Inner => (JoinKind::Inner, self),
            JoinType::Left => (JoinKind::Left, self),
            JoinType::Right => (JoinKind::Right, self),
            JoinType::Full => (JoinKind::Full, self),
            JoinType::LeftSemi => (JoinKind::LeftSemi, self),
            JoinType::RightSemi => (JoinKind::RightSemi, self),
            JoinType::LeftAnti if null_aware => (JoinKind::LeftAntiNullAware, self),
            JoinType::LeftAnti => (JoinKind::LeftAnti, self),
            JoinType::RightAnti => (JoinKind::RightAnti, self),
            JoinType::LeftMark => (JoinKind::LeftMark, self),
            JoinType::RightMark => (JoinKind::LeftMark, self.swapped()),
        };
        join_plan(kind, sides.left, sides.right, sides.keys, sides.residual)
    }

    fn swapped(self) -> Self {
        let (left, right) = (self.left.schema().len(), self.right.schema().len());
        Self {
            keys: self.keys.into_iter().map(swap_key).collect(),
            residual: self.residual.map(|residual| swap_columns(residual, left, right)),
            left: self.right,
            right: self.left,
        }
    }
}

/// A join whose schema follows from its inputs and its kind.
pub(crate) fn join_plan(
    kind: JoinKind,
    left: Plan,
    right: Plan,
    keys: Vec<JoinKey>,
    residual: Option<Expr>,
) -> Plan {
    let schema = output_schema(kind, left.schema(), right.schema());
    let (left, right) = (Box::new(left), Box::new(right));
    Plan::Join(JoinPlan { left, right, kind, keys, residual, nearest: None, schema })
}

/// A join as an ASOF join.
pub(super) fn with_nearest(plan: Plan, nearest: Option<NearestKey>) -> Plan {
    match plan {
        Plan::Join(join) => Plan::Join(JoinPlan { nearest, ..join }),
        plan => plan,
    }
}

/// The output columns of a join of a kind.
pub(super) fn output_schema(kind: JoinKind, left: &Schema, right: &Schema) -> Schema {
    let padded = |schema: &Schema, padded: bool| -> Vec<ColumnDef> {
        let column = |column: &ColumnDef| ColumnDef {
            nullable: column.nullable || padded,
            ..column.clone()
        };
        schema.columns.iter().map(column).collect()
    };
    let both = |left_padded, right_padded| {
        let mut columns = padded(left, left_padded);
        columns.extend(padded(right, right_padded));
        Schema::new(columns)
    };
    match kind {
        JoinKind::Inner => both(false, false),
        JoinKind::Left => both(false, true),
        JoinKind::Right => both(true, false),
        JoinKind::Full => both(true, true),
        JoinKind::LeftSemi | JoinKind::LeftAnti | JoinKind::LeftAntiNullAware => left.clone(),
        JoinKind::RightSemi | JoinKind::RightAnti => right.clone(),
        JoinKind::LeftMark => {
            let mut schema = left.clone();
            let ty = LogicalType::Boolean;
            schema.columns.push(ColumnDef { name: "mark".into(), ty, nullable: false });
            schema
        }
    }
}

/// The key with its sides exchanged.
pub(crate) fn swap_key(key: JoinKey) -> JoinKey {
    JoinKey { left: key.right, right: key.left, null_equal: key.null_equal }
}

/// An expression over left and right columns, over right and left columns.
pub(crate) fn swap_columns(mut expr: Expr, left: usize, right: usize) -> Expr {
    expr.map_columns(&mut |index| if index < left { index + right } else { index - left });
    expr
}

/// A condition over the columns of both sides as a key, if it is an equality of the sides.
pub(crate) fn key_of(condition: Expr, left_width: usize) -> Result<JoinKey, Expr> {
    let Expr::Compare { op, left: first, right: second } = condition else { return Err(condition) };
    let null_equal = op == CompareOp::NotDistinct;
    let (first_side, second_side) = (side(&first, left_width), side(&second, left_width));
    match (op, first_side, second_side) {
        (CompareOp::Eq | CompareOp::NotDistinct, Some(Side::Left), Some(Side::Right)) => {
            Ok(key(*first, *second, left_width, null_equal))
        }
        (CompareOp::Eq | CompareOp::NotDistinct, Some(Side::Right), Some(Side::Left)) => {
            Ok(key(*second, *first, left_width, null_equal))
        }
        _ => Err(Expr::Compare { op, left: first, right: second }),
    }
}

fn key(left: Expr, mut right: Expr, left_width: usize, null_equal: bool) -> JoinKey {
    right.map_columns(&mut |index| index - left_width);
    JoinKey { left, right, null_equal }
}

/// A side of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// The side whose columns an expression uses; `None` when it uses both or none.
pub(crate) fn side(expr: &Expr, left_width: usize) -> Option<Side> {
    let (mut left, mut right) = (false, false);
    expr.for_each_column(&mut |index| if index < left_width { left = true } else { right = true });
    match (left, right) {
        (true, false) => Some(Side::Left),
        (false, true) => Some(Side::Right),
        _ => None,
    }
}
