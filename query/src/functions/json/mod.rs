//! JSON texts: taken apart by paths, put together from values, asked about.
//!
//! Invariants: JSON is text; what a function takes as JSON is checked, and an error names the byte; a value that comes out
//! has no blanks, and its numbers are spelt as they were. Next: `path.rs`, `text.rs`, `shape.rs`.

use std::borrow::Cow;

use arrow::{
    array::{Array, ArrayRef, AsArray, UInt64Builder},
    compute,
    datatypes::DataType,
};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use stoadb_storage::json::{unescaped, write_value};

use super::{BOOLEAN, Call, Def, Gives, TEXT, TEXTS, UBIGINT};

mod path;
mod shape;
mod text;

use path::Path;
use text::checked;

/// Checks a text and keeps it, writes any other value as JSON: what `CAST(x AS JSON)` becomes.
pub(crate) const CAST: &str = "json_cast_op";
/// The same, NULL for a text that is no JSON.
pub(crate) const TRY_CAST: &str = "json_try_cast_op";

pub(super) const TABLE: &[Def] = &[
    Def {
        name: "json_extract",
        aliases: &["json_extract_path"],
        takes: "text constant",
        gives: Gives::From(extracted),
        body: |call| extract(call, |json| Some(Cow::Owned(text::minified(json)))),
    },
    Def {
        name: "json_extract_string",
        aliases: &["json_extract_path_text"],
        takes: "text constant",
        gives: Gives::From(extracted),
        body: |call| extract(call, string_of),
    },
    Def {
        name: "json_value",
        aliases: &[],
        takes: "text constant",
        gives: Gives::From(extracted),
        body: |call| {
            extract(call, |json| {
                (!text::is_container(json)).then(|| Cow::Owned(text::minified(json)))
            })
        },
    },
    Def { name: "json_exists", aliases: &[], takes: "text constant", gives: BOOLEAN, body: exists },
    Def { name: "json", aliases: &[], takes: "text", gives: TEXT, body: minify },
    Def { name: "json_valid", aliases: &[], takes: "text", gives: BOOLEAN, body: valid },
    Def { name: "json_pretty", aliases: &[], takes: "text", gives: TEXT, body: pretty },
    Def {
        name: "json_array_length",
        aliases: &[],
        takes: "text constant?",
        gives: UBIGINT,
        body: array_length,
    },
    Def { name: "json_keys", aliases: &[], takes: "text constant?", gives: TEXTS, body: keys },
    Def { name: "json_type", aliases: &[], takes: "text constant?", gives: TEXT, body: type_of },
    Def { name: "json_structure", aliases: &[], takes: "text", gives: TEXT, body: structure },
    Def { name: "json_contains", aliases: &[], takes: "text text", gives: BOOLEAN, body: contains },
    Def {
        name: "json_merge_patch",
        aliases: &[],
        takes: "text text text*",
        gives: TEXT,
        body: merge_patch,
    },
    Def {
        name: "to_json",
        aliases: &["json_quote", "array_to_json", "row_to_json"],
        takes: "jsonable",
        gives: TEXT,
        body: to_json,
    },
    Def { name: "json_array", aliases: &[], takes: "jsonable*", gives: TEXT, body: array },
    Def { name: "json_object", aliases: &[], takes: "jsonable*", gives: TEXT, body: object },
    Def {
        name: "json_object_of_op",
        aliases: &[],
        takes: "jsonable",
        gives: TEXT,
        body: object_of,
    },
    Def { name: CAST, aliases: &[], takes: "jsonable", gives: TEXT, body: |c| cast(c, false) },
    Def { name: TRY_CAST, aliases: &[], takes: "jsonable", gives: TEXT, body: |c| cast(c, true) },
];

/// The type that an argument which is written as JSON is cast to: numbers, booleans and texts stay, as do lists, structs
/// and maps of these; everything else is a text.
pub(super) fn jsonable(ty: &DataType) -> DataType {
    use DataType as T;
    let field = |field: &arrow::datatypes::FieldRef| {
        let ty = jsonable(field.data_type());
        std::sync::Arc::new(field.as_ref().clone().with_data_type(ty))
    };
    match super::canonical(ty) {
        T::List(item) => T::List(field(&item)),
        T::Struct(fields) => T::Struct(fields.iter().map(field).collect()),
        T::Map(entries, sorted) => T::Map(field(&entries), sorted),
        ty if ty.is_numeric() || matches!(ty, T::Boolean | T::Null) => ty,
        _ => T::Utf8View,
    }
}

/// A list where the path may find several values, or is a list of paths.
fn extracted(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    let texts = DataType::new_list(DataType::Utf8View, true);
    let Some(ty) = types.get(1) else { return Ok(DataType::Utf8View) };
    if super::element(ty).is_some() {
        return Ok(texts);
    }
    let constant = constants.get(1).copied().flatten();
    if let Some(Some(Some(path))) = constant.map(ScalarValue::try_as_str)
        && Path::parse(path)?.many
    {
        return Ok(texts);
    }
    if !(ty.is_integer() || ty.is_null() || ty.is_string()) {
        return plan_err!(
            "a JSON path is a text, a place or a list of texts, not {}",
            super::shown(ty)
        );
    }
    Ok(DataType::Utf8View)
}

/// The paths of a call's second argument, by row of that argument.
enum Paths {
    One(Vec<Option<Path>>),
    Lists(Vec<Option<Vec<Option<Path>>>>),
}

fn paths(call: &Call) -> Result<Paths> {
    let array = &call.args[1];
    let parse = |text: Option<&str>| text.map(Path::parse).transpose();
    if array.data_type().is_integer() {
        let places = compute::cast(array, &DataType::Int64)?;
        let places = places.as_primitive::<arrow::datatypes::Int64Type>();
        return Ok(Paths::One(places.iter().map(|place| place.map(Path::item)).collect()));
    }
    if super::element(array.data_type()).is_some() {
        let array = compute::cast(array, &DataType::new_list(DataType::Utf8View, true))?;
        let lists = array.as_list::<i32>().iter().map(|list| {
            let Some(list) = list else { return Ok(None) };
            list.as_string_view().iter().map(parse).collect::<Result<Vec<_>>>().map(Some)
        });
        return Ok(Paths::Lists(lists.collect::<Result<_>>()?));
    }
    let texts = compute::cast(array, &DataType::Utf8View)?;
    Ok(Paths::One(texts.as_string_view().iter().map(parse).collect::<Result<_>>()?))
}

/// What `->>` shows: strings without quotes, NULL for null.
fn string_of(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first() {
        Some(b'"') => Some(unescaped(json)),
        Some(b'n') => None,
        _ => Some(Cow::Owned(text::minified(json))),
    }
}

fn extract(call: &Call, show: impl Fn(&str) -> Option<Cow<'_, str>>) -> Result<ArrayRef> {
    let (texts, paths) = (call.texts(0)?, paths(call)?);
    let owned = |json: &str| show(json).map(Cow::into_owned);
    let lists = matches!(call.ty, DataType::List(_));
    match &paths {
        Paths::Lists(all) => call.give_text_lists(|row| {
            let (Some(text), Some(paths)) = (texts.at(row), &all[call.place(1, row)]) else {
                return Ok(None);
            };
            let json = checked(text)?;
            let find = |path: &Option<Path>| path.as_ref()?.first(json).and_then(owned);
            Ok(Some(paths.iter().map(find).collect()))
        }),
        Paths::One(all) if lists => call.give_text_lists(|row| {
            let (Some(text), Some(path)) = (texts.at(row), &all[call.place(1, row)]) else {
                return Ok(None);
            };
            Ok(Some(path.find(checked(text)?).into_iter().map(owned).collect()))
        }),
        Paths::One(all) => call.give_texts(|row| {
            let (Some(text), Some(path)) = (texts.at(row), &all[call.place(1, row)]) else {
                return Ok(None);
            };
            if path.many {
                return exec_err!("a JSON path with * must be a constant");
            }
            Ok(path.first(checked(text)?).and_then(owned))
        }),
    }
}

/// What `ask` says of the value at the path, or of the whole without one.
fn of_value<'a, T>(call: &'a Call, mut ask: impl FnMut(&'a str) -> T) -> Result<Vec<Option<T>>> {
    let texts = call.texts(0)?;
    let paths = if call.has(1) { Some(paths(call)?) } else { None };
    let ask = |row: usize| -> Result<Option<T>> {
        let Some(text) = texts.at(row) else { return Ok(None) };
        let json = checked(text)?;
        let value = match &paths {
            None => Some(json),
            Some(Paths::One(all)) => match &all[call.place(1, row)] {
                Some(path) if path.many => {
                    return exec_err!("a JSON path with * finds several values; one is wanted");
                }
                Some(path) => path.first(json),
                None => None,
            },
            Some(Paths::Lists(_)) => return exec_err!("one JSON path is wanted, not a list"),
        };
        Ok(value.map(&mut ask))
    };
    (0..call.rows).map(ask).collect()
}

fn exists(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let found = of_value(call, |_| ())?;
    call.give_booleans(|row| {
        let known = texts.at(row).is_some() && !call.is_null(1, row);
        Ok(known.then(|| found[row].is_some()))
    })
}

fn minify(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    call.give_texts(|row| texts.at(row).map(|text| Ok(text::minified(checked(text)?))).transpose())
}

fn valid(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    call.give_booleans(|row| Ok(texts.at(row).map(|text| checked(text).is_ok())))
}

fn pretty(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    call.give_texts(|row| {
        let Some(text) = texts.at(row) else { return Ok(None) };
        let mut out = String::new();
        text::pretty(checked(text)?, 0, &mut out);
        Ok(Some(out))
    })
}

fn array_length(call: &Call) -> Result<ArrayRef> {
    let lengths = of_value(call, |json| match json.starts_with('[') {
        true => path::items_of(json).len() as u64,
        false => 0,
    })?;
    let mut builder = UInt64Builder::with_capacity(call.rows);
    lengths.into_iter().for_each(|length| builder.append_option(length));
    Ok(std::sync::Arc::new(builder.finish()))
}

fn keys(call: &Call) -> Result<ArrayRef> {
    let mut keys = of_value(call, |json| {
        let mut keys = Vec::new();
        if json.starts_with('{') {
            path::each_member(json, |key, _| keys.push(Some(unescaped(key).into_owned())));
        }
        keys
    })?;
    call.give_text_lists(|row| Ok(keys[row].take()))
}

fn type_of(call: &Call) -> Result<ArrayRef> {
    let types = of_value(call, shape::type_of)?;
    call.give_texts(|row| Ok(types[row]))
}

fn structure(call: &Call) -> Result<ArrayRef> {
    let shapes = of_value(call, shape::structure)?;
    call.give_texts(|row| Ok(shapes[row].as_deref()))
}

fn contains(call: &Call) -> Result<ArrayRef> {
    let (texts, wanted) = (call.texts(0)?, call.texts(1)?);
    call.give_booleans(|row| {
        let (Some(text), Some(wanted)) = (texts.at(row), wanted.at(row)) else { return Ok(None) };
        Ok(Some(text::contains(checked(text)?, checked(wanted)?)))
    })
}

fn merge_patch(call: &Call) -> Result<ArrayRef> {
    let texts: Vec<_> = (0..call.args.len()).map(|at| call.texts(at)).collect::<Result<_>>()?;
    call.give_texts(|row| {
        let mut merged: Option<String> = None;
        for (at, texts) in texts.iter().enumerate() {
            let Some(text) = texts.at(row) else {
                merged = None;
                continue;
            };
            let patch = checked(text)?;
            merged = Some(match (at, merged) {
                (0, _) => text::minified(patch),
                (_, target) => text::merged(target.as_deref(), patch),
            });
        }
        Ok(merged)
    })
}

/// Appends a row's argument as JSON.
fn write(call: &Call, at: usize, row: usize, out: &mut Vec<u8>) -> Result<()> {
    let place = call.place(at, row);
    write_value(&call.args[at], place, out)
        .map_err(|error| datafusion_common::DataFusionError::Execution(error.to_string()))
}

fn finished(out: Vec<u8>) -> Result<Option<String>> {
    match String::from_utf8(out) {
        Ok(text) => Ok(Some(text)),
        Err(_) => exec_err!("text that is not UTF-8"),
    }
}

fn to_json(call: &Call) -> Result<ArrayRef> {
    call.give_texts(|row| {
        if call.is_null(0, row) {
            return Ok(None);
        }
        let mut out = Vec::new();
        write(call, 0, row, &mut out)?;
        finished(out)
    })
}

fn cast(call: &Call, tries: bool) -> Result<ArrayRef> {
    if !matches!(call.args[0].data_type(), DataType::Utf8View) {
        return to_json(call);
    }
    let texts = call.texts(0)?;
    call.give_texts(|row| match texts.at(row).map(|text| (text, checked(text))) {
        Some((text, Ok(_))) => Ok(Some(text)),
        Some((_, Err(_))) if tries => Ok(None),
        Some((_, Err(error))) => Err(error),
        None => Ok(None),
    })
}

fn array(call: &Call) -> Result<ArrayRef> {
    call.give_texts(|row| {
        let mut out = vec![b'['];
        for at in 0..call.args.len() {
            if at > 0 {
                out.push(b',');
            }
            write(call, at, row, &mut out)?;
        }
        out.push(b']');
        finished(out)
    })
}

/// Appends a key: a text, or what another value is as one.
fn write_key(call: &Call, at: usize, row: usize, out: &mut Vec<u8>) -> Result<()> {
    if call.is_null(at, row) {
        return exec_err!("the key of a JSON object is NULL");
    }
    let mut key = Vec::new();
    write(call, at, row, &mut key)?;
    match key.first() {
        Some(b'"') => out.extend_from_slice(&key),
        _ => out.extend_from_slice(text::quoted(&String::from_utf8_lossy(&key)).as_bytes()),
    }
    out.push(b':');
    Ok(())
}

fn object(call: &Call) -> Result<ArrayRef> {
    if call.args.len() % 2 == 1 {
        return exec_err!("json_object() takes keys and values in pairs, not {}", call.args.len());
    }
    call.give_texts(|row| {
        let mut out = vec![b'{'];
        for at in (0..call.args.len()).step_by(2) {
            if at > 0 {
                out.push(b',');
            }
            write_key(call, at, row, &mut out)?;
            write(call, at + 1, row, &mut out)?;
        }
        out.push(b'}');
        finished(out)
    })
}

/// An object of a list of structs of a key and a value.
fn object_of(call: &Call) -> Result<ArrayRef> {
    let lists = call.lists(0)?;
    call.give_texts(|row| {
        let Some(pairs) = lists.at(row) else { return Ok(None) };
        let Some(pairs) = pairs.as_struct_opt() else { return exec_err!("keys and values") };
        let columns = pairs.columns().to_vec();
        let pairs = Call {
            constant: vec![false; columns.len()],
            args: columns,
            rows: pairs.len(),
            ty: DataType::Utf8View,
        };
        let mut out = vec![b'{'];
        for pair in 0..pairs.rows {
            if pair > 0 {
                out.push(b',');
            }
            write_key(&pairs, 0, pair, &mut out)?;
            write(&pairs, 1, pair, &mut out)?;
        }
        out.push(b'}');
        finished(out)
    })
}
