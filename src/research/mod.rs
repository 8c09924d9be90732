//! Research: what is done with a market's past.

pub mod replay;
