//! Scalar functions of our own that run over Arrow arrays: what DuckDB and PostgreSQL have and neither the engine's
//! kernels nor the planner library do.
//!
//! Invariants: a function is one `Def` in the table of its file: its name, its arguments, its result and its body. A
//! body sees arrays of the declared types, of one row where the argument is the same in every row; a NULL among the
//! arguments gives NULL unless the table says otherwise. Next: `call.rs`, what bodies read and build.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef},
    datatypes::{DataType, Field, FieldRef, IntervalUnit},
};
use datafusion_common::{Result, ScalarValue, plan_err};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use stoadb_storage::LogicalType;

use crate::planner::scalars::TIMESTAMP;

mod bits; // single bits, digits of other bases
mod call; // arguments by row, results by row
pub(crate) mod dates; // ages, ends of periods, moments from and to numbers and texts
mod digests; // md5, sha1, sha256 and their like
mod distance; // how much texts differ
mod encode; // texts and blobs in other alphabets
mod errors; // error(), typeof()
mod format; // format(), printf(), sizes for people
mod lists; // lists by position and by condition
mod maps; // maps and structs
mod moments; // moments beyond those that nanoseconds hold
mod numbers; // numbers
mod paths; // parts of file names
mod patterns; // regular expressions
mod strptime; // texts to moments by C's patterns
mod unified; // the library's functions of lists and elements

use call::Call;
pub(crate) use moments::moments;
pub(crate) use unified::unified;

/// A function.
pub(crate) struct Def {
    /// The name in lower case.
    name: &'static str,
    /// Its other names.
    aliases: &'static [&'static str],
    /// The types of the arguments, apart by spaces: see `Kind`. A `?` behind one says that it may be left out, as may
    /// all behind it, a `*` behind the last that there may be any number of it.
    takes: &'static str,
    /// The type of the result.
    gives: Gives,
    /// What it computes.
    body: fn(&Call) -> Result<ArrayRef>,
}

/// The type of a result.
#[derive(Clone, Copy)]
pub(crate) enum Gives {
    /// A type without parts.
    Plain(fn() -> DataType),
    /// A list of such.
    ListOf(fn() -> DataType),
    /// The type of the argument at a position.
    Same(usize),
    /// What follows from the arguments' types and constants.
    From(fn(&[DataType], &[Option<&ScalarValue>]) -> Result<DataType>),
}

pub(crate) const TEXT: Gives = Gives::Plain(|| DataType::Utf8View);
pub(crate) const TEXTS: Gives = Gives::ListOf(|| DataType::Utf8View);
pub(crate) const BLOB: Gives = Gives::Plain(|| DataType::BinaryView);
pub(crate) const BOOLEAN: Gives = Gives::Plain(|| DataType::Boolean);
pub(crate) const BIGINT: Gives = Gives::Plain(|| DataType::Int64);
pub(crate) const UBIGINT: Gives = Gives::Plain(|| DataType::UInt64);
pub(crate) const BIGINTS: Gives = Gives::ListOf(|| DataType::Int64);
pub(crate) const DOUBLE: Gives = Gives::Plain(|| DataType::Float64);
pub(crate) const MOMENT: Gives = Gives::Plain(|| TIMESTAMP);
pub(crate) const PERIOD: Gives = Gives::Plain(|| DataType::Interval(IntervalUnit::MonthDayNano));

/// All functions of this module.
pub(crate) fn definitions() -> impl Iterator<Item = Arc<ScalarUDF>> {
    let tables: [&'static [Def]; 13] = [
        bits::TABLE,
        dates::TABLE,
        digests::TABLE,
        distance::TABLE,
        encode::TABLE,
        errors::TABLE,
        format::TABLE,
        lists::TABLE,
        maps::TABLE,
        numbers::TABLE,
        paths::TABLE,
        patterns::TABLE,
        strptime::TABLE,
    ];
    tables.into_iter().flatten().map(|def| {
        Arc::new(ScalarUDF::new_from_impl(Function {
            name: def.name,
            aliases: def.aliases.iter().map(|&alias| alias.to_owned()).collect(),
            signature: Signature::user_defined(Volatility::Immutable),
            def: Body(def),
        }))
    })
}

/// A definition, which is compared by its name alone.
#[derive(Clone, Copy)]
struct Body(&'static Def);

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name)
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Body {}

impl std::hash::Hash for Body {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    def: Body,
}

/// What is said of a call with another number of arguments than the function takes.
pub(crate) fn arity_text(name: &str, (least, most): (usize, usize), given: usize) -> String {
    let wanted = match most {
        most if most == least => least.to_string(),
        usize::MAX => format!("at least {least}"),
        _ => format!("{least} to {most}"),
    };
    format!("{name}() takes {wanted} argument(s), not {given}")
}

/// The field of a function's result, of the type that follows from the arguments' types and constants.
pub(crate) fn result_field(
    name: &str,
    args: &ReturnFieldArgs,
    result: impl FnOnce(&[DataType], &[Option<&ScalarValue>]) -> Result<DataType>,
) -> Result<FieldRef> {
    let types: Vec<DataType> =
        args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
    Ok(Arc::new(Field::new(name, result(&types, args.scalar_arguments)?, true)))
}

/// The SQL name of a type.
pub(crate) fn shown(ty: &DataType) -> String {
    LogicalType::from_arrow(ty).map_or_else(|_| ty.to_string(), |ty| ty.to_string())
}

/// The element type of a list.
pub(crate) fn element(ty: &DataType) -> Option<&DataType> {
    match ty {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            Some(field.data_type())
        }
        _ => None,
    }
}

/// The canonical type of what a type holds.
pub(crate) fn canonical(ty: &DataType) -> DataType {
    LogicalType::from_arrow(ty).map_or_else(|_| ty.clone(), |ty| ty.to_arrow())
}

/// The type that an argument of a kind is cast to; `None` when it does not fit.
fn coerced(kind: &str, ty: &DataType) -> Option<DataType> {
    let text =
        matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null);
    let blob = matches!(
        ty,
        DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
    );
    let moment = matches!(ty, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..));
    match kind {
        "text" => text.then_some(DataType::Utf8View),
        // Of any layout: a cast would hide that it is a constant.
        "name" => text.then(|| ty.clone()),
        "constant" => Some(ty.clone()),
        "bytes" if blob => Some(DataType::BinaryView),
        "bytes" => text.then_some(DataType::Utf8View),
        "blob" => (blob || text).then_some(DataType::BinaryView),
        "bigint" => (ty.is_integer() || ty.is_null()).then_some(DataType::Int64),
        "integer" if ty.is_null() => Some(DataType::Int64),
        "integer" => ty.is_integer().then(|| ty.clone()),
        "double" => (ty.is_numeric() || ty.is_null()).then_some(DataType::Float64),
        "boolean" => matches!(ty, DataType::Boolean | DataType::Null).then_some(DataType::Boolean),
        "date" => (moment || text).then_some(DataType::Date32),
        "timestamp" => (moment || text).then_some(TIMESTAMP),
        "interval" => (text || matches!(ty, DataType::Interval(_)))
            .then_some(DataType::Interval(IntervalUnit::MonthDayNano)),
        "texts" => {
            let texts = element(ty).is_some_and(|ty| ty.is_null() || ty.is_string());
            (texts || ty.is_null()).then(|| DataType::new_list(DataType::Utf8View, true))
        }
        "bigints" => {
            let integers = element(ty).is_some_and(|ty| ty.is_null() || ty.is_integer());
            (integers || ty.is_null()).then(|| DataType::new_list(DataType::Int64, true))
        }
        "doubles" => {
            let numbers = element(ty).is_some_and(|ty| ty.is_null() || ty.is_numeric());
            (numbers || ty.is_null()).then(|| DataType::new_list(DataType::Float64, true))
        }
        "booleans" => {
            let fits =
                element(ty).is_some_and(|ty| matches!(ty, DataType::Null | DataType::Boolean));
            (fits || ty.is_null()).then(|| DataType::new_list(DataType::Boolean, true))
        }
        "list" if ty.is_null() => Some(DataType::new_list(DataType::Null, true)),
        "list" => element(ty).map(|_| canonical(ty)),
        "map" => matches!(ty, DataType::Map(..)).then(|| canonical(ty)),
        "struct" => matches!(ty, DataType::Struct(_)).then(|| canonical(ty)),
        _ => Some(canonical(ty)),
    }
}

/// What an argument of a kind is, for people.
fn described(kind: &str) -> &'static str {
    match kind {
        "text" | "name" => "a text",
        "bytes" | "blob" => "a text or a blob",
        "bigint" | "integer" => "a whole number",
        "double" => "a number",
        "boolean" => "a boolean",
        "date" | "timestamp" => "a date or a timestamp",
        "interval" => "an interval",
        "texts" => "a list of texts",
        "bigints" => "a list of whole numbers",
        "doubles" => "a list of numbers",
        "booleans" => "a list of booleans",
        "list" => "a list",
        "map" => "a map",
        "struct" => "a struct",
        _ => "a value",
    }
}

impl Function {
    fn arity(&self) -> (usize, usize) {
        let kinds: Vec<&str> = self.def.0.takes.split_whitespace().collect();
        let optional = kinds.iter().position(|kind| kind.ends_with(['?', '*']));
        let most = match kinds.last() {
            Some(last) if last.ends_with('*') => usize::MAX,
            _ => kinds.len(),
        };
        (optional.unwrap_or(kinds.len()), most)
    }

    fn result(&self, types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(match self.def.0.gives {
            Gives::Plain(ty) => ty(),
            Gives::ListOf(ty) => DataType::new_list(ty(), true),
            Gives::Same(at) => types.get(at).cloned().unwrap_or(DataType::Null),
            Gives::From(ty) => ty(types, constants)?,
        })
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (least, most) = self.arity();
        if types.len() < least || types.len() > most {
            return plan_err!("{}", arity_text(self.name, (least, most), types.len()));
        }
        let kinds: Vec<&str> = self.def.0.takes.split_whitespace().collect();
        let coerce = |(position, ty): (usize, &DataType)| {
            let kind = kinds.get(position).or(kinds.last()).copied().unwrap_or("any");
            let kind = kind.trim_end_matches(['?', '*']);
            match coerced(kind, ty) {
                Some(ty) => Ok(ty),
                None => {
                    plan_err!("{}() needs {}, not {}", self.name, described(kind), shown(ty))
                }
            }
        };
        types.iter().enumerate().map(coerce).collect()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.result(types, &vec![None; types.len()])
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        result_field(self.name, &args, |types, constants| self.result(types, constants))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = args.args.iter().map(|arg| match arg {
            ColumnarValue::Scalar(value) => value.to_array_of_size(1),
            ColumnarValue::Array(array) => Ok(Arc::clone(array)),
        });
        let call = Call {
            args: arrays.collect::<Result<_>>()?,
            constant: args.args.iter().map(|arg| matches!(arg, ColumnarValue::Scalar(_))).collect(),
            rows: if constant { 1 } else { args.number_rows },
            ty: args.return_field.data_type().clone(),
        };
        let result = (self.def.0.body)(&call)?;
        Ok(match constant && result.len() == 1 {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }
}

#[cfg(test)]
mod tests;
