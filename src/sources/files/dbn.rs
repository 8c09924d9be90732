//! Databento's binary encoding, of versions 1 to 3, as columns: those of its records, prices in units, and
//! `symbol`, `dataset` and `schema` from the file's head.

use std::io::{BufReader, Read};
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

fn with_head(records: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = records.fields().iter().cloned().collect();
    fields.extend(OF_HEAD.map(|name| Arc::new(Field::new(name, DataType::Utf8, true))));
    Arc::new(Columns::new(fields))
}
