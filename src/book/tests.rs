use super::*;
use proptest::prelude::*;

fn diff(first: u64, last: u64, prev: u64) -> Update {
    Update {
        seq: last,
        ts: 0,
        recv_ts: 0,
        first_id: Some(first),
        last_id: Some(last),
        prev_id: Some(prev),
        is_snapshot: false,
    }
}

fn snapshot(id: u64) -> Update {
    Update {
        is_snapshot: true,
        first_id: None,
        prev_id: None,
        ..diff(id, id, 0)
    }
}

fn bid(price: f64, size: f64) -> Change {
    (Side::Bid, Level { price, size })
}

fn ask(price: f64, size: f64) -> Change {
    (Side::Ask, Level { price, size })
}

/// What the engine says, in short: `t<id>` a top, `g<from>-<to>` a gap, `r<id>` a resync, `o` a snapshot
/// that is too old.
fn said(rule: Sequencing, updates: &[(Update, Vec<Change>)]) -> String {
    let mut book = Book::default();
    let mut out = Vec::new();
    for (update, changes) in updates {
        book.apply(rule, update, changes, &mut out);
    }
    let id = |id: Option<u64>| id.map_or(String::new(), |id| id.to_string());
    let words: Vec<String> = out
        .iter()
        .map(|output| match output {
            Output::Top(top) => format!("t{}", id(top.update.last_id)),
            Output::Gap { from_id, to_id, .. } => format!("g{}-{}", id(*from_id), id(*to_id)),
            Output::Resync { update, .. } => format!("r{}", id(update.last_id)),
            Output::SnapshotTooOld { .. } => "o".to_owned(),
        })
        .collect();
    words.join(" ")
}

fn check(rule: Sequencing, updates: &[Update], expect: &str) {
    let book = vec![bid(10.0, 1.0), ask(11.0, 1.0)];
    let updates: Vec<_> = updates.iter().map(|u| (*u, book.clone())).collect();
    assert_eq!(said(rule, &updates), expect);
}

#[test]
fn first_last_joins_the_update_that_covers_the_id_after_the_snapshots() {
    let rule = Sequencing::FirstLast;
    check(
        rule,
        &[diff(1, 4, 0), diff(5, 9, 0), snapshot(6), diff(10, 12, 0)],
        "r6 t9 t12",
    );
    check(
        rule,
        &[diff(1, 4, 0), diff(5, 6, 0), snapshot(6), diff(7, 8, 0)],
        "r6 t8",
    );
    check(
        rule,
        &[snapshot(6), diff(7, 8, 0), diff(9, 9, 0)],
        "r6 t8 t9",
    );
    check(
        rule,
        &[diff(8, 9, 0), snapshot(6), snapshot(8), diff(10, 10, 0)],
        "o r8 t9 t10",
    );
    check(rule, &[snapshot(6), diff(9, 10, 0)], "r6 g7-8");
}

#[test]
fn prev_joins_the_update_that_covers_or_follows_the_snapshots_id() {
    let rule = Sequencing::Prev;
    check(
        rule,
        &[diff(1, 4, 0), diff(6, 9, 4), snapshot(9), diff(12, 15, 9)],
        "r9 t9 t15",
    );
    check(
        rule,
        &[diff(6, 9, 4), snapshot(7), diff(12, 15, 9)],
        "r7 t9 t15",
    );
    check(
        rule,
        &[snapshot(9), diff(12, 15, 9), diff(17, 18, 16)],
        "r9 t15 g15-16",
    );
    check(
        rule,
        &[diff(12, 15, 11), snapshot(9), diff(16, 18, 15)],
        "o",
    );
}

#[test]
fn a_gap_is_said_once_and_nothing_after_it_until_a_snapshot_heals() {
    let rule = Sequencing::FirstLast;
    check(
        rule,
        &[
            snapshot(1),
            diff(2, 3, 0),
            diff(6, 7, 0),
            diff(8, 9, 0),
            snapshot(8),
            diff(10, 11, 0),
        ],
        "r1 t3 g4-5 r8 t9 t11",
    );
    check(
        rule,
        &[snapshot(1), diff(4, 4, 0), diff(5, 5, 0), diff(8, 8, 0)],
        "r1 g2-3 g6-7",
    );
}

#[test]
fn repeated_and_overtaken_updates_change_nothing() {
    let rule = Sequencing::FirstLast;
    let (a, b) = (diff(2, 3, 0), diff(4, 5, 0));
    check(
        rule,
        &[
            snapshot(1),
            a,
            a,
            b,
            a,
            b,
            snapshot(1),
            snapshot(5),
            diff(6, 6, 0),
        ],
        "r1 t3 t5 t6",
    );
}

#[test]
fn ids_that_go_back_are_a_gap_that_a_snapshot_heals() {
    let later = |update: Update| Update {
        ts: update.ts + 61_000_000_000,
        ..update
    };
    let wild = diff(u64::MAX, u64::MAX, u64::MAX - 1);
    let updates = [
        snapshot(1),
        wild,
        diff(2, 2, 1),
        later(snapshot(2)),
        later(diff(3, 3, 2)),
        later(snapshot(3)),
        later(diff(4, 4, 3)),
    ];
    let (first_last, prev) = (Sequencing::FirstLast, Sequencing::Prev);
    check(
        first_last,
        &updates,
        "r1 g2-18446744073709551614 o g18446744073709551615-3 r3 t4",
    );
    check(
        prev,
        &updates,
        "r1 g1-18446744073709551614 o g18446744073709551615-3 r3 t3 t4",
    );
}

#[test]
fn a_crossed_book_is_a_gap_and_never_a_top() {
    let said = said(
        Sequencing::None,
        &[
            (snapshot(1), vec![bid(10.0, 1.0), ask(11.0, 1.0)]),
            (diff(2, 2, 1), vec![bid(11.5, 1.0)]),
            (diff(3, 3, 2), vec![bid(11.5, 0.0)]),
            (snapshot(4), vec![bid(10.0, 1.0), ask(11.0, 1.0)]),
        ],
    );
    assert_eq!(said, "r1 t1 g2-2 r4 t4");
}

#[test]
fn imbalance_is_of_the_best_five_levels() {
    let mut book = Book::default();
    let mut out = Vec::new();
    let mut levels: Vec<Change> = (0..6).map(|i| bid(10.0 - f64::from(i), 3.0)).collect();
    levels.push(ask(11.0, 5.0));
    book.apply(Sequencing::None, &snapshot(1), &levels, &mut out);
    let Some(Output::Top(top)) = out.last() else {
        panic!("no top: {out:?}")
    };
    assert_eq!(top.imbalance_5, Some((15.0 - 5.0) / 20.0));
    assert_eq!(
        (top.bid.unwrap().price, top.ask.unwrap().price),
        (10.0, 11.0)
    );
}

proptest! {
    /// Whatever arrives, a book taken up from its stored state says what the other one says.
    #[test]
    fn a_stored_book_goes_on_as_if_never_stored(
        updates in prop::collection::vec((0_u64..20, 0_u64..4, any::<bool>(), 0_u32..8, 0_u32..3), 1..60),
        cut in 0_usize..60,
    ) {
        for rule in [Sequencing::FirstLast, Sequencing::Prev, Sequencing::None] {
            let (mut one, mut out) = (Book::default(), Vec::new());
            let (mut other, mut other_out) = (Book::default(), Vec::new());
            for (i, &(first, length, is_snapshot, price, size)) in updates.iter().enumerate() {
                let update = Update { is_snapshot, ..diff(first, first + length, first.saturating_sub(1)) };
                let changes = [bid(f64::from(price), f64::from(size)), ask(f64::from(price + 4), f64::from(size))];
                one.apply(rule, &update, &changes, &mut out);
                if i == cut {
                    let stored = postcard::to_stdvec(&other).unwrap();
                    other = postcard::from_bytes(&stored).unwrap();
                }
                other.apply(rule, &update, &changes, &mut other_out);
                if let (Some(b), Some(a), true) = (one.bids().best(), one.asks().best(), one.in_sync()) {
                    prop_assert!(b.price < a.price);
                }
            }
            prop_assert_eq!(&out, &other_out);
        }
    }
}
