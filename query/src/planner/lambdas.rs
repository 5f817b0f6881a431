//! Functions of lists that take lambdas, as the planner library sees them: names, parameters and types, nothing that
//! runs.
//!
//! Invariant: a parameter is an element, its position from 1 (BIGINT), or what a reduction has so far. Next:
//! `lower/lambda.rs`.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, not_impl_err, plan_err};
use datafusion_expr::{
    ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature,
    HigherOrderUDF, HigherOrderUDFImpl, LambdaParametersProgress, ValueOrLambda, Volatility,
};
use stoadb_engine::expr::LambdaKind;

use crate::functions::{canonical, element, shown};

/// The name, the other names, and what the function does.
const NAMES: &[(&str, &[&str], LambdaKind)] = &[
    (
        "list_transform",
        &["array_transform", "list_apply", "array_apply", "apply"],
        LambdaKind::Transform,
    ),
    ("list_filter", &["array_filter", "filter"], LambdaKind::Filter),
    ("array_any_match", &["list_any_match", "any_match"], LambdaKind::AnyMatch),
    ("list_reduce", &["array_reduce", "reduce"], LambdaKind::Reduce { initial: false }),
];

static FUNCTIONS: LazyLock<Vec<Arc<HigherOrderUDF>>> = LazyLock::new(|| {
    let make = |(name, aliases, kind): &(&'static str, &[&str], LambdaKind)| {
        Arc::new(HigherOrderUDF::new_from_impl(ListLambda {
            name,
            aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
            kind: *kind,
            signature: HigherOrderSignature::user_defined(Volatility::Immutable),
        }))
    };
    NAMES.iter().map(make).collect()
});

/// The function of a name in lower case.
pub(crate) fn lambda_function(name: &str) -> Option<Arc<HigherOrderUDF>> {
    let named = |udf: &&Arc<HigherOrderUDF>| {
        udf.name() == name || udf.aliases().iter().any(|alias| alias == name)
    };
    FUNCTIONS.iter().find(named).map(Arc::clone)
}

/// What the function of a declared name does.
pub(crate) fn lambda_kind(name: &str) -> Option<LambdaKind> {
    NAMES.iter().find(|(declared, ..)| *declared == name).map(|(.., kind)| *kind)
}

/// All names.
pub(crate) fn lambda_names() -> impl Iterator<Item = &'static str> {
    lambda_aliases().map(|(name, _)| name)
}

/// All names, each with the declared one.
pub(crate) fn lambda_aliases() -> impl Iterator<Item = (&'static str, &'static str)> {
    NAMES.iter().flat_map(|(name, aliases, _)| {
        std::iter::once(*name).chain(aliases.iter().copied()).map(|alias| (alias, *name))
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ListLambda {
    name: &'static str,
    aliases: Vec<String>,
    kind: LambdaKind,
    signature: HigherOrderSignature,
}

fn field(ty: DataType) -> FieldRef {
    Arc::new(Field::new("", ty, true))
}

impl ListLambda {
    fn refuse<T>(&self) -> Result<T> {
        let name = self.name;
        match self.kind {
            LambdaKind::Reduce { .. } => plan_err!(
                "{name}() takes a list, a lambda and perhaps a first value: {name}(list, lambda x, y: x + y, 0)"
            ),
            _ => plan_err!("{name}() takes a list and a lambda: {name}(list, lambda x: x + 1)"),
        }
    }
}

impl HigherOrderUDFImpl for ListLambda {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    fn coerce_value_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = Vec::with_capacity(types.len());
        for (at, ty) in types.iter().enumerate() {
            coerced.push(match (at, ty) {
                (0, DataType::Null) => DataType::new_list(DataType::Null, true),
                (0, ty) if element(ty).is_some() => canonical(ty),
                (0, ty) => return plan_err!("{}() needs a list, not {}", self.name, shown(ty)),
                (_, ty) => ty.clone(),
            });
        }
        Ok(coerced)
    }

    fn lambda_parameters(
        &self,
        step: usize,
        fields: &[ValueOrLambda<FieldRef, Option<FieldRef>>],
    ) -> Result<LambdaParametersProgress> {
        let (initial, body) = match (self.kind, fields) {
            (LambdaKind::Reduce { .. }, [_, ValueOrLambda::Lambda(body)]) => (None, body),
            (
                LambdaKind::Reduce { .. },
                [_, ValueOrLambda::Lambda(body), ValueOrLambda::Value(initial)],
            ) => (Some(initial), body),
            (LambdaKind::Reduce { .. }, _) => return self.refuse(),
            (_, [_, ValueOrLambda::Lambda(body)]) => (None, body),
            _ => return self.refuse(),
        };
        let Some(ValueOrLambda::Value(list)) = fields.first() else { return self.refuse() };
        let item = element(list.data_type()).cloned().unwrap_or(DataType::Null);
        if !matches!(self.kind, LambdaKind::Reduce { .. }) {
            let parameters = vec![field(item), field(DataType::Int64)];
            return Ok(LambdaParametersProgress::Complete(vec![parameters]));
        }
        // What a reduction has so far is of the type of its lambda, which follows from the type of the first value.
        let so_far = match body {
            Some(body) => body.data_type().clone(),
            None => initial.map_or_else(|| item.clone(), |initial| initial.data_type().clone()),
        };
        let parameters = vec![field(so_far), field(item), field(DataType::Int64)];
        Ok(match body {
            Some(_) => LambdaParametersProgress::Complete(vec![parameters]),
            None if step == 0 => LambdaParametersProgress::Partial(vec![Some(parameters)]),
            None => return self.refuse(),
        })
    }

    fn return_field_from_args(&self, args: HigherOrderReturnFieldArgs) -> Result<FieldRef> {
        let [ValueOrLambda::Value(list), ValueOrLambda::Lambda(body), ..] = args.arg_fields else {
            return self.refuse();
        };
        let result = body.data_type().clone();
        let is_condition = matches!(result, DataType::Boolean | DataType::Null);
        Ok(field(match self.kind {
            LambdaKind::Transform => DataType::new_list(result, true),
            LambdaKind::Filter | LambdaKind::AnyMatch if !is_condition => {
                return plan_err!(
                    "the lambda of {}() must give a boolean, not {}",
                    self.name,
                    shown(&result)
                );
            }
            LambdaKind::Filter => list.data_type().clone(),
            LambdaKind::AnyMatch => DataType::Boolean,
            LambdaKind::Reduce { .. } => result,
        }))
    }

    fn invoke_with_args(&self, _args: HigherOrderFunctionArgs) -> Result<ColumnarValue> {
        not_impl_err!("{}() outside of the engine", self.name)
    }
}
