//! The one process: feeds that are kept up and watched over.

pub mod feeds;
pub mod watch;
