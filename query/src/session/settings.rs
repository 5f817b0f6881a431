//! The settings of a connection: one table says name, meaning, how to read and how to print each.
//!
//! Invariant: `SHOW ALL`, `SET`, `RESET` and docs/sql.md all come from `SETTINGS`.

use std::time::Duration;

use stoadb_engine::{AccessPath, QuerySettings};
use stoadb_storage::{VECTOR_SIZE, catalog::name::MAIN};

use crate::error::{Error, ErrorKind, Result};

/// The settings of a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What the engine sees.
    pub(crate) engine: QuerySettings,
    /// Whether optional rewrites of plans are made.
    pub(crate) optimizer: bool,
    /// Whether NULLs come first when ORDER BY does not say.
    pub(crate) nulls_first: bool,
    /// The schema of names that say none.
    pub(crate) schema: String,
}

impl Default for Settings {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let engine =
            QuerySettings { threads, memory_limit: default_memory(), ..QuerySettings::default() };
        Self { engine, optimizer: true, nulls_first: false, schema: MAIN.into() }
    }
}

/// One setting: how it is named, read and printed.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    get: fn(&Settings) -> String,
    set: fn(&mut Settings, &str) -> Option<()>,
    /// What a value looks like, for errors.
    values: &'static str,
}

/// All settings, by name.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        name: "access_path",
        meaning: "which ways to rows and aggregates are taken: 'auto' for the cheapest, or indexes, block statistics or scans only; answers do not depend on it but for the last digits of sums of doubles",
        get: |settings| {
            match settings.engine.access_path {
                AccessPath::Auto => "auto",
                AccessPath::Index => "index",
                AccessPath::Scan => "scan",
                AccessPath::Statistics => "statistics",
            }
            .into()
        },
        set: |settings, value| {
            settings.engine.access_path = match value.to_ascii_lowercase().as_str() {
                "auto" => AccessPath::Auto,
                "index" => AccessPath::Index,
                "scan" => AccessPath::Scan,
                "statistics" => AccessPath::Statistics,
                _ => return None,
            };
            Some(())
        },
        values: "'auto', 'index', 'scan' or 'statistics'",
    },
    Setting {
        name: "default_null_order",
        meaning: "where NULLs sort when ORDER BY does not say, in both directions",
        get: |settings| if settings.nulls_first { "nulls_first" } else { "nulls_last" }.into(),
        set: |settings, value| {
            settings.nulls_first = match value.to_ascii_lowercase().as_str() {
                "nulls_first" | "nulls first" | "first" => true,
                "nulls_last" | "nulls last" | "last" => false,
                _ => return None,
            };
            Some(())
        },
        values: "'nulls_last' or 'nulls_first'",
    },
    Setting {
        name: "memory_limit",
        meaning: "most bytes that the operators of one query may hold",
        get: |settings| format_bytes(settings.engine.memory_limit),
        set: |settings, value| {
            settings.engine.memory_limit = parse_bytes(value)?;
            Some(())
        },
        values: "a size such as '4GB' or '512MiB'",
    },
    Setting {
        name: "optimizer",
        meaning: "whether plans are rewritten to run faster; answers do not depend on it, the order of unsorted rows may",
        get: |settings| settings.optimizer.to_string(),
        set: |settings, value| {
            settings.optimizer = switch(value)?;
            Some(())
        },
        values: "true or false",
    },
    Setting {
        name: "schema",
        meaning: "the schema of names that say none, after the connection's own tables and before main; `USE` sets it, too",
        get: |settings| settings.schema.clone(),
        set: |settings, value| {
            settings.schema = value.to_owned();
            Some(())
        },
        values: "the name of a schema",
    },
    Setting {
        name: "threads",
        meaning: "most threads that work on one query; answers do not depend on it",
        get: |settings| settings.engine.threads.to_string(),
        set: |settings, value| {
            settings.engine.threads = value.parse().ok().filter(|n| (1..=1024).contains(n))?;
            Some(())
        },
        values: "a number from 1 to 1024",
    },
    Setting {
        name: "timeout",
        meaning: "after how long a query fails; 'none' for never",
        get: |settings| {
            settings.engine.timeout.map_or_else(|| "none".into(), |timeout| format!("{timeout:?}"))
        },
        set: |settings, value| {
            settings.engine.timeout = match value {
                "none" => None,
                value => Some(parse_duration(value)?),
            };
            Some(())
        },
        values: "a time such as '30s', '500ms', '5min' or '1h', or 'none'",
    },
    Setting {
        name: "use_statistics",
        meaning: "whether aggregates are answered from block statistics where these suffice; answers do not depend on it",
        get: |settings| settings.engine.use_statistics.to_string(),
        set: |settings, value| {
            settings.engine.use_statistics = switch(value)?;
            Some(())
        },
        values: "true or false",
    },
    Setting {
        name: "vector_size",
        meaning: "most rows that operators handle at a time, for tests; answers do not depend on it",
        get: |settings| settings.engine.vector_size.to_string(),
        set: |settings, value| {
            settings.engine.vector_size =
                value.parse().ok().filter(|n| (1..=VECTOR_SIZE).contains(n))?;
            Some(())
        },
        values: "a number from 1 to 2048",
    },
];

/// Settings of DuckDB and PostgreSQL and the values that say what StoaDB does anyway; none for any.
const AS_EVER: [(&str, &[&str]); 12] = [
    ("preserve_insertion_order", &[]),
    ("enable_progress_bar", &["false", "0", "off"]),
    ("enable_print_progress_bar", &["false", "0", "off"]),
    ("enable_object_cache", &[]),
    ("integer_division", &["true", "1", "on"]),
    ("scalar_subquery_error_on_multiple_rows", &["true", "1", "on"]),
    ("default_order", &["asc", "ascending"]),
    ("default_collation", &["", "binary", "c"]),
    ("timezone", &["utc", "gmt", "etc/utc", "0"]),
    ("client_encoding", &["utf8", "utf-8"]),
    ("standard_conforming_strings", &["true", "1", "on"]),
    ("lambda_syntax", &[]),
];

/// Whether a value of a setting asks for what is done anyway.
fn is_as_ever(name: &str, value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    AS_EVER.iter().any(|(known, values)| {
        known.eq_ignore_ascii_case(name) && (values.is_empty() || values.contains(&value.as_str()))
    })
}

impl Settings {
    /// Sets a setting by name, ignoring case.
    ///
    /// # Errors
    /// When there is no such setting, or the value is not one of its values.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        if is_as_ever(name, value) {
            return Ok(());
        }
        let setting = find(name)?;
        (setting.set)(self, value.trim()).ok_or_else(|| {
            let message = format!("'{value}' is no value of the setting {}", setting.name);
            Error::new(ErrorKind::Value, message)
                .with_hint(format!("{} takes {}", setting.name, setting.values))
        })
    }

    /// Gives a setting its initial value again.
    ///
    /// # Errors
    /// When there is no such setting.
    pub fn reset(&mut self, name: &str) -> Result<()> {
        let value = Self::default().get(name)?;
        self.set(name, &value)
    }

    /// A setting's value as text.
    ///
    /// # Errors
    /// When there is no such setting.
    pub fn get(&self, name: &str) -> Result<String> {
        Ok((find(name)?.get)(self))
    }

    /// Name, value and meaning of every setting, by name.
    pub fn all(&self) -> Vec<(&'static str, String, &'static str)> {
        let row = |setting: &Setting| (setting.name, (setting.get)(self), setting.meaning);
        SETTINGS.iter().map(row).collect()
    }
}

fn find(name: &str) -> Result<&'static Setting> {
    let found = SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        let names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
        Error::new(ErrorKind::Name, format!("there is no setting '{name}'"))
            .with_hint(format!("settings are {}", names.join(", ")))
    })
}

fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "1" => Some(true),
        "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Units of sizes; those of one letter count in 1024s.
const UNITS: [(&str, u64); 15] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("bytes", 1),
    ("b", 1),
    ("", 1),
];

/// A size such as '4GB', '1.5 GiB' or '1000'.
fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    let bytes = number * factor as f64;
    // The bound keeps the conversion exact enough and in range.
    (0.0..9e18).contains(&bytes).then_some(bytes as u64)
}

fn split_unit(text: &str) -> Option<(f64, String)> {
    let text = text.trim();
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let number = text[..end].trim().parse().ok()?;
    Some((number, text[end..].trim().to_ascii_lowercase()))
}

fn format_bytes(bytes: u64) -> String {
    let unit =
        UNITS[..4].iter().rev().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    match unit {
        Some((_, size)) => {
            let name = ["KiB", "MiB", "GiB", "TiB"][size.trailing_zeros() as usize / 10 - 1];
            format!("{}{name}", bytes / size)
        }
        None => bytes.to_string(),
    }
}

/// A time such as '30s', '500ms', '5min' or '1h'; a bare number counts seconds.
fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let seconds = match unit.as_str() {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "" | "s" | "sec" | "seconds" => number,
        "m" | "min" | "minutes" => number * 60.0,
        "h" | "hours" => number * 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// Four fifths of the machine's memory.
fn default_memory() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|line| {
        let kib = line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?;
        kib.trim().parse::<u64>().ok()
    });
    // Whole mebibytes, so that it prints well.
    total.map_or(8 << 30, |kib| (kib * 4 / 5 / 1024) << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_every_setting_reads_what_it_prints() {
        let mut settings = Settings::default();
        settings.set("TIMEOUT", "90s").unwrap();
        settings.set("memory_limit", "1.5 GiB").unwrap();
        for (name, value, meaning) in settings.all() {
            let mut other = Settings::default();
            other.set(name, &value).unwrap();
            assert_eq!(other.get(name).unwrap(), value);
            assert!(meaning.len() > 10);
        }
        assert_eq!(settings.get("memory_limit").unwrap(), "1536MiB");
        assert_eq!(settings.get("timeout").unwrap(), "90s");
    }

    #[test]
    fn test_bad_values_name_the_setting_and_its_values() {
        let mut settings = Settings::default();
        for (name, value) in [
            ("threads", "0"),
            ("threads", "many"),
            ("vector_size", "4096"),
            ("memory_limit", "4 potatoes"),
            ("memory_limit", "-1"),
            ("timeout", "soon"),
            ("optimizer", "perhaps"),
        ] {
            let error = settings.set(name, value).unwrap_err();
            assert!(error.message.contains(name), "{error}");
            assert!(error.hint.is_some());
        }
        assert!(settings.set("thread", "1").unwrap_err().hint.unwrap().contains("threads"));
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn test_parse_bytes() {
        for (text, bytes) in
            [("4GB", 4_000_000_000), ("4 GiB", 4 << 30), ("1000", 1000), ("2kb", 2000), ("0", 0)]
                .into_iter()
                .chain([("2k", 2048), (" 1 tib ", 1 << 40)])
        {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["1e30", "-1", "", "GB", "9e99GB", "99999999999TB", "18446744073709551615"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn test_parse_duration() {
        for (text, ms) in [("2", 2000), ("1.5h", 5_400_000), ("2 min", 120_000), ("0.25s", 250)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["s", "1.2.3s", "3 days", "-1s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
