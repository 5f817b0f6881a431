//! The TPC-H tables as Arrow batches and as Parquet files, made by the `tpchgen` crate.
//!
//! Invariant: types are those of the specification: BIGINT keys, DECIMAL(15,2), DATE, TEXT; no column holds NULL.

use std::{fmt::Write as _, fs::File, path::Path, sync::Arc};

use arrow::{
    array::{
        ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch,
        StringViewBuilder,
    },
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};
use parquet::{
    arrow::ArrowWriter, basic::Compression, errors::ParquetError,
    file::properties::WriterProperties,
};
use tpchgen::generators::{
    Customer, CustomerGenerator, LineItem, LineItemGenerator, Nation, NationGenerator, Order,
    OrderGenerator, Part, PartGenerator, PartSupp, PartSuppGenerator, Region, RegionGenerator,
    Supplier, SupplierGenerator,
};

/// The names of the tables.
pub const NAMES: [&str; 8] =
    ["nation", "region", "part", "supplier", "customer", "partsupp", "orders", "lineitem"];

/// Rows of a batch and of a Parquet row group.
const BATCH_ROWS: usize = 1 << 16;

/// A column of rows of type `R`: how its value is got from a row.
enum Get<R> {
    Long(fn(&R) -> i64),
    Int(fn(&R) -> i32),
    /// In hundredths.
    Decimal(fn(&R) -> i64),
    /// Days since 1970-01-01.
    Date(fn(&R) -> i32),
    /// Appends the text.
    Text(fn(&R, &mut String) -> std::fmt::Result),
}

/// A text column of anything that can be displayed.
macro_rules! text {
    ($column:ident) => {
        (stringify!($column), Get::Text(|row, out| write!(out, "{}", row.$column)))
    };
}
macro_rules! long {
    ($column:ident) => {
        (stringify!($column), Get::Long(|row| row.$column))
    };
}
macro_rules! int {
    ($column:ident) => {
        (stringify!($column), Get::Int(|row| row.$column))
    };
}
macro_rules! decimal {
    ($column:ident) => {
        (stringify!($column), Get::Decimal(|row| row.$column.into_inner()))
    };
}
macro_rules! date {
    ($column:ident) => {
        (stringify!($column), Get::Date(|row| row.$column.to_unix_epoch()))
    };
}

impl<R> Get<R> {
    fn ty(&self) -> DataType {
        match self {
            Self::Long(_) => DataType::Int64,
            Self::Int(_) => DataType::Int32,
            Self::Decimal(_) => DataType::Decimal128(15, 2),
            Self::Date(_) => DataType::Date32,
            Self::Text(_) => DataType::Utf8View,
        }
    }

    fn column(&self, rows: &[R]) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Long(get) => Arc::new(Int64Array::from_iter_values(rows.iter().map(get))),
            Self::Int(get) => Arc::new(Int32Array::from_iter_values(rows.iter().map(get))),
            Self::Date(get) => Arc::new(Date32Array::from_iter_values(rows.iter().map(get))),
            Self::Decimal(get) => {
                let values = rows.iter().map(|row| i128::from(get(row)));
                let array = Decimal128Array::from_iter_values(values);
                Arc::new(array.with_precision_and_scale(15, 2)?)
            }
            Self::Text(get) => {
                let mut builder = StringViewBuilder::with_capacity(rows.len());
                let mut text = String::new();
                for row in rows {
                    text.clear();
                    get(row, &mut text)
                        .map_err(|error| ArrowError::from_external_error(error.into()))?;
                    builder.append_value(&text);
                }
                Arc::new(builder.finish())
            }
        })
    }
}

/// One table: its name, its schema and its rows.
pub struct Table {
    /// The name in lower case.
    pub name: &'static str,
    /// The columns.
    pub schema: SchemaRef,
    /// The rows, in the generator's order, `BATCH_ROWS` a batch.
    pub batches: Vec<RecordBatch>,
}

fn table<R>(
    name: &'static str,
    mut rows: impl Iterator<Item = R>,
    columns: &[(&'static str, Get<R>)],
) -> Result<Table, ArrowError> {
    let fields = columns.iter().map(|(name, get)| Field::new(*name, get.ty(), false));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut batches = vec![];
    loop {
        let chunk: Vec<R> = rows.by_ref().take(BATCH_ROWS).collect();
        if chunk.is_empty() {
            return Ok(Table { name, schema, batches });
        }
        let arrays = columns.iter().map(|(_, get)| get.column(&chunk));
        let arrays = arrays.collect::<Result<_, _>>()?;
        batches.push(RecordBatch::try_new(Arc::clone(&schema), arrays)?);
    }
}

fn nation(scale: f64) -> Result<Table, ArrowError> {
    let columns: [(_, Get<Nation<'static>>); 4] =
        [long!(n_nationkey), text!(n_name), long!(n_regionkey), text!(n_comment)];
    table("nation", NationGenerator::new(scale, 1, 1).iter(), &columns)
}

fn region(scale: f64) -> Result<Table, ArrowError> {
    let columns: [(_, Get<Region<'static>>); 3] =
        [long!(r_regionkey), text!(r_name), text!(r_comment)];
    table("region", RegionGenerator::new(scale, 1, 1).iter(), &columns)
}

fn part(scale: f64) -> Result<Table, ArrowError> {
    let columns: [(_, Get<Part<'static>>); 9] = [
        long!(p_partkey),
        text!(p_name),
        text!(p_mfgr),
        text!(p_brand),
        text!(p_type),
        int!(p_size),
        text!(p_container),
        decimal!(p_retailprice),
        text!(p_comment),
    ];
    table("part", PartGenerator::new(scale, 1, 1).iter(), &columns)
}

fn supplier(scale: f64) -> Result<Table, ArrowError> {
    let columns: [(_, Get<Supplier>); 7] = [
        long!(s_suppkey),
        text!(s_name),
        text!(s_address),
        long!(s_nationkey),
        text!(s_phone),
        decimal!(s_acctbal),
        text!(s_comment),
    ];
    table("supplier", SupplierGenerator::new(scale, 1, 1).iter(), &columns)
}

fn customer(scale: f64) -> Result<Table, ArrowError> {
    let columns: [(_, Get<Customer<'static>>); 8] = [
        long!(c_custkey),
        text!(c_name),
        text!(c_address),
        long!(c_nationkey),
        text!(c_phone),
        decimal!(c_acctbal),
        text!(c_mktsegment),
        text!(c_comment),
    ];
    table("customer", CustomerGenerator::new(scale, 1, 1).iter(), &columns)
}

fn partsupp(scale: f64) -> Result<Table, ArrowError> {
    let columns: [(_, Get<PartSupp<'static>>); 5] = [
        long!(ps_partkey),
        long!(ps_suppkey),
        int!(ps_availqty),
        decimal!(ps_supplycost),
        text!(ps_comment),
    ];
    table("partsupp", PartSuppGenerator::new(scale, 1, 1).iter(), &columns)
}

fn orders(scale: f64) -> Result<Table, ArrowError> {
    let columns: [(_, Get<Order<'static>>); 9] = [
        long!(o_orderkey),
        long!(o_custkey),
        text!(o_orderstatus),
        decimal!(o_totalprice),
        date!(o_orderdate),
        text!(o_orderpriority),
        text!(o_clerk),
        int!(o_shippriority),
        text!(o_comment),
    ];
    table("orders", OrderGenerator::new(scale, 1, 1).iter(), &columns)
}

fn lineitem(scale: f64) -> Result<Table, ArrowError> {
    let columns: [(_, Get<LineItem<'static>>); 16] = [
        long!(l_orderkey),
        long!(l_partkey),
        long!(l_suppkey),
        int!(l_linenumber),
        // The generator has whole numbers here, the specification a decimal.
        ("l_quantity", Get::Decimal(|row| row.l_quantity * 100)),
        decimal!(l_extendedprice),
        decimal!(l_discount),
        decimal!(l_tax),
        text!(l_returnflag),
        text!(l_linestatus),
        date!(l_shipdate),
        date!(l_commitdate),
        date!(l_receiptdate),
        text!(l_shipinstruct),
        text!(l_shipmode),
        text!(l_comment),
    ];
    table("lineitem", LineItemGenerator::new(scale, 1, 1).iter(), &columns)
}

/// The eight tables at a scale factor (1 is about a gigabyte of text).
///
/// # Errors
/// When Arrow refuses a batch, which would be a bug here.
pub fn tables(scale_factor: f64) -> Result<Vec<Table>, ArrowError> {
    let all = [nation, region, part, supplier, customer, partsupp, orders, lineitem];
    all.iter().map(|make| make(scale_factor)).collect()
}

/// Writes the eight tables as `<dir>/<table>.parquet`, compressed with Snappy.
///
/// # Errors
/// When a file cannot be written.
pub fn write_parquet(dir: &Path, scale_factor: f64) -> Result<(), ParquetError> {
    for table in tables(scale_factor)? {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(BATCH_ROWS))
            .build();
        let file = File::create(dir.join(format!("{}.parquet", table.name)))?;
        let mut writer = ArrowWriter::try_new(file, table.schema, Some(properties))?;
        for batch in &table.batches {
            writer.write(batch)?;
        }
        writer.close()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    #[test]
    fn test_tables_have_the_rows_of_the_specification() {
        let tables = tables(0.01).unwrap();
        let rows = tables.iter().map(|table| {
            let rows: usize = table.batches.iter().map(RecordBatch::num_rows).sum();
            (table.name, rows)
        });
        let want = [
            ("nation", 25),
            ("region", 5),
            ("part", 2000),
            ("supplier", 100),
            ("customer", 1500),
            ("partsupp", 8000),
            ("orders", 15_000),
            ("lineitem", 60_175),
        ];
        assert_eq!(rows.collect::<Vec<_>>(), want);
        let europe = tables[1].batches[0].column(1).as_string_view().value(3);
        assert_eq!(europe, "EUROPE");
    }

    #[test]
    fn test_parquet_files_hold_the_tables() {
        let dir = tempfile::tempdir().unwrap();
        write_parquet(dir.path(), 0.001).unwrap();
        for table in tables(0.001).unwrap() {
            let file = File::open(dir.path().join(format!("{}.parquet", table.name))).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            let batches = reader.with_batch_size(BATCH_ROWS).build().unwrap();
            let batches: Vec<_> = batches.map(Result::unwrap).collect();
            assert_eq!(batches, table.batches);
        }
    }
}
