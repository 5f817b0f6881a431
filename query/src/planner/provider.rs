//! What the planner library asks for while it turns a syntax tree into a plan: relations, functions, types, options.
//!
//! Invariant: relations come from the `Catalog` only; a view is planned from its text, at most `VIEW_DEPTH` deep.

use std::{cell::RefCell, sync::Arc};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::{
    DataFusionError, HashMap, Result, TableReference, config::ConfigOptions, not_impl_err,
};
use datafusion_expr::{
    AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF,
    planner::{ContextProvider, ExprPlanner, TypePlanner},
};

use crate::{
    error::{Error, ErrorKind},
    planner::{
        Catalog, CatalogEntry, IN_VIEW, ObjectNameParts, PlannerSettings,
        diagnose::closest,
        functions::Functions,
        hooks::expr_planners,
        lambdas::lambda_function,
        source::{StoaTableSource, ViewSource, WorkTableSource},
        types::StoaTypes,
    },
    sql::names::{Spelling, fold},
};

/// How deeply views may use views.
pub const VIEW_DEPTH: usize = 32;

/// Answers for one statement.
pub struct Provider<'a> {
    catalog: &'a dyn Catalog,
    settings: &'a PlannerSettings,
    options: Arc<ConfigOptions>,
    functions: Arc<Functions>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    types: Arc<StoaTypes>,
    /// Relations of the statement that have no name in the catalog: files and table functions.
    files: HashMap<String, Arc<dyn TableSource>>,
    /// The names as they were written, by their folded form.
    written: HashMap<String, ObjectNameParts>,
    sources: RefCell<HashMap<String, Arc<dyn TableSource>>>,
    /// How the views spell their columns.
    spelling: RefCell<Spelling>,
    depth: usize,
}

impl<'a> Provider<'a> {
    /// A provider for a statement at the given depth of views.
    pub fn new(
        catalog: &'a dyn Catalog,
        settings: &'a PlannerSettings,
        options: Arc<ConfigOptions>,
        functions: Arc<Functions>,
        depth: usize,
    ) -> Self {
        let planners = expr_planners(&functions);
        let types = Arc::new(StoaTypes { time_zone: settings.time_zone.clone() });
        Self {
            catalog,
            settings,
            options,
            functions,
            planners,
            types,
            files: HashMap::new(),
            written: HashMap::new(),
            sources: RefCell::new(HashMap::new()),
            spelling: RefCell::new(Spelling::default()),
            depth,
        }
    }

    /// Makes a relation of the statement known under a name of its own.
    pub fn add_file(&mut self, name: String, source: Arc<dyn TableSource>) {
        self.files.insert(name, source);
    }

    /// Remembers how a relation's name was written.
    pub fn add_written(&mut self, name: ObjectNameParts) {
        self.written.entry(name.folded()).or_insert(name);
    }

    /// How the views that were planned spell their columns.
    pub fn view_spelling(&self) -> Spelling {
        self.spelling.borrow().clone()
    }

    /// How the relations that the statement reads spell their columns.
    pub fn column_spelling(&self) -> Spelling {
        let mut spelling = self.view_spelling();
        let sources = self.sources.borrow();
        for source in sources.values().chain(self.files.values()) {
            if let Some(source) = source.downcast_ref::<StoaTableSource>() {
                let columns = &source.relation.schema().columns;
                columns
                    .iter()
                    .for_each(|column| spelling.remember(&fold(&column.name), &column.name));
            }
        }
        spelling
    }

    fn find(&self, name: &TableReference) -> crate::Result<Arc<dyn TableSource>> {
        let folded = name.to_string();
        if let Some(source) = self.files.get(&folded) {
            return Ok(Arc::clone(source));
        }
        let parts = match self.written.get(&folded) {
            Some(written) => written.clone(),
            None => ObjectNameParts::unquoted(name.to_vec()),
        };
        match self.catalog.relation(&parts)? {
            Some(CatalogEntry::Relation(relation)) => {
                Ok(Arc::new(StoaTableSource::new(relation, parts.to_string())))
            }
            Some(CatalogEntry::View { sql }) => self.view(&parts, &sql),
            None => Err(self.unknown(&parts)),
        }
    }

    fn view(&self, name: &ObjectNameParts, sql: &str) -> crate::Result<Arc<dyn TableSource>> {
        if self.depth >= VIEW_DEPTH {
            let message = format!("the view \"{name}\" uses itself, or views nest too deeply");
            return Err(Error::new(ErrorKind::Catalog, message));
        }
        let scope = self.catalog.for_views();
        let catalog = scope.as_deref().unwrap_or(self.catalog);
        let (plan, spelling) = super::plan_view(sql, catalog, self.settings, self.depth + 1)
            .map_err(|mut error| {
                // The place is one of the view's text, not of the statement's.
                error.span = None;
                error.message = format!("{IN_VIEW}\"{name}\": {}", error.message);
                error
            })?;
        self.spelling.borrow_mut().extend(spelling);
        Ok(Arc::new(ViewSource::new(plan)))
    }

    fn unknown(&self, name: &ObjectNameParts) -> Error {
        let error = Error::new(ErrorKind::Name, format!("there is no table or view \"{name}\""));
        let names = self.catalog.relation_names();
        match closest(&fold(name.last()), names.iter().map(String::as_str)) {
            Some(close) => error.with_hint(format!("did you mean \"{close}\"?")),
            None => error,
        }
    }
}

impl ContextProvider for Provider<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let key = name.to_string();
        if let Some(source) = self.sources.borrow().get(&key) {
            return Ok(Arc::clone(source));
        }
        let source =
            self.find(&name).map_err(|error| DataFusionError::External(Box::new(error)))?;
        self.sources.borrow_mut().insert(key, Arc::clone(&source));
        Ok(source)
    }

    fn get_table_function_source(
        &self,
        name: &str,
        _args: Vec<Expr>,
    ) -> Result<Arc<dyn TableSource>> {
        not_impl_err!("the table function {name}()")
    }

    fn create_cte_work_table(
        &self,
        _name: &str,
        schema: SchemaRef,
    ) -> Result<Arc<dyn TableSource>> {
        Ok(Arc::new(WorkTableSource::new(schema)))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::clone(&self.types) as Arc<dyn TypePlanner>)
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.scalar(name).or_else(|| self.catalog.scalar_function(name))
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        lambda_function(name)
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregate(name)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.functions.window(name)
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        let [scalar, ..] = self.functions.names();
        scalar
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        let [_, aggregate, _] = self.functions.names();
        aggregate
    }

    fn udwf_names(&self) -> Vec<String> {
        let [.., window] = self.functions.names();
        window
    }
}
