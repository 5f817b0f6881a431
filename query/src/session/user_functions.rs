//! Functions that a program brings: scalar, aggregate and table functions over Arrow arrays.
//!
//! Invariants: a function has one signature for the life of its database, so that plans that were kept stay right; it is
//! called from several threads at once. An aggregate is a scalar function of the list of its group's rows, so that
//! DISTINCT, FILTER, ORDER BY and OVER mean what they mean for every aggregate. Next: `database.rs`, the ways in.

use std::{
    collections::HashMap,
    fmt,
    ops::ControlFlow,
    sync::{Arc, PoisonError, RwLock},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array},
    compute,
    datatypes::{DataType, Field, Fields, SchemaRef},
};
use datafusion_common::plan_err;
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use stoadb_engine::{
    EngineError,
    function::{FunctionRegistry, ScalarFunction},
};
use stoadb_storage::{BatchTable, LogicalType, Relation, Scalar};

use crate::{
    error::{Error, ErrorKind, Result},
    planner::{functions, registry::registry},
    sql::{
        ast::{
            Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName,
            Statement, Value, VisitorMut,
        },
        calls::call_of,
        file_options::{FileOption, OptionValue},
        names::fold,
        visit::WalkMut,
    },
};

type ScalarBody = dyn Fn(&[ArrayRef], usize) -> Result<ArrayRef, String> + Send + Sync;
type AggregateBody = dyn Fn(&[ArrayRef], usize) -> Result<Scalar, String> + Send + Sync;
type TableBody = dyn Fn(&[Scalar]) -> Result<(SchemaRef, Vec<RecordBatch>), String> + Send + Sync;

/// What a program registered with a database.
pub(crate) struct UserFunctions {
    known: RwLock<Known>,
}

#[derive(Clone)]
struct Known {
    /// For the planner.
    scalars: HashMap<String, Arc<ScalarUDF>>,
    /// Which of them are aggregates, and how many arguments these take.
    aggregates: HashMap<String, usize>,
    tables: HashMap<String, Arc<TableBody>>,
    /// For the engine.
    registry: Arc<FunctionRegistry>,
}

impl Default for UserFunctions {
    fn default() -> Self {
        let known = Known {
            scalars: HashMap::new(),
            aggregates: HashMap::new(),
            tables: HashMap::new(),
            registry: Arc::clone(registry()),
        };
        Self { known: RwLock::new(known) }
    }
}

impl UserFunctions {
    fn read<T>(&self, read: impl FnOnce(&Known) -> T) -> T {
        read(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// All functions that the engine may call.
    pub(crate) fn registry(&self) -> Arc<FunctionRegistry> {
        self.read(|known| Arc::clone(&known.registry))
    }

    /// A scalar function, or an aggregate as one of lists.
    pub(crate) fn scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.read(|known| known.scalars.get(name).cloned())
    }

    /// The rows of a table function; `None` when there is none of the name.
    pub(crate) fn table(
        &self,
        name: &str,
        args: &[FileOption],
    ) -> Option<Result<Arc<dyn Relation>>> {
        let body = self.read(|known| known.tables.get(name).cloned())?;
        Some(args.iter().map(|arg| argument(name, arg)).collect::<Result<Vec<_>>>().and_then(
            |args| {
                let failed = |message| Error::new(ErrorKind::Value, format!("{name}(): {message}"));
                let (schema, batches) = body(&args).map_err(failed)?;
                let table: Arc<dyn Relation> = BatchTable::new(schema, batches)?;
                Ok(table)
            },
        ))
    }

    /// Adds a scalar function.
    pub(crate) fn add_scalar(
        &self,
        name: &str,
        arguments: &[LogicalType],
        result: LogicalType,
        body: Arc<ScalarBody>,
    ) -> Result<()> {
        let arguments = arguments.iter().map(LogicalType::to_arrow).collect();
        self.add(name, arguments, result, body, None)
    }

    /// Adds an aggregate.
    pub(crate) fn add_aggregate(
        &self,
        name: &str,
        arguments: &[LogicalType],
        result: LogicalType,
        body: Arc<AggregateBody>,
    ) -> Result<()> {
        let types: Vec<DataType> = arguments.iter().map(LogicalType::to_arrow).collect();
        let rows = match types.as_slice() {
            [] => {
                let message = format!("the aggregate {name}() takes no argument");
                return Err(Error::new(ErrorKind::Type, message));
            }
            [one] => one.clone(),
            several => {
                let field =
                    |(at, ty): (usize, &DataType)| Field::new(field_name(at), ty.clone(), true);
                DataType::Struct(several.iter().enumerate().map(field).collect::<Fields>())
            }
        };
        let (ty, count) = (result.clone(), types.len());
        let over_lists =
            move |args: &[ArrayRef], rows: usize| groups(args, rows, count, &ty, body.as_ref());
        let list = DataType::new_list(rows, true);
        self.add(name, vec![list], result, Arc::new(over_lists), Some(count))
    }

    /// Adds a table function.
    pub(crate) fn add_table(&self, name: &str, body: Arc<TableBody>) -> Result<()> {
        let name = fold(name);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.tables.insert(name, body);
        Ok(())
    }

    fn add(
        &self,
        name: &str,
        arguments: Vec<DataType>,
        result: LogicalType,
        body: Arc<ScalarBody>,
        aggregate: Option<usize>,
    ) -> Result<()> {
        let name = fold(name);
        if functions::is_scalar(&name) || functions::is_aggregate(&name) {
            let message = format!("{name}() is a function of SQL");
            return Err(Error::new(ErrorKind::Catalog, message));
        }
        let signature = Signature::user_defined(Volatility::Immutable);
        let user = User { name: name.clone(), arguments, result: result.to_arrow(), signature };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let udf = Arc::new(ScalarUDF::new_from_impl(user));
        if known.scalars.get(&name).is_some_and(|before| *before != udf)
            || known.aggregates.get(&name).copied() != aggregate
                && known.scalars.contains_key(&name)
        {
            let message = format!("{name}() is registered with other types");
            return Err(Error::new(ErrorKind::Catalog, message));
        }
        known.scalars.insert(name.clone(), udf);
        if let Some(arguments) = aggregate {
            known.aggregates.insert(name.clone(), arguments);
        }
        let mut registry = known.registry.as_ref().clone();
        registry.register(&name, Arc::new(Body { name: name.clone(), body }));
        known.registry = Arc::new(registry);
        Ok(())
    }

    /// Writes calls of aggregates as what they are: functions of lists.
    ///
    /// # Errors
    /// `Type` for a call with another number of arguments.
    pub(crate) fn expand(&self, statement: &mut Statement) -> Result<()> {
        let aggregates = self.read(|known| known.aggregates.clone());
        if aggregates.is_empty() {
            return Ok(());
        }
        match statement.walk_mut(&mut Expander(aggregates)) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }
}

fn field_name(at: usize) -> String {
    format!("c{at}")
}

/// A literal that a table function is called with.
fn argument(name: &str, arg: &FileOption) -> Result<Scalar> {
    Ok(match &arg.value {
        OptionValue::Boolean(value) => Scalar::boolean(*value),
        OptionValue::Number(value) => Scalar::int64(*value),
        OptionValue::Text(value) => Scalar::text(value),
        OptionValue::List(_) | OptionValue::Pairs(_) => {
            let message = format!("{name}() takes numbers, texts and booleans");
            return Err(Error::new(ErrorKind::Type, message).or_span(arg.place));
        }
    })
}

struct Expander(HashMap<String, usize>);

impl VisitorMut for Expander {
    type Break = Error;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let name = fold(&function.name.to_string());
        let Some(&count) = self.0.get(&name) else { return ControlFlow::Continue(()) };
        match of_list(function, &name, count) {
            Ok(call) => {
                *expr = call;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn of_list(function: &mut Function, name: &str, count: usize) -> Result<Expr> {
    let wrong = |given: usize| {
        let message = format!("{name}() takes {count} argument(s), not {given}");
        Error::new(ErrorKind::Type, message)
    };
    let FunctionArguments::List(list) = &mut function.args else { return Err(wrong(0)) };
    let mut fields = Vec::new();
    for (at, arg) in list.args.iter().enumerate() {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) = arg else {
            return Err(wrong(list.args.len()));
        };
        fields.push(Expr::Value(Value::SingleQuotedString(field_name(at)).into()));
        fields.push(value.clone());
    }
    if list.args.len() != count {
        return Err(wrong(list.args.len()));
    }
    if count > 1 {
        let row = call_of("named_struct", fields);
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(row))];
    }
    function.name = ObjectName::from(vec![Ident::new("list")]);
    Ok(call_of(name, vec![Expr::Function(function.clone())]))
}

/// An aggregate of each list.
fn groups(
    args: &[ArrayRef],
    rows: usize,
    count: usize,
    ty: &LogicalType,
    body: &AggregateBody,
) -> Result<ArrayRef, String> {
    let lists = args.first().and_then(|lists| lists.as_list_opt::<i32>());
    let lists = lists.ok_or_else(|| "the rows are no list".to_owned())?;
    let columns: Vec<ArrayRef> = match lists.values().as_struct_opt() {
        Some(rows) if count > 1 => rows.columns().to_vec(),
        _ => vec![Arc::clone(lists.values())],
    };
    let mut results = Vec::with_capacity(rows);
    for (group, bounds) in lists.value_offsets().windows(2).enumerate() {
        let start = bounds[0] as usize;
        let length = if lists.is_null(group) { 0 } else { bounds[1] as usize - start };
        let group: Vec<ArrayRef> =
            columns.iter().map(|column| column.slice(start, length)).collect();
        results.push(body(&group, length)?);
    }
    let arrays: Vec<&dyn Array> = results.iter().map(|result| result.array().as_ref()).collect();
    if arrays.is_empty() {
        return Ok(arrow::array::new_empty_array(&ty.to_arrow()));
    }
    compute::concat(&arrays).map_err(|_| "its results are of several types".to_owned())
}

/// A function as the planner sees it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct User {
    name: String,
    arguments: Vec<DataType>,
    result: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for User {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> datafusion_common::Result<Vec<DataType>> {
        if types.len() != self.arguments.len() {
            let (name, wanted, given) = (&self.name, self.arguments.len(), types.len());
            return plan_err!("{name}() takes {wanted} argument(s), not {given}");
        }
        Ok(self.arguments.clone())
    }

    fn return_type(&self, _types: &[DataType]) -> datafusion_common::Result<DataType> {
        Ok(self.result.clone())
    }

    fn invoke_with_args(
        &self,
        _args: ScalarFunctionArgs,
    ) -> datafusion_common::Result<ColumnarValue> {
        datafusion_common::not_impl_err!("{}() outside of the engine", self.name)
    }
}

/// A function as the engine calls it.
struct Body {
    name: String,
    body: Arc<ScalarBody>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl ScalarFunction for Body {
    fn evaluate(
        &self,
        args: &[ArrayRef],
        constant: &[bool],
        rows: usize,
        ty: &LogicalType,
    ) -> stoadb_engine::Result<ArrayRef> {
        let whole = |(arg, constant): (&ArrayRef, &bool)| match constant {
            true if arg.len() != rows => {
                Ok(compute::take(arg, &UInt32Array::from(vec![0; rows]), None)?)
            }
            _ => Ok(Arc::clone(arg)),
        };
        let args = args.iter().zip(constant).map(whole);
        let args = args.collect::<stoadb_engine::Result<Vec<_>>>()?;
        let failed = |message| EngineError::Value(format!("{}(): {message}", self.name));
        let result = (self.body)(&args, rows).map_err(failed)?;
        if result.len() != rows {
            let message = format!("it gave {} rows for {rows}", result.len());
            return Err(failed(message));
        }
        let wanted = ty.to_arrow();
        if *result.data_type() == wanted {
            return Ok(result);
        }
        compute::cast(&result, &wanted)
            .map_err(|_| failed(format!("it gave {} where {ty} was declared", result.data_type())))
    }
}
