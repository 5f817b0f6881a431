//! Window functions as the planner library sees them: names, argument types and result types, nothing that runs.
//!
//! Invariant: ranks and row numbers are BIGINT, shares are DOUBLE, the others have the type of their first argument.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, not_impl_err, plan_err};
use datafusion_expr::{
    PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
    function::{PartitionEvaluatorArgs, WindowUDFFieldArgs},
};

use crate::functions::shown;

/// What a window function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Gives {
    Number,
    Share,
    Value,
}

/// Name, fewest and most arguments, result.
const NAMES: &[(&str, usize, usize, Gives)] = &[
    ("row_number", 0, 0, Gives::Number),
    ("rank", 0, 0, Gives::Number),
    ("dense_rank", 0, 0, Gives::Number),
    ("percent_rank", 0, 0, Gives::Share),
    ("cume_dist", 0, 0, Gives::Share),
    ("ntile", 1, 1, Gives::Number),
    ("lag", 1, 3, Gives::Value),
    ("lead", 1, 3, Gives::Value),
    ("first_value", 1, 1, Gives::Value),
    ("last_value", 1, 1, Gives::Value),
    ("nth_value", 2, 2, Gives::Value),
];

/// All window functions.
pub fn window_udfs() -> Vec<Arc<WindowUDF>> {
    let function = |&(name, least, most, gives): &(&'static str, usize, usize, Gives)| {
        let signature = if most == 0 {
            Signature::nullary(Volatility::Immutable)
        } else {
            Signature::user_defined(Volatility::Immutable)
        };
        let aliases = if name == "first_value" { vec!["first".to_owned()] } else { Vec::new() };
        let aliases = if name == "last_value" { vec!["last".to_owned()] } else { aliases };
        let function = WindowFunction { name, least, most, gives, aliases, signature };
        Arc::new(WindowUDF::new_from_impl(function))
    };
    NAMES.iter().map(function).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WindowFunction {
    name: &'static str,
    least: usize,
    most: usize,
    gives: Gives,
    aliases: Vec<String>,
    signature: Signature,
}

impl WindowUDFImpl for WindowFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(
        &self,
        _args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        not_impl_err!("{}() outside of the engine", self.name)
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let (ty, nullable) = match self.gives {
            Gives::Number => (DataType::Int64, false),
            Gives::Share => (DataType::Float64, false),
            Gives::Value => {
                let first = args.input_fields().first();
                (first.map_or(DataType::Null, |field| field.data_type().clone()), true)
            }
        };
        Ok(Arc::new(Field::new(args.name(), ty, nullable)))
    }

    fn coerce_types(&self, args: &[DataType]) -> Result<Vec<DataType>> {
        if args.len() < self.least || args.len() > self.most {
            return plan_err!(
                "{}() takes {} to {} arguments, not {}",
                self.name,
                self.least,
                self.most,
                args.len()
            );
        }
        let number = |ty: &DataType, what: &str| match ty.is_integer() || ty.is_null() {
            true => Ok(DataType::Int64),
            false => plan_err!("{}() needs a whole number of {what}, not {}", self.name, shown(ty)),
        };
        let coerce = |(position, ty): (usize, &DataType)| match position {
            0 if self.name == "ntile" => number(ty, "buckets"),
            1 => number(ty, "rows"),
            // The default value takes the type of the values.
            2 => Ok(args[0].clone()),
            _ => Ok(ty.clone()),
        };
        args.iter().enumerate().map(coerce).collect()
    }
}
