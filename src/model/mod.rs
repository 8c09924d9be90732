//! Plain values that every module shares: the names of the tables mdb itself writes, the book's
//! sequencing rules, civil time and its zones, how SQL writes a text and where its statements end. No I/O, no clock.

pub mod frame;
pub mod interval;
pub mod sql;
pub mod statements;
pub mod time;
pub mod window;
pub mod zone;

use serde::Deserialize;

/// Every message as it came, in the order it was received. The truth that the rest derives from.
pub const RAW_MESSAGES: &str = "raw_messages";
/// Trades.
pub const TRADES: &str = "trades";
/// Bars.
pub const BARS: &str = "bars";
/// Changes of order books: the book engine's input.
pub const BOOK_DELTAS: &str = "book_deltas";
/// The best prices after each applied book update: the book engine's output.
pub const BOOK_TOPS: &str = "book_tops";
/// What happened to the feeds: gaps, resyncs, connections.
pub const FEED_EVENTS: &str = "feed_events";
/// What is traded, by version; the next one may be announced.
pub const INSTRUMENTS: &str = "instruments";
/// Splits, dividends and renames, announced before they are.
pub const CORPORATE_ACTIONS: &str = "corporate_actions";
/// Input that no table could take, with the reason.
pub const DEAD_LETTERS: &str = "dead_letters";

/// How a venue numbers its order-book updates, and so what proves that none was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sequencing {
    /// Updates carry the first and last id they cover; each starts one after the last ended, and
    /// one that covers `snapshot id + 1` follows a snapshot.
    FirstLast,
    /// Updates carry the last id of the update before them; one that covers the snapshot's own id,
    /// or names it as its predecessor, follows a snapshot.
    Prev,
    /// The venue numbers nothing: the connection's order is all there is.
    None,
}
