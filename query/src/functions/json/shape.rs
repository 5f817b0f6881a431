//! What a JSON value is made of: `json_structure` and `json_type`.

use stoadb_storage::json::unescaped;

use super::{
    path::{each_member, items_of},
    text::quoted,
};

/// The type of a value.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Scalar(&'static str),
    Array(Box<Shape>),
    Object(Vec<(String, Shape)>),
}

/// The name of a value's type.
pub(super) fn type_of(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'{') => "OBJECT",
        Some(b'[') => "ARRAY",
        Some(b'"') => "VARCHAR",
        Some(b't' | b'f') => "BOOLEAN",
        Some(b'n') => "NULL",
        _ if json.parse::<u64>().is_ok() => "UBIGINT",
        _ if json.parse::<i64>().is_ok() => "BIGINT",
        _ => "DOUBLE",
    }
}

/// The types of all parts of a value, as JSON.
pub(super) fn structure(json: &str) -> String {
    let mut out = String::new();
    shape(json).write(&mut out);
    out
}

fn shape(json: &str) -> Shape {
    match json.as_bytes().first() {
        Some(b'{') => {
            let mut members: Vec<(String, Shape)> = Vec::new();
            each_member(json, |key, value| {
                add(&mut members, unescaped(key).into_owned(), shape(value));
            });
            Shape::Object(members)
        }
        Some(b'[') => {
            let items = items_of(json).into_iter().map(shape);
            Shape::Array(Box::new(items.reduce(both).unwrap_or(Shape::Scalar("NULL"))))
        }
        _ => Shape::Scalar(type_of(json)),
    }
}

fn add(members: &mut Vec<(String, Shape)>, key: String, shape: Shape) {
    match members.iter_mut().find(|(name, _)| *name == key) {
        Some((_, known)) => {
            let before = std::mem::replace(known, Shape::Scalar("NULL"));
            *known = both(before, shape);
        }
        None => members.push((key, shape)),
    }
}

/// The type that has room for both.
fn both(one: Shape, other: Shape) -> Shape {
    let rank = |name: &str| ["UBIGINT", "BIGINT", "DOUBLE"].iter().position(|known| *known == name);
    match (one, other) {
        (Shape::Scalar("NULL"), shape) | (shape, Shape::Scalar("NULL")) => shape,
        (one, other) if one == other => one,
        (Shape::Array(one), Shape::Array(other)) => Shape::Array(Box::new(both(*one, *other))),
        (Shape::Object(mut one), Shape::Object(other)) => {
            other.into_iter().for_each(|(key, shape)| add(&mut one, key, shape));
            Shape::Object(one)
        }
        (Shape::Scalar(one), Shape::Scalar(other)) => match (rank(one), rank(other)) {
            (Some(a), Some(b)) => Shape::Scalar(if a > b { one } else { other }),
            _ => Shape::Scalar("JSON"),
        },
        _ => Shape::Scalar("JSON"),
    }
}

impl Shape {
    fn write(&self, out: &mut String) {
        match self {
            Self::Scalar(name) => {
                out.push('"');
                out.push_str(name);
                out.push('"');
            }
            Self::Array(item) => {
                out.push('[');
                item.write(out);
                out.push(']');
            }
            Self::Object(members) if members.is_empty() => out.push_str("\"JSON\""),
            Self::Object(members) => {
                out.push('{');
                for (at, (key, shape)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    out.push_str(&quoted(key));
                    out.push(':');
                    shape.write(out);
                }
                out.push('}');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_structure_unites_items() {
        for (json, wanted) in [
            ("[]", "[\"NULL\"]"),
            ("[1,-1,1.5,null]", "[\"DOUBLE\"]"),
            ("[1,\"a\"]", "[\"JSON\"]"),
            ("[{\"a\":1},{\"b\":[true]}]", "[{\"a\":\"UBIGINT\",\"b\":[\"BOOLEAN\"]}]"),
            ("18446744073709551616", "\"DOUBLE\""),
        ] {
            assert_eq!(structure(json), wanted, "{json}");
        }
    }
}
