//! `NumPy`'s `.npy`: an array of records, as <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html> has it.

use std::io::{self, Seek, SeekFrom, Write};

use arrow::array::{Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};

use super::Error;

/// The header's length is a multiple of this.
const ALIGNMENT: usize = 64;
/// Room for the number of records, which is known at the end.
const DIGITS: usize = 20;

/// Writes batches of numbers of 8 bytes as records.
pub struct Npy<W: Write + Seek> {
    out: W,
    /// What each column is cast to.
    types: Vec<DataType>,
    /// Where the number of records stands.
    count_at: u64,
    records: u64,
    buffer: Vec<u8>,
}

impl<W: Write + Seek> Npy<W> {
    /// Begins an array with a field for each column.
    ///
    /// # Errors
    /// If a column is none of whole numbers or of numbers with a fraction.
    pub fn new(schema: &Schema, mut out: W) -> Result<Self, Error> {
        let (mut fields, mut kinds) = (Vec::new(), Vec::new());
        for field in schema.fields() {
            let (code, kind) = match field.data_type() {
                DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
                    ("<u8", DataType::UInt64)
                }
                DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                    ("<i8", DataType::Int64)
                }
                DataType::Float32 | DataType::Float64 => ("<f8", DataType::Float64),
                _ => return Err(Error::unsupported(field)),
            };
            fields.push(format!("('{}', '{code}')", field.name()));
            kinds.push(kind);
        }
        let before = format!(
            "{{'descr': [{}], 'fortran_order': False, 'shape': (",
            fields.join(", ")
        );
        let rest = format!("{:>DIGITS$},), }}", 0);
        let length = 10 + before.len() + rest.len() + 1;
        let padding = length.next_multiple_of(ALIGNMENT) - length;
        let header = format!("{before}{rest}{}\n", " ".repeat(padding));
        let size = u16::try_from(header.len()).map_err(|_| io::Error::other("too many columns"))?;
        out.write_all(b"\x93NUMPY\x01\x00")?;
        out.write_all(&size.to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        Ok(Self {
            out,
            types: kinds,
            count_at: 10 + before.len() as u64,
            records: 0,
            buffer: Vec::new(),
        })
    }

    /// Adds the rows of a batch. NULL is not a number.
    ///
    /// # Errors
    /// If it cannot be written, or a whole number is NULL.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let mut bytes = Vec::with_capacity(self.types.len());
        for (column, kind) in batch.columns().iter().zip(&self.types) {
            let column = cast(column, kind)?;
            if column.null_count() > 0 {
                return Err(io::Error::other("a column has NULL, which NumPy has not").into());
            }
            let data = column.to_data();
            let start = data.offset() * 8;
            bytes.push(data.buffers()[0].slice_with_length(start, data.len() * 8));
        }
        self.buffer.clear();
        for row in 0..batch.num_rows() {
            for column in &bytes {
                self.buffer
                    .extend_from_slice(&column[row * 8..(row + 1) * 8]);
            }
        }
        self.records += batch.num_rows() as u64;
        Ok(self.out.write_all(&self.buffer)?)
    }

    /// Ends the array. What it was written to is returned.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> Result<W, Error> {
        self.out.seek(SeekFrom::Start(self.count_at))?;
        write!(self.out, "{:>DIGITS$}", self.records)?;
        self.out.seek(SeekFrom::End(0))?;
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int32Array, UInt64Array};
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn records_stand_behind_a_header_that_counts_them() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("ev", DataType::UInt64, true),
            Field::new("n", DataType::Int32, true),
            Field::new("px", DataType::Float64, true),
        ]));
        let batch = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![
                Arc::new(UInt64Array::from(vec![1, 2, 3])),
                Arc::new(Int32Array::from(vec![-1, 0, 7])),
                Arc::new(Float64Array::from(vec![0.5, 1.5, 2.5])),
            ],
        )
        .unwrap();
        let mut npy = Npy::new(&schema, Cursor::new(Vec::new())).unwrap();
        npy.batch(&batch.slice(0, 1)).unwrap();
        npy.batch(&batch.slice(1, 2)).unwrap();
        let bytes = npy.finish().unwrap().into_inner();
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((10 + header) % ALIGNMENT, 0);
        let text = std::str::from_utf8(&bytes[10..10 + header]).unwrap();
        assert!(
            text.contains("('ev', '<u8'), ('n', '<i8'), ('px', '<f8')"),
            "{text}"
        );
        assert!(text.contains("3,)") && text.ends_with('\n'), "{text}");
        let records = &bytes[10 + header..];
        assert_eq!(records.len(), 3 * 24);
        assert_eq!(records[24..32], 2_u64.to_le_bytes());
        assert_eq!(records[8..16], (-1_i64).to_le_bytes());
        assert_eq!(records[64..72], 2.5_f64.to_le_bytes());
    }

    #[test]
    fn what_is_no_number_is_refused_by_its_name() {
        let schema = Schema::new(vec![Field::new("symbol", DataType::Utf8, true)]);
        let error = Npy::new(&schema, Cursor::new(Vec::new())).err().unwrap();
        assert!(error.to_string().contains("symbol"), "{error}");
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let mut npy = Npy::new(&schema, Cursor::new(Vec::new())).unwrap();
        let nulls = arrow::array::Int64Array::from(vec![None]);
        let batch = RecordBatch::try_new(schema, vec![Arc::new(nulls)]).unwrap();
        assert!(npy.batch(&batch).is_err());
    }
}
