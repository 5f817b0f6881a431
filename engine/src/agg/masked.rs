//! Rows of one group of which a mask says which count: NULLs and rows that a FILTER drops are passed over where they lie.
//!
//! Invariant: a state takes exactly what `update` would take of the rows that count, in their order, with the same bits.
//! Next: `../kernel/masked.rs`.

use arrow::{
    array::{Array, AsArray},
    buffer::BooleanBuffer,
    datatypes::Float64Type,
};
use stoadb_storage::{LogicalType, Selection, Vector};

use super::{
    Call, Groups, State,
    extreme::Extreme,
    input::{Ints, Offset, doubles, ints},
    moments::Exact,
    sum::Sum,
};
use crate::{
    error::{EngineError, Result},
    kernel::{
        bits::width,
        extreme::{extreme, extreme_double},
        masked::{for_each_piece, for_each_unset},
        physical::{offset_value, with_offsets},
    },
    plan::AggregateFunction as Function,
};

/// Up to one row in how many may be left out for sums to be those of all rows less those of the rows left out.
const FEW: usize = 4;

/// Whether states of the call take masks.
pub(crate) fn takes_masks(call: &Call) -> bool {
    let function = matches!(
        call.function,
        Function::CountStar
            | Function::Count
            | Function::Sum
            | Function::Avg
            | Function::VarSamp
            | Function::VarPop
            | Function::StddevSamp
            | Function::StddevPop
            | Function::Min
            | Function::Max
    );
    let argument = |ty: &LogicalType| match call.function {
        Function::Min | Function::Max => {
            width(ty).is_some_and(|bits| bits <= 64)
                || matches!(ty, LogicalType::Text | LogicalType::Blob)
        }
        Function::Sum | Function::Avg => *ty != LogicalType::Interval,
        _ => true,
    };
    function && !call.collects() && call.args.iter().all(argument)
}

impl State {
    /// Takes the rows of group 0 where the mask is set. `args` may hold NULLs, where it is not.
    ///
    /// # Errors
    /// As `update`; `Internal` for calls that take no masks.
    pub(crate) fn update_masked(&mut self, args: &[Vector], mask: &BooleanBuffer) -> Result<()> {
        let rows = mask.count_set_bits();
        match (self, args) {
            (Self::Count(state), _) => state.absorb(rows as u64),
            (_, _) if rows == 0 => {}
            (Self::Sum(state), [arg]) => sum(state, arg, mask, rows)?,
            (Self::MomentsExact(state), [arg]) => exact(state, arg, mask, rows)?,
            (Self::SumFloat(state), [arg]) => {
                for_each_piece(&doubles(arg)?, mask, |piece| state.add_rows(piece));
            }
            (Self::Moments(state), [arg]) => {
                for_each_piece(&doubles(arg)?, mask, |piece| state.add_rows(piece));
            }
            (Self::Extreme(state), [arg]) => extremes(state, arg, mask)?,
            _ => return Err(EngineError::Internal("an aggregate that takes no mask".into())),
        }
        Ok(())
    }
}

fn sum(state: &mut Sum, arg: &Vector, mask: &BooleanBuffer, rows: usize) -> Result<()> {
    match ints(arg)? {
        Ints::Narrow(offsets, base) => {
            let sum = with_offsets!(offsets, offsets => sum_offsets(offsets, mask, rows));
            state.add_rows(sum + i128::from(base) * rows as i128, rows);
        }
        Ints::Unsigned(values) => {
            mask.set_indices().for_each(|row| state.add_rows(values[row].into(), 1));
        }
        Ints::Wide(values) => {
            mask.set_indices().for_each(|row| state.add_rows(values[row], 1));
        }
    }
    Ok(())
}

/// The exact sum where the mask is set, which it is in `rows` rows.
fn sum_offsets<T: Offset + Default>(offsets: &[T], mask: &BooleanBuffer, rows: usize) -> i128 {
    if (offsets.len() - rows) * FEW > offsets.len() {
        let mut sum = 0;
        for_each_piece(offsets, mask, |piece| sum += T::sum(piece));
        return sum;
    }
    let mut left_out = 0_i128;
    for_each_unset(mask, |row| left_out += i128::from(offset_value(offsets[row])));
    T::sum(offsets) - left_out
}

fn exact(state: &mut Exact, arg: &Vector, mask: &BooleanBuffer, rows: usize) -> Result<()> {
    match ints(arg)? {
        Ints::Narrow(offsets, base) => with_offsets!(offsets, offsets => {
            if (offsets.len() - rows) * FEW <= offsets.len() && state.add_all(offsets, base) {
                for_each_unset(mask, |row| {
                    state.remove(base.wrapping_add(offset_value(offsets[row])));
                });
            } else {
                for_each_piece(offsets, mask, |piece| state.add_piece(piece, base));
            }
        }),
        Ints::Unsigned(values) => {
            mask.set_indices().for_each(|row| state.add(0, values[row].into()));
        }
        Ints::Wide(values) => mask.set_indices().for_each(|row| state.add(0, values[row])),
    }
    Ok(())
}

fn extremes(state: &mut Extreme, arg: &Vector, mask: &BooleanBuffer) -> Result<()> {
    if state.is_of_bytes() {
        let kept = Selection::new(mask.set_indices_u32().collect());
        return state.update(&[arg.select(&kept)?], Groups::One(kept.len()));
    }
    let largest = state.largest();
    if let Vector::Flat(array) = arg
        && let Some(values) = array.as_primitive_opt::<Float64Type>()
    {
        for_each_piece(values.values(), mask, |piece| {
            if let Some(value) = extreme_double(piece, largest) {
                state.consider_double(value);
            }
        });
        return Ok(());
    }
    if let Vector::Narrow(narrow) = arg {
        with_offsets!(narrow.offsets, offsets => {
            for_each_piece(offsets, mask, |piece| {
                if let Some(offset) = extreme(piece, largest) {
                    state.consider_whole(narrow.base.wrapping_add(offset_value(offset)));
                }
            });
        });
        return Ok(());
    }
    let keys = state.keys(arg)?;
    for_each_piece(&keys, mask, |piece| {
        if let Some(key) = extreme(piece, largest) {
            state.consider_key(key);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{Random, display, encodings, flat_types, sample};

    const FUNCTIONS: [Function; 8] = [
        Function::CountStar,
        Function::Count,
        Function::Sum,
        Function::Avg,
        Function::VarSamp,
        Function::StddevPop,
        Function::Min,
        Function::Max,
    ];

    fn call(function: Function, ty: &LogicalType) -> Call {
        let result = match (function, ty) {
            (Function::CountStar | Function::Count, _) => LogicalType::Int64,
            (Function::Min | Function::Max, ty) => ty.clone(),
            (Function::Sum | Function::Avg, LogicalType::Decimal { scale, .. }) => {
                LogicalType::Decimal { precision: 38, scale: *scale }
            }
            (Function::Sum, ty) if ty.is_integer() => {
                LogicalType::Decimal { precision: 38, scale: 0 }
            }
            _ => LogicalType::Float64,
        };
        let args = if function == Function::CountStar { vec![] } else { vec![ty.clone()] };
        let (parameters, order_by) = (vec![], vec![]);
        Call { function, args, parameters, distinct: false, order_by, ty: result }
    }

    fn state(call: &Call) -> State {
        let mut state = State::new(call).unwrap();
        state.resize(1);
        state
    }

    /// What the state comes to, doubles by their bits.
    fn result(mut state: State, call: &Call) -> String {
        state.seal().unwrap();
        let array = state.finish(call).unwrap();
        match array.as_primitive_opt::<Float64Type>() {
            Some(floats) if floats.is_valid(0) => format!("{:x}", floats.value(0).to_bits()),
            _ => display(&Vector::Flat(array.clone()), 0),
        }
    }

    #[test]
    fn test_masks_take_what_gathering_takes() {
        let mut random = Random::new(31);
        for ty in flat_types() {
            for rows in [1, 64, 700, 5000] {
                let nulls = [0, 2, 10][random.below(3) as usize];
                let array = sample(&ty, &mut random, rows, nulls);
                for vector in encodings(&array, &mut random) {
                    for dropped in [1, 2, 9, 200] {
                        check(&ty, &vector, dropped, &mut random);
                    }
                }
            }
        }
    }

    /// Compares for a mask without one in `dropped` rows, in two pieces.
    fn check(ty: &LogicalType, vector: &Vector, dropped: u64, random: &mut Random) {
        let rows = vector.len();
        let valid = vector.nulls();
        let mask = BooleanBuffer::collect_bool(rows, |row| {
            random.below(dropped) != 0 && valid.as_ref().is_none_or(|valid| valid.is_valid(row))
        });
        let kept = Selection::new(mask.set_indices_u32().collect());
        let gathered = vector.select(&kept).unwrap();
        let middle = random.below(rows as u64 + 1) as usize;
        for function in FUNCTIONS {
            let numbers = !matches!(
                function,
                Function::CountStar | Function::Count | Function::Min | Function::Max
            );
            let call = call(function, ty);
            if !takes_masks(&call) || numbers && !ty.is_numeric() {
                continue;
            }
            let args = |vector: Vector| match function {
                Function::CountStar | Function::Count => vec![],
                _ => vec![vector],
            };
            let (mut wanted, mut masked) = (state(&call), state(&call));
            if !kept.is_empty() {
                wanted.update(&args(gathered.clone()), Groups::One(kept.len())).unwrap();
            }
            for (start, rows) in [(0, middle), (middle, rows - middle)] {
                let args = args(vector.slice(start, rows));
                masked.update_masked(&args, &mask.slice(start, rows)).unwrap();
            }
            let (wanted, masked) = (result(wanted, &call), result(masked, &call));
            assert_eq!(masked, wanted, "{function:?} of {ty}, {rows} rows, 1 of {dropped} dropped");
        }
    }
}
