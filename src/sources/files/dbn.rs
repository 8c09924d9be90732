//! Databento's binary encoding, of versions 1 to 3, as columns: those of its records, prices in units, and
//! `symbol`, `dataset` and `schema` from the file's head.

use std::io::{self, BufReader, Read, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema as Columns, SchemaRef};
use dbn::decode::{DbnDecoder, DbnMetadata, DecodeRecord};
use dbn::encode::arrow::{ArrowSerialize, to_record_batch};
use dbn::{HasRType, Record, TsSymbolMap, VersionUpgradePolicy, schema_dispatch};

use super::{Batches, Error, Input};

/// Records of a batch.
const BATCH_RECORDS: usize = 16_384;
/// The columns that a file's head tells.
const OF_HEAD: [&str; 3] = ["symbol", "dataset", "schema"];

type Decoder = DbnDecoder<BufReader<Box<dyn Read + Send>>>;

/// What is the same for all records of a file.
struct Head {
    symbols: TsSymbolMap,
    dataset: String,
    schema: String,
}

pub(super) fn batches(input: &Input) -> Result<(SchemaRef, Batches), Error> {
    let decoder = DbnDecoder::with_upgrade_policy(
        BufReader::with_capacity(256 << 10, input.unpacked()?),
        VersionUpgradePolicy::UpgradeToV3,
    )
    .map_err(|e| input.damaged(e))?;
    let metadata = decoder.metadata();
    let Some(schema) = metadata.schema else {
        return Err(input.damaged("it mixes records of several schemas; export one schema a file"));
    };
    if metadata.ts_out {
        return Err(
            input.damaged("its records carry a send time (ts_out), which mdb does not read")
        );
    }
    let head = Head {
        symbols: metadata.symbol_map().map_err(|e| input.damaged(e))?,
        dataset: metadata.dataset.clone(),
        schema: schema.as_str().to_owned(),
    };
    let label = input.label.clone();
    Ok(schema_dispatch!(schema, of_records(decoder, head, label)))
}

fn of_records<R>(mut decoder: Decoder, head: Head, label: String) -> (SchemaRef, Batches)
where
    R: ArrowSerialize + HasRType<Header = dbn::RecordHeader> + Record + Clone + 'static,
{
    let failed = move |why: &dyn std::fmt::Display| Error::File {
        path: label.clone(),
        message: format!("{why}; nothing of it was loaded"),
    };
    let schema = with_head(&R::arrow_schema(true));
    let columns = Arc::clone(&schema);
    let mut done = false;
    let next = move || {
        let mut records: Vec<R> = Vec::with_capacity(BATCH_RECORDS);
        while !done && records.len() < BATCH_RECORDS {
            match decoder.decode_record::<R>() {
                Ok(Some(record)) => records.push(record.clone()),
                Ok(None) => done = true,
                Err(error) => {
                    done = true;
                    return Some(Err(failed(&error)));
                }
            }
        }
        if records.is_empty() {
            return None;
        }
        let batch = to_record_batch(&records, true).map_err(|e| failed(&e));
        Some(batch.and_then(|batch| {
            let symbols = records.iter().map(|record| {
                let id = u32::try_from(record.instrument_id()).ok()?;
                head.symbols.get_for_ts(record.raw_index_ts(), id)
            });
            let rows = records.len();
            let constant = |text: &str| -> ArrayRef {
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
                    text, rows,
                )))
            };
            let mut arrays = batch.columns().to_vec();
            arrays.push(Arc::new(symbols.collect::<StringArray>()));
            arrays.push(constant(&head.dataset));
            arrays.push(constant(&head.schema));
            RecordBatch::try_new(Arc::clone(&columns), arrays).map_err(|e| failed(&e))
        }))
    };
    (schema, Box::new(std::iter::from_fn(next)))
}

/// Follows a file that is written to it from length to length, for the decoder takes one for whole that ends in a record.
#[derive(Default)]
pub(super) struct Lengths {
    /// `DBN`, the version, and the length of the metadata.
    prelude: Vec<u8>,
    /// Bytes that the metadata, or the record, still has.
    left: usize,
}

impl Lengths {
    /// Bytes before the metadata.
    const PRELUDE: usize = 8;

    /// Whether the file so far ends in the middle of its metadata or a record.
    pub(super) fn is_cut(&self) -> bool {
        self.left > 0
    }
}

impl Write for Lengths {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while let Some((&byte, others)) = rest.split_first() {
            if self.left > 0 {
                let taken = self.left.min(rest.len());
                self.left -= taken;
                rest = &rest[taken..];
                continue;
            }
            rest = others;
            if self.prelude.len() < Self::PRELUDE {
                self.prelude.push(byte);
                if let [_, _, _, _, a, b, c, d] = self.prelude[..] {
                    self.left = u32::from_le_bytes([a, b, c, d]) as usize;
                }
            } else {
                // A record begins with its length in words of four bytes.
                self.left = (4 * usize::from(byte)).saturating_sub(1);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn with_head(records: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = records.fields().iter().cloned().collect();
    fields.extend(OF_HEAD.map(|name| Arc::new(Field::new(name, DataType::Utf8, true))));
    Arc::new(Columns::new(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_unless_it_ends_with_a_record() {
        // Metadata of 100 bytes, and two records of 16 and 56.
        let mut file = b"DBN\x03\x64\0\0\0".to_vec();
        file.resize(108, 0);
        for words in [4_u8, 14] {
            file.push(words);
            file.resize(file.len() + 4 * usize::from(words) - 1, 9);
        }
        for end in 9..=file.len() {
            // In pieces, as a reader hands them out.
            let mut lengths = Lengths::default();
            for piece in file[..end].chunks(7) {
                lengths.write_all(piece).unwrap();
            }
            assert_eq!(lengths.is_cut(), ![108, 124, 180].contains(&end), "{end}");
        }
    }
}
