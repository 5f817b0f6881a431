//! `strptime(text, format)`: texts to timestamps by C's patterns, which CSV files take too.
//!
//! Invariant: the whole text is a moment of the format; otherwise it is an error, or NULL for `try_strptime`.

use arrow::{array::ArrayRef, datatypes::TimestampMicrosecondType};
use datafusion_common::{Result, exec_err};
use stoadb_storage::csv::MomentFormat;

use super::{Call, Def, MOMENT};

pub(super) const TABLE: &[Def] = &[
    Def { name: "strptime", aliases: &[], takes: "text any", gives: MOMENT, body: strict },
    Def { name: "try_strptime", aliases: &[], takes: "text any", gives: MOMENT, body: lenient },
];

fn strict(call: &Call) -> Result<ArrayRef> {
    read(call, |text, formats| exec_err!("could not read '{text}' as '{}'", formats.join("' or '")))
}

fn lenient(call: &Call) -> Result<ArrayRef> {
    read(call, |_, _| Ok(()))
}

fn read(call: &Call, failed: impl Fn(&str, &[String]) -> Result<()>) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let mut known: Option<(Vec<String>, Vec<MomentFormat>)> = None;
    call.give_numbers::<TimestampMicrosecondType>(|row| {
        let (Some(text), Some(names)) = (texts.at(row), formats(call, row)?) else {
            return Ok(None);
        };
        if known.as_ref().is_none_or(|(before, _)| *before != names) {
            let parsed = names.iter().map(|name| MomentFormat::parse(name));
            let parsed = match parsed.collect::<std::result::Result<_, _>>() {
                Ok(parsed) => parsed,
                Err(error) => return exec_err!("{error}"),
            };
            known = Some((names, parsed));
        }
        let Some((names, parsed)) = &known else { return Ok(None) };
        let found = parsed.iter().find_map(|format| format.micros(text));
        if found.is_none() {
            failed(text, names)?;
        }
        Ok(found)
    })
}

/// The formats of a row: a text or a list of them.
fn formats(call: &Call, row: usize) -> Result<Option<Vec<String>>> {
    if call.is_null(1, row) {
        return Ok(None);
    }
    let place = call.place(1, row);
    let text = arrow::datatypes::DataType::Utf8View;
    let one = call.args[1].slice(place, 1);
    let array = match one.data_type() {
        arrow::datatypes::DataType::List(_) => arrow::array::AsArray::as_list::<i32>(&one).value(0),
        _ => one,
    };
    let array = arrow::compute::cast(&array, &text)?;
    let texts = arrow::array::AsArray::as_string_view(&array);
    Ok(Some(texts.iter().flatten().map(str::to_owned).collect()))
}
