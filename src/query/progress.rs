//! How far the query of a session is, for another thread to ask.

use duckdb::ProgressHandle;
use serde::{Deserialize, Serialize};

use super::remote::Bell;

/// How far a query is, as DuckDB estimates it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// From 0 to 100.
    pub percent: f64,
    /// Rows that were read; 0 where only the percentage is known.
    pub rows: u64,
}

/// Tells how far its session's query is. Cheap to clone, and usable from any thread.
#[derive(Clone)]
pub struct Meter {
    place: Place,
}

#[derive(Clone)]
enum Place {
    Here(ProgressHandle),
    There(Bell),
    Away,
}

impl Meter {
    pub(super) fn here(handle: ProgressHandle) -> Self {
        Self {
            place: Place::Here(handle),
        }
    }

    pub(super) fn there(bell: Bell) -> Self {
        Self {
            place: Place::There(bell),
        }
    }

    pub(super) fn none() -> Self {
        Self { place: Place::Away }
    }

    /// How far the query is; `None` if none runs, or DuckDB cannot tell.
    #[must_use]
    pub fn read(&self) -> Option<Progress> {
        match &self.place {
            Place::Here(handle) => {
                let progress = handle.query_progress();
                Some(Progress {
                    percent: progress.percentage()?,
                    rows: progress.rows_processed(),
                })
            }
            Place::There(bell) => bell.progress(),
            Place::Away => None,
        }
    }
}
