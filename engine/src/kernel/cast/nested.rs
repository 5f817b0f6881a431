//! Lists, structs and maps to text: `[a, 'b, c', NULL]`, `{'a': 1, 'b': [2]}`, `{key=value}`.
//!
//! Invariants: what is within is written as it would be alone; what would then be read as something else stands in quotes,
//! so that `list.rs` and `fields.rs` read the text back. Next: `format.rs`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StringViewBuilder},
    buffer::{NullBuffer, OffsetBuffer},
};
use stoadb_storage::{LogicalType, Vector, text::quote};

use super::format::{Writer, writer};
use crate::error::Result;

/// How the values of an array are written.
struct Node {
    nulls: Option<NullBuffer>,
    kind: Kind,
}

enum Kind {
    Nothing,
    Text(ArrayRef),
    Leaf(Writer),
    List(OffsetBuffer<i32>, Box<Node>),
    Struct(Vec<(String, Node)>),
    Map(OffsetBuffer<i32>, Box<Node>, Box<Node>),
}

/// The texts of nested values; NULL stays NULL.
pub(super) fn to_text(input: &Vector, rows: usize) -> Result<Vector> {
    let array = input.flatten()?;
    let node = Node::new(&array)?;
    let mut builder = StringViewBuilder::with_capacity(rows);
    let mut text = String::new();
    for row in 0..rows {
        if array.is_null(row) {
            builder.append_null();
            continue;
        }
        text.clear();
        node.write(row, &mut text);
        builder.try_append_value(&text)?;
    }
    Ok(Vector::Flat(Arc::new(builder.finish())))
}

/// The text of the first value of an array.
pub(super) fn first(array: &ArrayRef) -> Result<String> {
    let mut text = String::new();
    Node::new(array)?.write(0, &mut text);
    Ok(text)
}

impl Node {
    fn new(array: &ArrayRef) -> Result<Self> {
        let ty = LogicalType::from_arrow(array.data_type())?;
        let array = match array.data_type() == &ty.to_arrow() {
            true => Arc::clone(array),
            false => arrow::compute::cast(array, &ty.to_arrow())?,
        };
        let child = |array: &ArrayRef| Self::new(array).map(Box::new);
        let kind = match &ty {
            LogicalType::Null => Kind::Nothing,
            LogicalType::Text => Kind::Text(Arc::clone(&array)),
            _ if array.as_list_opt::<i32>().is_some() => {
                let list = array.as_list::<i32>();
                Kind::List(list.offsets().clone(), child(list.values())?)
            }
            _ if array.as_map_opt().is_some() => {
                let map = array.as_map();
                Kind::Map(map.offsets().clone(), child(map.keys())?, child(map.values())?)
            }
            _ if array.as_struct_opt().is_some() => {
                let fields = array.as_struct();
                let field = |(name, array): (&str, &ArrayRef)| {
                    let mut shown = String::new();
                    quote(name, &mut shown);
                    Ok((shown, Self::new(array)?))
                };
                let named = fields.column_names().into_iter().zip(fields.columns());
                Kind::Struct(named.map(field).collect::<Result<_>>()?)
            }
            ty => Kind::Leaf(writer(&Vector::Flat(Arc::clone(&array)), ty)?),
        };
        Ok(Self { nulls: array.logical_nulls(), kind })
    }

    fn write(&self, row: usize, out: &mut String) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return out.push_str("NULL");
        }
        match &self.kind {
            Kind::Nothing => out.push_str("NULL"),
            Kind::Text(array) => part(array.as_string_view().value(row), out),
            Kind::Leaf(write) => {
                let mut text = String::new();
                write(row, &mut text);
                part(&text, out);
            }
            Kind::List(offsets, items) => {
                out.push('[');
                for (nth, at) in (offsets[row]..offsets[row + 1]).enumerate() {
                    out.push_str(if nth == 0 { "" } else { ", " });
                    items.write(at as usize, out);
                }
                out.push(']');
            }
            Kind::Struct(fields) => {
                out.push('{');
                for (nth, (name, value)) in fields.iter().enumerate() {
                    out.push_str(if nth == 0 { "" } else { ", " });
                    out.push_str(name);
                    out.push_str(": ");
                    value.write(row, out);
                }
                out.push('}');
            }
            Kind::Map(offsets, keys, values) => {
                out.push('{');
                for (nth, at) in (offsets[row]..offsets[row + 1]).enumerate() {
                    out.push_str(if nth == 0 { "" } else { ", " });
                    keys.write(at as usize, out);
                    out.push('=');
                    values.write(at as usize, out);
                }
                out.push('}');
            }
        }
    }
}

/// A value within another one, in quotes where it needs them.
fn part(text: &str, out: &mut String) {
    let special = |c: char| "\"'(),:=[]{}\\".contains(c);
    let spaced = text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace);
    if text.is_empty() || spaced || text.contains(special) || text.eq_ignore_ascii_case("null") {
        quote(text, out);
    } else {
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_parts_are_quoted_where_they_would_be_misread() {
        let shown = |text: &str| {
            let mut out = String::new();
            part(text, &mut out);
            out
        };
        for plain in ["a", "a b", "1.5", "2024-01-01", "a-b", "*"] {
            assert_eq!(shown(plain), plain);
        }
        for (text, quoted) in
            [("", "''"), ("it's", "'it\\'s'"), ("a,b", "'a,b'"), ("NULL", "'NULL'"), (" a", "' a'")]
        {
            assert_eq!(shown(text), quoted);
        }
    }
}
