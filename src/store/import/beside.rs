//! Vendors' files beside a capture.
//!
//! A seq only ever rises from one commit to the next: whoever reads what is new goes by it. So a file gets seqs far above
//! the capture's, and once it is committed, which happens while the capture's writer stands still between two of its own
//! commits, the capture goes on above the file's. Which of the file's rows are known is found out before that: if rows that
//! may be the same were captured since, the file is read again.

use std::sync::atomic::AtomicBool;

use duckdb::{Connection, params};
use tokio::sync::mpsc;

use super::dialect::{AUTO, Dialect};
use super::{IfExists, Import, Imported, MAX_ERRORS, Place, Shape, refused};
use crate::sources::files::Input;
use crate::sqltree::SqlTree;
use crate::store::catalog::{Table, VENUE};
use crate::store::error::{Doing, Error, Result};
use crate::store::lake::{self, Entry};
use crate::store::live::{self, Standing};
use crate::store::{Order, Store, schema};

/// A capture does not receive so many messages while a file is loaded: at a million a second that is more than an hour.
const ROOM: u64 = 1 << 32;
/// How often a file is read, if rows of its time keep being captured.
const ATTEMPTS: usize = 3;
/// Times of one row by two ways are not further apart.
const SLACK_NS: i64 = 10_000_000_000;
/// Memory for a load: a capture needs its own.
const MEMORY_BYTES: u64 = 200 << 20;

/// Loads vendors' files beside a capture.
pub struct Importer {
    store: Store,
    orders: mpsc::Sender<Order>,
}

impl Store {
    /// What loads vendors' files while [`Store::live`] takes these orders. No one else may change the lake meanwhile.
    ///
    /// # Errors
    /// If DuckDB gives no connection.
    pub fn importer(&self, orders: mpsc::Sender<Order>) -> Result<Importer> {
        Ok(Importer {
            store: self.beside()?,
            orders,
        })
    }
}

impl Store {
    /// The dialect whose files have such a name and such columns; else that by names of columns, if a table can be told by
    /// them; else the one whose files have such columns, whatever their name.
    fn dialect_of(&self, input: &Input, import: &Import) -> Result<String> {
        let conn = self.clone_connection()?;
        let choose = |name: &str| {
            let import = Import {
                dialect: name.to_owned(),
                ..import.clone()
            };
            Dialect::choose(&conn, &self.tree, &self.catalog, input, &import)
        };
        let mut fits = Vec::new();
        for name in self.tree.subfolders("files") {
            // One that does not fit says why, as all but one will.
            if let Ok(dialect) = choose(&name) {
                fits.push((name, dialect));
            }
        }
        let by_names = choose(AUTO);
        let named = |(_, dialect): &&(String, Dialect)| dialect.is_named;
        let by_columns = |(_, dialect): &&(String, Dialect)| dialect.may_have_any_name();
        let claims: Vec<&str> = match fits.iter().filter(named).count() {
            0 if by_names.is_ok() => Vec::new(),
            0 => fits
                .iter()
                .filter(by_columns)
                .map(|(name, _)| name.as_str())
                .collect(),
            _ => fits
                .iter()
                .filter(named)
                .map(|(name, _)| name.as_str())
                .collect(),
        };
        match claims.as_slice() {
            [] => by_names.map(|_| AUTO.to_owned()),
            [only] => Ok((*only).to_owned()),
            several => Err(refused(
                input,
                format!(
                    "it may be of {}; say which: mdb load --as DIALECT",
                    several.join(" or ")
                ),
            )),
        }
    }
}

impl Importer {
    /// Loads a file, of the dialect that its name and columns tell. `venue` and `symbol` are those of rows that name none.
    ///
    /// # Errors
    /// Nothing of the file was kept then.
    pub fn import(
        &mut self,
        input: &Input,
        (venue, symbol): (Option<&str>, Option<&str>),
        stop: &AtomicBool,
    ) -> Result<Imported> {
        // sql/ may have been edited.
        self.store.tree = SqlTree::load(&self.store.dir)?;
        let mut import = Import {
            dialect: AUTO.to_owned(),
            into: None,
            venue: None,
            symbol: None,
            date: None,
            defaults: [(VENUE, venue), ("symbol", symbol)]
                .into_iter()
                .filter_map(|(column, text)| Some((column, text?.to_owned())))
                .collect(),
            shape: Shape::default(),
            if_exists: IfExists::Skip,
            max_errors: MAX_ERRORS,
            evolve: false,
            memory_bytes: Some(MEMORY_BYTES),
            threads: None,
        };
        import.dialect = self.store.dialect_of(input, &import)?;
        for _ in 0..ATTEMPTS {
            let place = Place::Beside(&self.orders);
            let imported = self
                .store
                .import_as(input, &import, place, stop, &mut |_| {});
            if !matches!(imported, Err(Error::Overtaken { .. })) {
                return imported;
            }
        }
        Err(Error::Overtaken {
            file: input.label.clone(),
        })
    }
}

impl Place<'_> {
    /// The first seq of a file that is about to be read.
    pub(super) fn first_seq(self, store: &Store) -> Result<u64> {
        match self {
            Self::Alone => store.next_seq(),
            Self::Beside(orders) => {
                let standing = live::stand(orders).ok_or(Error::Panicked)?;
                Ok(standing.next_seq.saturating_add(ROOM))
            }
        }
    }

    /// Has the capture's writer stand still, to commit files whose rows begin with this seq.
    pub(super) fn stand(
        self,
        conn: &Connection,
        table: &Table,
        files: &[Entry],
        first_seq: u64,
        label: &str,
    ) -> Result<Option<Standing>> {
        let Self::Beside(orders) = self else {
            return Ok(None);
        };
        let overtaken = || Error::Overtaken {
            file: label.to_owned(),
        };
        let instruments = !table.key.is_empty() && !files.is_empty();
        if instruments {
            conn.execute_batch(&format!(
                "CREATE OR REPLACE TEMP TABLE instruments AS SELECT venue, symbol, min(ts) AS first, max(ts) AS last
                 FROM {} GROUP BY ALL",
                schema::parquet(&lake::paths(files))
            ))
            .doing(format!("reading {label}"))?;
        }
        let standing = live::stand(orders).ok_or(Error::Panicked)?;
        if standing.next_seq > first_seq {
            return Err(overtaken());
        }
        if instruments {
            let captured: bool = conn
                .query_row(
                    &format!(
                        "SELECT EXISTS (FROM {} t JOIN temp.instruments i USING (venue, symbol)
                                        WHERE t.seq >= $1 AND epoch_ns(t.ts) BETWEEN epoch_ns(i.first) - $2 AND epoch_ns(i.last) + $2)",
                        table.hot()
                    ),
                    params![first_seq.saturating_sub(ROOM), SLACK_NS],
                    |row| row.get(0),
                )
                .doing(format!("reading {}", table.name))?;
            if captured {
                return Err(overtaken());
            }
        }
        Ok(Some(standing))
    }
}
