//! The table of functions that have kernels of our own, by name and argument types.
//!
//! Invariant: a name resolves here only when every argument type is one that the kernel does completely; everything
//! else is left to the functions registered from outside.

use stoadb_storage::{LogicalType, Scalar, TimeUnit, Vector};

use super::growth;
use crate::{
    error::{EngineError, Result},
    kernel::{
        bitwise,
        date_part::{self, Field},
        math, moments,
        physical::one_or_all,
        text,
        text::{extract, pad, search},
        time_bucket::{time_bucket, truncate_interval},
    },
};

/// A kernel: arguments, rows, the plan's type of the result.
pub(crate) type NativeFn = fn(&[Vector], usize, &LogicalType) -> Result<Vector>;

/// A function with a kernel of ours.
#[derive(Clone, Copy)]
pub(super) struct Native {
    /// Its name.
    pub(super) name: &'static str,
    body: Body,
    /// Whether some arguments are errors.
    pub(super) can_fail: bool,
    /// About how much work a row is.
    pub(super) cost: u32,
    /// Most bytes that a call may make, for functions that make much out of little.
    most_bytes: Option<u64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Body {
    Plain(Plain),
    Part(Field),
    Trunc(Field),
    Diff(Field),
}

/// A kernel that compares by the name of the function that holds it.
#[derive(Clone, Copy)]
struct Plain(NativeFn);

impl PartialEq for Plain {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Native {
    /// The kernel of a function for arguments of the given types, of which some are known constants.
    pub(super) fn resolve(
        name: &str,
        types: &[LogicalType],
        constants: &[Option<&Scalar>],
        ty: &LogicalType,
    ) -> Option<Self> {
        if matches!(name, "date_part" | "datepart" | "extract" | "date_trunc" | "datetrunc") {
            return Self::calendar(name, types, constants, ty);
        }
        if matches!(name, "date_diff" | "datediff") {
            return Self::difference(types, constants, ty);
        }
        let native = |name: &'static str, f: NativeFn, can_fail: bool, cost: u32| {
            Some(Self { name, body: Body::Plain(Plain(f)), can_fail, cost, most_bytes: None })
        };
        if let Some((name, f, can_fail)) = of_text(name, types, ty) {
            return native(name, f, can_fail, 12);
        }
        if let Some((name, f, can_fail)) = of_moments(name, types, ty) {
            return native(name, f, can_fail, 8);
        }
        if let Some((name, f, can_fail)) = of_bits(name, types, ty) {
            return native(name, f, can_fail, 1);
        }
        let (name, f, can_fail) = of_numbers(name, types, ty)?;
        native(name, f, can_fail, 4)
    }

    fn calendar(
        name: &str,
        types: &[LogicalType],
        constants: &[Option<&Scalar>],
        ty: &LogicalType,
    ) -> Option<Self> {
        let ([LogicalType::Text, moment], [Some(field), _]) = (types, constants) else {
            return None;
        };
        let truncates = matches!(name, "date_trunc" | "datetrunc");
        let field = match field.as_str()? {
            // It begins where its week does; as a number it would hold its year too.
            part if truncates && part.trim().eq_ignore_ascii_case("yearweek") => Field::Week,
            part => Field::parse(part)?,
        };
        let (name, body) = match name {
            "date_trunc" | "datetrunc" => {
                let kind = matches!(
                    moment,
                    LogicalType::Timestamp(..) | LogicalType::Date | LogicalType::Interval
                );
                let micros = LogicalType::Timestamp(TimeUnit::Microsecond, None);
                let given = moment == ty || (*moment == LogicalType::Date && *ty == micros);
                (kind && given).then_some(("date_trunc", Body::Trunc(field)))?
            }
            _ => {
                let whole =
                    matches!(ty, LogicalType::Int32 | LogicalType::Int64 | LogicalType::Float64);
                (whole && field.takes(moment)).then_some(("date_part", Body::Part(field)))?
            }
        };
        // Years fit every result type; a timestamp's epoch or the begin of its first century may not.
        let fits = *ty == LogicalType::Float64
            || (!matches!(field, Field::Epoch | Field::Nanosecond)
                && matches!(moment, LogicalType::Date | LogicalType::Time(_)))
            || matches!(moment, LogicalType::Timestamp(TimeUnit::Nanosecond, _));
        let can_fail = name == "date_trunc" || !fits;
        Some(Self { name, body, can_fail, cost: 6, most_bytes: None })
    }

    fn difference(
        types: &[LogicalType],
        constants: &[Option<&Scalar>],
        ty: &LogicalType,
    ) -> Option<Self> {
        const MICROS: LogicalType = LogicalType::Timestamp(TimeUnit::Microsecond, None);
        let ([LogicalType::Text, from, to], [Some(field), ..]) = (types, constants) else {
            return None;
        };
        let field = Field::parse(field.as_str()?)?;
        let known = *from == MICROS && *to == MICROS && *ty == LogicalType::Int64;
        let body = (known && moments::counts(field)).then_some(Body::Diff(field))?;
        Some(Self { name: "date_diff", body, can_fail: false, cost: 8, most_bytes: None })
    }

    /// The same kernel, which fails before it makes more than so many bytes at once.
    pub(super) fn within(self, most_bytes: u64) -> Self {
        Self { most_bytes: growth::grows(self.name).then_some(most_bytes), ..self }
    }

    /// Whether two are the same function.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.name == other.name && self.body == other.body
    }

    /// Runs the kernel.
    pub(super) fn run(&self, args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
        if let Some(most_bytes) = self.most_bytes {
            let args = args.iter().map(one_or_all).collect::<Result<Vec<_>>>()?;
            let (args, constant): (Vec<_>, Vec<_>) = args.into_iter().unzip();
            growth::check(self.name, &args, &constant, rows, most_bytes)?;
        }
        match (self.body, args) {
            (Body::Plain(Plain(f)), _) => f(args, rows, ty),
            (Body::Part(field), [_, moment]) => date_part::date_part(field, moment, rows, ty),
            (Body::Trunc(field), [_, moment]) if *ty == LogicalType::Interval => {
                truncate_interval(field, moment, rows)
            }
            (Body::Trunc(field), [_, moment]) => date_part::date_trunc(field, moment, rows, ty),
            (Body::Diff(field), [_, from, to]) => moments::date_diff(field, from, to, rows, ty),
            _ => Err(EngineError::Internal(format!("{} of {} arguments", self.name, args.len()))),
        }
    }
}

type Entry = (&'static str, NativeFn, bool);

fn of_text(name: &str, types: &[LogicalType], ty: &LogicalType) -> Option<Entry> {
    use LogicalType::{Blob, Text};
    let texts = !types.is_empty() && types.iter().all(|ty| *ty == Text);
    let count = matches!(ty, LogicalType::Int32 | LogicalType::Int64)
        || matches!(ty, LogicalType::UInt32 | LogicalType::UInt64);
    let to_text = *ty == Text;
    let to_boolean = *ty == LogicalType::Boolean;
    let entry: (bool, Entry) = match (name, types) {
        ("upper" | "ucase", [Text]) => (to_text, ("upper", text::upper, false)),
        ("lower" | "lcase", [Text]) => (to_text, ("lower", text::lower, false)),
        ("length" | "char_length" | "character_length" | "len", [Text | Blob]) => {
            (count, ("length", text::length, false))
        }
        ("octet_length", [Text | Blob]) => (count, ("octet_length", text::octet_length, false)),
        ("bit_length", [Text | Blob]) => (count, ("bit_length", text::bit_length, false)),
        ("substr" | "substring", [Text, start]) => {
            (to_text && start.is_integer(), ("substr", text::substr, false))
        }
        ("substr" | "substring", [Text, start, length]) => {
            let integers = start.is_integer() && length.is_integer();
            (to_text && integers, ("substr", text::substr, true))
        }
        ("left", [Text, n]) => (to_text && n.is_integer(), ("left", text::left, false)),
        ("right", [Text, n]) => (to_text && n.is_integer(), ("right", text::right, false)),
        ("btrim" | "trim", [Text] | [Text, Text]) => (to_text, ("btrim", text::trim, false)),
        ("ltrim", [Text] | [Text, Text]) => (to_text, ("ltrim", text::ltrim, false)),
        ("rtrim", [Text] | [Text, Text]) => (to_text, ("rtrim", text::rtrim, false)),
        ("concat", _) => (to_text && texts, ("concat", text::concat, false)),
        ("concat_op" | "||", [Blob, Blob]) => {
            (*ty == Blob, ("concat_blobs", text::concat_blobs, false))
        }
        ("concat_op" | "||", _) => (to_text && texts, ("concat_op", text::concat_op, false)),
        ("concat_ws", [_, _, ..]) => (to_text && texts, ("concat_ws", text::concat_ws, false)),
        ("reverse", [Text]) => (to_text, ("reverse", text::reverse, false)),
        ("repeat", [Text, n]) => (to_text && n.is_integer(), ("repeat", pad::repeat, true)),
        ("lpad", [Text, n] | [Text, n, Text]) => {
            (to_text && n.is_integer(), ("lpad", pad::lpad, true))
        }
        ("rpad", [Text, n] | [Text, n, Text]) => {
            (to_text && n.is_integer(), ("rpad", pad::rpad, true))
        }
        ("replace", [Text, Text, Text]) => (to_text, ("replace", pad::replace, true)),
        ("starts_with", [Text, Text]) => (to_boolean, ("starts_with", search::starts_with, false)),
        ("ends_with", [Text, Text]) => (to_boolean, ("ends_with", search::ends_with, false)),
        ("contains", [Text, Text]) => (to_boolean, ("contains", search::contains, false)),
        ("strpos" | "position" | "instr", [Text, Text]) => {
            (count, ("strpos", search::strpos, false))
        }
        ("split_part", [Text, Text, n]) => {
            (to_text && n.is_integer(), ("split_part", search::split_part, true))
        }
        ("hex", [Text | Blob]) => (to_text, ("hex", extract::hex, true)),
        ("hex", [number]) => (to_text && number.is_integer(), ("hex", extract::hex, true)),
        ("regexp_extract", [Text, Text]) => {
            (to_text, ("regexp_extract", extract::regexp_extract, true))
        }
        ("regexp_extract", [Text, Text, group]) => {
            let group = group.is_integer();
            (to_text && group, ("regexp_extract", extract::regexp_extract, true))
        }
        _ => return None,
    };
    entry.0.then_some(entry.1)
}

fn of_moments(name: &str, types: &[LogicalType], ty: &LogicalType) -> Option<Entry> {
    use LogicalType::{Date, Float64, Interval, Text, Timestamp};
    let entry: (bool, Entry) = match (name, types) {
        ("last_day", [Date | Timestamp(..)]) => {
            (*ty == Date, ("last_day", moments::last_day, true))
        }
        ("monthname", [Date | Timestamp(..)]) => {
            (*ty == Text, ("monthname", moments::month_name, false))
        }
        ("dayname", [Date | Timestamp(..)]) => (*ty == Text, ("dayname", moments::day_name, false)),
        ("time_bucket" | "date_bin", [Interval, moment @ (Date | Timestamp(..)), rest @ ..]) => {
            let known = match rest {
                [] => true,
                [third] => third == moment || *third == Interval,
                _ => false,
            };
            (known && moment == ty, ("time_bucket", time_bucket, true))
        }
        ("make_timestamp", [whole @ .., Float64]) => {
            let made = *ty == Timestamp(TimeUnit::Microsecond, None);
            let whole = whole.len() == 5 && whole.iter().all(LogicalType::is_integer);
            (made && whole, ("make_timestamp", moments::make_timestamp, true))
        }
        _ => return None,
    };
    entry.0.then_some(entry.1)
}

fn of_bits(name: &str, types: &[LogicalType], ty: &LogicalType) -> Option<Entry> {
    let entry: Entry = match (name, types.len()) {
        ("bit_and_op", 2) => ("bit_and_op", bitwise::and, false),
        ("bit_or_op", 2) => ("bit_or_op", bitwise::or, false),
        ("bit_xor_op" | "xor", 2) => ("xor", bitwise::xor, false),
        ("bit_not", 1) => ("bit_not", bitwise::not, false),
        ("shift_left_op", 2) => ("shift_left_op", bitwise::shift_left, true),
        ("shift_right_op", 2) => ("shift_right_op", bitwise::shift_right, true),
        _ => return None,
    };
    (ty.is_integer() && types.iter().all(|other| other == ty)).then_some(entry)
}

fn of_numbers(name: &str, types: &[LogicalType], ty: &LogicalType) -> Option<Entry> {
    use LogicalType::{Decimal, Float64};
    let same = !types.is_empty() && types.iter().all(|other| other == ty);
    let float = same && ty.is_float();
    let number = same && ty.is_numeric();
    let decimals = matches!((types, ty), ([Decimal { .. }], Decimal { .. }));
    let exact = !ty.is_float();
    let entry: (bool, Entry) = match (name, types) {
        ("abs", [_]) => (number, ("abs", math::abs, exact)),
        ("sign" | "signum", [_]) => (number || decimals, ("sign", math::sign, exact)),
        ("ceil" | "ceiling", [_]) => (number || decimals, ("ceil", math::ceil, exact)),
        ("floor", [_]) => (number || decimals, ("floor", math::floor, exact)),
        ("round", [_]) => (number || decimals, ("round", math::round, exact)),
        ("trunc", [_]) => (number || decimals, ("trunc", math::trunc, exact)),
        ("round", [Decimal { .. }, n]) => {
            (matches!(ty, Decimal { .. }) && n.is_integer(), ("round", math::round, true))
        }
        ("trunc", [Decimal { .. }, n]) => {
            (matches!(ty, Decimal { .. }) && n.is_integer(), ("trunc", math::trunc, true))
        }
        ("round", [from, n]) if from == ty => {
            (ty.is_numeric() && n.is_integer(), ("round", math::round, exact))
        }
        ("trunc", [from, n]) if from == ty => {
            (ty.is_numeric() && n.is_integer(), ("trunc", math::trunc, exact))
        }
        ("isinf", [input]) => {
            (input.is_float() && *ty == LogicalType::Boolean, ("isinf", math::is_infinite, false))
        }
        ("isfinite", [input]) => {
            (input.is_float() && *ty == LogicalType::Boolean, ("isfinite", math::is_finite, false))
        }
        ("sqrt", [_]) => (float, ("sqrt", math::sqrt, true)),
        ("exp", [_]) => (float, ("exp", math::exp, false)),
        ("ln", [_]) => (float, ("ln", math::ln, true)),
        ("log10", [_]) => (float, ("log10", math::log10, true)),
        ("log2", [_]) => (float, ("log2", math::log2, true)),
        ("power" | "pow", [_, _]) => (same && *ty == Float64, ("power", math::power, false)),
        ("mod", [_, _]) => (number, ("mod", math::modulo, exact)),
        ("greatest", _) => (same && !ty.is_nested(), ("greatest", math::greatest, false)),
        ("least", _) => (same && !ty.is_nested(), ("least", math::least, false)),
        ("nullif", [a, b]) => (a == b && a == ty, ("nullif", math::nullif, false)),
        _ => return None,
    };
    entry.0.then_some(entry.1)
}
