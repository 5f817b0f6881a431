//! AND, OR, CASE and COALESCE: operations that evaluate an operand only for the rows that need it.
//!
//! Invariant: an operand that can fail never sees a row that is decided without it.

use arrow::{
    array::{Array, ArrayRef, BooleanArray, new_null_array},
    buffer::NullBuffer,
    compute::{and_kleene, interleave, or_kleene},
    datatypes::ArrowNativeType,
};
use stoadb_storage::{LogicalType, Vector};

use super::{
    node::{NodeId, Op},
    run::Run,
};
use crate::{
    error::{EngineError, Result},
    kernel::{
        arity::true_rows,
        decimal::{Decimals, Unscaled, small_vector},
        physical::{
            Column, Physical, boolean_vector, booleans, column, is_constant_null, null_vector,
            one_or_all, vector_of, with_number,
        },
    },
};

/// An operand that costs more than this per row is evaluated only for the rows that need it, if they are few.
const DEAR: u32 = 8;

/// Values for some rows of a frame.
struct Piece {
    rows: Vec<u32>,
    values: Vector,
}

impl Run<'_> {
    /// Three-valued AND or OR.
    pub(super) fn and_or(&mut self, operands: &[NodeId], is_and: bool) -> Result<Vector> {
        let rows = self.rows();
        let mut known: Option<BooleanArray> = None;
        for &id in operands {
            let Some(left) = known else {
                known = Some(booleans(&self.value(id)?)?);
                continue;
            };
            let open = undecided(&left, is_and);
            if open.is_empty() {
                known = Some(left);
                break;
            }
            let node = &self.nodes[id];
            let dear = node.cost > DEAR && open.len() * 4 < rows;
            let right = match (node.can_fail || !node.is_pure || dear) && !self.is_known(id) {
                false => booleans(&self.value(id)?)?,
                true => {
                    let part = self.on_rows(Some(&open), |run| booleans(&run.value(id)?))?;
                    spread(&part, &open, rows, is_and)
                }
            };
            known = Some(match is_and {
                true => and_kleene(&left, &right)?,
                false => or_kleene(&left, &right)?,
            });
        }
        let known = known.unwrap_or_else(|| BooleanArray::from(vec![is_and; rows]));
        Ok(boolean_vector(known))
    }

    /// `CASE`.
    pub(super) fn case(
        &mut self,
        branches: &[(NodeId, NodeId)],
        otherwise: Option<NodeId>,
        ty: &LogicalType,
    ) -> Result<Vector> {
        let rows = self.rows();
        let mut pieces = Vec::new();
        let mut remaining: Vec<u32> = (0..rows as u32).collect();
        for &(when, then) in branches {
            if remaining.is_empty() {
                break;
            }
            let truth = self.on_rows(Some(&remaining), |run| booleans(&run.value(when)?))?;
            let hits: Vec<u32> =
                true_rows(&truth).into_iter().map(|row| remaining[row as usize]).collect();
            if hits.is_empty() {
                continue;
            }
            remaining = difference(&remaining, &hits);
            pieces.push(self.piece(then, hits)?);
        }
        if let Some(otherwise) = otherwise
            && !remaining.is_empty()
        {
            pieces.push(self.piece(otherwise, remaining)?);
        }
        assemble(pieces, rows, ty)
    }

    fn piece(&mut self, id: NodeId, rows: Vec<u32>) -> Result<Piece> {
        if let Op::Constant(value) = &self.nodes[id].op {
            let values = Vector::Constant { value: value.clone(), rows: rows.len() };
            return Ok(Piece { rows, values });
        }
        let values = self.on_rows(Some(&rows), |run| run.value(id))?;
        Ok(Piece { rows, values })
    }

    /// `coalesce(a, b, ..)`.
    pub(super) fn coalesce(&mut self, args: &[NodeId], ty: &LogicalType) -> Result<Vector> {
        let rows = self.rows();
        let mut pieces = Vec::new();
        let mut remaining: Vec<u32> = (0..rows as u32).collect();
        for &arg in args {
            if remaining.is_empty() {
                break;
            }
            let values = self.on_rows(Some(&remaining), |run| run.value(arg))?;
            let Some(nulls) = values.nulls() else {
                pieces.push(Piece { rows: std::mem::take(&mut remaining), values });
                break;
            };
            if nulls.null_count() == nulls.len() {
                continue;
            }
            let valid: Vec<u32> = nulls.inner().set_indices_u32().collect();
            let values = values.select(&stoadb_storage::Selection::new(valid.clone()))?;
            let hits: Vec<u32> = valid.into_iter().map(|row| remaining[row as usize]).collect();
            remaining = difference(&remaining, &hits);
            pieces.push(Piece { rows: hits, values });
        }
        assemble(pieces, rows, ty)
    }
}

/// The rows that are not FALSE (for AND) or not TRUE (for OR) yet.
fn undecided(known: &BooleanArray, is_and: bool) -> Vec<u32> {
    let open = |row: &u32| {
        let row = *row as usize;
        known.is_null(row) || known.value(row) == is_and
    };
    (0..known.len() as u32).filter(open).collect()
}

/// The values of some rows, and the neutral value in the others.
fn spread(part: &BooleanArray, places: &[u32], rows: usize, neutral: bool) -> BooleanArray {
    let mut values = vec![Some(neutral); rows];
    for (i, &place) in places.iter().enumerate() {
        values[place as usize] = part.is_valid(i).then(|| part.value(i));
    }
    BooleanArray::from(values)
}

/// The rows of one ascending list that are not in another, which is part of it.
pub(super) fn difference(rows: &[u32], without: &[u32]) -> Vec<u32> {
    let mut without = without.iter().peekable();
    rows.iter().copied().filter(|row| without.next_if(|other| *other == row).is_none()).collect()
}

/// The pieces in one vector; NULL in the rows that no piece has.
fn assemble(mut pieces: Vec<Piece>, rows: usize, ty: &LogicalType) -> Result<Vector> {
    pieces.retain(|piece| !is_constant_null(&piece.values));
    if pieces.is_empty() {
        return Ok(null_vector(ty, rows));
    }
    if pieces.len() == 1 && pieces[0].rows.len() == rows {
        return Ok(pieces.remove(0).values);
    }
    if let LogicalType::Decimal { .. } = ty
        && let Some(vector) = assemble_small(&pieces, rows, ty)?
    {
        return Ok(vector);
    }
    let nulls = assemble_nulls(&pieces, rows);
    with_number!(Physical::of(ty), T => {
        let columns = pieces.iter().map(|piece| column::<T>(&piece.values));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        vector_of(ty, scatter(&pieces, columns.iter(), rows), nulls)
    }, _ => interleaved(&pieces, rows, ty))
}

/// Decimals all of which fit 64 bits.
fn assemble_small(pieces: &[Piece], rows: usize, ty: &LogicalType) -> Result<Option<Vector>> {
    let mut columns = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let Unscaled::Small(column) = Decimals::new(&piece.values)?.values else { return Ok(None) };
        columns.push(column);
    }
    let values = scatter(pieces, columns.iter(), rows);
    Ok(Some(small_vector(ty, values, assemble_nulls(pieces, rows))))
}

fn scatter<'a, T: ArrowNativeType>(
    pieces: &[Piece],
    columns: impl Iterator<Item = &'a Column<T>>,
    rows: usize,
) -> Vec<T> {
    let mut values = vec![T::default(); rows];
    for (piece, column) in pieces.iter().zip(columns) {
        if column.constant {
            for &row in &piece.rows {
                values[row as usize] = column.values[0];
            }
        } else {
            for (&row, &value) in piece.rows.iter().zip(column.values.iter()) {
                values[row as usize] = value;
            }
        }
    }
    values
}

fn assemble_nulls(pieces: &[Piece], rows: usize) -> Option<NullBuffer> {
    let covered: usize = pieces.iter().map(|piece| piece.rows.len()).sum();
    let nulls: Vec<Option<NullBuffer>> = pieces.iter().map(|piece| piece.values.nulls()).collect();
    if covered == rows && nulls.iter().all(Option::is_none) {
        return None;
    }
    let mut valid = vec![false; rows];
    for (piece, nulls) in pieces.iter().zip(&nulls) {
        for (i, &row) in piece.rows.iter().enumerate() {
            valid[row as usize] = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(i));
        }
    }
    Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0)
}

/// Values of any type, by way of Arrow.
fn interleaved(pieces: &[Piece], rows: usize, ty: &LogicalType) -> Result<Vector> {
    let mut arrays: Vec<ArrayRef> = vec![new_null_array(&ty.to_arrow(), 1)];
    let mut places = vec![(0, 0); rows];
    for piece in pieces {
        let (array, constant) = one_or_all(&piece.values)?;
        if array.data_type() != arrays[0].data_type() {
            let message = format!("a CASE of {ty} has a branch of {}", array.data_type());
            return Err(EngineError::Internal(message));
        }
        for (i, &row) in piece.rows.iter().enumerate() {
            places[row as usize] = (arrays.len(), if constant { 0 } else { i });
        }
        arrays.push(array);
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    Ok(Vector::Flat(interleave(&arrays, &places)?))
}
