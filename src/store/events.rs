//! What happened to the feeds, as rows of `feed_events`.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array};

use super::catalog::Catalog;
use super::error::Result;
use crate::model::FEED_EVENTS;
use crate::model::frame::FeedEvent;

/// Events of one venue as the table carries them. They hang on no message.
pub(super) fn rows(catalog: &Catalog, events: &[&FeedEvent]) -> Result<RecordBatch> {
    let text = |of: &dyn Fn(&FeedEvent) -> Option<String>| -> ArrayRef {
        Arc::new(events.iter().map(|e| of(e)).collect::<StringArray>())
    };
    let id = |of: &dyn Fn(&FeedEvent) -> Option<u64>| -> ArrayRef {
        Arc::new(events.iter().map(|e| of(e)).collect::<UInt64Array>())
    };
    let time = |of: &dyn Fn(&FeedEvent) -> Option<i64>| -> ArrayRef {
        Arc::new(
            events
                .iter()
                .map(|e| of(e))
                .collect::<TimestampNanosecondArray>(),
        )
    };
    let columns = vec![
        id(&|_| None),
        text(&|e| e.symbol.as_deref().map(str::to_owned)),
        text(&|e| e.channel.as_deref().map(str::to_owned)),
        time(&|e| Some(e.at_ns)),
        time(&|e| Some(e.at_ns)),
        text(&|e| Some(e.kind.to_owned())),
        id(&|e| e.ids.map(|ids| ids.0)),
        id(&|e| e.ids.map(|ids| ids.1)),
        time(&|e| e.times_ns.map(|times| times.0)),
        time(&|e| e.times_ns.map(|times| times.1)),
        text(&|e| Some(e.detail.clone())),
    ];
    Ok(RecordBatch::try_new(
        catalog.own(FEED_EVENTS)?.carried_schema(),
        columns,
    )?)
}
