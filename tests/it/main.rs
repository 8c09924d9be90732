//! Black-box tests: every one drives the real `mdb` binary on a temporary database and looks only at
//! what a user could see (exit codes, text, rows, files).
//!
//! Tests on recorded data read `../shared/real` and say that they were skipped where it is absent;
//! all others run on a small capture made by `synthetic`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation is how a test fails"
)]
#![allow(
    clippy::print_stderr,
    reason = "a test says on stderr what it skipped and which seed it used"
)]

mod bulk;
mod checked_books;
mod checksums;
mod cli;
mod corrections;
mod crash;
mod dialects;
mod documented;
mod engines;
mod export;
mod harness;
mod history;
mod hostile;
mod idempotent;
mod imports;
mod jobs;
mod live_faults;
mod live_models;
mod live_net;
mod live_requests;
mod live_run;
mod live_upkeep;
mod live_venues;
mod macros;
mod models;
mod normalized;
mod partitions;
mod process;
mod prompt;
mod pty;
mod real_data;
mod recordings;
mod replay;
mod rest;
mod seal;
mod shell;
mod socket;
mod stand_in;
mod standin;
mod star;
mod stock_venues;
mod surroundings;
mod synthetic;
mod terminal;
mod tools;
mod upkeep;
mod venues;
mod wire;
mod zones;
