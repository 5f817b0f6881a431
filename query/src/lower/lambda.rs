//! Functions of lists with lambdas: parameters and outer columns become the columns of the lambda's body.
//!
//! Invariant: a body names nothing but its own columns: first the parameters, then what it captures, which is computed
//! outside of it.

use datafusion_expr::{Expr as Logical, ExprSchemable, expr::HigherOrderFunction};
use stoadb_engine::expr::{Expr, LambdaKind};
use stoadb_storage::LogicalType;

use super::{Lowerer, coerce, planner_error, scope::Scope};
use crate::{
    error::{Error, Result},
    planner::lambdas::lambda_kind,
    sql::names::unmark,
};

/// Columns from here on are parameters of lambdas, by level of nesting.
const PARAMETERS: usize = 1 << 40;
/// Most parameters of one lambda.
const MOST: usize = 8;

impl Lowerer {
    /// A parameter of a lambda around the expression.
    pub(super) fn lambda_variable(&self, name: &str, ty: LogicalType) -> Result<Expr> {
        for (level, names) in self.lambdas.iter().enumerate().rev() {
            if let Some(at) = names.iter().position(|known| known == name) {
                return Ok(Expr::Column { index: PARAMETERS + level * MOST + at, ty });
            }
        }
        let name = unmark(name);
        let what = format!("a subquery over {name}, the parameter of a lambda around it");
        Err(Error::unsupported(what).with_hint("unnest the list and join what the subquery reads"))
    }

    /// A call.
    pub(super) fn lambda(
        &mut self,
        call: &HigherOrderFunction,
        expr: &Logical,
        scope: &Scope,
    ) -> Result<Expr> {
        let unknown = || Error::unsupported(format!("lambdas in {}()", call.name()));
        let mut kind = lambda_kind(call.name()).ok_or_else(unknown)?;
        let ty = LogicalType::from_arrow(&expr.get_type(scope).map_err(planner_error)?)?;
        let [list, Logical::Lambda(lambda), rest @ ..] = call.args.as_slice() else {
            return Err(unknown());
        };
        let list = self.expr(list, scope)?;
        let mut args = vec![list];
        if let [initial] = rest {
            kind = LambdaKind::Reduce { initial: true };
            args.push(coerce::cast(self.expr(initial, scope)?, &ty));
        }
        self.lambdas.push(lambda.params.clone());
        let body = self.expr(&lambda.body, scope);
        let level = self.lambdas.len() - 1;
        self.lambdas.pop();
        let mut body = match kind {
            LambdaKind::Filter | LambdaKind::AnyMatch => coerce::boolean(body?)?,
            LambdaKind::Reduce { .. } => coerce::cast(body?, &ty),
            LambdaKind::Transform | LambdaKind::Try => body?,
        };
        let parameters = kind.parameters();
        let mut captured: Vec<Expr> = Vec::new();
        capture(&mut body, level, parameters, &mut captured);
        args.extend(captured);
        Ok(Expr::Lambda { kind, args, body: Box::new(body), ty })
    }
}

impl Lowerer {
    /// `TRY(body)`: NULL where the body raises an error.
    pub(super) fn attempt(&self, mut body: Expr, ty: LogicalType) -> Expr {
        let mut args = Vec::new();
        // It has no parameters: no level of lambdas is its own.
        capture(&mut body, self.lambdas.len(), 0, &mut args);
        Expr::Lambda { kind: LambdaKind::Try, args, body: Box::new(body), ty }
    }
}

/// Makes columns of the body of what it names: parameters of its own, and everything else by what it captures.
fn capture(expr: &mut Expr, level: usize, parameters: usize, captured: &mut Vec<Expr>) {
    let own = PARAMETERS + level * MOST..PARAMETERS + (level + 1) * MOST;
    match expr {
        Expr::Column { index, .. } if own.contains(index) => *index -= own.start,
        Expr::Column { ty, .. } | Expr::Subquery { ty, .. } | Expr::Parameter { ty, .. } => {
            let ty = ty.clone();
            let at = captured.iter().position(|known| known == expr).unwrap_or_else(|| {
                captured.push(expr.clone());
                captured.len() - 1
            });
            *expr = Expr::Column { index: parameters + at, ty };
        }
        _ => {
            for child in expr.children_mut() {
                capture(child, level, parameters, captured);
            }
        }
    }
}
