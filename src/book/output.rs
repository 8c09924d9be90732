//! What the engine says.

use super::{Level, Update};

/// The best prices after an update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Top {
    /// The update.
    pub update: Update,
    /// Best bid, if there is any.
    pub bid: Option<Level>,
    /// Best ask, if there is any.
    pub ask: Option<Level>,
    /// (bid − ask) / (bid + ask) of the sizes of the best five levels: 1 only bids, −1 only asks.
    pub imbalance_5: Option<f64>,
    /// Rises by one with every snapshot the book is started from.
    pub epoch: u32,
}

/// What the engine says.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// An update was applied.
    Top(Top),
    /// Updates are missing, or the book is not to be trusted for another reason.
    Gap {
        /// The update at which it was noticed.
        update: Update,
        /// First id missing (rule `prev`: the last id seen).
        from_id: Option<u64>,
        /// Last id missing (rule `prev`: the predecessor that was not seen).
        to_id: Option<u64>,
        /// Why.
        detail: &'static str,
    },
    /// A snapshot started the book (anew).
    Resync {
        /// The snapshot.
        update: Update,
        /// The epoch it begins.
        epoch: u32,
    },
    /// A snapshot is older than the updates at hand reach back: another one is needed.
    SnapshotTooOld {
        /// The snapshot.
        update: Update,
        /// First id of the updates at hand.
        first_id: Option<u64>,
    },
}
