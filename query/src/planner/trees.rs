//! Walks over the planner library's trees by reference to the function: each is compiled once, where the library's own
//! methods are compiled anew, with all that they call, for every closure that is given to them.
//!
//! Invariant: nothing else calls the methods of the same names without `_dyn`; clippy.toml forbids it.

#![expect(clippy::disallowed_methods, reason = "this is the one place that may call them")]

use datafusion_common::{
    Result,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{Expr, LogicalPlan};

/// What became of a tree, and whether it changed.
type Changed<T> = Result<Transformed<T>>;

/// The walks of expressions and plans.
pub(crate) trait TreeWalk: TreeNode {
    /// Changes every node after those below it.
    fn transform_up_dyn(self, mut f: impl FnMut(Self) -> Changed<Self>) -> Changed<Self> {
        self.transform_up(&mut f as &mut dyn FnMut(Self) -> Changed<Self>)
    }

    /// Changes every node before those below it.
    fn transform_down_dyn(self, mut f: impl FnMut(Self) -> Changed<Self>) -> Changed<Self> {
        self.transform_down(&mut f as &mut dyn FnMut(Self) -> Changed<Self>)
    }

    /// Changes the nodes right below this one.
    fn map_children_dyn(self, mut f: impl FnMut(Self) -> Changed<Self>) -> Changed<Self> {
        self.map_children(&mut f as &mut dyn FnMut(Self) -> Changed<Self>)
    }

    /// Looks at every node before those below it.
    fn apply_dyn<'n>(
        &'n self,
        mut f: impl FnMut(&'n Self) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.apply(&mut f as &mut dyn FnMut(&'n Self) -> Result<TreeNodeRecursion>)
    }

    /// Whether there is a node of a kind.
    fn exists_dyn(&self, mut f: impl FnMut(&Self) -> Result<bool>) -> Result<bool> {
        self.exists(&mut f as &mut dyn FnMut(&Self) -> Result<bool>)
    }
}

impl TreeWalk for Expr {}
impl TreeWalk for LogicalPlan {}

/// The walks of plans alone.
pub(crate) trait PlanWalk: Sized {
    /// As `transform_up_dyn`, the plans of subqueries among the nodes.
    fn transform_up_with_subqueries_dyn(
        self,
        f: impl FnMut(Self) -> Changed<Self>,
    ) -> Changed<Self>;

    /// As `transform_down_dyn`, the plans of subqueries among the nodes.
    fn transform_down_with_subqueries_dyn(
        self,
        f: impl FnMut(Self) -> Changed<Self>,
    ) -> Changed<Self>;

    /// As `apply_dyn`, the plans of subqueries among the nodes.
    fn apply_with_subqueries_dyn(
        &self,
        f: impl FnMut(&Self) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion>;

    /// Changes the plans of this node's subqueries.
    fn map_subqueries_dyn(self, f: impl FnMut(Self) -> Changed<Self>) -> Changed<Self>;

    /// Changes this node's expressions.
    fn map_expressions_dyn(self, f: impl FnMut(Expr) -> Changed<Expr>) -> Changed<Self>;

    /// Looks at this node's expressions.
    fn apply_expressions_dyn(
        &self,
        f: impl FnMut(&Expr) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion>;
}

impl PlanWalk for LogicalPlan {
    fn transform_up_with_subqueries_dyn(
        self,
        mut f: impl FnMut(Self) -> Changed<Self>,
    ) -> Changed<Self> {
        self.transform_up_with_subqueries(&mut f as &mut dyn FnMut(Self) -> Changed<Self>)
    }

    fn transform_down_with_subqueries_dyn(
        self,
        mut f: impl FnMut(Self) -> Changed<Self>,
    ) -> Changed<Self> {
        self.transform_down_with_subqueries(&mut f as &mut dyn FnMut(Self) -> Changed<Self>)
    }

    fn apply_with_subqueries_dyn(
        &self,
        mut f: impl FnMut(&Self) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.apply_with_subqueries(&mut f as &mut dyn FnMut(&Self) -> Result<TreeNodeRecursion>)
    }

    fn map_subqueries_dyn(self, mut f: impl FnMut(Self) -> Changed<Self>) -> Changed<Self> {
        self.map_subqueries(&mut f as &mut dyn FnMut(Self) -> Changed<Self>)
    }

    fn map_expressions_dyn(self, mut f: impl FnMut(Expr) -> Changed<Expr>) -> Changed<Self> {
        self.map_expressions(&mut f as &mut dyn FnMut(Expr) -> Changed<Expr>)
    }

    fn apply_expressions_dyn(
        &self,
        mut f: impl FnMut(&Expr) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.apply_expressions(&mut f as &mut dyn FnMut(&Expr) -> Result<TreeNodeRecursion>)
    }
}
