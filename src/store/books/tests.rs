use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray,
    UInt32Array, UInt64Array,
};

use super::*;
use crate::model::Sequencing;
use crate::store::catalog::{Column, Layout};

/// A row of one level: seq, symbol, previous id, id, whether of a snapshot, price of a bid.
type Row = (u64, &'static str, u64, u64, bool, f64);

fn batch(rows: &[Row]) -> (Table, RecordBatch) {
    let times = || -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from_iter_values(
            rows.iter().map(|r| r.0 as i64),
        ))
    };
    let ids = |of: fn(&Row) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(of)))
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("seq", ids(|r| r.0)),
        (
            "symbol",
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.1))),
        ),
        ("ts", times()),
        ("recv_ts", times()),
        ("first_id", ids(|r| r.3)),
        ("last_id", ids(|r| r.3)),
        ("prev_id", ids(|r| r.2)),
        (
            "is_snapshot",
            Arc::new(rows.iter().map(|r| Some(r.4)).collect::<BooleanArray>()),
        ),
        (
            "side",
            Arc::new(StringArray::from_iter_values(rows.iter().map(|_| "bid"))),
        ),
        (
            "price",
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.5))),
        ),
        (
            "size",
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|_| 1.0))),
        ),
        ("checksum", Arc::new(Int64Array::new_null(rows.len()))),
        (
            "depth",
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|_| 1))),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns.clone()).unwrap();
    let column = |(name, _): &(&str, ArrayRef)| Column {
        name: (*name).to_owned(),
        comment: String::new(),
        sql_type: String::new(),
        required: false,
        layout: Layout::Plain,
    };
    let table = Table {
        name: BOOK_DELTAS.to_owned(),
        comment: String::new(),
        // The last one is the engine's own.
        columns: columns[..columns.len() - 1].iter().map(column).collect(),
        schema: batch.schema(),
        key: Vec::new(),
        latest: false,
        final_by: None,
        voided_by: None,
    };
    (table, batch)
}

/// What `take_turns` says after some rows, in short.
fn turns(books: &mut Books, rows: &[Row]) -> String {
    let (table, batch) = batch(rows);
    books.apply(&table, &batch);
    let word = |turn: Turn| match turn.needs_snapshot {
        Some(why) => format!("{} needs one: {why}", turn.symbol),
        None => format!("{} in sync", turn.symbol),
    };
    books.take_turns().map(word).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_book_that_turns_is_told_once() {
    let mut books = Books::new("venue", Sequencing::Prev.into(), None);
    assert_eq!(
        turns(
            &mut books,
            &[(1, "A", 9, 10, false, 1.0), (2, "B", 4, 5, false, 1.0)]
        ),
        "A needs one: no snapshot has come yet; B needs one: no snapshot has come yet"
    );
    assert_eq!(turns(&mut books, &[(3, "A", 10, 11, false, 1.0)]), "");
    assert_eq!(
        turns(
            &mut books,
            &[(4, "A", 0, 8, true, 1.0), (5, "B", 0, 5, true, 1.0)]
        ),
        "A needs one: the snapshot is too old; B in sync"
    );
    assert_eq!(
        turns(&mut books, &[(6, "A", 0, 10, true, 1.0)]),
        "A in sync"
    );
    assert_eq!(turns(&mut books, &[(7, "A", 11, 12, false, 1.0)]), "");
    // Lost, found and lost again between two calls.
    let rows = [
        (8, "A", 13, 14, false, 1.0),
        (9, "A", 0, 14, true, 1.0),
        (10, "A", 15, 16, false, 1.0),
    ];
    assert_eq!(turns(&mut books, &rows), "A needs one: updates are missing");
    assert_eq!(turns(&mut books, &[(11, "A", 16, 17, false, 1.0)]), "");
}

#[test]
fn the_depth_comes_with_the_rows_though_the_table_has_it_not() {
    let mut books = Books::new("venue", Sequencing::None.into(), None);
    let rows = [(1, "A", 0, 1, true, 1.0), (1, "A", 0, 1, true, 2.0)];
    let (table, batch) = batch(&rows);
    let said = books.apply(&table, &batch);
    assert_eq!((said.gaps, said.checksums), (0, 0));
    assert_eq!(books.by_symbol["A"].book.bids().len(), 1);
}

fn letter(seq: u64, target: &str) -> DeadLetter {
    DeadLetter {
        seq: Some(seq),
        symbol: None,
        recv_ns: Some(seq as i64),
        target: Some(target.to_owned()),
        reason: String::new(),
        payload: String::new(),
        source: None,
        line: None,
    }
}

#[test]
fn without_numbers_a_message_that_could_not_be_read_loses_the_books() {
    let rows = [
        (2, "A", 0, 0, false, 1.0),
        (3, "B", 0, 0, true, 1.0),
        (5, "B", 0, 0, false, 1.0),
    ];
    let run = |sequencing: Sequencing, dead: &[DeadLetter]| {
        let mut books = Books::new("venue", sequencing.into(), None);
        turns(&mut books, &[(1, "A", 0, 0, true, 1.0)]);
        books.refused(dead, false);
        turns(&mut books, &rows)
    };
    let lost = "A needs one: an update could not be read; B needs one: an update could not be read";
    assert_eq!(run(Sequencing::None, &[letter(4, BOOK_DELTAS)]), lost);
    assert_eq!(run(Sequencing::None, &[letter(4, "trades")]), "B in sync");
    // What is no JSON may have been one; what is some, and nobody knows, is none.
    let unknown = |reason: &str| DeadLetter {
        target: None,
        reason: reason.to_owned(),
        ..letter(4, "")
    };
    assert_eq!(run(Sequencing::None, &[unknown(MALFORMED)]), lost);
    assert_eq!(run(Sequencing::None, &[unknown("no file")]), "B in sync");
    assert_eq!(
        run(Sequencing::None, &[letter(6, BOOK_DELTAS)]),
        "B in sync"
    );
    assert!(!run(Sequencing::Prev, &[letter(4, BOOK_DELTAS)]).contains("read"));
}

#[test]
fn other_rules_make_all_books_start_anew() {
    let mut books = Books::new("venue", Sequencing::None.into(), None);
    let snapshot = |seq| [(seq, "A", 0, 0, true, 1.0)];
    assert_eq!(turns(&mut books, &snapshot(1)), "A in sync");
    books.change(Sequencing::None.into(), None);
    let update = [(2, "A", 0, 0, false, 1.0)];
    assert_eq!(turns(&mut books, &update), "");
    let mut in_band = Rules::from(Sequencing::None);
    in_band.in_band = true;
    books.change(in_band, None);
    let update = [(3, "A", 0, 0, false, 1.0)];
    assert_eq!(
        turns(&mut books, &update),
        "A needs one: the rules of the venue's books have changed"
    );
    assert_eq!(turns(&mut books, &snapshot(4)), "A in sync");
}

#[test]
fn a_book_that_is_not_replayed_goes_on_from_its_last_update() {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(
        "CREATE TABLE book_deltas AS
             SELECT 'v' AS venue, s AS symbol, i::UBIGINT AS seq, (100 + i)::UBIGINT AS last_id,
                    make_timestamp_ns(i) AS ts FROM range(1, 10) t(i), (VALUES ('A'), ('B')) u(s);
         CREATE TABLE book_tops AS
             SELECT venue, symbol, seq, 3::UINTEGER AS epoch FROM book_deltas WHERE symbol = 'A'",
    )
    .unwrap();
    let mut kept = Kept {
        seq: 5,
        ..Kept::default()
    };
    kept.book = kept.book.resumed(2, None, 0);
    let said_of_next = |symbol: &str, kept: &Kept, update: &[Row]| {
        let mut books = Books::new("v", Sequencing::Prev.into(), None);
        let book = resumed(&conn, "v", symbol, kept).unwrap();
        let kept = Kept {
            book,
            ..Kept::default()
        };
        books.by_symbol.insert(symbol.to_owned(), kept);
        turns(&mut books, update)
    };
    // The update after the last one is no gap, but there is no book yet.
    let next = [(20, "A", 109, 110, false, 1.0)];
    assert_eq!(
        said_of_next("A", &kept, &next),
        "A needs one: no snapshot has come yet"
    );
    let later = [(20, "B", 115, 116, false, 1.0)];
    assert_eq!(
        said_of_next("B", &kept, &later),
        "B needs one: updates are missing"
    );
    // Of one that nothing came of since, all that was stored counts.
    kept.book = kept.book.resumed(2, Some(40), 0);
    let unheard = [(20, "C", 41, 42, false, 1.0)];
    assert_eq!(
        said_of_next("C", &kept, &unheard),
        "C needs one: updates are missing"
    );
    // A's epochs go on, too.
    let snapshot = [(21, "A", 0, 200, true, 1.0)];
    let mut books = Books::new("v", Sequencing::Prev.into(), None);
    let book = resumed(&conn, "v", "A", &kept).unwrap();
    let kept = Kept {
        book,
        ..Kept::default()
    };
    books.by_symbol.insert("A".to_owned(), kept);
    let (table, batch) = batch(&snapshot);
    let said = books.apply(&table, &batch);
    let details = said.events.last().unwrap().as_any();
    let details = details.downcast_ref::<StringArray>().unwrap();
    assert!(details.value(0).contains("epoch 4"), "{details:?}");
}
