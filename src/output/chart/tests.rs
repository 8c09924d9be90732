//! Pictures of small results, as they are seen.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int64Array, IntervalMonthDayNanoArray, RecordBatch,
    StringArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::IntervalMonthDayNano;

use super::*;

const START: i64 = 1_723_075_200_000_000_000;

fn times(count: usize, step_s: i64) -> ArrayRef {
    let times = (0..count as i64).map(|i| START + i * step_s * 1_000_000_000);
    Arc::new(TimestampNanosecondArray::from_iter_values(times))
}

fn floats(values: impl IntoIterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

fn wave(count: usize) -> impl Iterator<Item = f64> {
    (0..count).map(|i| 61_650.0 + 40.0 * (i as f64 / 9.0).sin())
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn chart(kind: Option<Kind>, batch: &RecordBatch) -> Chart {
    Chart::new(kind, &batch.schema(), std::slice::from_ref(batch)).unwrap()
}

fn painted(batch: &RecordBatch, width: usize) -> String {
    let size = Size {
        width,
        height: 16,
        color: false,
    };
    let text = terminal(&chart(None, batch), size);
    assert!(
        text.lines().all(|line| line.chars().count() <= width),
        "{text}"
    );
    text
}

fn bars() -> RecordBatch {
    let open: Vec<f64> = wave(40).collect();
    let close: Vec<f64> = wave(41).skip(1).collect();
    let both = || open.iter().zip(&close);
    batch(vec![
        ("ts", times(40, 60)),
        ("high", floats(both().map(|(a, b)| a.max(*b) + 6.0))),
        ("low", floats(both().map(|(a, b)| a.min(*b) - 4.0))),
        ("open", floats(open.clone())),
        ("close", floats(close.clone())),
        ("volume", floats(open.iter().map(|_| 3.0))),
    ])
}

fn book() -> RecordBatch {
    let side = (0..20).map(|i| if i < 10 { "bid" } else { "ask" });
    let price = (0..20).map(|i| {
        if i < 10 {
            100.0 - f64::from(i) * 0.1
        } else {
            100.1 + f64::from(i - 10) * 0.1
        }
    });
    batch(vec![
        ("side", Arc::new(StringArray::from_iter_values(side))),
        (
            "level",
            Arc::new(Int64Array::from_iter_values((0..20).map(|i| i % 10 + 1))),
        ),
        ("price", floats(price)),
        ("size", floats((0..20).map(|i| 1.0 + f64::from(i % 4)))),
    ])
}

#[test]
fn names_from_the_data_neither_paint_nor_spoil_a_document() {
    let names = (0..20).map(|i| ["a\u{1b}[31m", "b\u{7}"][i % 2]);
    let symbols: ArrayRef = Arc::new(StringArray::from_iter_values(names));
    let rows = batch(vec![
        ("ts", times(20, 60)),
        ("sym\u{1b}]0;x\u{7}", symbols),
        ("pri\u{1b}[32mce", floats(wave(20))),
    ]);
    let picture = chart(None, &rows);
    let text = painted(&rows, 90);
    assert!(text.contains("a\\u{1b}[31m"), "{text}");
    assert!(text.contains("pri\\u{1b}[32mce"), "{text}");
    for text in [text, svg(&picture), html(&picture)] {
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
    }
}

#[test]
fn spans_of_time_are_drawn_in_seconds() {
    let spans = (1..=20).map(|i| IntervalMonthDayNano::new(0, 0, i * 250_000_000));
    let lags: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from_iter_values(spans));
    let picture = chart(None, &batch(vec![("lag", Arc::clone(&lags))]));
    assert!(matches!(picture.marks, Marks::Bins(_)));
    assert_eq!(
        (picture.title.as_str(), picture.x),
        ("lag (s)", (0.25, 5.0))
    );
    let clock = (0..20).map(|i| i * 1_500_000);
    let clock: ArrayRef = Arc::new(Time64MicrosecondArray::from_iter_values(clock));
    let picture = chart(None, &batch(vec![("at", clock), ("lag", lags)]));
    assert!(matches!(picture.marks, Marks::Lines(_)));
    assert_eq!((picture.x, picture.y), ((0.0, 28.5), (0.25, 5.0)));
    let long: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from(vec![
        None,
        Some(IntervalMonthDayNano::new(1, -2, 500_000_000)),
        Some(IntervalMonthDayNano::new(0, 1, 0)),
    ]));
    let picture = chart(None, &batch(vec![("lag", long)]));
    assert_eq!(picture.x, (86_400.0, 28.0 * 86_400.0 + 0.5));
}

#[test]
fn a_line_over_time() {
    let lines = batch(vec![
        ("seq", Arc::new(Int64Array::from_iter_values(0..120))),
        ("ts", times(120, 60)),
        ("price", floats(wave(120))),
    ]);
    insta::assert_snapshot!(painted(&lines, 80));
}

#[test]
fn bars_become_candles() {
    insta::assert_snapshot!(painted(&bars(), 80));
}

#[test]
fn one_column_of_numbers_becomes_a_histogram() {
    let sizes = batch(vec![(
        "size",
        floats((0..5000).map(|i| f64::from(i % 71) * f64::from(i % 13) / 10.0)),
    )]);
    insta::assert_snapshot!(painted(&sizes, 60));
}

#[test]
fn a_ladder_becomes_its_depth() {
    insta::assert_snapshot!(painted(&book(), 60));
}

#[test]
fn the_columns_decide_what_is_drawn() {
    let kind = |batch: &RecordBatch| match chart(None, batch).marks {
        Marks::Lines(lines) => format!(
            "lines {}",
            lines
                .iter()
                .map(|line| line.name.as_str())
                .collect::<Vec<_>>()
                .join(",")
        ),
        Marks::Candles(_) => "candles".to_owned(),
        Marks::Bins(_) => "histogram".to_owned(),
        Marks::Depth { .. } => "depth".to_owned(),
        Marks::Heat(_) => "heat".to_owned(),
        Marks::Bars(_) => "bars".to_owned(),
    };
    assert_eq!(kind(&bars()), "candles");
    assert_eq!(kind(&book()), "depth");
    let far = batch(vec![
        ("ts", times(9, 1)),
        ("price", floats(wave(9))),
        ("size", floats((0..9).map(f64::from))),
    ]);
    assert_eq!(kind(&far), "lines price");
    assert_eq!(
        chart(None, &far).notes(),
        ["not drawn, for their scale differs: size"]
    );
    let near = batch(vec![
        ("ts", times(9, 1)),
        ("bid", floats(wave(9))),
        ("ask", floats(wave(9).map(|v| v + 1.0))),
    ]);
    assert_eq!(kind(&near), "lines bid,ask");
    let symbols = Arc::new(StringArray::from_iter_values(
        (0..9).map(|i| if i % 2 == 0 { "A" } else { "B" }),
    ));
    let groups = batch(vec![
        ("symbol", symbols),
        ("ts", times(9, 1)),
        ("price", floats(wave(9))),
    ]);
    assert_eq!(kind(&groups), "lines A,B");
    assert_eq!(
        kind(&batch(vec![("a", floats(wave(9))), ("b", floats(wave(9)))])),
        "lines b"
    );
}

/// A number for each name.
fn by_name(names: &[&str], values: &[f64]) -> RecordBatch {
    batch(vec![
        (
            "name",
            Arc::new(StringArray::from_iter_values(names.iter().copied())),
        ),
        ("n", floats(values.iter().copied())),
    ])
}

#[test]
fn counts_by_category_become_bars() {
    let counts = by_name(
        &["BTCUSDT", "a name that is longer than its place", "数量"],
        &[4000.0, 1000.0, 3.0],
    );
    let size = Size {
        width: 40,
        height: 16,
        color: false,
    };
    let text = terminal(&chart(None, &counts), size);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].contains('n'), "{text}");
    let full: Vec<usize> = lines.iter().map(|line| line.matches('█').count()).collect();
    // Of 40 columns 13 are the name's and 5 the longest value's.
    assert_eq!(full, [0, 19, 4, 0], "{text}");
    assert!(lines[1].starts_with("BTCUSDT       │█") && lines[1].ends_with("█ 4,000"));
    assert!(lines[2].starts_with("a name that … │█") && lines[2].ends_with("1,000"));
    assert_eq!(lines[3], "数量          │▏ 3");
    let document = svg(&chart(None, &counts));
    assert_eq!(document.matches("<rect ").count(), 4, "{document}");
    assert!(document.contains(">BTCUSDT<") && document.contains(">4,000<"));
    assert!(
        document.contains("a name that is longer tha…<"),
        "{document}"
    );
    assert!(png(&chart(None, &counts)).is_ok());
}

#[test]
fn bars_below_zero_lie_on_its_other_side() {
    let size = Size {
        width: 40,
        height: 16,
        color: false,
    };
    let text = terminal(
        &chart(None, &by_name(&["up", "down"], &[10.0, -10.0])),
        size,
    );
    let bar = |line: usize| {
        let line = text.lines().nth(line).unwrap_or_default();
        (
            line.chars().position(|c| c == '█'),
            line.matches('█').count(),
        )
    };
    let ((up, length), (down, other)) = (bar(1), bar(2));
    assert_eq!(length, other, "{text}");
    assert_eq!(down.map(|down| down + other), up, "{text}");
    // Nothing, and nothing but zero, is drawn too.
    for values in [[0.0, 0.0], [f64::NAN, 1e300], [-1e300, 1e308]] {
        let odd = chart(Some(Kind::Bar), &by_name(&["a", "b"], &values));
        assert!(terminal(&odd, size).lines().count() >= 2);
        assert!(!svg(&odd).contains("NaN"));
    }
}

#[test]
fn more_bars_than_fit_are_counted_and_repeated_names_are_none() {
    let names: Vec<String> = (0..60).map(|i| format!("s{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let many = by_name(&names, &[2.0; 60]);
    let text = painted(&many, 60);
    assert!(
        text.lines().count() <= 16 && text.ends_with("… 46 more\n"),
        "{text}"
    );
    assert!(svg(&chart(None, &many)).contains("… 34 more"));
    let prices = by_name(&["A", "A", "B"], &[1.0, 2.0, 3.0]);
    assert!(matches!(chart(None, &prices).marks, Marks::Bins(_)));
    let asked = chart(Some(Kind::Bar), &prices);
    assert!(matches!(asked.marks, Marks::Bars(_)));
    let numbers = batch(vec![("a", floats([1.0]))]);
    let error = Chart::new(
        Some(Kind::Bar),
        &numbers.schema(),
        std::slice::from_ref(&numbers),
    );
    assert!(
        error
            .unwrap_err()
            .to_string()
            .starts_with("bar needs a column of names and one of numbers")
    );
}

#[test]
fn series_that_are_flat_on_one_axis_are_drawn_as_their_changes() {
    let drawn = |ratio: f64| {
        let symbols = (0..40).map(|i| if i % 2 == 0 { "BTC" } else { "ETH" });
        let prices = wave(40).enumerate();
        let prices = prices.map(|(i, price)| if i % 2 == 0 { price } else { price / ratio });
        let symbols: ArrayRef = Arc::new(StringArray::from_iter_values(symbols));
        chart(
            None,
            &batch(vec![
                ("symbol", symbols),
                ("ts", times(40, 1)),
                ("price", floats(prices)),
            ]),
        )
    };
    let far = drawn(20.0);
    assert_eq!(far.title, "price, change in %");
    let Marks::Lines(lines) = &far.marks else {
        panic!("no lines: {far:?}")
    };
    for line in lines {
        assert!(line.points[0].1.abs() < 1e-9, "{line:?}");
        assert!(
            line.points.iter().any(|point| point.1.abs() > 0.01),
            "{line:?}"
        );
    }
    assert!(far.y.1 - far.y.0 < 1.0, "{:?}", far.y);
    let near = drawn(1.001);
    assert_eq!(near.title, "price");
    assert!(near.y.0 > 60_000.0, "{:?}", near.y);
}

#[test]
fn what_cannot_be_drawn_is_explained() {
    let text = batch(vec![("name", Arc::new(StringArray::from(vec!["x"])))]);
    let error = Chart::new(
        Some(Kind::Candles),
        &text.schema(),
        std::slice::from_ref(&text),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "candles needs the columns open, high, low and close; the result has the columns name"
    );
    let none = batch(vec![("x", floats([]))]);
    assert!(matches!(
        Chart::new(None, &none.schema(), std::slice::from_ref(&none)),
        Err(Error::Empty)
    ));
}

#[test]
fn odd_numbers_do_no_harm() {
    for values in [
        vec![f64::NAN, 1.0, f64::INFINITY, 2.0],
        vec![0.0, 0.0],
        vec![1e300, -1e300, 0.0],
        vec![5.0],
    ] {
        let odd = batch(vec![("ts", times(values.len(), 1)), ("v", floats(values))]);
        for kind in [Kind::Line, Kind::Histogram] {
            for width in [1, 20, 81, 200] {
                let size = Size {
                    width,
                    height: 10,
                    color: true,
                };
                let chart = chart(Some(kind), &odd);
                assert!(terminal(&chart, size).lines().count() >= 4);
                assert!(!svg(&chart).contains("NaN"));
            }
        }
    }
}

#[test]
fn a_single_moment_stands_in_the_middle_of_a_second() {
    let one = batch(vec![("ts", times(1, 1)), ("price", floats([61_650.0]))]);
    let alone = batch(vec![("ts", times(1, 1))]);
    for (kind, batch) in [
        (Kind::Line, &one),
        (Kind::Heat, &one),
        (Kind::Histogram, &alone),
    ] {
        assert_eq!(chart(Some(kind), batch).x, (-0.5, 0.5), "{kind:?}");
    }
    assert!(
        painted(&one, 80).contains("2024-08-07 23:59:59.5 – 2024-08-08 00:00:00.5 UTC"),
        "{}",
        painted(&one, 80)
    );
}

#[test]
fn a_single_bar_is_of_its_own_moment() {
    let one = || floats([61_650.0]);
    let bar = batch(vec![
        ("ts", times(1, 60)),
        ("open", one()),
        ("high", one()),
        ("low", one()),
        ("close", one()),
    ]);
    let text = painted(&bar, 80);
    assert_eq!(
        text.lines().next(),
        Some("  2024-08-08 00:00:00 UTC"),
        "{text}"
    );
    let document = svg(&chart(None, &bar));
    assert!(document.contains(">2024-08-08 00:00:00 UTC<"), "{document}");
}

#[test]
fn numbers_that_no_axis_reaches_are_left_out_and_told() {
    let rows = |values: &[f64]| {
        let numbers = values.iter().copied();
        batch(vec![("ts", times(values.len(), 1)), ("v", floats(numbers))])
    };
    let picture = chart(None, &rows(&[1.0, f64::MAX, -1.7e308, 2.0]));
    assert_eq!(picture.y, (1.0, 2.0));
    assert_eq!(picture.notes(), ["not drawn: numbers beyond 1e300"]);
    for kind in [Kind::Line, Kind::Histogram, Kind::Heat] {
        let beyond = rows(&[f64::MAX, -f64::MAX]);
        let error = Chart::new(Some(kind), &beyond.schema(), std::slice::from_ref(&beyond));
        assert!(matches!(error, Err(Error::Beyond)), "{kind:?}: {error:?}");
    }
}

#[test]
fn infinite_times_are_not_drawn() {
    let day = 19_943;
    let start = START / 1000;
    let timestamps = [i64::MAX, start, start + 1_000_000, -i64::MAX];
    let dates = [i32::MAX, day, day + 1, -i32::MAX];
    let columns: [(ArrayRef, f64); 2] = [
        (
            Arc::new(TimestampMicrosecondArray::from_iter_values(timestamps)),
            1.0,
        ),
        (Arc::new(Date32Array::from_iter_values(dates)), 86_400.0),
    ];
    for (times, width) in columns {
        let infinite = batch(vec![("ts", times), ("price", floats(wave(4)))]);
        let chart = chart(None, &infinite);
        assert_eq!(chart.time, Some(START / 1_000_000_000));
        assert_eq!(chart.x, (0.0, width));
    }
}

#[test]
fn nanoseconds_are_told_apart() {
    let moments = (0..9).map(|i| START + 937_000_000 + i * 100);
    let ticks: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(moments));
    let text = painted(&batch(vec![("ts", ticks), ("price", floats(wave(9)))]), 80);
    assert!(
        text.contains("2024-08-08 00:00:00.937 – 00:00:00.9370008 UTC"),
        "{text}"
    );
    assert!(text.contains("00:00:00.9370006"), "{text}");
}

#[test]
fn lines_without_colours_bear_their_numbers() {
    let near = batch(vec![
        ("ts", times(9, 1)),
        ("bid", floats(wave(9))),
        ("ask", floats(wave(9).map(|v| v + 20.0))),
    ]);
    let text = painted(&near, 80);
    let ends: Vec<char> = text
        .lines()
        .filter(|line| line.contains(['│', '┤']))
        .filter_map(|line| line.chars().next_back())
        .filter(char::is_ascii_digit)
        .collect();
    assert_eq!(ends, ['2', '1'], "{text}");
}

#[test]
fn a_document_holds_what_was_drawn() {
    let text = svg(&chart(None, &bars()));
    assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
    assert_eq!(
        text.matches("<rect ").count(),
        41,
        "a background and a body each"
    );
    assert!(svg(&chart(None, &book())).contains("spread 0.1"));
}

#[test]
fn a_png_shows_the_shapes_of_the_document() {
    let bytes = png(&chart(None, &bars())).unwrap();
    let sheet = tiny_skia::Pixmap::decode_png(&bytes).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (1920, 960));
    let colors = |wanted: [u8; 3]| {
        let pixels = sheet.pixels().iter();
        pixels
            .filter(|pixel| [pixel.red(), pixel.green(), pixel.blue()] == wanted)
            .count()
    };
    // Bars that rise, bars that fall, the axes' lines and letters, and the paper.
    assert!(colors([0x00, 0x9e, 0x73]) > 5_000);
    assert!(colors([0xd5, 0x5e, 0x00]) > 5_000);
    assert!(colors([0x33, 0x33, 0x33]) > 3_000);
    assert!(colors([0xff, 0xff, 0xff]) > 1_000_000);
    // A letter that the font lacks, and numbers beyond any picture, do no harm.
    let odd = batch(vec![
        ("ts", times(3, 1)),
        ("价格", floats([1e300, -1e300, f64::NAN])),
    ]);
    assert!(png(&chart(None, &odd)).is_ok());
}
