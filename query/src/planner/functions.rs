//! The functions of a statement: the library's scalar functions, our aggregates and windows, found by lower-case name.
//!
//! Invariants: a scalar function reaches the engine only as a `LibraryFunction`; `date_part` gives BIGINT, or DOUBLE for
//! parts with fractions, and has no rewrites into ranges (the library's lose rows under IN).
//! Next: `aggregates.rs`, `windows.rs`, `hooks.rs`.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Field, FieldRef},
};
use datafusion_common::{
    HashMap, HashSet, Result, ScalarValue, config::ConfigOptions, exec_err, plan_err,
};
use datafusion_expr::{
    AggregateUDF, ColumnarValue, HigherOrderUDF, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, TypeSignature, Volatility, WindowUDF, registry::FunctionRegistry,
    type_coercion::functions::fields_with_udf,
};
use stoadb_engine::{EngineError, function::ScalarFunction};
use stoadb_storage::LogicalType;

use crate::planner::{
    aggregates::aggregate_udfs,
    lambdas::{lambda_function, lambda_names},
    scalars::scalars,
    to_char::moment_texts,
    windows::window_udfs,
};

/// Functions by name and alias.
#[derive(Debug, Default)]
pub struct Functions {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    aggregate: HashMap<String, Arc<AggregateUDF>>,
    window: HashMap<String, Arc<WindowUDF>>,
}

static DEFAULT: LazyLock<Arc<Functions>> =
    LazyLock::new(|| Arc::new(Functions::new(&ConfigOptions::default())));

/// The functions under the given options.
pub fn functions(options: &ConfigOptions) -> Arc<Functions> {
    match options.execution.time_zone {
        None => Arc::clone(&DEFAULT),
        Some(_) => Arc::new(Functions::new(options)),
    }
}

/// The library's scalar functions by name and alias, for registration with the engine (see `LibraryFunction`).
pub fn scalar_functions() -> HashMap<String, Arc<ScalarUDF>> {
    DEFAULT.scalar.clone()
}

/// Other names of functions, for people who come from other systems.
const ALIASES: &[(&str, &str)] = &[
    ("len", "length"),
    ("lcase", "lower"),
    ("ucase", "upper"),
    ("pow", "power"),
    ("date_format", "strftime"),
    ("list_value", "make_array"),
    ("array_value", "make_array"),
    ("struct_pack", "named_struct"),
    ("regexp_matches", "regexp_like"),
    ("instr", "strpos"),
    ("list_aggregate_length", "array_length"),
    ("list_pack", "make_array"),
    ("list_indexof", "array_position"),
    ("array_zip", "arrays_zip"),
    ("editdist3", "levenshtein"),
    ("greatest_common_divisor", "gcd"),
    ("least_common_multiple", "lcm"),
    ("prefix", "starts_with"),
    ("suffix", "ends_with"),
    (crate::sql::calls::NOW, "now"),
    ("transaction_timestamp", "now"),
    ("get_current_timestamp", "now"),
    ("get_current_time", "current_time"),
    ("gen_random_uuid", "uuid"),
    ("uuidv4", "uuid"),
];

/// Functions of the library that would answer wrongly (sums of whole numbers in doubles), or that are about what we have
/// not: metadata of fields, unions, rows that know their file.
const LEFT_OUT: &[&str] = &[
    "array_sum",
    "arrow_field",
    "arrow_metadata",
    "with_metadata",
    "union_extract",
    "union_tag",
    "input_file_name",
    "file_row_index",
];

impl Functions {
    fn new(options: &ConfigOptions) -> Self {
        let mut functions = Self::default();
        let library = datafusion_functions::all_default_functions()
            .into_iter()
            .chain(datafusion_functions_nested::all_default_nested_functions())
            .filter(|udf| !LEFT_OUT.contains(&udf.name()));
        for udf in library {
            let udf = udf.inner().with_updated_config(options).map_or(udf, Arc::new);
            functions.add_scalar(crate::functions::unified(udf));
        }
        functions.add_scalar(Arc::new(ScalarUDF::new_from_impl(DatePart::new())));
        scalars().for_each(|udf| functions.add_scalar(udf));
        moment_texts().for_each(|udf| functions.add_scalar(udf));
        crate::functions::moments(options).for_each(|udf| functions.add_scalar(udf));
        crate::functions::definitions().for_each(|udf| functions.add_scalar(udf));
        // The library gives its to_char this name, which takes other patterns.
        functions.scalar.remove("date_format");
        for (alias, name) in ALIASES {
            if let Some(udf) = functions.scalar.get(*name).map(Arc::clone) {
                functions.scalar.entry((*alias).to_owned()).or_insert(udf);
            }
        }
        for udf in aggregate_udfs() {
            for name in udf.aliases().iter().map(String::as_str).chain([udf.name()]) {
                functions.aggregate.insert(name.to_owned(), Arc::clone(&udf));
            }
        }
        for udf in window_udfs() {
            for name in udf.aliases().iter().map(String::as_str).chain([udf.name()]) {
                functions.window.insert(name.to_owned(), Arc::clone(&udf));
            }
        }
        functions
    }

    fn add_scalar(&mut self, udf: Arc<ScalarUDF>) {
        for name in udf.aliases().iter().map(String::as_str).chain([udf.name()]) {
            self.scalar.insert(name.to_owned(), Arc::clone(&udf));
        }
    }

    /// A scalar function.
    pub fn scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalar.get(name).map(Arc::clone)
    }

    /// An aggregate function.
    pub fn aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregate.get(name).map(Arc::clone)
    }

    /// A window function.
    pub fn window(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.window.get(name).map(Arc::clone)
    }

    /// The names of the scalar, aggregate and window functions.
    pub fn names(&self) -> [Vec<String>; 3] {
        [
            self.scalar.keys().cloned().collect(),
            self.aggregate.keys().cloned().collect(),
            self.window.keys().cloned().collect(),
        ]
    }
}

impl FunctionRegistry for Functions {
    fn udfs(&self) -> std::collections::HashSet<String> {
        self.scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> std::collections::HashSet<String> {
        std::collections::HashSet::new()
    }

    fn udafs(&self) -> std::collections::HashSet<String> {
        self.aggregate.keys().cloned().collect()
    }

    fn udwfs(&self) -> std::collections::HashSet<String> {
        self.window.keys().cloned().collect()
    }

    fn expr_planners(&self) -> Vec<Arc<dyn datafusion_expr::planner::ExprPlanner>> {
        Vec::new()
    }

    fn udf(&self, name: &str) -> Result<Arc<ScalarUDF>> {
        self.scalar(name).map_or_else(|| plan_err!("there is no function {name}()"), Ok)
    }

    fn higher_order_function(&self, name: &str) -> Result<Arc<HigherOrderUDF>> {
        lambda_function(name).map_or_else(|| plan_err!("there is no function {name}()"), Ok)
    }

    fn udaf(&self, name: &str) -> Result<Arc<AggregateUDF>> {
        self.aggregate(name).map_or_else(|| plan_err!("there is no aggregate {name}()"), Ok)
    }

    fn udwf(&self, name: &str) -> Result<Arc<WindowUDF>> {
        self.window(name).map_or_else(|| plan_err!("there is no window function {name}()"), Ok)
    }
}

/// A library function as the engine calls it.
pub struct LibraryFunction {
    udf: Arc<ScalarUDF>,
    options: Arc<ConfigOptions>,
}

impl LibraryFunction {
    /// Wraps a function; `options` hold the session's time zone.
    pub fn new(udf: Arc<ScalarUDF>, options: Arc<ConfigOptions>) -> Self {
        Self { udf, options }
    }

    fn call(
        &self,
        args: &[ArrayRef],
        constant: &[bool],
        rows: usize,
        ty: &LogicalType,
    ) -> Result<ArrayRef> {
        let field = |array: &ArrayRef| Arc::new(Field::new("", array.data_type().clone(), true));
        let given: Vec<FieldRef> = args.iter().map(field).collect();
        // The engine knows one layout per type; some functions insist on another one.
        let wanted = fields_with_udf(&given, self.udf.as_ref())?;
        let mut values = Vec::with_capacity(args.len());
        for (position, (array, field)) in args.iter().zip(&wanted).enumerate() {
            let array = if array.data_type() == field.data_type() {
                Arc::clone(array)
            } else {
                arrow::compute::cast(array, field.data_type())?
            };
            values.push(match constant.get(position) {
                Some(true) if !array.is_empty() => {
                    ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
                }
                _ => ColumnarValue::Array(array),
            });
        }
        let scalars: Vec<Option<&ScalarValue>> = values
            .iter()
            .map(|value| match value {
                ColumnarValue::Scalar(scalar) => Some(scalar),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        let return_field = self.udf.return_field_from_args(ReturnFieldArgs {
            arg_fields: &wanted,
            scalar_arguments: &scalars,
        })?;
        let result = self.udf.invoke_with_args(ScalarFunctionArgs {
            args: values,
            arg_fields: wanted,
            number_rows: rows,
            return_field,
            config_options: Arc::clone(&self.options),
        })?;
        let result = result.into_array(rows)?;
        if LogicalType::from_arrow(result.data_type()).is_ok_and(|given| given == *ty) {
            return Ok(result);
        }
        Ok(arrow::compute::cast(&result, &ty.to_arrow())?)
    }
}

impl ScalarFunction for LibraryFunction {
    fn evaluate(
        &self,
        args: &[ArrayRef],
        constant: &[bool],
        rows: usize,
        ty: &LogicalType,
    ) -> stoadb_engine::Result<ArrayRef> {
        self.call(args, constant, rows, ty).map_err(|error| {
            let error = crate::planner::diagnose::from_datafusion(&error);
            match error.kind {
                crate::ErrorKind::Internal => EngineError::Internal(error.message),
                crate::ErrorKind::Unsupported => EngineError::Unsupported(error.message),
                _ => EngineError::Value(format!("{}(): {error}", self.udf.name())),
            }
        })
    }

    fn is_pure(&self) -> bool {
        self.udf.signature().volatility != Volatility::Volatile
    }
}

/// `date_part(part, value)`: the library's, with our result types.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DatePart {
    inner: Arc<ScalarUDF>,
    aliases: Vec<String>,
}

impl DatePart {
    fn new() -> Self {
        Self {
            inner: datafusion_functions::datetime::date_part(),
            aliases: vec!["datepart".into()],
        }
    }
}

fn part_of(value: Option<&ScalarValue>) -> Option<&str> {
    value.and_then(|value| value.try_as_str().flatten())
}

/// Whether the part has digits after the point.
fn is_fractional(part: &str) -> bool {
    matches!(
        part.to_ascii_lowercase().as_str(),
        "epoch" | "second" | "seconds" | "sec" | "secs" | "s"
    )
}

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &str {
        "date_part"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        exec_err!("date_part() needs its arguments' values to know its type")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let Some(part) = part_of(args.scalar_arguments.first().copied().flatten()) else {
            return plan_err!(
                "date_part() needs a constant name of the part, as in date_part('year', x)"
            );
        };
        self.inner.return_field_from_args(ReturnFieldArgs {
            arg_fields: args.arg_fields,
            scalar_arguments: args.scalar_arguments,
        })?;
        let ty = if is_fractional(part) { DataType::Float64 } else { DataType::Int64 };
        Ok(Arc::new(Field::new(self.name(), ty, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let part = match args.args.first() {
            Some(ColumnarValue::Scalar(value)) => {
                part_of(Some(value)).unwrap_or_default().to_owned()
            }
            _ => return exec_err!("date_part() needs a constant name of the part"),
        };
        let wanted = args.return_field.data_type().clone();
        let seconds = is_fractional(&part) && !part.eq_ignore_ascii_case("epoch");
        let mut inner = args;
        // The library's seconds are whole; its microseconds are those of the minute.
        if seconds && let Some(first) = inner.args.first_mut() {
            *first = ColumnarValue::Scalar(ScalarValue::from("microsecond"));
        }
        let scalars: Vec<Option<&ScalarValue>> = inner
            .args
            .iter()
            .map(|value| match value {
                ColumnarValue::Scalar(scalar) => Some(scalar),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        inner.return_field = self.inner.return_field_from_args(ReturnFieldArgs {
            arg_fields: &inner.arg_fields,
            scalar_arguments: &scalars,
        })?;
        let rows = inner.number_rows;
        let scalar = inner.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let values =
            self.inner.invoke_with_args(inner)?.into_array(if scalar { 1 } else { rows })?;
        let mut values = arrow::compute::cast(&values, &wanted)?;
        if seconds {
            let scaled = arrow::compute::kernels::numeric::div(
                &values,
                &arrow::array::Float64Array::new_scalar(1e6),
            )?;
            values = scaled;
        }
        Ok(if scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?)
        } else {
            ColumnarValue::Array(values)
        })
    }
}

/// Whether a name is an aggregate function's.
pub fn is_aggregate(name: &str) -> bool {
    DEFAULT.aggregate.contains_key(name)
}

/// An aggregate function by a name or alias in lower case.
pub(crate) fn aggregate_udf(name: &str) -> Option<Arc<AggregateUDF>> {
    DEFAULT.aggregate.get(name).map(Arc::clone)
}

/// Whether a name is a function's of any kind.
pub fn is_known(name: &str) -> bool {
    is_scalar(name) || is_aggregate(name) || is_window(name) || lambda_names().any(|n| n == name)
}

/// Whether a name is a scalar function's.
pub fn is_scalar(name: &str) -> bool {
    DEFAULT.scalar.contains_key(name)
}

/// Whether a name is a window function's.
pub fn is_window(name: &str) -> bool {
    DEFAULT.window.contains_key(name)
}

/// The lists of arguments that a library function takes, in the library's words; none of functions declared here.
pub fn argument_lists(name: &str) -> Vec<String> {
    let signature = match (DEFAULT.scalar.get(name), DEFAULT.aggregate.get(name)) {
        (Some(udf), _) => udf.signature(),
        (None, Some(udf)) => udf.signature(),
        (None, None) => return Vec::new(),
    };
    match &signature.type_signature {
        TypeSignature::UserDefined => Vec::new(),
        known => known.to_string_repr_with_names(signature.parameter_names.as_deref()),
    }
}

/// The names of all functions, for suggestions.
pub fn all_names() -> HashSet<String> {
    let lambdas = lambda_names().map(str::to_owned);
    DEFAULT.names().into_iter().flatten().chain(lambdas).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        AsArray, Float64Array, Int64Array, StringViewArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::{Float64Type, Int64Type};

    fn library(name: &str) -> LibraryFunction {
        LibraryFunction::new(scalar_functions()[name].clone(), Arc::new(ConfigOptions::default()))
    }

    #[test]
    fn test_library_function_takes_views_and_constants() {
        let text: ArrayRef = Arc::new(StringViewArray::from(vec![Some("ab"), None, Some("")]));
        let upper = library("upper")
            .evaluate(std::slice::from_ref(&text), &[false], 3, &LogicalType::Text)
            .unwrap();
        let upper = arrow::compute::cast(&upper, &DataType::Utf8View).unwrap();
        assert_eq!(
            upper.as_string_view(),
            &StringViewArray::from(vec![Some("AB"), None, Some("")])
        );
        let count: ArrayRef = Arc::new(Int64Array::from(vec![2]));
        let twice =
            library("repeat").evaluate(&[text, count], &[false, true], 3, &LogicalType::Text);
        let twice = arrow::compute::cast(&twice.unwrap(), &DataType::Utf8View).unwrap();
        assert_eq!(twice.as_string_view().value(0), "abab");
    }

    #[test]
    fn test_date_part_has_our_types() {
        let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(1_500_000), None]));
        let part = |name: &str, ty: LogicalType| {
            let name: ArrayRef = Arc::new(StringViewArray::from(vec![name]));
            library("date_part").evaluate(&[name, at.clone()], &[true, false], 2, &ty).unwrap()
        };
        let year = part("year", LogicalType::Int64);
        assert_eq!(year.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(1970), None]));
        let second = part("second", LogicalType::Float64);
        assert_eq!(
            second.as_primitive::<Float64Type>(),
            &Float64Array::from(vec![Some(1.5), None])
        );
        let epoch = part("epoch", LogicalType::Float64);
        assert_eq!(epoch.as_primitive::<Float64Type>(), &Float64Array::from(vec![Some(1.5), None]));
    }

    #[test]
    fn test_domain_errors_are_value_errors() {
        let text: ArrayRef = Arc::new(StringViewArray::from(vec!["("]));
        let error = library("regexp_like").evaluate(
            &[text.clone(), text],
            &[false, true],
            1,
            &LogicalType::Boolean,
        );
        assert!(
            matches!(error, Err(EngineError::Value(_) | EngineError::Internal(_))),
            "{error:?}"
        );
    }
}
