//! The one process: feeds that are kept up and watched over, requests for what they lack, and the writer.

pub mod ask;
pub mod feeds;
pub mod fetch;
pub mod figures;
mod holes;
mod inbox;
mod marts;
pub mod process;
pub mod testing;
mod upkeep;
pub mod watch;
mod watcher;
