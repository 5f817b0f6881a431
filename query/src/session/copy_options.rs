//! The options of `COPY ... TO`: from what was written to how files are made.
//!
//! Invariant: an option that is not honoured, or not by the format, is refused by name, with its place.
//! Next: `copy.rs`.

use stoadb_storage::write::{
    CsvStyle, Existing, FileStyle, ParquetCodec, ParquetStyle, Quoted, ROW_GROUP_ROWS,
    TextCompression,
};

use crate::{
    error::{Error, ErrorKind, Result},
    sql::file_options::{FileOption, OptionValue},
};

/// A format that files are written in and read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    Csv,
    Json,
    /// Whether it is the stream format.
    Arrow(bool),
}

impl Format {
    /// The format that an option names.
    pub(crate) fn named(option: &FileOption) -> Result<Self> {
        let name = option.text()?.to_ascii_lowercase();
        Ok(match name.as_str() {
            "parquet" => Self::Parquet,
            "csv" => Self::Csv,
            "json" | "ndjson" | "jsonl" => Self::Json,
            "arrow" | "ipc" | "feather" => Self::Arrow(false),
            "arrows" | "arrow_stream" => Self::Arrow(true),
            other => {
                let error = Error::unsupported(format!("the format {other}"))
                    .with_hint("parquet, csv, json and arrow are");
                return Err(error.or_span(option.place));
            }
        })
    }

    /// The format that the end of a path says.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let name = path.to_ascii_lowercase();
        let plain = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
        let extension = plain.rsplit('/').next().and_then(|name| name.rsplit_once('.'))?.1;
        Some(match extension {
            "parquet" | "parq" => Self::Parquet,
            "csv" | "tsv" | "txt" => Self::Csv,
            "json" | "jsonl" | "ndjson" => Self::Json,
            "arrow" | "ipc" | "feather" => Self::Arrow(false),
            "arrows" => Self::Arrow(true),
            _ => return None,
        })
    }

    /// What the names of files end in.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Arrow(false) => "arrow",
            Self::Arrow(true) => "arrows",
        }
    }
}

/// The format that the options or the path say.
pub(crate) fn format_of(path: &str, options: &[FileOption]) -> Result<Format> {
    if let Some(option) = options.iter().find(|option| option.name == "format") {
        return Format::named(option);
    }
    Format::of(path).ok_or_else(|| {
        let message = format!("the name '{path}' does not say what format the file has");
        Error::new(ErrorKind::Value, message)
            .with_hint("say it: (FORMAT parquet), or csv, json, arrow")
    })
}

/// How `COPY ... TO` writes.
pub(crate) struct CopyTo {
    pub(crate) format: Format,
    pub(crate) style: FileStyle,
    pub(crate) partition_by: Vec<String>,
    pub(crate) existing: Existing,
    /// Columns that are quoted always, by name.
    pub(crate) force_quote: Vec<String>,
}

/// What the options say together.
struct Known {
    csv: CsvStyle,
    parquet: ParquetStyle,
    array: bool,
    compression: Option<(String, FileOption)>,
    level: Option<i32>,
    rows: usize,
}

impl CopyTo {
    /// What the options of a statement say.
    pub(crate) fn new(path: &str, options: &[FileOption]) -> Result<Self> {
        let format = format_of(path, options)?;
        let mut known = Known {
            csv: CsvStyle::default(),
            parquet: ParquetStyle::default(),
            array: false,
            compression: None,
            level: None,
            rows: ROW_GROUP_ROWS,
        };
        if path.to_ascii_lowercase().contains(".tsv") {
            known.csv.delimiter = b'\t';
        }
        let mut copy = Self {
            format,
            style: FileStyle::Arrow { stream: false, rows: 1 },
            partition_by: Vec::new(),
            existing: Existing::Refuse,
            force_quote: Vec::new(),
        };
        let escape = options.iter().any(|option| option.name == "escape");
        for option in options {
            let of_format = match format {
                Format::Csv => copy.csv_option(option, &mut known, escape)?,
                Format::Parquet => parquet_option(option, &mut known)?,
                Format::Json if option.name == "array" => {
                    known.array = option.flag()?;
                    true
                }
                Format::Arrow(_) if option.name == "row_group_size" => {
                    known.rows = positive(option)?;
                    true
                }
                _ => false,
            };
            if !of_format {
                copy.common_option(option, &mut known)?;
            }
        }
        copy.style = known.style(format, path)?;
        Ok(copy)
    }

    fn common_option(&mut self, option: &FileOption, known: &mut Known) -> Result<()> {
        match option.name.as_str() {
            "format" => {}
            "compression" | "codec" if !matches!(self.format, Format::Arrow(_)) => {
                known.compression = Some((option.text()?.to_ascii_lowercase(), option.clone()));
            }
            "compression_level" if !matches!(self.format, Format::Arrow(_)) => {
                known.level = Some(i32::try_from(option.count()?).unwrap_or(i32::MAX));
            }
            "partition_by" => self.partition_by = option.texts()?,
            "overwrite" if option.flag()? => self.existing = Existing::Replace,
            "overwrite_or_ignore" if option.flag()? => self.existing = Existing::Keep,
            "overwrite" | "overwrite_or_ignore" => {}
            // What StoaDB does anyway.
            "use_tmp_file" | "preserve_order" if option.flag()? => {}
            "per_thread_output" | "append" | "write_partition_columns" | "hive_file_pattern"
                if option.value == OptionValue::Boolean(false) => {}
            name => {
                let what =
                    format!("the option {name} of COPY TO {} files", self.format.extension());
                return Err(Error::unsupported(what).or_span(option.place));
            }
        }
        Ok(())
    }

    fn csv_option(&mut self, option: &FileOption, known: &mut Known, escape: bool) -> Result<bool> {
        let csv = &mut known.csv;
        match option.name.as_str() {
            "header" => csv.header = option.flag()?,
            "delim" | "sep" | "delimiter" => csv.delimiter = character(option)?,
            "quote" => {
                csv.quote = character(option)?;
                if !escape {
                    csv.escape = csv.quote;
                }
            }
            "escape" => csv.escape = character(option)?,
            "null" | "nullstr" => csv.null = option.text()?,
            "force_quote" => match option.texts()? {
                columns if columns == ["*"] => csv.quoted = Quoted::All,
                columns => self.force_quote = columns,
            },
            "encoding" if option.text()?.to_ascii_lowercase().replace('-', "") == "utf8" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn parquet_option(option: &FileOption, known: &mut Known) -> Result<bool> {
    let parquet = &mut known.parquet;
    match option.name.as_str() {
        "row_group_size" => parquet.rows = positive(option)?,
        "row_group_size_bytes" => parquet.bytes = positive(option)?,
        "write_bloom_filter" | "bloom_filter" => parquet.bloom_filters = option.flag()?,
        _ => return Ok(false),
    }
    Ok(true)
}

impl Known {
    fn style(mut self, format: Format, path: &str) -> Result<FileStyle> {
        let compression = self.compression.take();
        let unknown = |name: &str, option: &FileOption| {
            let what = format!("the compression {name} of {} files", format.extension());
            Err(Error::unsupported(what).or_span(option.place))
        };
        Ok(match format {
            Format::Parquet => {
                self.parquet.level = self.level;
                if let Some((name, option)) = compression {
                    self.parquet.codec = match name.as_str() {
                        "none" | "uncompressed" => ParquetCodec::None,
                        "snappy" => ParquetCodec::Snappy,
                        "gzip" => ParquetCodec::Gzip,
                        "zstd" => ParquetCodec::Zstd,
                        "brotli" => ParquetCodec::Brotli,
                        "lz4" | "lz4_raw" => ParquetCodec::Lz4,
                        other => return unknown(other, &option),
                    };
                }
                FileStyle::Parquet(self.parquet)
            }
            Format::Csv | Format::Json => {
                let compression = match compression {
                    None => TextCompression::of(path),
                    Some((name, option)) => match name.as_str() {
                        "none" | "uncompressed" => TextCompression::None,
                        "gzip" => TextCompression::Gzip(6),
                        "zstd" => TextCompression::Zstd(3),
                        "auto" | "auto_detect" => TextCompression::of(path),
                        other => return unknown(other, &option),
                    },
                };
                let compression = match (compression, self.level) {
                    (TextCompression::Gzip(_), Some(level)) => {
                        TextCompression::Gzip(level.clamp(0, 9).unsigned_abs())
                    }
                    (TextCompression::Zstd(_), Some(level)) => {
                        TextCompression::Zstd(level.clamp(1, 22))
                    }
                    (compression, _) => compression,
                };
                match format {
                    Format::Csv => FileStyle::Csv(self.csv, compression),
                    _ => FileStyle::Json { array: self.array, compression },
                }
            }
            Format::Arrow(stream) => FileStyle::Arrow { stream, rows: self.rows },
        })
    }
}

fn positive(option: &FileOption) -> Result<usize> {
    match option.count()? {
        0 => Err(option.wrong("a number of at least 1")),
        number => Ok(number),
    }
}

fn character(option: &FileOption) -> Result<u8> {
    match option.text()?.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] => Ok(*byte),
        _ => Err(option.wrong("one character")),
    }
}
