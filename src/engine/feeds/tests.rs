use std::sync::Arc;

use super::wants::Wants;
use super::{Want, WantKind};

fn backfill(symbol: &str, since_ns: Option<i64>) -> Want {
    Want {
        venue: "v".into(),
        symbol: symbol.into(),
        kind: WantKind::Backfill {
            channel: "trades".into(),
            since_ns,
        },
    }
}

#[test]
fn the_same_request_is_made_once_and_reaches_back_the_furthest() {
    let mut wants = Wants::default();
    let snapshot = Want {
        kind: WantKind::Snapshot,
        ..backfill("A", None)
    };
    for want in [
        backfill("A", Some(5)),
        snapshot.clone(),
        backfill("B", Some(1)),
        backfill("A", Some(3)),
        snapshot.clone(),
        backfill("A", Some(9)),
        backfill("B", None),
    ] {
        wants.add(want);
    }
    let taken: Vec<Want> = std::iter::from_fn(|| wants.pop()).collect();
    assert_eq!(
        taken,
        [backfill("A", Some(3)), snapshot, backfill("B", None)]
    );
    wants.add(backfill("A", Some(5)));
    wants.forget(&Arc::from("v"));
    assert!(wants.is_empty());
}
