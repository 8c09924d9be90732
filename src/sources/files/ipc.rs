//! Apache Arrow files and streams.

use std::io::{BufReader, Read};

use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::{FileReader, StreamReader};

use super::{Batches, Error, Input};

pub(super) fn batches(input: &Input) -> Result<(SchemaRef, Batches), Error> {
    let mut magic = [0; 6];
    let is_file = input
        .open()?
        .read_exact(&mut magic)
        .is_ok_and(|()| magic == *b"ARROW1");
    let label = input.label.clone();
    let failed = move |why: arrow::error::ArrowError| Error::File {
        path: label.clone(),
        message: format!("{why}; nothing of it was loaded"),
    };
    let file = BufReader::with_capacity(256 << 10, input.open()?);
    if is_file {
        let reader = FileReader::try_new(file, None).map_err(&failed)?;
        let schema = reader.schema();
        return Ok((schema, Box::new(reader.map(move |b| b.map_err(&failed)))));
    }
    let reader = StreamReader::try_new(file, None).map_err(&failed)?;
    let schema = reader.schema();
    Ok((schema, Box::new(reader.map(move |b| b.map_err(&failed)))))
}
