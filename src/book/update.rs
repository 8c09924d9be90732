//! What the engine is told: messages about a book.

use serde::{Deserialize, Serialize};

use super::{Digits, Level, Side};

/// One message about one book, apart from its levels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// The raw row it came from.
    pub seq: u64,
    /// The venue's time, ns.
    pub ts: i64,
    /// When it was received, ns.
    pub recv_ts: i64,
    /// First id it covers, where the venue says so.
    pub first_id: Option<u64>,
    /// Last id it covers; of a snapshot, the id it is the state of.
    pub last_id: Option<u64>,
    /// Last id of the update before it, where the venue says so.
    pub prev_id: Option<u64>,
    /// Whether it is the whole book.
    pub is_snapshot: bool,
    /// The venue's checksum of the book after it.
    pub checksum: Option<u32>,
    /// Levels a side that the subscription covers: nothing is told of those beyond, so they are forgotten.
    pub depth: Option<u32>,
}

/// A level of an update: size 0 removes it.
pub type Change = (Side, Level);

/// The levels of an update.
#[derive(Debug, Clone, Copy, Default)]
pub struct Changes<'a> {
    /// In the order in which they apply.
    pub levels: &'a [Change],
    /// Of each level, where the rules have a checksum; else empty.
    pub digits: &'a [Digits],
}

impl<'a> From<&'a [Change]> for Changes<'a> {
    fn from(levels: &'a [Change]) -> Self {
        Self {
            levels,
            digits: &[],
        }
    }
}
