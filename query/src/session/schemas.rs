//! CREATE SCHEMA, DROP SCHEMA, USE, and the end of what is of one connection alone.
//!
//! Invariant: `main` is always there; what CASCADE drops, it drops in the statement's transaction.
//! Next: `names.rs`.

use stoadb_storage::catalog::{
    EntryKind,
    name::{MAIN, is_plain, schema_name, split_name},
};

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        connection::{Connection, State},
        create::if_exists,
        names::DATABASE,
        result::QueryResult,
        run::{self, Session},
    },
    sql::ast::{ObjectName, SchemaName, Statement, Use},
};

/// `CREATE SCHEMA [IF NOT EXISTS] name`.
pub(crate) fn create(
    session: &Session<'_>,
    state: &mut State,
    statement: &Statement,
) -> Result<QueryResult> {
    let Statement::CreateSchema {
        schema_name: SchemaName::Simple(name),
        if_not_exists,
        with: None,
        options: None,
        default_collate_spec: None,
        clone: None,
    } = statement
    else {
        return Err(Error::unsupported("a clause of this CREATE SCHEMA"));
    };
    let schema = named(name)?;
    if session.names.has_schema(&schema)
        && session.names.snapshot.relation(&schema_name(&schema)).is_none()
    {
        if *if_not_exists {
            return Ok(QueryResult::changed(0));
        }
        let message = format!("a schema '{schema}' exists already");
        return Err(Error::new(ErrorKind::Catalog, message));
    }
    run::change(session.connection, state, |transaction| {
        transaction.create_schema(&schema, if_exists(false, *if_not_exists))?;
        Ok(QueryResult::changed(0))
    })
}

/// `DROP SCHEMA [IF EXISTS] names [CASCADE]`.
pub(crate) fn drop(
    session: &Session<'_>,
    state: &mut State,
    names: &[ObjectName],
    missing_ok: bool,
    cascade: bool,
) -> Result<QueryResult> {
    let current = state.settings.schema.clone();
    run::change(session.connection, state, |transaction| {
        for name in names {
            let schema = named(name)?;
            if schema.eq_ignore_ascii_case(&current) && session.names.has_schema(&schema) {
                let message = format!("the schema '{schema}' is the current one");
                return Err(Error::new(ErrorKind::Catalog, message).with_hint("USE main first"));
            }
            let snapshot = std::sync::Arc::clone(transaction.snapshot());
            if session.names.has_schema(&schema)
                && snapshot.relation(&schema_name(&schema)).is_none()
            {
                let message = format!("the schema '{schema}' cannot be dropped");
                return Err(Error::new(ErrorKind::Catalog, message));
            }
            let inside = snapshot.all_entries().filter(|(name, _)| {
                let (of, within) = split_name(name);
                cascade && of.eq_ignore_ascii_case(&schema) && !within.is_empty()
            });
            for (name, entry) in inside {
                transaction.drop_entry(name, entry.kind(), false)?;
            }
            transaction.drop_entry(&schema_name(&schema), EntryKind::Schema, missing_ok)?;
        }
        Ok(QueryResult::changed(0))
    })
}

/// The schema that a statement about schemas names.
fn named(name: &ObjectName) -> Result<String> {
    let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).collect();
    match parts.as_slice() {
        [schema] if is_plain(&schema.value) => Ok(schema.value.clone()),
        [database, schema]
            if is_plain(&schema.value) && database.value.eq_ignore_ascii_case(DATABASE) =>
        {
            Ok(schema.value.clone())
        }
        _ => Err(Error::new(ErrorKind::Name, format!("{name} is no name of a schema"))),
    }
}

/// `USE schema`.
pub(crate) fn used(connection: &Connection, state: &mut State, used: &Use) -> Result<QueryResult> {
    match used {
        Use::Object(name) | Use::Schema(name) => {
            let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).collect();
            let parts: Vec<_> = parts.iter().map(|part| part.value.as_str()).collect();
            enter(connection, state, &parts, name)
        }
        other => Err(Error::unsupported(other)),
    }
}

/// Makes a schema the current one; its name is given as the value of a setting.
pub(crate) fn set(connection: &Connection, state: &mut State, text: &str) -> Result<QueryResult> {
    // Where there is a schema of the whole text, it is meant: a dot may be part of a name.
    let whole = Session::new(connection, state, &[]).names.has_schema(text);
    let parts: Vec<&str> = match whole {
        true => vec![text],
        false => text.split('.').map(|part| part.trim().trim_matches('"')).collect(),
    };
    enter(connection, state, &parts, &text)
}

fn enter(
    connection: &Connection,
    state: &mut State,
    parts: &[&str],
    shown: &dyn std::fmt::Display,
) -> Result<QueryResult> {
    let schema = {
        let session = Session::new(connection, state, &[]);
        match session.names.schema_of(parts)? {
            Some(schema) if schema != connection.temporary => schema,
            _ => {
                let message = format!("'{shown}' cannot be the current schema");
                return Err(Error::new(ErrorKind::Catalog, message));
            }
        }
    };
    let schema = if schema.eq_ignore_ascii_case(MAIN) { MAIN.to_owned() } else { schema };
    state.settings.set("schema", &schema)?;
    Ok(QueryResult::changed(0))
}

/// Drops what only a connection saw.
pub(crate) fn drop_temporary(connection: &Connection) -> Result<()> {
    let catalog = connection.database.catalog();
    let mine = |name: &str| split_name(name).0 == connection.temporary;
    if !catalog.snapshot().all_entries().any(|(name, _)| mine(name)) {
        return Ok(());
    }
    let mut transaction = catalog.begin();
    let snapshot = std::sync::Arc::clone(transaction.snapshot());
    for (name, entry) in snapshot.all_entries().filter(|(name, _)| mine(name)) {
        transaction.drop_entry(name, entry.kind(), true)?;
    }
    transaction.commit()?;
    Ok(())
}
