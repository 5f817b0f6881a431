//! Functions of numbers that the engine has no kernels for.
//!
//! Invariant: of doubles, what has no value is NaN or infinity, as in IEEE 754.

use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Decimal128Type, Float64Type, Int64Type},
};
use datafusion_common::{Result, exec_err};

use super::{BOOLEAN, Call, DOUBLE, Def, Gives};

pub(super) const TABLE: &[Def] = &[
    Def { name: "even", aliases: &[], takes: "double", gives: DOUBLE, body: |c| one(c, even) },
    Def {
        name: "gamma",
        aliases: &[],
        takes: "double",
        gives: DOUBLE,
        body: |c| one(c, libm::tgamma),
    },
    Def {
        name: "lgamma",
        aliases: &[],
        takes: "double",
        gives: DOUBLE,
        body: |c| one(c, libm::lgamma),
    },
    Def {
        name: "factorial",
        aliases: &[],
        takes: "bigint",
        gives: Gives::Plain(|| DataType::Decimal128(38, 0)),
        body: factorial,
    },
    Def {
        name: "fdiv",
        aliases: &[],
        takes: "double double",
        gives: DOUBLE,
        body: |c| two(c, |a, b| (a / b).floor()),
    },
    Def {
        name: "fmod",
        aliases: &[],
        takes: "double double",
        gives: DOUBLE,
        body: |c| two(c, |a, b| a - b * (a / b).floor()),
    },
    Def {
        name: "nextafter",
        aliases: &[],
        takes: "double double",
        gives: DOUBLE,
        body: |c| two(c, libm::nextafter),
    },
    Def {
        name: "round_even",
        aliases: &["roundbankers"],
        takes: "double bigint?",
        gives: DOUBLE,
        body: round_even,
    },
    Def { name: "signbit", aliases: &[], takes: "double", gives: BOOLEAN, body: signbit },
    Def {
        name: "width_bucket",
        aliases: &[],
        takes: "double double double bigint",
        gives: super::BIGINT,
        body: width_bucket,
    },
];

fn one(call: &Call, f: impl Fn(f64) -> f64) -> Result<ArrayRef> {
    let numbers = call.numbers::<Float64Type>(0)?;
    call.give_numbers::<Float64Type>(|row| Ok(numbers.at(row).map(&f)))
}

fn two(call: &Call, f: impl Fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (left, right) = (call.numbers::<Float64Type>(0)?, call.numbers::<Float64Type>(1)?);
    call.give_numbers::<Float64Type>(|row| {
        Ok(left.at(row).and_then(|a| right.at(row).map(|b| f(a, b))))
    })
}

/// The product of 1 to n: up to 33 in 38 digits.
fn factorial(call: &Call) -> Result<ArrayRef> {
    let numbers = call.numbers::<Int64Type>(0)?;
    call.give_numbers::<Decimal128Type>(|row| {
        let Some(n) = numbers.at(row) else { return Ok(None) };
        match n {
            ..0 => exec_err!("factorial() is of numbers from 0, not {n}"),
            0..=33 => Ok(Some((1..=i128::from(n)).product())),
            34.. => {
                exec_err!("overflow: {n}! does not fit DECIMAL(38); gamma({n} + 1.0) is a DOUBLE")
            }
        }
    })
}

/// The next even number away from zero.
fn even(x: f64) -> f64 {
    2.0 * (x.abs() / 2.0).ceil().copysign(x)
}

fn signbit(call: &Call) -> Result<ArrayRef> {
    let numbers = call.numbers::<Float64Type>(0)?;
    call.give_booleans(|row| Ok(numbers.at(row).map(f64::is_sign_negative)))
}

/// Rounds halves to the even neighbour.
fn round_even(call: &Call) -> Result<ArrayRef> {
    let numbers = call.numbers::<Float64Type>(0)?;
    let places = call.has(1).then(|| call.integers(1)).transpose()?;
    call.give_numbers::<Float64Type>(|row| {
        let places = places.as_ref().map_or(Some(0), |places| places.at(row));
        let (Some(number), Some(places)) = (numbers.at(row), places) else { return Ok(None) };
        let Some(places) = i32::try_from(places).ok().filter(|places| places.abs() <= 300) else {
            return Ok(Some(number));
        };
        let factor = 10_f64.powi(places);
        let rounded = (number * factor).round_ties_even() / factor;
        Ok(Some(if rounded.is_finite() { rounded } else { number }))
    })
}

fn width_bucket(call: &Call) -> Result<ArrayRef> {
    let [x, low, high] = [0, 1, 2].map(|at| call.numbers::<Float64Type>(at));
    let (x, low, high, counts) = (x?, low?, high?, call.integers(3)?);
    call.give_integers(|row| {
        let (Some(x), Some(low), Some(high), Some(count)) =
            (x.at(row), low.at(row), high.at(row), counts.at(row))
        else {
            return Ok(None);
        };
        if count <= 0 {
            return exec_err!("there is at least one bucket, not {count}");
        }
        if low == high || !low.is_finite() || !high.is_finite() || x.is_nan() {
            return exec_err!("buckets need two bounds that differ, and a number");
        }
        let part = (x - low) / (high - low);
        Ok(Some(match part {
            part if part < 0.0 => 0,
            part if part >= 1.0 => count.saturating_add(1),
            part => (part * count as f64).floor() as i64 + 1,
        }))
    })
}
