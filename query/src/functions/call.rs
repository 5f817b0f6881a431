//! What the bodies of functions read and build: arguments by row, results by row.
//!
//! Invariant: `row` counts the rows of the call; an argument that is the same in every row has one.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewArray, BooleanArray, ListArray,
        ListBuilder, MapArray, PrimitiveArray, PrimitiveBuilder, StringViewArray,
        StringViewBuilder, StructArray,
    },
    datatypes::{DataType, Int64Type},
};
use datafusion_common::{Result, exec_err};

/// A call: arguments of the declared types, how many rows, and the type of the result.
pub(super) struct Call {
    pub(super) args: Vec<ArrayRef>,
    pub(super) constant: Vec<bool>,
    pub(super) rows: usize,
    pub(super) ty: DataType,
}

/// The values of an argument.
pub(super) struct Values<'a, A> {
    array: &'a A,
    constant: bool,
}

impl<'a, A: Array> Values<'a, A> {
    /// Where the row's value lies in the array; `None` for NULL.
    pub(super) fn index(&self, row: usize) -> Option<usize> {
        let index = if self.constant { 0 } else { row };
        self.array.is_valid(index).then_some(index)
    }

    /// The array behind.
    pub(super) fn array(&self) -> &'a A {
        self.array
    }
}

impl<'a> Values<'a, StringViewArray> {
    /// The text of a row.
    pub(super) fn at(&self, row: usize) -> Option<&'a str> {
        self.index(row).map(|index| self.array.value(index))
    }
}

impl<'a> Values<'a, BinaryViewArray> {
    /// The bytes of a row.
    pub(super) fn at(&self, row: usize) -> Option<&'a [u8]> {
        self.index(row).map(|index| self.array.value(index))
    }
}

impl Values<'_, BooleanArray> {
    /// The boolean of a row.
    pub(super) fn at(&self, row: usize) -> Option<bool> {
        self.index(row).map(|index| self.array.value(index))
    }
}

impl<T: ArrowPrimitiveType> Values<'_, PrimitiveArray<T>> {
    /// The number of a row.
    pub(super) fn at(&self, row: usize) -> Option<T::Native> {
        self.index(row).map(|index| self.array.value(index))
    }
}

impl Values<'_, ListArray> {
    /// Where the row's elements lie among all values.
    pub(super) fn range(&self, row: usize) -> Option<std::ops::Range<usize>> {
        let index = self.index(row)?;
        let offsets = self.array.value_offsets();
        Some(offsets[index] as usize..offsets[index + 1] as usize)
    }

    /// The row's elements.
    pub(super) fn at(&self, row: usize) -> Option<ArrayRef> {
        self.index(row).map(|index| self.array.value(index))
    }
}

impl Call {
    fn values<'a, A: Array + 'static>(&'a self, at: usize) -> Result<Values<'a, A>> {
        let array = self.args.get(at).and_then(|array| array.as_any().downcast_ref::<A>());
        match array {
            Some(array) => Ok(Values { array, constant: self.constant.get(at) == Some(&true) }),
            None => exec_err!("the argument {} is of another type than declared", at + 1),
        }
    }

    /// Whether the call has an argument at a position.
    pub(super) fn has(&self, at: usize) -> bool {
        at < self.args.len()
    }

    /// Whether a row's argument is NULL.
    pub(super) fn is_null(&self, at: usize, row: usize) -> bool {
        let row = if self.constant[at] { 0 } else { row };
        self.args[at].data_type().is_null() || self.args[at].is_null(row)
    }

    /// Where a row's argument lies in its array.
    pub(super) fn place(&self, at: usize, row: usize) -> usize {
        if self.constant[at] { 0 } else { row }
    }

    /// Texts.
    pub(super) fn texts(&self, at: usize) -> Result<Values<'_, StringViewArray>> {
        self.values(at)
    }

    /// A constant text of any layout; empty where there is none.
    pub(super) fn texts_of(&self, at: usize) -> Result<String> {
        let array = arrow::compute::cast(&self.args[at], &DataType::Utf8View)?;
        Ok(array.as_string_view().iter().next().flatten().unwrap_or_default().to_owned())
    }

    /// Blobs.
    pub(super) fn blobs(&self, at: usize) -> Result<Values<'_, BinaryViewArray>> {
        self.values(at)
    }

    /// Booleans.
    pub(super) fn booleans(&self, at: usize) -> Result<Values<'_, BooleanArray>> {
        self.values(at)
    }

    /// Numbers of an Arrow type.
    pub(super) fn numbers<T: ArrowPrimitiveType>(
        &self,
        at: usize,
    ) -> Result<Values<'_, PrimitiveArray<T>>> {
        self.values(at)
    }

    /// Whole numbers.
    pub(super) fn integers(&self, at: usize) -> Result<Values<'_, PrimitiveArray<Int64Type>>> {
        self.values(at)
    }

    /// Lists.
    pub(super) fn lists(&self, at: usize) -> Result<Values<'_, ListArray>> {
        self.values(at)
    }

    /// Maps.
    pub(super) fn maps(&self, at: usize) -> Result<Values<'_, MapArray>> {
        self.values(at)
    }

    /// Structs.
    pub(super) fn structs(&self, at: usize) -> Result<Values<'_, StructArray>> {
        self.values(at)
    }

    /// Bytes of a text or a blob.
    pub(super) fn bytes(&self, at: usize) -> Result<Bytes<'_>> {
        Ok(match self.args.get(at).map(|array| array.data_type()) {
            Some(DataType::BinaryView) => Bytes::Blobs(self.blobs(at)?),
            _ => Bytes::Texts(self.texts(at)?),
        })
    }

    /// A text per row.
    pub(super) fn give_texts<T: AsRef<str>>(
        &self,
        mut f: impl FnMut(usize) -> Result<Option<T>>,
    ) -> Result<ArrayRef> {
        let mut builder = StringViewBuilder::with_capacity(self.rows);
        for row in 0..self.rows {
            match f(row)? {
                Some(text) => builder.try_append_value(text)?,
                None => builder.append_null(),
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    /// A list of texts per row.
    pub(super) fn give_text_lists(
        &self,
        mut f: impl FnMut(usize) -> Result<Option<Vec<Option<String>>>>,
    ) -> Result<ArrayRef> {
        let mut builder = ListBuilder::new(StringViewBuilder::new());
        for row in 0..self.rows {
            match f(row)? {
                Some(texts) => {
                    texts.iter().for_each(|text| builder.values().append_option(text.as_deref()));
                    builder.append(true);
                }
                None => builder.append(false),
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    /// A list of whole numbers per row.
    pub(super) fn give_integer_lists(
        &self,
        mut f: impl FnMut(usize) -> Result<Option<Vec<Option<i64>>>>,
    ) -> Result<ArrayRef> {
        let mut builder = ListBuilder::new(PrimitiveBuilder::<Int64Type>::new());
        for row in 0..self.rows {
            match f(row)? {
                Some(numbers) => {
                    numbers.iter().for_each(|number| builder.values().append_option(*number));
                    builder.append(true);
                }
                None => builder.append(false),
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    /// A blob per row.
    pub(super) fn give_blobs(
        &self,
        mut f: impl FnMut(usize) -> Result<Option<Vec<u8>>>,
    ) -> Result<ArrayRef> {
        let blobs: Vec<Option<Vec<u8>>> = (0..self.rows).map(&mut f).collect::<Result<_>>()?;
        Ok(Arc::new(BinaryViewArray::from_iter(blobs)))
    }

    /// A boolean per row.
    pub(super) fn give_booleans(
        &self,
        mut f: impl FnMut(usize) -> Result<Option<bool>>,
    ) -> Result<ArrayRef> {
        Ok(Arc::new((0..self.rows).map(&mut f).collect::<Result<BooleanArray>>()?))
    }

    /// A number per row, of the result's type.
    pub(super) fn give_numbers<T: ArrowPrimitiveType>(
        &self,
        mut f: impl FnMut(usize) -> Result<Option<T::Native>>,
    ) -> Result<ArrayRef> {
        let mut builder = PrimitiveBuilder::<T>::with_capacity(self.rows);
        for row in 0..self.rows {
            builder.append_option(f(row)?);
        }
        Ok(Arc::new(builder.finish().with_data_type(match self.ty.primitive_width() {
            Some(_) => self.ty.clone(),
            None => T::DATA_TYPE,
        })))
    }

    /// A whole number per row.
    pub(super) fn give_integers(
        &self,
        f: impl FnMut(usize) -> Result<Option<i64>>,
    ) -> Result<ArrayRef> {
        self.give_numbers::<Int64Type>(f)
    }
}

/// Texts or blobs.
pub(super) enum Bytes<'a> {
    Texts(Values<'a, StringViewArray>),
    Blobs(Values<'a, BinaryViewArray>),
}

impl<'a> Bytes<'a> {
    /// The bytes of a row.
    pub(super) fn at(&self, row: usize) -> Option<&'a [u8]> {
        match self {
            Self::Texts(texts) => texts.at(row).map(str::as_bytes),
            Self::Blobs(blobs) => blobs.at(row),
        }
    }
}

/// The numbers of an array of 64-bit integers.
pub(super) fn integers_of(array: &ArrayRef) -> Vec<Option<i64>> {
    array.as_primitive_opt::<Int64Type>().map_or_else(Vec::new, |array| array.iter().collect())
}
