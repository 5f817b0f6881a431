//! Hexadecimal digits, and what a regular expression finds.
//!
//! Invariant: `regexp_extract` gives the empty text where nothing matches. Every function has the signature of `NativeFn`.

use std::fmt::Write;

use regex::{Regex, RegexBuilder};
use stoadb_storage::{LogicalType, Vector};

use super::{build, integer_at, integers};
use crate::{
    error::{EngineError, Result},
    kernel::physical::{Bytes, Texts, is_constant_null, null_vector},
};

/// `hex(text or blob or integer)`: two upper-case digits per byte; of an integer its 64 bits without leading zeros.
pub(crate) fn hex(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    if args.iter().any(is_constant_null) {
        return Ok(null_vector(ty, rows));
    }
    if args[0].ty()?.is_integer() {
        let values = integers(&args[0])?;
        return build(rows, "hex", |row, text| {
            let value = integer_at(&values, row);
            Ok(value.is_some_and(|value| write!(text, "{value:X}").is_ok()))
        });
    }
    let bytes = Bytes::new(&args[0])?;
    let nulls = args[0].nulls();
    build(rows, "hex", |row, text| {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(false);
        }
        Ok(bytes.get(row).iter().all(|byte| write!(text, "{byte:02X}").is_ok()))
    })
}

/// `regexp_extract(text, pattern [, group])`: the first match, or one of its groups.
pub(crate) fn regexp_extract(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    if args.iter().any(is_constant_null) {
        return Ok(null_vector(ty, rows));
    }
    let (texts, patterns) = (Texts::new(&args[0])?, Texts::new(&args[1])?);
    let groups = args.get(2).map(integers).transpose()?;
    let mut compiled: Option<(String, Regex)> = None;
    build(rows, "regexp_extract", |row, result| {
        let group = groups.as_ref().map_or(Some(0), |groups| integer_at(groups, row));
        let (Some(text), Some(pattern), Some(group)) = (texts.at(row), patterns.at(row), group)
        else {
            return Ok(false);
        };
        let regex = match compiled.take() {
            Some((known, regex)) if known == pattern => regex,
            _ => compile(pattern)?,
        };
        let known = usize::try_from(group).ok().filter(|&group| group < regex.captures_len());
        let group = known.ok_or_else(|| {
            EngineError::Value(format!("the pattern '{pattern}' has no group {group}"))
        })?;
        if let Some(found) = regex.captures(text).and_then(|captures| captures.get(group)) {
            result.push_str(found.as_str());
        }
        compiled = Some((pattern.to_owned(), regex));
        Ok(true)
    })
}

fn compile(pattern: &str) -> Result<Regex> {
    RegexBuilder::new(pattern).size_limit(64 << 20).build().map_err(|error| {
        EngineError::Value(format!("'{pattern}' is no regular expression: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray, Int64Array, StringViewArray};
    use std::sync::Arc;
    use stoadb_storage::Scalar;

    fn texts(values: Vec<Option<&str>>) -> Vector {
        Vector::Flat(Arc::new(StringViewArray::from(values)))
    }

    fn shown(vector: &Vector) -> Vec<Option<String>> {
        let array = vector.flatten().unwrap();
        array.as_string_view().iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn test_hex() {
        let ty = LogicalType::Text;
        let of_texts = hex(&[texts(vec![Some("a\u{df}"), None, Some("")])], 3, &ty).unwrap();
        assert_eq!(shown(&of_texts), [Some("61C39F".into()), None, Some(String::new())]);
        let numbers = Vector::Flat(Arc::new(Int64Array::from(vec![255, 0, -1])));
        let of_numbers = shown(&hex(&[numbers], 3, &ty).unwrap());
        assert_eq!(of_numbers.map_str(), ["FF", "0", "FFFFFFFFFFFFFFFF"]);
    }

    trait MapStr {
        fn map_str(&self) -> Vec<&str>;
    }

    impl MapStr for Vec<Option<String>> {
        fn map_str(&self) -> Vec<&str> {
            self.iter().flatten().map(String::as_str).collect()
        }
    }

    #[test]
    fn test_regexp_extract() {
        let ty = LogicalType::Text;
        let input = texts(vec![Some("ab12"), None, Some("x")]);
        let pattern = Vector::Constant { value: Scalar::text("([a-z]+)(\\d+)"), rows: 3 };
        let group = |n| Vector::Constant { value: Scalar::int64(n), rows: 3 };
        let run = |n| regexp_extract(&[input.clone(), pattern.clone(), group(n)], 3, &ty);
        assert_eq!(shown(&run(2).unwrap()), [Some("12".into()), None, Some(String::new())]);
        assert_eq!(shown(&run(0).unwrap()).map_str(), ["ab12", ""]);
        assert!(run(3).is_err() && run(-1).is_err());
        let wrong = Vector::Constant { value: Scalar::text("("), rows: 3 };
        assert!(regexp_extract(&[input.clone(), wrong], 3, &ty).is_err());
        let null = Vector::Constant { value: Scalar::null(ty.clone()), rows: 3 };
        assert_eq!(
            regexp_extract(&[input, null], 3, &ty).unwrap().flatten().unwrap().null_count(),
            3
        );
    }
}
