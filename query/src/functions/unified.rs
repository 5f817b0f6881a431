//! The library's functions of lists and elements, with our rule for types: elements and lists take the type that holds
//! both, as in `array_append([1.5e0], 2.5)`.
//!
//! Invariant: what the library takes as it is reaches it unchanged.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::Result;
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
    type_coercion::{binary::comparison_coercion, functions::fields_with_udf},
};

use super::element;

/// Names, and of each argument whether it is a list (`l`), an element (`e`) or something else (`.`); the last one
/// repeats.
const FUNCTIONS: &[(&str, &str)] = &[
    ("array_append", "le"),
    ("array_prepend", "el"),
    ("array_has", "le"),
    ("array_has_all", "ll"),
    ("array_has_any", "ll"),
    ("array_position", "le."),
    ("array_positions", "le"),
    ("array_remove", "le"),
    ("array_remove_n", "le."),
    ("array_remove_all", "le"),
    ("array_replace", "lee"),
    ("array_replace_n", "lee."),
    ("array_replace_all", "lee"),
    ("array_resize", "l.e"),
    ("array_concat", "l"),
    ("array_union", "ll"),
    ("array_intersect", "ll"),
    ("array_except", "ll"),
];

/// The function itself, or with our rule where it has one.
pub(crate) fn unified(udf: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match FUNCTIONS.iter().find(|(name, _)| *name == udf.name()) {
        Some((_, places)) => Arc::new(ScalarUDF::new_from_impl(Unified {
            aliases: udf.aliases().to_vec(),
            inner: udf,
            places,
            signature: Signature::user_defined(Volatility::Immutable),
        })),
        None => udf,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Unified {
    inner: Arc<ScalarUDF>,
    places: &'static str,
    aliases: Vec<String>,
    signature: Signature,
}

impl Unified {
    fn place(&self, at: usize) -> u8 {
        let places = self.places.as_bytes();
        places[at.min(places.len() - 1)]
    }

    /// The type that holds all elements; `None` where the library is to decide.
    fn common(&self, types: &[DataType]) -> Option<DataType> {
        let mut common = DataType::Null;
        for (at, ty) in types.iter().enumerate() {
            let ty = match self.place(at) {
                b'l' if matches!(ty, DataType::List(_)) => element(ty)?,
                b'l' if ty.is_null() && self.places == "l" => continue,
                b'l' => return None,
                b'e' => ty,
                _ => continue,
            };
            if ty.is_nested() {
                return None;
            }
            common = match &common {
                DataType::Null => ty.clone(),
                known if known == ty || ty.is_null() => common,
                known
                    if ty.is_numeric()
                        && known.is_numeric()
                        && (ty.is_floating() || known.is_floating()) =>
                {
                    DataType::Float64
                }
                known if ty.is_numeric() && known.is_numeric() => comparison_coercion(known, ty)?,
                _ => return None,
            };
        }
        (!common.is_null()).then_some(common)
    }

    fn given(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let fields: Vec<FieldRef> =
            types.iter().map(|ty| Arc::new(Field::new("", ty.clone(), true)) as _).collect();
        let fields = fields_with_udf(&fields, self.inner.as_ref())?;
        Ok(fields.iter().map(|field| field.data_type().clone()).collect())
    }
}

impl ScalarUDFImpl for Unified {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let Some(common) = self.common(types) else { return self.given(types) };
        let unify = |(at, ty): (usize, &DataType)| match self.place(at) {
            b'l' => DataType::new_list(common.clone(), true),
            b'e' => common.clone(),
            _ => ty.clone(),
        };
        self.given(&types.iter().enumerate().map(unify).collect::<Vec<_>>())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args)
    }
}
