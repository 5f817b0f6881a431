//! Scalar functions that come from outside the engine, behind one small trait.
//!
//! Invariant: the engine names no library. `query` wraps each library function in a `ScalarFunction` and registers it;
//! expressions name functions by text, resolved when a plan is opened.

use std::sync::Arc;

use arrow::array::ArrayRef;
use hashbrown::HashMap;
use stoadb_storage::LogicalType;

use crate::error::Result;

/// A function of whole columns.
pub trait ScalarFunction: Send + Sync {
    /// Evaluates `rows` rows. Arguments are canonical Arrow arrays of `rows` rows, or of one row where
    /// `constant[i]` says that the value is the same in every row. The result has `rows` rows, in any Arrow layout of
    /// the logical type `ty`.
    ///
    /// # Errors
    /// `Value` when an argument is outside of the function's domain.
    fn evaluate(
        &self,
        args: &[ArrayRef],
        constant: &[bool],
        rows: usize,
        ty: &LogicalType,
    ) -> Result<ArrayRef>;

    /// Whether the result depends on the arguments alone, so that it may be computed once per dictionary entry and
    /// folded over constants.
    fn is_pure(&self) -> bool {
        true
    }
}

/// Functions by lower-case name.
#[derive(Clone, Default)]
pub struct FunctionRegistry {
    functions: HashMap<Arc<str>, Arc<dyn ScalarFunction>>,
}

impl FunctionRegistry {
    /// Adds or replaces a function.
    pub fn register(&mut self, name: &str, function: Arc<dyn ScalarFunction>) {
        self.functions.insert(name.into(), function);
    }

    /// Looks a function up.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn ScalarFunction>> {
        self.functions.get(name)
    }
}
