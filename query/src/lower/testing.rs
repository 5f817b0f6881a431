//! A catalog of relations without rows but with statistics, and plans of queries over it.

use std::sync::Arc;

use stoadb_engine::explain::{Details, explain_with};
use stoadb_storage::{
    ColumnDef, LogicalType, Relation, Scalar, ScanLedger, Schema, StorageError,
    prune::ColumnRange,
    scan::{Scan, ScanSpec},
};

use super::{LowerSettings, Lowered, finish, translate};
use crate::{
    error::Result,
    planner::{Catalog, CatalogEntry, ObjectNameParts, PlannerSettings, plan_query},
    sql::parse::parse,
};

/// A relation that knows itself but cannot be read.
pub(crate) struct Stub {
    pub(crate) name: &'static str,
    schema: Schema,
    rows: u64,
    ranges: Vec<Option<(i64, i64)>>,
    distinct: Vec<Option<u64>>,
    /// The rows, for relations that the naive evaluation reads.
    pub(crate) data: Vec<Vec<Option<i64>>>,
}

impl Stub {
    /// A relation of BIGINT columns that holds its rows.
    pub(crate) fn of_rows(
        name: &'static str,
        columns: &[&str],
        data: Vec<Vec<Option<i64>>>,
    ) -> Self {
        let mut stub = Self::new(name, data.len() as u64);
        for (index, column) in columns.iter().enumerate() {
            stub = stub.column(column, LogicalType::Int64);
            let values = || data.iter().filter_map(|row| row[index]);
            stub.ranges[index] = values().min().zip(values().max());
        }
        Self { data, ..stub }
    }

    fn new(name: &'static str, rows: u64) -> Self {
        let (schema, ranges, distinct) = (Schema::default(), Vec::new(), Vec::new());
        Self { name, schema, rows, ranges, distinct, data: Vec::new() }
    }

    fn column(mut self, name: &str, ty: LogicalType) -> Self {
        self.schema.columns.push(ColumnDef::new(name, ty));
        self.ranges.push(None);
        self.distinct.push(None);
        self
    }

    /// An integer column of values from `low` to `high`.
    fn key(mut self, name: &str, low: i64, high: i64) -> Self {
        self = self.column(name, LogicalType::Int64);
        if let Some(range) = self.ranges.last_mut() {
            *range = Some((low, high));
        }
        self
    }

    fn date(mut self, name: &str, low: i64, high: i64) -> Self {
        self = self.column(name, LogicalType::Date);
        if let Some(range) = self.ranges.last_mut() {
            *range = Some((low, high));
        }
        self
    }

    fn text(self, name: &str) -> Self {
        self.column(name, LogicalType::Text)
    }

    fn decimal(self, name: &str) -> Self {
        self.column(name, LogicalType::Decimal { precision: 15, scale: 2 })
    }
}

impl Relation for Stub {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    fn ledger(&self) -> Arc<ScanLedger> {
        unreachable!("planning reads nothing")
    }

    fn column_range(&self, column: usize) -> ColumnRange {
        let Some((low, high)) = self.ranges[column] else { return ColumnRange::default() };
        let scalar = |value: i64| {
            let value = arrow::array::Int64Array::from(vec![value]);
            let ty = self.schema.ty(column).to_arrow();
            let narrow = arrow::compute::cast(&value, &arrow::datatypes::DataType::Int32).unwrap();
            let array = match ty {
                arrow::datatypes::DataType::Date32 => arrow::compute::cast(&narrow, &ty).unwrap(),
                _ => Arc::new(value),
            };
            Scalar::from_array(&array, 0).unwrap()
        };
        ColumnRange {
            min: Some(scalar(low)),
            max: Some(scalar(high)),
            nulls: Some(0),
            no_nan: true,
        }
    }

    fn distinct(&self, column: usize) -> Option<u64> {
        self.distinct[column]
    }

    fn scan(&self, _: ScanSpec) -> stoadb_storage::error::Result<Box<dyn Scan>> {
        Err(StorageError::Internal("a stub has no rows".into()))
    }
}

/// TPC-H at scale factor 1, and a table `t` of many types.
pub(crate) struct Stubs(pub(crate) Vec<Arc<Stub>>);

impl Stubs {
    pub(crate) fn new() -> Self {
        let (first, last) = (8035, 10592);
        let stubs = vec![
            Stub::new("region", 5).key("r_regionkey", 0, 4).text("r_name").text("r_comment"),
            Stub::new("nation", 25)
                .key("n_nationkey", 0, 24)
                .text("n_name")
                .key("n_regionkey", 0, 4)
                .text("n_comment"),
            Stub::new("supplier", 10_000)
                .key("s_suppkey", 1, 10_000)
                .text("s_name")
                .text("s_address")
                .key("s_nationkey", 0, 24)
                .text("s_phone")
                .decimal("s_acctbal")
                .text("s_comment"),
            Stub::new("customer", 150_000)
                .key("c_custkey", 1, 150_000)
                .text("c_name")
                .text("c_address")
                .key("c_nationkey", 0, 24)
                .text("c_phone")
                .decimal("c_acctbal")
                .text("c_mktsegment")
                .text("c_comment"),
            Stub::new("part", 200_000)
                .key("p_partkey", 1, 200_000)
                .text("p_name")
                .text("p_mfgr")
                .text("p_brand")
                .text("p_type")
                .key("p_size", 1, 50)
                .text("p_container")
                .decimal("p_retailprice")
                .text("p_comment"),
            Stub::new("partsupp", 800_000)
                .key("ps_partkey", 1, 200_000)
                .key("ps_suppkey", 1, 10_000)
                .key("ps_availqty", 1, 9999)
                .decimal("ps_supplycost")
                .text("ps_comment"),
            Stub::new("orders", 1_500_000)
                .key("o_orderkey", 1, 6_000_000)
                .key("o_custkey", 1, 149_999)
                .text("o_orderstatus")
                .decimal("o_totalprice")
                .date("o_orderdate", first, last - 151)
                .text("o_orderpriority")
                .text("o_clerk")
                .key("o_shippriority", 0, 0)
                .text("o_comment"),
            Stub::new("lineitem", 6_001_215)
                .key("l_orderkey", 1, 6_000_000)
                .key("l_partkey", 1, 200_000)
                .key("l_suppkey", 1, 10_000)
                .key("l_linenumber", 1, 7)
                .decimal("l_quantity")
                .decimal("l_extendedprice")
                .decimal("l_discount")
                .decimal("l_tax")
                .text("l_returnflag")
                .text("l_linestatus")
                .date("l_shipdate", first, last)
                .date("l_commitdate", first, last)
                .date("l_receiptdate", first, last)
                .text("l_shipinstruct")
                .text("l_shipmode")
                .text("l_comment"),
            Stub::new("t", 1000)
                .key("a", 1, 1000)
                .key("b", 1, 10)
                .column("i", LogicalType::Int32)
                .column("u", LogicalType::UInt8)
                .column("f", LogicalType::Float32)
                .column("d", LogicalType::Float64)
                .decimal("m")
                .column("m3", LogicalType::Decimal { precision: 10, scale: 3 })
                .text("s")
                .column("x", LogicalType::Blob)
                .date("day", 0, 1000)
                .column(
                    "ts",
                    LogicalType::Timestamp(stoadb_storage::types::TimeUnit::Microsecond, None),
                )
                .column("p", LogicalType::Boolean),
            Stub::new("big", 1_000_000).key("k", 1, 1_000_000).key("fk", 1, 1000).text("v"),
            Stub::new("small", 100).key("k", 1, 100).key("fk", 1, 10).text("v"),
        ];
        Self(stubs.into_iter().map(Arc::new).collect())
    }
}

impl Catalog for Stubs {
    fn relation(&self, name: &ObjectNameParts) -> Result<Option<CatalogEntry>> {
        let found = self.0.iter().find(|stub| stub.name.eq_ignore_ascii_case(name.last()));
        Ok(found.map(|stub| CatalogEntry::Relation(Arc::clone(stub) as Arc<dyn Relation>)))
    }

    fn relation_names(&self) -> Vec<String> {
        self.0.iter().map(|stub| stub.name.to_owned()).collect()
    }
}

/// The lowered plan of a query.
pub(crate) fn lowered_over(
    stubs: &Stubs,
    sql: &str,
    optimizer: bool,
    settings: &LowerSettings,
) -> Result<Lowered> {
    let statements = parse(sql)?;
    let planner = PlannerSettings { optimizer, ..PlannerSettings::default() };
    let planned = plan_query(&statements[0].statement, stubs, &planner, &[])?;
    let Lowered { plan, relations } = translate(&planned.plan)?;
    Ok(Lowered { plan: finish(plan, &relations, settings)?, relations })
}

/// The lowered plan of a query over the stubs.
pub(crate) fn lowered_with(
    sql: &str,
    optimizer: bool,
    settings: &LowerSettings,
) -> Result<Lowered> {
    lowered_over(&Stubs::new(), sql, optimizer, settings)
}

/// The lowered plan of a query over the stubs, with everything on.
pub(crate) fn lowered(sql: &str) -> Lowered {
    lowered_with(sql, true, &LowerSettings::default())
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The plan of a query as text.
pub(crate) fn text(lowered: &Lowered) -> String {
    let details = Details { relations: &lowered.relations, ..Details::default() };
    explain_with(&lowered.plan, details)
}

/// The plan of a query as text.
pub(crate) fn plan_text(sql: &str) -> String {
    text(&lowered(sql))
}
