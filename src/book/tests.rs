use std::collections::BTreeMap;

use super::*;
use crate::venues::feed::{Checksum, ChecksumOrder};
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
        checksum: None,
        depth: None,
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
fn said(rules: impl Into<Rules>, updates: &[(Update, Vec<Change>)]) -> String {
    let rules = rules.into();
    let mut book = Book::default();
    let mut out = Vec::new();
    for (update, changes) in updates {
        book.apply(&rules, update, changes[..].into(), &mut out);
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

fn check(rules: impl Into<Rules>, updates: &[Update], expect: &str) {
    let book = vec![bid(10.0, 1.0), ask(11.0, 1.0)];
    let updates: Vec<_> = updates.iter().map(|u| (*u, book.clone())).collect();
    assert_eq!(said(rules, &updates), expect);
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
    book.apply(
        &Sequencing::None.into(),
        &snapshot(1),
        levels[..].into(),
        &mut out,
    );
    let Some(Output::Top(top)) = out.last() else {
        panic!("no top: {out:?}")
    };
    assert_eq!(top.imbalance_5, Some((15.0 - 5.0) / 20.0));
    assert_eq!(
        (top.bid.unwrap().price, top.ask.unwrap().price),
        (10.0, 11.0)
    );
}

/// Rule `prev` with snapshots among the updates.
fn in_band() -> Rules {
    Rules {
        in_band: true,
        ..Sequencing::Prev.into()
    }
}

/// `prev` and `last` of an update `ms` after the start.
fn link(prev: u64, last: u64, ms: i64) -> Update {
    Update {
        ts: ms * 1_000_000,
        recv_ts: 1,
        ..diff(last, last, prev)
    }
}

/// The same of a snapshot.
fn whole(id: u64, ms: i64) -> Update {
    Update {
        is_snapshot: true,
        prev_id: None,
        ..link(0, id, ms)
    }
}

#[test]
fn an_update_that_ends_where_it_begins_is_a_sign_of_life() {
    let minute = 60_000;
    check(
        in_band(),
        &[
            whole(10, 0),
            link(10, 10, minute),
            link(10, 15, minute + 1),
            link(15, 15, 2 * minute + 1),
            link(15, 15, 3 * minute + 1),
            link(15, 16, 5 * minute),
        ],
        "r10 t10 t15 t16",
    );
    // … and shows what is missing.
    check(
        in_band(),
        &[whole(10, 0), link(15, 15, 1), link(15, 16, 2), whole(15, 3)],
        "r10 t10 g10-15 r15 t15 t15 t16",
    );
}

#[test]
fn a_venue_may_begin_to_count_anew() {
    // The example of the venue that documents it.
    let reset = [
        whole(10, 0),
        link(10, 15, 1),
        link(15, 15, 2),
        link(15, 3, 3),
        link(3, 5, 4),
    ];
    check(in_band(), &reset, "r10 t10 t15 t3 t5");
    // A second connection's copies of all of it.
    let twice: Vec<Update> = reset.iter().flat_map(|&update| [update, update]).collect();
    check(in_band(), &twice, "r10 t10 t15 t3 t5");
    let [snapshot, first, _, anew, second] = reset;
    check(
        in_band(),
        &[snapshot, first, anew, second, anew, second, link(5, 6, 9)],
        "r10 t10 t15 t3 t5 t6",
    );
    // What was missed before is a gap all the same, and so is the new beginning itself.
    check(
        in_band(),
        &[snapshot, anew, second, whole(4, 4), link(5, 7, 5)],
        "r10 t10 g10-15 r4 t4 t5 t7",
    );
    check(
        in_band(),
        &[snapshot, first, second, link(5, 6, 2_000), whole(6, 2_001)],
        "r10 t10 t15 g15-6 r6 t6 t6",
    );
}

#[test]
fn a_snapshot_in_order_tells_a_new_count_from_an_old_copy_by_its_time() {
    let updates = [whole(10, 0), link(10, 15, 5)];
    let then = |more: &[Update]| [&updates[..], more].concat();
    check(in_band(), &then(&[whole(12, 3)]), "r10 t10 t15");
    check(in_band(), &then(&[whole(15, 9)]), "r10 t10 t15");
    check(
        in_band(),
        &then(&[whole(3, 9), link(3, 4, 10)]),
        "r10 t10 t15 g15-3 r3 t3 t4",
    );
    // While updates wait for it.
    check(
        in_band(),
        &then(&[link(16, 17, 6), whole(3, 9), link(3, 4, 10)]),
        "r10 t10 t15 g15-16 r3 t3 t4",
    );
    check(
        in_band(),
        &then(&[link(16, 17, 6), whole(15, 5), whole(17, 6)]),
        "r10 t10 t15 g15-16 o r17 t17 t17",
    );
}

#[test]
fn levels_beyond_the_depth_are_forgotten() {
    let deep = |update: Update| Update {
        depth: Some(2),
        ..update
    };
    let mut book = Book::default();
    let rules = Sequencing::None.into();
    let mut prices = |update: Update, changes: &[Change]| {
        book.apply(&rules, &update, changes.into(), &mut Vec::new());
        let of = |side: &Ladder| side.iter().map(|level| level.price).collect::<Vec<_>>();
        (of(book.bids()), of(book.asks()))
    };
    let levels = [
        bid(8.0, 1.0),
        bid(10.0, 1.0),
        bid(9.0, 1.0),
        ask(12.0, 1.0),
        ask(11.0, 1.0),
        ask(13.0, 1.0),
    ];
    let got = prices(deep(snapshot(1)), &levels);
    assert_eq!(got, (vec![10.0, 9.0], vec![11.0, 12.0]));
    let got = prices(deep(diff(2, 2, 1)), &[bid(10.0, 0.0), ask(10.5, 1.0)]);
    assert_eq!(got, (vec![9.0], vec![10.5, 11.0]));
    // The last depth holds for an update that names none.
    let got = prices(diff(3, 3, 2), &[bid(8.0, 1.0), bid(7.0, 1.0)]);
    assert_eq!(got, (vec![9.0, 8.0], vec![10.5, 11.0]));
}

/// A book as a checksum sees it: price → the wire's price and size.
type Wire = BTreeMap<u32, (String, String)>;

/// CRC-32, bit by bit.
fn crc_32(text: &str) -> u32 {
    !text.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    })
}

fn checksum_of(rule: &Checksum, bids: &Wire, asks: &Wire) -> u32 {
    let number = |text: &String| {
        if rule.digits_only {
            text.replace('.', "").trim_start_matches('0').to_owned()
        } else {
            text.clone()
        }
    };
    let numbers = |(price, size): &(String, String)| vec![number(price), number(size)];
    let bids: Vec<_> = bids.values().rev().take(rule.levels).map(numbers).collect();
    let asks: Vec<_> = asks.values().take(rule.levels).map(numbers).collect();
    let all: Vec<String> = match rule.order {
        ChecksumOrder::AsksBids => [asks, bids].concat().concat(),
        ChecksumOrder::Alternating => (0..rule.levels)
            .flat_map(|i| [bids.get(i), asks.get(i)])
            .flatten()
            .flatten()
            .cloned()
            .collect(),
    };
    crc_32(&all.join(&rule.separator))
}

#[test]
fn digits_are_the_wires_own() {
    assert_eq!(crc_32("123456789"), 0xcbf4_3926);
    let rule = |separator: &str, digits_only| Checksum {
        levels: 1,
        order: ChecksumOrder::AsksBids,
        separator: separator.to_owned(),
        digits_only,
    };
    let digits = |rule: &Checksum, price, size| String::from(Digits::of(rule, price, size));
    assert_eq!(digits(&rule("", true), "0.05000", "0.00000500"), "5000500");
    assert_eq!(digits(&rule(":", false), "0.05000", "10"), "0.05000:10");
    assert_eq!(digits(&rule(":", false), "", "10"), "");
    assert_eq!(digits(&rule(":", false), &"1".repeat(60), "10"), "");
}

fn a_checksum() -> impl Strategy<Value = Checksum> {
    let order = prop_oneof![
        Just(ChecksumOrder::AsksBids),
        Just(ChecksumOrder::Alternating)
    ];
    let separator = prop_oneof![Just(""), Just(":"), Just(", ")];
    (1_usize..12, order, separator, any::<bool>()).prop_map(
        |(levels, order, separator, digits_only)| Checksum {
            levels,
            order,
            separator: separator.to_owned(),
            digits_only,
        },
    )
}

proptest! {
    /// Random books of random digits, stored and taken up on the way: every right checksum is found right,
    /// and the first wrong one is a gap that ends only with a snapshot.
    #[test]
    fn every_checksum_is_verified(
        checksum in a_checksum(),
        updates in prop::collection::vec(
            prop::collection::vec((any::<bool>(), 0_u32..40, 0_u32..6, 0_usize..4), 0..5), 2..60,
        ),
        sequencing in prop_oneof![Just(Sequencing::None), Just(Sequencing::Prev), Just(Sequencing::FirstLast)],
        wrong in 0_usize..60,
        healed in 0_usize..60,
    ) {
        let rules = Rules { sequencing, in_band: true, checksum: Some(checksum.clone()) };
        let (mut book, mut out) = (Book::default(), Vec::new());
        let (mut bids, mut asks) = (Wire::new(), Wire::new());
        let mut lost = false;
        for (i, levels) in updates.iter().enumerate() {
            let is_snapshot = i == 0 || i == healed;
            if is_snapshot {
                bids.clear();
                asks.clear();
            }
            let (mut changes, mut digits) = (Vec::new(), Vec::new());
            for &(is_bid, price, size, zeros) in levels {
                // Bids below 1.4, asks above.
                let (side, map) = if is_bid { (Side::Bid, &mut bids) } else { (Side::Ask, &mut asks) };
                let price = if is_bid { 100 + price } else { 140 + price };
                let zeros = "0".repeat(zeros);
                let texts = (format!("0.0{price}{zeros}"), format!("{zeros}{size}.{zeros}0"));
                let level = Level { price: texts.0.parse().unwrap(), size: texts.1.parse().unwrap() };
                changes.push((side, level));
                digits.push(Digits::of(&checksum, &texts.0, &texts.1));
                if size == 0 { map.remove(&price); } else { map.insert(price, texts); }
            }
            let sum = checksum_of(&checksum, &bids, &asks);
            let id = 10 + i as u64;
            let update = Update {
                is_snapshot,
                checksum: Some(if i == wrong { sum ^ 1 } else { sum }),
                ..link(id - 1, id, id as i64)
            };
            out.clear();
            let before = book.checksums();
            book.apply(&rules, &update, Changes { levels: &changes, digits: &digits }, &mut out);
            let tops = out.iter().filter(|o| matches!(o, Output::Top(_))).count();
            lost = (lost && !is_snapshot) || i == wrong;
            if lost {
                prop_assert_eq!((tops, book.checksums() - before, book.in_sync()), (0, 0, false));
                let wrong_sum = |o: &&Output| matches!(o, Output::Gap { detail, .. } if *detail == DIFFERS);
                let gaps = out.iter().filter(wrong_sum).count();
                prop_assert_eq!(gaps, usize::from(i == wrong));
            } else {
                prop_assert_eq!((tops, book.checksums() - before, book.in_sync()), (1, 1, true), "{:?}", out);
            }
            let stored = postcard::to_stdvec(&book).unwrap();
            book = postcard::from_bytes(&stored).unwrap();
        }
    }
}

#[test]
fn updates_without_ids_are_next_in_order_where_a_checksum_proves_them() {
    let checksum = Checksum {
        levels: 25,
        order: ChecksumOrder::Alternating,
        separator: ":".to_owned(),
        digits_only: false,
    };
    let rules = Rules {
        checksum: Some(checksum.clone()),
        ..in_band()
    };
    let without = |update: Update, text: &str| Update {
        last_id: None,
        prev_id: None,
        first_id: None,
        checksum: Some(crc_32(text)),
        ..update
    };
    let with = |update: Update, text: &str| Update {
        checksum: Some(crc_32(text)),
        ..update
    };
    let mut book = Book::default();
    let mut say = |update: Update, price: &str, size: &str| {
        let level = Level {
            price: price.parse().unwrap(),
            size: size.parse().unwrap(),
        };
        let mut out = Vec::new();
        let changes = Changes {
            levels: &[(Side::Bid, level)],
            digits: &[Digits::of(&checksum, price, size)],
        };
        book.apply(&rules, &update, changes, &mut out);
        (out.len(), book.in_sync(), book.checksums())
    };
    assert_eq!(say(without(link(0, 0, 1), "1:1"), "1", "1"), (0, false, 0));
    assert_eq!(say(without(whole(0, 2), "1.0:2"), "1.0", "2"), (2, true, 1));
    assert_eq!(
        say(without(link(0, 0, 3), "1.0:3"), "1.0", "3"),
        (1, true, 2)
    );
    // A venue that begins to send ids.
    assert_eq!(say(with(link(7, 8, 4), "1.0:4"), "1.0", "4"), (1, true, 3));
    assert_eq!(say(with(link(8, 9, 5), "1.0:5"), "1.0", "5"), (1, true, 4));
    // One update was lost.
    assert_eq!(
        say(without(link(0, 0, 6), "2:1:1.0:5"), "1.0", "5"),
        (1, false, 4)
    );
    assert_eq!(
        say(without(link(0, 0, 7), "2:1:1.0:6"), "1.0", "6"),
        (0, false, 4)
    );
    assert_eq!(say(without(whole(0, 8), "1.0:7"), "1.0", "7"), (2, true, 5));
}

#[test]
fn a_checksum_without_the_wires_digits_is_a_gap() {
    let checksum = Checksum {
        levels: 10,
        order: ChecksumOrder::AsksBids,
        separator: String::new(),
        digits_only: true,
    };
    let rules = Rules {
        checksum: Some(checksum),
        ..Sequencing::None.into()
    };
    let checked = Update {
        checksum: Some(0),
        ..diff(2, 2, 1)
    };
    let updates = [
        (snapshot(1), vec![bid(10.0, 1.0)]),
        (checked, vec![bid(9.0, 1.0)]),
    ];
    assert_eq!(said(rules, &updates), "r1 t1 g2-2");
}

proptest! {
    /// Whatever arrives, a book taken up from its stored state says what the other one says.
    #[test]
    fn a_stored_book_goes_on_as_if_never_stored(
        updates in prop::collection::vec((0_u64..20, 0_u64..4, any::<bool>(), 0_u32..8, 0_u32..3), 1..60),
        cut in 0_usize..60,
    ) {
        for rule in [Sequencing::FirstLast, Sequencing::Prev, Sequencing::None] {
            let rules = Rules::from(rule);
            let (mut one, mut out) = (Book::default(), Vec::new());
            let (mut other, mut other_out) = (Book::default(), Vec::new());
            for (i, &(first, length, is_snapshot, price, size)) in updates.iter().enumerate() {
                let update = Update { is_snapshot, ..diff(first, first + length, first.saturating_sub(1)) };
                let changes = [bid(f64::from(price), f64::from(size)), ask(f64::from(price + 4), f64::from(size))];
                one.apply(&rules, &update, changes[..].into(), &mut out);
                if i == cut {
                    let stored = postcard::to_stdvec(&other).unwrap();
                    other = postcard::from_bytes(&stored).unwrap();
                }
                other.apply(&rules, &update, changes[..].into(), &mut other_out);
                if let (Some(b), Some(a), true) = (one.bids().best(), one.asks().best(), one.in_sync()) {
                    prop_assert!(b.price < a.price);
                }
            }
            prop_assert_eq!(&out, &other_out);
        }
    }
}
