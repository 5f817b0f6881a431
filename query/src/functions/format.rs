//! `format('{} {:.2f}', ..)` and `printf('%d %s', ..)`, and numbers of bytes for people.
//!
//! Invariant: a pattern that asks for what its argument is not, or for an argument that is not there, is an error.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Float64Type},
    util::display::{ArrayFormatter, FormatOptions},
};
use datafusion_common::{Result, exec_err};

use super::{Call, Def, TEXT};

pub(super) const TABLE: &[Def] = &[
    Def {
        name: "format",
        aliases: &[],
        takes: "text any*",
        gives: TEXT,
        body: |c| formatted(c, braces),
    },
    Def {
        name: "printf",
        aliases: &[],
        takes: "text any*",
        gives: TEXT,
        body: |c| formatted(c, percents),
    },
    Def {
        name: "format_bytes",
        aliases: &["formatreadablesize"],
        takes: "bigint",
        gives: TEXT,
        body: |call| bytes(call, 1024.0, &["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]),
    },
    Def {
        name: "formatreadabledecimalsize",
        aliases: &[],
        takes: "bigint",
        gives: TEXT,
        body: |call| bytes(call, 1000.0, &["kB", "MB", "GB", "TB", "PB", "EB"]),
    },
];

fn bytes(call: &Call, step: f64, units: &[&str]) -> Result<ArrayRef> {
    let numbers = call.integers(0)?;
    call.give_texts(|row| {
        let Some(number) = numbers.at(row) else { return Ok(None) };
        let mut size = number.unsigned_abs() as f64;
        if size < step {
            let plural = if number == 1 { "byte" } else { "bytes" };
            return Ok(Some(format!("{number} {plural}")));
        }
        let mut unit = 0;
        size /= step;
        while size >= step && unit + 1 < units.len() {
            size /= step;
            unit += 1;
        }
        let sign = if number < 0 { "-" } else { "" };
        // Cut, not rounded: what is shown is never more than there is.
        Ok(Some(format!("{sign}{:.1} {}", (size * 10.0).floor() / 10.0, units[unit])))
    })
}

/// An argument's value.
enum Value {
    Whole(i128),
    Double(f64),
    Text(String),
}

/// The arguments behind the pattern.
struct Values<'a> {
    call: &'a Call,
    shown: Vec<ArrayFormatter<'a>>,
    doubles: Vec<Option<ArrayRef>>,
}

impl<'a> Values<'a> {
    fn new(call: &'a Call, options: &'a FormatOptions<'a>) -> Result<Self> {
        let (mut shown, mut doubles) = (Vec::new(), Vec::new());
        for array in &call.args[1..] {
            shown.push(ArrayFormatter::try_new(array.as_ref(), options)?);
            let fraction = array.data_type().is_floating() || array.data_type().is_decimal();
            doubles.push(match fraction {
                true => Some(arrow::compute::cast(array, &DataType::Float64)?),
                false => None,
            });
        }
        Ok(Self { call, shown, doubles })
    }

    fn at(&self, at: usize, row: usize) -> Result<Value> {
        let Some(shown) = self.shown.get(at) else {
            return exec_err!(
                "the pattern asks for argument {}, there are {}",
                at + 1,
                self.shown.len()
            );
        };
        let place = self.call.place(at + 1, row);
        if let Some(doubles) = &self.doubles[at] {
            return Ok(Value::Double(doubles.as_primitive::<Float64Type>().value(place)));
        }
        let text = shown.value(place).try_to_string()?;
        let number = self.call.args[at + 1].data_type().is_integer();
        Ok(match text.parse().ok().filter(|_| number) {
            Some(number) => Value::Whole(number),
            None => Value::Text(text),
        })
    }
}

fn formatted(call: &Call, f: fn(&str, Ask<'_>) -> Result<String>) -> Result<ArrayRef> {
    let patterns = call.texts(0)?;
    let options = FormatOptions::default();
    let values = Values::new(call, &options)?;
    call.give_texts(|row| {
        let null = (1..call.args.len()).any(|at| call.is_null(at, row));
        match patterns.at(row) {
            Some(pattern) if !null => f(pattern, &mut |at| values.at(at, row)).map(Some),
            _ => Ok(None),
        }
    })
}

/// Gives the value of an argument.
type Ask<'a> = &'a mut dyn FnMut(usize) -> Result<Value>;

/// How a value is written.
#[derive(Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    thousands: Option<char>,
    width: usize,
    precision: Option<usize>,
    kind: Option<char>,
}

impl Spec {
    fn write(&self, value: &Value) -> Result<String> {
        let (negative, mut digits, number) = match (value, self.kind) {
            (Value::Text(text), None | Some('s')) => {
                let cut = self.precision.unwrap_or(usize::MAX);
                (false, text.chars().take(cut).collect(), false)
            }
            (Value::Text(text), Some(kind)) => {
                return exec_err!("'{kind}' takes a number, not '{text}'");
            }
            (Value::Whole(number), None | Some('d' | 'i' | 'u' | 's' | 'l')) => {
                (*number < 0, number.unsigned_abs().to_string(), true)
            }
            (Value::Whole(number), Some('x')) => {
                (*number < 0, self.radix("0x", format!("{:x}", number.unsigned_abs())), true)
            }
            (Value::Whole(number), Some('X')) => {
                (*number < 0, self.radix("0X", format!("{:X}", number.unsigned_abs())), true)
            }
            (Value::Whole(number), Some('o')) => {
                (*number < 0, self.radix("0", format!("{:o}", number.unsigned_abs())), true)
            }
            (Value::Whole(number), Some('b')) => {
                (*number < 0, self.radix("0b", format!("{:b}", number.unsigned_abs())), true)
            }
            (Value::Whole(number), Some('c')) => {
                let c = u32::try_from(*number).ok().and_then(char::from_u32);
                (false, c.map_or_else(String::new, String::from), false)
            }
            (Value::Whole(number), kind) => self.double(*number as f64, kind)?,
            (Value::Double(number), kind) => self.double(*number, kind)?,
        };
        if let Some(separator) = self.thousands {
            let whole = digits.find(['.', 'e']).unwrap_or(digits.len());
            let mut at = whole;
            while at > 3 {
                at -= 3;
                digits.insert(at, separator);
            }
        }
        let sign = match (negative, number) {
            (true, _) => "-",
            (_, true) if self.plus => "+",
            (_, true) if self.space => " ",
            _ => "",
        };
        Ok(self.padded(sign, &digits, number))
    }

    fn radix(&self, prefix: &str, digits: String) -> String {
        if self.alternate { format!("{prefix}{digits}") } else { digits }
    }

    fn double(&self, number: f64, kind: Option<char>) -> Result<(bool, String, bool)> {
        let (negative, x) = (number.is_sign_negative() && !number.is_nan(), number.abs());
        let digits = match (kind, self.precision) {
            _ if x.is_nan() => "nan".to_owned(),
            _ if x.is_infinite() => "inf".to_owned(),
            (Some('f' | 'F'), precision) => format!("{x:.*}", precision.unwrap_or(6)),
            (Some('e' | 'E'), precision) => exponent(x, precision.unwrap_or(6)),
            (Some('g' | 'G'), precision) => shortest(x, precision.unwrap_or(6)),
            (None | Some('s'), Some(precision)) => shortest(x, precision),
            (None | Some('s'), None) => match format!("{x:?}") {
                text if text.contains(['.', 'e']) => text,
                text => format!("{text}.0"),
            },
            (Some('%'), precision) => format!("{:.*}%", precision.unwrap_or(6), x * 100.0),
            (Some(kind), _) => return exec_err!("'{kind}' takes a whole number, not {number}"),
        };
        let upper = matches!(kind, Some('E' | 'G' | 'F'));
        Ok((negative, if upper { digits.to_uppercase() } else { digits }, true))
    }

    fn padded(&self, sign: &str, digits: &str, number: bool) -> String {
        let length = sign.len() + digits.chars().count();
        let missing = self.width.saturating_sub(length);
        let fill = |count: usize| self.fill.unwrap_or(' ').to_string().repeat(count);
        match self.align {
            None if self.zero && number => format!("{sign}{}{digits}", "0".repeat(missing)),
            Some('<') => format!("{sign}{digits}{}", fill(missing)),
            Some('^') => {
                format!("{}{sign}{digits}{}", fill(missing / 2), fill(missing - missing / 2))
            }
            Some('>') => format!("{}{sign}{digits}", fill(missing)),
            _ if number => format!("{}{sign}{digits}", fill(missing)),
            _ => format!("{sign}{digits}{}", fill(missing)),
        }
    }
}

/// `1.5e+03`, with two digits of the exponent at least.
fn exponent(x: f64, precision: usize) -> String {
    let text = format!("{x:.precision$e}");
    match text.split_once('e') {
        Some((digits, power)) => {
            let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
            format!("{digits}e{sign}{power:0>2}")
        }
        None => text,
    }
}

/// So many significant digits, without trailing zeros.
fn shortest(x: f64, precision: usize) -> String {
    let precision = precision.max(1);
    let scientific = exponent(x, precision - 1);
    let power: i32 = scientific.split_once('e').and_then(|(_, p)| p.parse().ok()).unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if power < -4 || power >= i32::try_from(precision).unwrap_or(i32::MAX) {
        let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "+00"));
        return format!("{}e{power}", trim(digits));
    }
    let places = usize::try_from(i32::try_from(precision).unwrap_or(0) - 1 - power).unwrap_or(0);
    trim(&format!("{x:.places$}"))
}

/// A number in front.
fn number(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Option<usize>> {
    let mut digits = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    match digits.parse() {
        Ok(number) if number <= 100_000 => Ok(Some(number)),
        _ if digits.is_empty() => Ok(None),
        _ => exec_err!("a width or precision of at most 100000, not {digits}"),
    }
}

/// The pattern of `format`.
fn braces(pattern: &str, value: Ask<'_>) -> Result<String> {
    let mut result = String::new();
    let mut chars = pattern.chars().peekable();
    let mut next = 0;
    while let Some(c) = chars.next() {
        match c {
            '{' if chars.next_if_eq(&'{').is_some() => result.push('{'),
            '}' if chars.next_if_eq(&'}').is_some() => result.push('}'),
            '}' => return exec_err!("the pattern has a '}}' without its '{{': write '}}}}'"),
            '{' => {
                let at = number(&mut chars)?.unwrap_or_else(|| {
                    next += 1;
                    next - 1
                });
                let spec = match chars.next_if_eq(&':') {
                    Some(_) => brace_spec(&mut chars)?,
                    None => Spec::default(),
                };
                if chars.next() != Some('}') {
                    return exec_err!("the pattern has a '{{' without its '}}': write '{{{{'");
                }
                result.push_str(&spec.write(&value(at)?)?);
            }
            c => result.push(c),
        }
    }
    Ok(result)
}

fn brace_spec(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Spec> {
    let mut spec = Spec::default();
    let mut ahead = chars.clone();
    let (first, second) = (ahead.next(), ahead.next());
    if let Some(align @ ('<' | '>' | '^')) = second {
        (spec.fill, spec.align) = (first, Some(align));
        chars.next();
        chars.next();
    } else if let Some(align) = chars.next_if(|c| matches!(c, '<' | '>' | '^')) {
        spec.align = Some(align);
    }
    spec.plus = chars.next_if_eq(&'+').is_some();
    spec.space = chars.next_if_eq(&' ').is_some();
    chars.next_if_eq(&'-');
    spec.alternate = chars.next_if_eq(&'#').is_some();
    spec.zero = chars.next_if_eq(&'0').is_some();
    spec.width = number(chars)?.unwrap_or(0);
    spec.thousands = chars.next_if(|c| matches!(c, ',' | '_' | '\''));
    if chars.next_if_eq(&'.').is_some() {
        spec.precision = number(chars)?;
    }
    spec.kind = chars.next_if(|c| c.is_ascii_alphabetic() || *c == '%');
    Ok(spec)
}

/// The pattern of `printf`.
fn percents(pattern: &str, value: Ask<'_>) -> Result<String> {
    let mut result = String::new();
    let mut chars = pattern.chars().peekable();
    let mut next = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            result.push(c);
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            result.push('%');
            continue;
        }
        let mut spec = Spec { align: Some('>'), ..Spec::default() };
        while let Some(flag) =
            chars.next_if(|c| matches!(c, '-' | '+' | ' ' | '#' | '0' | ',' | '\''))
        {
            match flag {
                '-' => spec.align = Some('<'),
                '+' => spec.plus = true,
                ' ' => spec.space = true,
                '#' => spec.alternate = true,
                '0' => spec.zero = true,
                other => spec.thousands = Some(other),
            }
        }
        if spec.zero && spec.align == Some('>') {
            spec.align = None;
        }
        spec.width = number(&mut chars)?.unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(number(&mut chars)?.unwrap_or(0));
        }
        while chars.next_if(|c| matches!(c, 'l' | 'h' | 'z' | 'j' | 't')).is_some() {}
        spec.kind = chars.next();
        if spec.kind.is_none() {
            return exec_err!("the pattern ends within a '%': write '%%'");
        }
        result.push_str(&spec.write(&value(next)?)?);
        next += 1;
    }
    Ok(result)
}
