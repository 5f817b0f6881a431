//! Maps and structs: look-ups, what they are put together from, their names.
//!
//! Invariant: a key is looked for by value, the last of equal ones counts in `map_concat`; fields are found by name
//! whatever its case, or by position from 1.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, MapArray, StructArray, UInt64Array, make_comparator,
        new_null_array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute::{self, SortOptions},
    datatypes::{DataType, Field, Fields},
};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};

use super::{BOOLEAN, Call, Def, Gives, TEXTS, canonical, element, shown};

pub(super) const TABLE: &[Def] = &[
    Def { name: "map_contains", aliases: &[], takes: "map any", gives: BOOLEAN, body: contains },
    Def {
        name: "map_extract_value",
        aliases: &[],
        takes: "map any",
        gives: Gives::From(|types, _| Ok(entry(types.first())?.1)),
        body: value,
    },
    Def {
        name: "map_concat",
        aliases: &[],
        takes: "map map*",
        gives: Gives::Same(0),
        body: concat,
    },
    Def {
        name: "map_from_entries",
        aliases: &[],
        takes: "list",
        gives: Gives::From(|types, _| from_entries_type(types)),
        body: from_entries,
    },
    Def {
        name: "struct_extract",
        aliases: &["struct_extract_at"],
        takes: "struct constant",
        gives: Gives::From(field_type),
        body: extract,
    },
    Def { name: "struct_keys", aliases: &[], takes: "struct", gives: TEXTS, body: keys },
    Def {
        name: "struct_concat",
        aliases: &[],
        takes: "struct struct*",
        gives: Gives::From(|types, _| struct_concat_type(types)),
        body: struct_concat,
    },
    Def {
        name: "struct_insert",
        aliases: &["struct_update"],
        takes: "struct constant*",
        gives: Gives::From(insert_type),
        body: insert,
    },
];

/// The types of a map's keys and values.
fn entry(ty: Option<&DataType>) -> Result<(DataType, DataType)> {
    if let Some(DataType::Map(entries, _)) = ty
        && let DataType::Struct(fields) = entries.data_type()
        && let [key, value] = fields.as_ref()
    {
        return Ok((key.data_type().clone(), value.data_type().clone()));
    }
    plan_err!("a map, not {}", ty.map_or_else(String::new, shown))
}

/// Where the value of a row's key lies.
fn found(call: &Call) -> Result<Vec<Option<u64>>> {
    let maps = call.maps(0)?;
    let keys = maps.array().keys();
    let wanted = compute::cast(&call.args[1], keys.data_type())?;
    let compare = make_comparator(keys.as_ref(), wanted.as_ref(), SortOptions::default())?;
    let offsets = maps.array().value_offsets();
    let place = |row: usize| {
        let index = maps.index(row)?;
        let at = call.place(1, row);
        if wanted.is_null(at) {
            return None;
        }
        let mut range = offsets[index] as usize..offsets[index + 1] as usize;
        range.find(|place| compare(*place, at).is_eq()).map(|place| place as u64)
    };
    Ok((0..call.rows).map(place).collect())
}

fn contains(call: &Call) -> Result<ArrayRef> {
    let (maps, found) = (call.maps(0)?, found(call)?);
    call.give_booleans(|row| Ok(maps.index(row).map(|_| found[row].is_some())))
}

fn value(call: &Call) -> Result<ArrayRef> {
    let maps = call.maps(0)?;
    Ok(compute::take(maps.array().values(), &UInt64Array::from(found(call)?), None)?)
}

/// A map of entries at places of keys and values.
fn map_of(
    ty: &DataType,
    keys: ArrayRef,
    values: ArrayRef,
    lengths: Vec<usize>,
    valid: Vec<bool>,
) -> Result<ArrayRef> {
    let DataType::Map(entries, sorted) = ty else { return exec_err!("a map") };
    let DataType::Struct(fields) = entries.data_type() else { return exec_err!("a map") };
    let cast = |array: &ArrayRef, field: &Field| compute::cast(array, field.data_type());
    let columns = vec![cast(&keys, &fields[0])?, cast(&values, &fields[1])?];
    let structs = StructArray::try_new(fields.clone(), columns, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let nulls = Some(NullBuffer::from(valid));
    Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, structs, nulls, *sorted)?))
}

fn concat(call: &Call) -> Result<ArrayRef> {
    let (key, item) = entry(Some(&call.ty))?;
    let maps: Vec<_> = (0..call.args.len()).map(|at| call.maps(at)).collect::<Result<_>>()?;
    let (mut keys, mut values, mut starts) = (Vec::new(), Vec::new(), vec![0_usize]);
    for map in &maps {
        keys.push(compute::cast(map.array().keys(), &key)?);
        values.push(compute::cast(map.array().values(), &item)?);
        starts.push(starts.last().copied().unwrap_or(0) + map.array().keys().len());
    }
    let join = |parts: &[ArrayRef]| {
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        compute::concat(&parts)
    };
    let (keys, values) = (join(&keys)?, join(&values)?);
    let compare = make_comparator(keys.as_ref(), keys.as_ref(), SortOptions::default())?;
    let (mut key_places, mut value_places) = (Vec::new(), Vec::new());
    let (mut lengths, mut valid) = (Vec::new(), Vec::new());
    for row in 0..call.rows {
        let mut entries: Vec<(usize, usize)> = Vec::new();
        let mut any = false;
        for (at, map) in maps.iter().enumerate() {
            let Some(index) = map.index(row) else { continue };
            any = true;
            let offsets = map.array().value_offsets();
            for place in offsets[index] as usize..offsets[index + 1] as usize {
                let place = starts[at] + place;
                match entries.iter_mut().find(|(key, _)| compare(*key, place).is_eq()) {
                    Some(entry) => entry.1 = place,
                    None => entries.push((place, place)),
                }
            }
        }
        lengths.push(entries.len());
        valid.push(any);
        key_places.extend(entries.iter().map(|(key, _)| *key as u64));
        value_places.extend(entries.iter().map(|(_, value)| *value as u64));
    }
    let keys = compute::take(&keys, &UInt64Array::from(key_places), None)?;
    let values = compute::take(&values, &UInt64Array::from(value_places), None)?;
    map_of(&call.ty, keys, values, lengths, valid)
}

fn from_entries_type(types: &[DataType]) -> Result<DataType> {
    if let Some(DataType::Struct(fields)) = types.first().and_then(element)
        && let [key, value] = fields.as_ref()
    {
        let fields = vec![
            Field::new("key", key.data_type().clone(), false),
            Field::new("value", value.data_type().clone(), true),
        ];
        let entries = Field::new("entries", DataType::Struct(fields.into()), false);
        return Ok(canonical(&DataType::Map(Arc::new(entries), false)));
    }
    plan_err!("map_from_entries() needs a list of structs of a key and a value")
}

fn from_entries(call: &Call) -> Result<ArrayRef> {
    let lists = call.lists(0)?;
    let structs = lists.array().values().as_struct();
    let (mut places, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..call.rows {
        let range = lists.range(row);
        valid.push(range.is_some());
        let range = range.unwrap_or_default();
        lengths.push(range.len());
        places.extend(range.map(|place| place as u64));
    }
    let places = UInt64Array::from(places);
    let keys = compute::take(structs.column(0), &places, None)?;
    if keys.null_count() > 0 {
        return exec_err!("a key of a map is not NULL");
    }
    let values = compute::take(structs.column(1), &places, None)?;
    map_of(&call.ty, keys, values, lengths, valid)
}

/// The field that a constant names or counts.
fn field_at(fields: &Fields, constant: Option<&ScalarValue>) -> Result<usize> {
    let Some(constant) = constant else {
        return plan_err!("the name of a field is a constant");
    };
    if let Some(name) = constant.try_as_str().flatten() {
        let exact = fields.iter().position(|field| field.name() == name);
        let any = || fields.iter().position(|field| field.name().eq_ignore_ascii_case(name));
        return match exact.or_else(any) {
            Some(at) => Ok(at),
            None => {
                let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
                plan_err!("there is no field \"{name}\", fields are {}", names.join(", "))
            }
        };
    }
    let position = constant.cast_to(&DataType::Int64)?;
    match position {
        ScalarValue::Int64(Some(at)) if at >= 1 && at <= fields.len() as i64 => {
            Ok(usize::try_from(at - 1).unwrap_or(0))
        }
        other => plan_err!("the struct has the fields 1 to {}, not {other}", fields.len()),
    }
}

fn field_type(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    let Some(DataType::Struct(fields)) = types.first() else { return plan_err!("a struct") };
    let at = field_at(fields, constants.get(1).copied().flatten())?;
    Ok(fields[at].data_type().clone())
}

fn extract(call: &Call) -> Result<ArrayRef> {
    let structs = call.structs(0)?;
    let name = ScalarValue::try_from_array(&call.args[1], 0)?;
    let at = field_at(structs.array().fields(), Some(&name))?;
    let place = |row: usize| structs.index(row).map(|index| index as u64);
    let places: UInt64Array = (0..call.rows).map(place).collect();
    Ok(compute::take(structs.array().column(at), &places, None)?)
}

fn keys(call: &Call) -> Result<ArrayRef> {
    let structs = call.structs(0)?;
    let names: Vec<Option<String>> =
        structs.array().fields().iter().map(|field| Some(field.name().clone())).collect();
    call.give_text_lists(|row| Ok(structs.index(row).map(|_| names.clone())))
}

fn struct_concat_type(types: &[DataType]) -> Result<DataType> {
    let mut all: Vec<Arc<Field>> = Vec::new();
    for ty in types {
        let DataType::Struct(fields) = ty else { return plan_err!("structs") };
        for field in fields {
            if all.iter().any(|known| known.name().eq_ignore_ascii_case(field.name())) {
                return plan_err!("several structs have a field \"{}\"", field.name());
            }
            all.push(Arc::clone(field));
        }
    }
    Ok(DataType::Struct(all.into()))
}

/// An argument's values row by row.
fn spread(call: &Call, at: usize) -> Result<ArrayRef> {
    if !call.constant[at] || call.rows == 1 {
        return Ok(Arc::clone(&call.args[at]));
    }
    let first = UInt64Array::from(vec![0_u64; call.rows]);
    Ok(compute::take(&call.args[at], &first, None)?)
}

fn struct_concat(call: &Call) -> Result<ArrayRef> {
    let DataType::Struct(fields) = &call.ty else { return exec_err!("structs") };
    let mut columns = Vec::with_capacity(fields.len());
    for at in 0..call.args.len() {
        let part = spread(call, at)?;
        let part = part.as_struct();
        for column in part.columns() {
            let missing =
                part.nulls().map(|nulls| arrow::array::BooleanArray::new(!nulls.inner(), None));
            columns.push(match missing {
                Some(missing) => compute::nullif(column, &missing)?,
                None => Arc::clone(column),
            });
        }
    }
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?))
}

/// The fields of the struct, and names with values behind it.
fn insert_type(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    let Some(DataType::Struct(fields)) = types.first() else { return plan_err!("a struct") };
    let mut all: Vec<Arc<Field>> = fields.iter().map(Arc::clone).collect();
    for pair in (1..types.len()).step_by(2) {
        let name = constants.get(pair).copied().flatten();
        let (Some(name), Some(ty)) =
            (name.and_then(|n| n.try_as_str().flatten()), types.get(pair + 1))
        else {
            return plan_err!("struct_insert() takes a struct and fields as in name := value");
        };
        let field = Arc::new(Field::new(name, ty.clone(), true));
        match all.iter().position(|known| known.name().eq_ignore_ascii_case(name)) {
            Some(at) => all[at] = field,
            None => all.push(field),
        }
    }
    Ok(DataType::Struct(all.into()))
}

fn insert(call: &Call) -> Result<ArrayRef> {
    let DataType::Struct(fields) = &call.ty else { return exec_err!("a struct") };
    let given = spread(call, 0)?;
    let given = given.as_struct();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(fields.len());
    for field in fields {
        columns.push(match given.column_by_name(field.name()) {
            Some(column) => Arc::clone(column),
            None => new_null_array(field.data_type(), call.rows),
        });
    }
    for pair in (1..call.args.len()).step_by(2) {
        let name = call.texts_of(pair)?;
        if let Some(at) = fields.iter().position(|f| f.name().eq_ignore_ascii_case(&name)) {
            columns[at] = spread(call, pair + 1)?;
        }
    }
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, given.nulls().cloned())?))
}
