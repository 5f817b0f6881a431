//! Writes `hits` (see `stoadb_benches::hits`) as one Parquet file: `make_hits ROWS FILE`.

use std::{error::Error, fs::File, sync::Arc, sync::mpsc, thread};

use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use stoadb_benches::hits::{CHUNK, Hits, schema};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(rows), Some(path)) = (args.next(), args.next()) else {
        return Err("usage: make_hits ROWS FILE".into());
    };
    let hits = Arc::new(Hits::new(rows.parse()?, 1));
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(CHUNK as usize))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, schema(), Some(properties))?;
    // One thread makes rows, this one writes them.
    let (send, receive) = mpsc::sync_channel(2);
    let maker = Arc::clone(&hits);
    thread::spawn(move || (0..maker.chunks()).try_for_each(|chunk| send.send(maker.chunk(chunk))));
    for batch in receive {
        writer.write(&batch?)?;
        writer.flush()?;
    }
    writer.close()?;
    Ok(())
}
