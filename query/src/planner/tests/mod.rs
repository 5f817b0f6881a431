//! Plans of whole statements over a small catalog: what is planned, what is refused, what the errors say.

mod errors; // messages, places, refusals
mod names; // identifiers and output columns
pub(crate) mod queries;
mod rewrites; // rewrites that answers depend on // benchmark queries, deep expressions, rewrites

use stoadb_storage::{
    ColumnDef, ColumnRange, Result as StorageResult, Scan, ScanLedger, ScanSpec, Schema,
    StorageError, TimeUnit,
};

use super::*;

/// A relation without rows.
struct Stub(Schema);

impl Relation for Stub {
    fn schema(&self) -> &Schema {
        &self.0
    }

    fn rows(&self) -> u64 {
        0
    }

    fn ledger(&self) -> Arc<ScanLedger> {
        ScanLedger::new(Vec::new())
    }

    fn column_range(&self, _column: usize) -> ColumnRange {
        ColumnRange::default()
    }

    fn distinct(&self, _column: usize) -> Option<u64> {
        None
    }

    fn scan(&self, _spec: ScanSpec) -> StorageResult<Box<dyn Scan>> {
        Err(StorageError::Unsupported("scanning a stub".into()))
    }
}

/// Tables by name, views by name.
struct StubCatalog {
    tables: Vec<(String, Arc<dyn Relation>)>,
    views: Vec<(String, String)>,
}

fn ty(name: &str) -> LogicalType {
    match name {
        "bool" => LogicalType::Boolean,
        "int" => LogicalType::Int32,
        "bigint" => LogicalType::Int64,
        "double" => LogicalType::Float64,
        "decimal" => LogicalType::Decimal { precision: 15, scale: 2 },
        "text" => LogicalType::Text,
        "date" => LogicalType::Date,
        "timestamp" => LogicalType::Timestamp(TimeUnit::Microsecond, None),
        other => panic!("{other}"),
    }
}

impl StubCatalog {
    fn new(tables: &[(&str, &str)]) -> Self {
        let table = |(name, columns): &(&str, &str)| {
            let columns = columns.split(", ").map(|column| {
                let (name, kind) = column.rsplit_once(' ').unwrap();
                ColumnDef::new(name, ty(kind))
            });
            let relation = Stub(Schema::new(columns.collect()));
            ((*name).to_owned(), Arc::new(relation) as Arc<dyn Relation>)
        };
        Self { tables: tables.iter().map(table).collect(), views: Vec::new() }
    }
}

impl Catalog for StubCatalog {
    fn relation(&self, name: &ObjectNameParts) -> Result<Option<CatalogEntry>> {
        let view = self.views.iter().find(|(view, _)| view.eq_ignore_ascii_case(name.last()));
        if let Some((_, sql)) = view {
            return Ok(Some(CatalogEntry::View { sql: sql.clone() }));
        }
        let table = self.tables.iter().find(|(table, _)| table.eq_ignore_ascii_case(name.last()));
        Ok(table.map(|(_, relation)| CatalogEntry::Relation(Arc::clone(relation))))
    }

    fn relation_names(&self) -> Vec<String> {
        self.tables.iter().map(|(name, _)| name.clone()).collect()
    }

    fn file(&self, request: &FileRequest) -> Result<Arc<dyn Relation>> {
        if request.patterns.iter().any(|pattern| pattern.contains("missing")) {
            return Err(Error::new(ErrorKind::Io, format!("cannot read {request}")));
        }
        let columns = vec![
            ColumnDef::new("DepDelay", LogicalType::Int64),
            ColumnDef::new("carrier", LogicalType::Text),
        ];
        Ok(Arc::new(Stub(Schema::new(columns))))
    }
}

/// `hits`, with names of mixed case; `t` and `u`, small; `clash`, whose columns differ by case.
fn catalog() -> StubCatalog {
    let mut catalog = StubCatalog::new(&[
        ("hits", "UserID bigint, EventTime timestamp, URL text, Width int"),
        ("t", "a bigint, b int, c text, d decimal, e double, f date, g timestamp, h bool"),
        ("u", "a bigint, b int, x text"),
        ("clash", "id int, ID int, other text"),
    ]);
    catalog.views = vec![
        ("v".into(), "SELECT UserID, count(*) AS Visits FROM hits GROUP BY UserID".into()),
        ("broken".into(), "SELECT nothing FROM hits".into()),
        ("loops".into(), "SELECT * FROM loops".into()),
    ];
    catalog
}

fn plan_with(sql: &str, settings: &PlannerSettings, values: &[Option<Scalar>]) -> Result<Planned> {
    let statements = sql::parse(sql)?;
    assert_eq!(statements.len(), 1, "{sql}");
    plan_query(&statements[0].statement, &catalog(), settings, values)
}

/// Plans with and without optimizer; both must agree on success and on names.
fn plan(sql: &str) -> Result<Planned> {
    let bare = PlannerSettings { optimizer: false, ..PlannerSettings::default() };
    let full = plan_with(sql, &PlannerSettings::default(), &[]);
    match (&full, plan_with(sql, &bare, &[])) {
        (Ok(full), Ok(bare)) => {
            assert_eq!(full.output_names, bare.output_names, "{sql}");
            assert_eq!(types(full), types(&bare), "{sql}");
        }
        (Err(full), Err(bare)) => assert_eq!(full.message, bare.message, "{sql}"),
        (Ok(_), Err(bare)) => panic!("{sql}\nwithout optimizer: {bare}"),
        (Err(full), Ok(_)) => panic!("{sql}\nwith optimizer: {full}"),
    }
    full
}

fn ok(sql: &str) -> Planned {
    plan(sql).unwrap_or_else(|error| panic!("{}", error.render(sql)))
}

fn text(sql: &str) -> String {
    ok(sql).plan.display_indent().to_string()
}

fn types(planned: &Planned) -> Vec<String> {
    let fields = planned.plan.schema().fields();
    fields.iter().map(|f| LogicalType::from_arrow(f.data_type()).unwrap().to_string()).collect()
}
