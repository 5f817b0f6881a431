//! Names within the catalog: those of the schema `main` stand as they are, others carry their schema's.
//!
//! Invariant: the marks cannot be typed in a name (`is_plain`), so that no two things share a name unless they are of the
//! same kind and schema. Next: `snapshot.rs`.

/// The schema that every database has.
pub const MAIN: &str = "main";
/// Stands between the name of a schema and that of an entry in it.
const WITHIN: char = '\u{1f}';
/// Stands before the name of a macro.
const MACRO: char = '\u{1e}';
/// Stands before the name of a connection's own schema.
const HIDDEN: char = '\u{1d}';

/// Whether a name holds no mark.
pub fn is_plain(name: &str) -> bool {
    !name.contains([WITHIN, MACRO, HIDDEN])
}

/// The name of an entry in a schema.
pub fn entry_name(schema: &str, name: &str) -> String {
    match schema.eq_ignore_ascii_case(MAIN) {
        true => name.to_owned(),
        false => format!("{schema}{WITHIN}{name}"),
    }
}

/// The name of a schema itself.
pub fn schema_name(schema: &str) -> String {
    format!("{schema}{WITHIN}")
}

/// The name of a macro in a schema.
pub fn macro_name(schema: &str, name: &str) -> String {
    entry_name(schema, &format!("{MACRO}{name}"))
}

/// The schema that only the connection of a number sees.
pub fn temporary_schema(connection: u64) -> String {
    format!("{HIDDEN}{connection}")
}

/// The schema of an entry and its name there, which is empty for a schema.
pub fn split_name(name: &str) -> (&str, &str) {
    let (schema, name) = name.split_once(WITHIN).unwrap_or((MAIN, name));
    (schema, name.strip_prefix(MACRO).unwrap_or(name))
}

/// Whether an entry is of one connection alone.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(HIDDEN)
}

/// The name as its user knows it.
pub fn shown_name(name: &str) -> String {
    match split_name(name) {
        (schema, name) if schema.eq_ignore_ascii_case(MAIN) || is_temporary(schema) => name.into(),
        (schema, "") => schema.into(),
        (schema, name) => format!("{schema}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_names_come_apart_again() {
        for (name, schema, within, shown) in [
            (entry_name("MAIN", "T"), "main", "T", "T"),
            (entry_name("s", "t"), "s", "t", "s.t"),
            (entry_name(&temporary_schema(7), "t"), "\u{1d}7", "t", "t"),
            (schema_name("s"), "s", "", "s"),
            (macro_name("main", "f"), "main", "f", "f"),
            (macro_name("s", "f"), "s", "f", "s.f"),
        ] {
            assert_eq!(split_name(&name), (schema, within));
            assert_eq!(shown_name(&name), shown);
        }
        assert!(is_plain("t.\"x") && !is_plain(&schema_name("s")));
        assert!(is_temporary(&entry_name(&temporary_schema(1), "t")));
    }
}
