//! How a venue's book is to be read.

use super::Update;
use crate::model::Sequencing;
use crate::venues::feed::{BookFeed, Checksum};

/// Lower ids with a time this much later are no late update: the venue began to count anew.
const RESTART_NS: i64 = 60_000_000_000;
/// The same where the venue's own times, and snapshots in order, tell the two apart more surely.
const IN_BAND_RESTART_NS: i64 = 1_000_000_000;

/// What the engine has to know of a venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// How updates are numbered.
    pub sequencing: Sequencing,
    /// Whether snapshots come among the updates, in order, and not on request: then one of a later time
    /// but a lower id means that the venue began to count anew.
    pub in_band: bool,
    /// What the venue's checksums cover; without it none is looked at.
    pub checksum: Option<Checksum>,
}

impl Rules {
    /// Whether an update's checksum will show whether the book is right.
    pub(super) fn prove(&self, update: &Update) -> bool {
        self.checksum.is_some() && update.checksum.is_some()
    }

    /// How much later than others an update with lower ids must be to be no late one.
    pub(super) fn restart_ns(&self, update: &Update) -> i64 {
        if self.in_band && update.ts != update.recv_ts {
            IN_BAND_RESTART_NS
        } else {
            RESTART_NS
        }
    }
}

impl From<Sequencing> for Rules {
    /// Snapshots on request, no checksums.
    fn from(sequencing: Sequencing) -> Self {
        Self {
            sequencing,
            in_band: false,
            checksum: None,
        }
    }
}

impl From<&BookFeed> for Rules {
    fn from(feed: &BookFeed) -> Self {
        Self {
            sequencing: feed.rule,
            in_band: feed.snapshot.is_none(),
            checksum: feed.checksum.clone(),
        }
    }
}
