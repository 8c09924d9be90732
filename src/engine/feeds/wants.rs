//! Requests that are to be made and have not been taken yet: each once, whatever asks for it how often.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Want, WantKind};

/// One of each kind for every symbol that anybody could capture.
const MOST: usize = 100_000;

/// Requests in the order they were asked for.
#[derive(Debug, Default)]
pub(super) struct Wants {
    queue: VecDeque<Want>,
}

impl Wants {
    /// Adds one; the same again only reaches further back.
    pub(super) fn add(&mut self, want: Want) {
        for known in &mut self.queue {
            if known.venue != want.venue || known.symbol != want.symbol {
                continue;
            }
            match (&mut known.kind, &want.kind) {
                (known, want) if known == want => return,
                (WantKind::Snapshot, WantKind::Heal) => return,
                (known @ WantKind::Heal, WantKind::Snapshot) => {
                    *known = WantKind::Snapshot;
                    return;
                }
                (
                    WantKind::Backfill { channel, since_ns },
                    WantKind::Backfill {
                        channel: other,
                        since_ns: since,
                    },
                ) if channel == other => {
                    // `None` goes back to what is stored, and so the furthest.
                    *since_ns = since_ns.zip(*since).map(|(a, b)| a.min(b));
                    return;
                }
                _ => {}
            }
        }
        if self.queue.len() < MOST {
            self.queue.push_back(want);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<Want> {
        self.queue.pop_front()
    }

    /// Nothing more of this venue is wanted.
    pub(super) fn forget(&mut self, venue: &Arc<str>) {
        self.queue.retain(|want| want.venue != *venue);
    }
}
