//! mdb: a market database in one binary.
//!
//! # Map
//!
//! ```text
//! bytes in → sources → raw ─(sql/venues)→ canonical tables ─(sql/views, macros)→ query → output
//!             │         └ book engine ┘            store: one DuckDB file + a Parquet lake
//!             └ vendors' files ─(sql/files)─────┘
//! ```
//!
//! `use crate::` only points left in this list, and a test checks it:
//!
//! model < config < sqltree < venues < sources < book < store < transform < query < output < engine < research < shell, serve < cli
//!
//! # Invariants
//!
//! - Only sources stamp time: no code to their right reads a clock, so a replay gives the same rows.
//! - Only `store` writes the database's files.
//! - `venues`, `book` and `output` do no I/O beyond what they are handed.
//! - Every queue, cache and buffer is bounded.
//! - One writer owns the read-write connection; readers are clones of it or open read-only.
//! - Raw rows, what was made of them and the progress mark commit together or not at all.
//! - No Rust names a venue: a venue, and a vendor's dialect of files, is a folder of SQL.
//! - Bad configuration is an error, never a default; an error names the file, the line and what to do.

pub mod book;
pub mod cli;
pub mod config;
pub mod engine;
pub mod model;
pub mod output;
pub mod query;
pub mod research;
pub mod serve;
pub mod shell;
pub mod sources;
pub mod sqltree;
pub mod store;
pub mod transform;
pub mod venues;
