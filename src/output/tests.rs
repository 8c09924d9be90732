use super::*;
use arrow::array::RecordBatch;
use duckdb::Connection;

/// Runs `sql` as the shell would and encodes its rows.
fn encoded(sql: &str, format: Format, layout: Layout) -> String {
    String::from_utf8(encoded_bytes(sql, format, layout)).unwrap()
}

fn encoded_bytes(sql: &str, format: Format, layout: Layout) -> Vec<u8> {
    encoded_on(&Connection::open_in_memory().unwrap(), sql, format, layout)
}

fn encoded_on(connection: &Connection, sql: &str, format: Format, layout: Layout) -> Vec<u8> {
    try_encoded_on(connection, sql, format, layout).unwrap()
}

fn try_encoded_on(
    connection: &Connection,
    sql: &str,
    format: Format,
    layout: Layout,
) -> Result<Vec<u8>, Error> {
    connection
        .execute_batch("SET arrow_lossless_conversion = true")
        .unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let batches: Vec<_> = statement.stream_arrow([]).unwrap().collect();
    let schema = statement.schema();
    let mut out = Vec::new();
    let batches = batches
        .into_iter()
        .map(|batch| Ok::<RecordBatch, Error>(batch.unwrap()));
    encode(format, layout, &schema, batches, &mut out)?;
    Ok(out)
}

/// What DuckDB's COPY writes for the same query.
fn copied_on(connection: &Connection, sql: &str, options: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    connection
        .execute_batch(&format!("COPY ({sql}) TO '{}' ({options})", path.display()))
        .unwrap();
    std::fs::read_to_string(path).unwrap()
}

/// Equal texts, or the first lines that differ.
fn assert_same(ours: &str, copys: &str, what: &str) {
    for (a, b) in ours.lines().zip(copys.lines()) {
        assert_eq!(a, b, "{what}");
    }
    assert_eq!(ours.len(), copys.len(), "{what}");
}

/// Checks that a query's rows come out as DuckDB's COPY writes them.
fn same(sql: &str, format: Format, options: &str) {
    let connection = Connection::open_in_memory().unwrap();
    let ours = String::from_utf8(encoded_on(&connection, sql, format, Layout::default())).unwrap();
    assert_same(
        &ours,
        &copied_on(&connection, sql, options),
        &format!("{format:?}"),
    );
}

/// Every type DuckDB can send, with values at the edges; one expression each.
const ODD: &[&str] = &[
    "null",
    "true",
    "1::tinyint",
    "(-32768)::smallint",
    "2147483647",
    "9223372036854775807",
    "18446744073709551615::ubigint",
    "170141183460469231731687303715884105727::hugeint",
    "340282366920938463463374607431768211455::uhugeint",
    "-1::hugeint",
    "0::bignum",
    "'-5'::bignum",
    "'1000000000000000000000000000000000000000000000000'::bignum",
    "'-12345678901234567890123456789012345678901234567890'::bignum",
    "1.0::double",
    "1e-7::double",
    "0.1::double",
    "1e15::double",
    "1e16::double",
    "123456789012345680::double",
    "1e21::double",
    "1.5e300::double",
    "'-0.0'::double",
    "5e-324::double",
    "0.0001::double",
    "0.00001234::double",
    "61685.99::double",
    "0.1::float",
    "16777216::float",
    "3.4e38::float",
    "1e10::float",
    "1e15::float",
    "1e-5::float",
    "1.5::decimal(5,2)",
    "(-0.05)::decimal(5,2)",
    "0::decimal(4,4)",
    "(-0.0005)::decimal(4,4)",
    "-1.5::decimal(15,2)",
    "1.5::decimal(16,2)",
    "0::decimal(38,10)",
    "12345678901234567890.123::decimal(38,3)",
    "date '2020-02-29'",
    "date '0044-03-15 (BC)'",
    "date '12020-01-01'",
    "'infinity'::date",
    "'-infinity'::date",
    "date '1969-12-31'",
    "time '10:00'",
    "time '10:00:00.5'",
    "time '23:59:59.000001'",
    "'10:00:00.123456789'::time_ns",
    "'10:00:00.5'::time_ns",
    "'10:00:00+01'::timetz",
    "'10:00:00-05:30'::timetz",
    "'10:00:00.25+15:59:59'::timetz",
    "timestamp '2020-01-01'",
    "timestamp '2020-01-01 10:00:00.5'",
    "timestamp '1969-12-31 23:59:59.999999'",
    "'2020-01-01 10:00:00'::timestamp_s",
    "'2020-01-01 10:00:00.120'::timestamp_ms",
    "'2020-01-01 10:00:00.123456789'::timestamp_ns",
    "'2020-01-01 10:00:00.120000000'::timestamp_ns",
    "'1969-12-31 23:59:59.999999999'::timestamp_ns",
    "'infinity'::timestamp",
    "'-infinity'::timestamp",
    "'infinity'::timestamp_ns",
    "timestamp '12020-01-01'",
    "timestamptz '2020-01-01 10:00:00.5+00'",
    "interval '1 day'",
    "interval '1 year 2 months -3 days 04:05:06.789'",
    "interval '0 seconds'",
    "interval '-1 month 2 hours'",
    "interval '-00:00:01.5'",
    "interval '120 hours'",
    "interval '-14 months'",
    "interval '3000000 hours'",
    "interval '-320000000:00:00.000001'",
    "uuid '4ac7a9e9-607c-4c8a-84f3-843f0191e3fd'",
    "'abc'",
    "''",
    "'a,b'",
    "'a\"b'",
    "'a\nb'",
    "'a\rb'",
    "' a '",
    "'NULL'",
    "'é日本'",
    "chr(1) || chr(9) || '/\\' || chr(31) || chr(127) || chr(8) || chr(12)",
    "'# c'",
    "'x\"y'::blob",
    "'\\xAA\\x00'::blob",
    "'101'::bit",
    "'0000000011'::bit",
    "'{\"a\": [1, \"x y\\\" \"]}'::json",
    "'null'::json",
    "'\"x\"'::json",
    "[1,2]",
    "[]::int[]",
    "[null,1]",
    "['a','b,c','d e','','NULL','null','it''s','\"q\"','\\b',' lead','trail ',null,'{y','a:b','a=b','(z','1;2']",
    "[[1],[],null]",
    "{'a':1,'b':'x y'}",
    "{'a b':1,'it''s':'x','d\"':null}",
    "row(1,'x')",
    "row('a,b')",
    "map{'a':1,'b c':2,'d,e':null}",
    "map{}",
    "map{1:[1]}",
    "map{date '2020-01-01':{'x':true}}",
    "[1,2]::int[2]",
    "[[1,2],null]::int[2][]",
    "union_value(a:=1)",
    "union_value(s:='x, y')",
    "[union_value(k:='a,b')]",
    "'a b'::enum('a b','c')",
    "[{'a':'x,y','b':[1.5]}]",
    "[date '2020-01-01']",
    "[timestamp '2020-01-01 10:00:00']",
    "[1.0::double]",
    "[1.50::decimal(4,2)]",
    "[true,false,null]",
    "['x\"'::blob]",
    "[interval '1 day', interval '10:00:00']",
    "['{\"a\": 1}'::json]",
    "['c'::enum('a b','c')]",
    "[uuid '4ac7a9e9-607c-4c8a-84f3-843f0191e3fd']",
    "[1::hugeint]",
    "map{'-5'::bignum: '6'::bignum}",
    "['10:00:00+01'::timetz]",
    "['101'::bit]",
    "{'k':{'j':'a,b'}}",
    "['2020-01-01'::timestamp_ns]",
];

#[test]
fn every_type_is_written_as_copy_writes_it() {
    let connection = Connection::open_in_memory().unwrap();
    for value in ODD {
        let sql = format!("select {value} as \"x,y\", null as n, 'end' as e");
        let check = |format, options: &str| {
            let ours = String::from_utf8(encoded_on(&connection, &sql, format, Layout::default()))
                .unwrap();
            assert_same(
                &ours,
                &copied_on(&connection, &sql, options),
                &format!("{format:?} of {value}"),
            );
        };
        check(Format::Csv, "FORMAT csv");
        check(Format::Ndjson, "FORMAT json");
        check(Format::Json, "FORMAT json, ARRAY true");
    }
}

#[test]
fn many_rows_with_nulls_are_written_as_copy_writes_them() {
    let sql = "select i, if(i % 7 = 0, null, i * 0.1) as price, if(i % 5 = 0, null, 'n' || i) as name, \
               make_timestamp_ns(1723075200000000000 + i * 977777777) as ts, i % 3 = 0 as flag, \
               sqrt(i) as root, sqrt(i)::float as short, (i * 1.5)::decimal(18, 4) as exact, [i, null] as list, \
               if(i % 2 = 0, 'even', null)::enum('even', 'odd') as kind \
               from range(10000) t(i)";
    same(sql, Format::Csv, "FORMAT csv");
    same(sql, Format::Ndjson, "FORMAT json");
}

#[test]
fn doubles_and_floats_of_all_sizes_are_written_as_copy_writes_them() {
    // No setseed: with several threads it does not give the same numbers twice.
    let sql = "select x, (x * 1000)::float as f, x::float::double as g, round(x, 3) as r from \
               (select (hash(i) % 1000000007 / 1e9 - 0.5) * 10 ** ((hash(i + 7) % 60)::int - 30) as x \
               from range(20000) t(i))";
    same(sql, Format::Csv, "FORMAT csv");
    same(sql, Format::Ndjson, "FORMAT json");
}

#[test]
fn json_has_no_nan() {
    let sql = "select 'nan'::double as a, 'inf'::float as b, ['-inf'::double] as c";
    assert_eq!(
        encoded(sql, Format::Ndjson, Layout::default()),
        "{\"a\":null,\"b\":null,\"c\":[null]}\n"
    );
}

#[test]
fn a_column_of_which_only_the_encoding_is_known_is_refused() {
    let connection = Connection::open_in_memory().unwrap();
    for (value, kind) in [
        ("'POINT (1 2)'::geometry", "GEOMETRY"),
        ("{'at': 'POINT (1 2)'::geometry}", "STRUCT(AT GEOMETRY)"),
    ] {
        for format in [Format::Table, Format::Csv, Format::Json, Format::Insert] {
            let sql = format!("select 1 as one, {value} as odd");
            let error = try_encoded_on(&connection, &sql, format, Layout::default()).unwrap_err();
            let says = format!(
                "column \"odd\" is of type {kind}, which cannot be written; cast it, for example to VARCHAR"
            );
            assert_eq!(error.to_string(), says, "{format:?}");
        }
    }
}

#[test]
fn an_empty_result_is_written_as_copy_writes_it() {
    let sql = "select 1 as a, 'x' as b where false";
    same(sql, Format::Csv, "FORMAT csv");
    same(sql, Format::Ndjson, "FORMAT json");
    same(sql, Format::Json, "FORMAT json, ARRAY true");
}

#[test]
fn columns_of_one_name_are_told_apart() {
    let sql = "select 1 a, 2 a, 3 \"A\", 4 a_1";
    same(sql, Format::Csv, "FORMAT csv");
    same(sql, Format::Ndjson, "FORMAT json");
    for format in [Format::Arrow, Format::Parquet] {
        assert!(!encoded_bytes(sql, format, Layout::default()).is_empty());
    }
}

/// What comes back from a binary file.
fn read(sql: &str, format: Format) -> Vec<RecordBatch> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&encoded_bytes(
        sql,
        format,
        Layout {
            file: true,
            ..Layout::default()
        },
    ))
    .unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    if format == Format::Parquet {
        let reader =
            parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 1000).unwrap();
        reader.map(Result::unwrap).collect()
    } else {
        let reader = arrow::ipc::reader::FileReader::try_new(file, None).unwrap();
        reader.map(Result::unwrap).collect()
    }
}

/// The same, as CSV.
fn read_back(sql: &str, format: Format) -> String {
    let batches = read(sql, format);
    let schema = batches[0].schema();
    let mut out = Vec::new();
    encode(
        Format::Csv,
        Layout::default(),
        &schema,
        batches.into_iter().map(Ok::<_, Error>),
        &mut out,
    )
    .unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn binary_files_give_back_what_was_written() {
    let sql = "select i as a, i * 0.1::double as a, 'n' || i as name, [i, null] as list, true as flag, \
               make_timestamp_ns(1723075200000000000 + i) as ts, 'x'::enum('x', 'y') as kind, \
               170141183460469231731687303715884105::hugeint as huge, {'k': date '2020-01-01'} as s, \
               uuid '4ac7a9e9-607c-4c8a-84f3-843f0191e3fd' as id from range(200000) t(i)";
    let csv = encoded(sql, Format::Csv, Layout::default());
    assert_eq!(read_back(sql, Format::Arrow), csv);
    assert_eq!(read_back(sql, Format::Parquet), csv);
}

/// Types that Arrow lacks, or Parquet, alone and inside of others, and what they become in an Arrow file.
const LACKING: &[(&str, &str)] = &[
    ("true", "boolean"),
    ("'{\"a\": [1, \"x\"]}'::json", "varchar"),
    ("uuid '4ac7a9e9-607c-4c8a-84f3-843f0191e3fd'", "varchar"),
    (
        "(-99999999999999999999999999999999999999)::hugeint",
        "decimal(38,0)",
    ),
    (
        "340282366920938463463374607431768211455::uhugeint",
        "varchar",
    ),
    ("'10:00:00.25-05:30'::timetz", "varchar"),
    ("'0000000011'::bit", "varchar"),
    (
        "'-12345678901234567890123456789012345678901234567890'::bignum",
        "varchar",
    ),
    ("'1969-12-31 23:59:59'::timestamp_s", "timestamp_s"),
    ("'-infinity'::timestamp_s", "timestamp_s"),
    ("[true, null]", "boolean[]"),
    ("['2020-01-01 10:00:00'::timestamp_s]", "timestamp_s[]"),
    ("['101'::bit, null]::bit[2]", "varchar[2]"),
    (
        "{'id': uuid '4ac7a9e9-607c-4c8a-84f3-843f0191e3fd', 'n': [1::uhugeint]}",
        "struct(id varchar, n varchar[])",
    ),
    ("map{true: '-5'::bignum}", "map(boolean, varchar)"),
];

#[test]
fn types_that_arrow_lacks_keep_their_values_in_binary_files() {
    for (value, kind) in LACKING {
        let sql = format!("select if(i = 1, null, {value}) as x from range(3) t(i)");
        let csv = encoded(&sql, Format::Csv, Layout::default());
        for (format, kind) in [
            (Format::Arrow, (*kind).to_owned()),
            (Format::Parquet, kind.replace("timestamp_s", "timestamp_ms")),
        ] {
            assert_eq!(read_back(&sql, format), csv, "{format:?} of {value}");
            let schema = read(&sql, format)[0].schema();
            assert_eq!(type_name(schema.field(0)), kind, "{format:?} of {value}");
            assert!(schema.field(0).extension_type_name().is_none(), "{value}");
        }
    }
    let sql = "select union_value(yes := true) as x";
    assert_eq!(read_back(sql, Format::Arrow), "x\ntrue\n");
    let schema = read(sql, Format::Arrow)[0].schema();
    assert_eq!(type_name(schema.field(0)), "union(yes boolean)");
}

#[test]
fn a_number_of_more_digits_than_a_decimal_has_is_named() {
    let connection = Connection::open_in_memory().unwrap();
    for value in ["BIG", "[BIG]", "{'a': BIG}"] {
        let value = value.replace("BIG", "170141183460469231731687303715884105727::hugeint");
        for format in [Format::Arrow, Format::Parquet] {
            let sql = format!("select 1 as one, {value} as big");
            let error = try_encoded_on(&connection, &sql, format, Layout::default()).unwrap_err();
            assert_eq!(
                error.to_string(),
                "column \"big\": 170141183460469231731687303715884105727 has more than the 38 digits that a number has in \
                 Arrow and Parquet; cast the column to VARCHAR"
            );
        }
    }
}

#[test]
fn a_fraction_of_json_has_a_digit_before_its_point() {
    let sql = "select 0.5::decimal(38, 38) as a, (-0.25)::decimal(38, 38) as b";
    assert_eq!(
        encoded(sql, Format::Ndjson, Layout::default()),
        format!("{{\"a\":0.{:0<38},\"b\":-0.{:0<38}}}\n", "5", "25")
    );
}

#[test]
fn a_column_that_parquet_lacks_is_named() {
    let connection = Connection::open_in_memory().unwrap();
    for (value, says) in [
        (
            "interval '1 day'",
            "INTERVAL, which cannot be written; cast it to VARCHAR, or write its seconds: epoch(…)",
        ),
        (
            "{'a': [interval '1 day']}",
            "STRUCT(A INTERVAL[]), which cannot be written; cast it, for example to VARCHAR",
        ),
        (
            "[union_value(num := 1)]",
            "UNION(NUM INTEGER)[], which cannot be written; cast it, for example to VARCHAR",
        ),
        (
            "map {'a': union_value(num := 1)}",
            "MAP(VARCHAR, UNION(NUM INTEGER)), which cannot be written; cast it, for example to VARCHAR",
        ),
    ] {
        let sql = format!("select 1 as one, {value} as gap");
        let mut statement = connection.prepare(&sql).unwrap();
        drop(statement.stream_arrow([]).unwrap());
        let none = std::iter::empty::<Result<RecordBatch, Error>>();
        let error = encode(
            Format::Parquet,
            Layout::default(),
            &statement.schema(),
            none,
            &mut Vec::new(),
        )
        .unwrap_err();
        let named = format!("column \"gap\" is of type {says}");
        assert_eq!(error.to_string(), named);
    }
}

const TRADES: &str = "select i as id, 'BTCUSDT' as symbol, 61685.99 + i / 100 as price, \
                      if(i % 2 = 0, 'buy', null) as side, make_timestamp_ns(1723075200000000000 + i * 1000000) as ts \
                      from range(ROWS) t(i)";

fn terminal(width: usize, rows: usize) -> Layout {
    Layout {
        width: Some(width),
        rows: Some(rows),
        ..Layout::default()
    }
}

#[test]
fn a_table_shows_types_nulls_and_numbers_at_the_right() {
    insta::assert_snapshot!(encoded(
        &TRADES.replace("ROWS", "3"),
        Format::Table,
        terminal(100, 10)
    ));
}

#[test]
fn no_format_lets_a_value_paint_on_a_terminal() {
    use clap::ValueEnum as _;
    let sql = "SELECT chr(27) || '[31mred' || chr(155) || '0m' || chr(13) AS \"a\u{1b}]0;title\u{7}\", 1 AS i \
               UNION ALL SELECT chr(27) || '[32mgreen', 2";
    let texts = Format::value_variants().iter().filter(|f| !f.is_binary());
    for &format in texts {
        let shown = encoded(sql, format, terminal(200, 10));
        let moves = |c: char| c.is_control() && c != '\n' && c != '\t';
        assert!(!shown.contains(moves), "{}: {shown:?}", format.name());
        assert!(shown.contains("31mred"), "{}: {shown:?}", format.name());
    }
    let piped = encoded(sql, Format::Csv, Layout::default());
    assert!(piped.contains("\u{1b}[31mred\u{9b}0m\r"), "{piped:?}");
}

#[test]
fn a_long_table_shows_its_ends() {
    insta::assert_snapshot!(encoded(
        &TRADES.replace("ROWS", "12345"),
        Format::Table,
        terminal(100, 6)
    ));
}

#[test]
fn points_stand_below_each_other_on_a_terminal() {
    let sql = "select * from (values (-0.57::double, 'nan'::float, 1e-9::double, 1.50::decimal(9, 2)), \
               (-0.585, 1.25, 0.5, 20), (null, 100, null, null), (12, null, 3, 0)) \
               t(double, float, exponent, decimal)";
    insta::assert_snapshot!(encoded(sql, Format::Table, terminal(100, 10)));
    let piped = encoded(sql, Format::Table, Layout::default());
    assert!(
        piped.contains(" -0.57 ") && piped.contains(" 100.0 "),
        "{piped}"
    );
}

#[test]
fn a_large_count_is_told_in_short_on_a_terminal() {
    let shows = |sql: &str, layout: Layout, cell: &str| {
        let text = encoded(sql, Format::Table, layout);
        assert!(text.contains(&format!("│ {cell} │")), "{text}");
    };
    let on_terminal = |sql: &str, cell: &str| shows(sql, terminal(80, 10), cell);
    on_terminal("select 244000000 as c", "244000000 (244 M)");
    on_terminal("select 1250000::hugeint as c", "1250000 (1.2 M)");
    on_terminal("select 999999 as c", " 999999");
    on_terminal("select 244000000 as c, 1 as d", "244000000 │       1");
    on_terminal("select '244000000' as c", "244000000");
    on_terminal("from (values (244000000), (1)) t(c)", "244000000");
    shows("select 244000000 as c", Layout::default(), "244000000");
}

#[test]
fn head_and_tail_are_right_for_every_number_of_rows() {
    for rows in [
        0, 1, 5, 6, 7, 8, 11, 12, 13, 2047, 2048, 2049, 2051, 4096, 5000,
    ] {
        let sql = format!("select i from range({rows}) t(i)");
        let text = encoded(&sql, Format::Table, terminal(80, 6));
        let shown: Vec<usize> = text
            .lines()
            .filter_map(|line| line.trim_matches(['│', ' ']).parse().ok())
            .collect();
        let expected: Vec<usize> = if rows <= 6 {
            (0..rows).collect()
        } else {
            (0..3).chain(rows - 3..rows).collect()
        };
        assert_eq!(shown, expected, "{rows} rows");
        let gap = format!("… {} rows", table::grouped(rows.saturating_sub(6)));
        assert_eq!(text.contains(&gap), rows > 6, "{rows} rows:\n{text}");
    }
}

#[test]
fn a_wide_table_leaves_whole_columns_out_and_names_them() {
    insta::assert_snapshot!(encoded(
        &TRADES.replace("ROWS", "2"),
        Format::Table,
        terminal(50, 10)
    ));
}

#[test]
fn a_footer_names_as_many_columns_as_fit_into_its_line() {
    use unicode_width::UnicodeWidthStr;
    let columns: Vec<String> = (0..60).map(|i| format!("{i} as column_{i}")).collect();
    let sql = format!("select {}", columns.join(", "));
    let footer = |width| {
        let text = encoded(&sql, Format::Table, terminal(width, 10));
        text.lines().last().unwrap().to_owned()
    };
    assert_eq!(
        footer(80),
        "1 row; 53 of 60 columns not shown: column_7, column_8, column_9, … and 50 more"
    );
    assert_eq!(footer(40), "1 row; 57 of 60 columns not shown");
    for width in 12..140 {
        assert!(footer(width).width() <= width, "{}", footer(width));
    }
}

#[test]
fn the_count_of_rows_left_out_is_as_wide_as_the_table_in_colours_too() {
    use unicode_width::UnicodeWidthStr;
    let sql = "select null as a, i, null as b from range(20) t(i)";
    let layout = Layout {
        color: true,
        ..terminal(80, 6)
    };
    let text = encoded(sql, Format::Table, layout);
    assert!(text.contains('\u{1b}'), "{text}");
    let width_of = |start: &str| {
        text.lines()
            .find(|line| line.starts_with(start))
            .unwrap()
            .width()
    };
    assert_eq!(width_of("│ … 14 rows"), width_of("┌"), "{text}");
}

#[test]
fn a_table_never_exceeds_the_terminal() {
    use unicode_width::UnicodeWidthStr;
    let sql = "select repeat('日本', 50) as wide, 'e' || chr(27) || '[31m' as codes, 'two' || chr(10) || 'lines' as l, \
               repeat('x', 300) as long, 1 as one";
    for width in 12..140 {
        let text = encoded(sql, Format::Table, terminal(width, 10));
        for line in text.lines() {
            assert!(line.width() <= width, "{} > {width}: {line}", line.width());
        }
        assert!(!text.contains('\u{1b}'));
    }
}

#[test]
fn a_piped_table_is_whole() {
    let sql = "select i, repeat('x', i // 100) as x from range(10000) t(i)";
    let text = encoded(sql, Format::Table, Layout::default());
    assert_eq!(text.lines().count(), 10_000 + 5);
    let last = text.lines().nth(10_003).unwrap();
    assert!(
        last.contains("9999") && last.contains(&"x".repeat(99)),
        "{last}"
    );
    assert!(!text.contains('…') && !text.contains('\u{1b}'));
    insta::assert_snapshot!(encoded(
        "select 1 as a, null as b, 'x|y' as c",
        Format::Table,
        Layout::default()
    ));
}

#[test]
fn markdown_and_lines() {
    let sql = "select 1 as id, 'a|b' as name, null as nothing, 'two' || chr(10) || 'lines' as text from range(2)";
    insta::assert_snapshot!(encoded(sql, Format::Markdown, Layout::default()));
    insta::assert_snapshot!(encoded(sql, Format::Line, Layout::default()));
}

#[test]
fn a_plan_is_shown_as_it_is_drawn() {
    let text = encoded("explain select 42", Format::Table, terminal(80, 10));
    assert!(
        text.contains("│") && !text.contains("\\n") && !text.contains("explain_value"),
        "{text}"
    );
}

#[test]
fn a_reader_that_goes_away_is_told_from_other_failures() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let connection = Connection::open_in_memory().unwrap();
    for format in <Format as clap::ValueEnum>::value_variants() {
        let mut statement = connection
            .prepare("select i from range(300000) t(i)")
            .unwrap();
        let batches: Vec<_> = statement
            .stream_arrow([])
            .unwrap()
            .map(|batch| Ok(batch.unwrap()))
            .collect();
        let error = encode::<Error>(
            *format,
            Layout::default(),
            &statement.schema(),
            batches,
            &mut Closed,
        )
        .unwrap_err();
        assert!(error.is_broken_pipe(), "{format:?}: {error:?}");
    }
}

#[test]
fn a_file_name_asks_for_its_format() {
    for (path, format) in [
        ("a.csv", Some(Format::Csv)),
        ("x/B.PARQUET", Some(Format::Parquet)),
        ("a.txt", None),
        ("csv", None),
    ] {
        assert_eq!(Format::of_path(Path::new(path)), format, "{path}");
        assert!(!Format::is_unclear(Path::new(path)), "{path}");
    }
    for path in ["a.csv.gz", "a.weird", "x/a.parquet.zst"] {
        assert!(Format::is_unclear(Path::new(path)), "{path}");
    }
}

#[test]
fn tabs_part_columns_as_copy_writes_them() {
    let sql = "select 1 as id, 'a\tb' as tabbed, 'a,b' as comma, null as nothing, '' as empty, 'q\"' as quote";
    same(sql, Format::Tsv, "FORMAT csv, HEADER, DELIMITER '\t'");
}

#[test]
fn inserts_make_the_rows_again() {
    let sql = "select 1 as id, 'it''s' as name, 0.1::double as price, 'nan'::double as none, null as nothing, \
               make_timestamp_ns(1723161253937085768) as ts, date '2024-08-08' as day, [1, 2] as list, true as yes, \
               12.50::decimal(9, 2) as \"odd name\" from range(3)";
    let text = encoded(sql, Format::Insert, Layout::default());
    assert!(
        text.starts_with("INSERT INTO result (\"id\", \"name\", "),
        "{text}"
    );
    assert!(text.contains("(1, 'it''s', 0.1, 'nan', NULL, '2024-08-08 23:54:13.937085768', '2024-08-08', '[1, 2]', true, 12.50)"), "{text}");
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(&format!(
            "create table result as select * from ({sql}) limit 0; {text}"
        ))
        .unwrap();
    let differ: i64 = connection
        .query_row(
            &format!("select count(*) from (from result except all ({sql}))"),
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(differ, 0);
}

#[test]
fn inserts_make_odd_values_again() {
    let sql = "select u, 'a' || chr(0) || 'b' as t, ['x' || chr(0)] as l, '-0.0'::double as d, '-0.0'::float as f from (values \
               (union_value(\"a b\" := 'it''s')::union(\"a b\" varchar, n tinyint, since date)), (union_value(n := 5::tinyint)), \
               (union_value(since := date '2024-08-08')), (null)) v(u)";
    let text = encoded(sql, Format::Insert, Layout::default());
    for part in [
        "(union_value(\"a b\" := 'it''s'), 'a' || chr(0) || 'b', '[x' || chr(0) || ']', '-0.0', '-0.0');",
        "(union_value(\"n\" := 5), ",
        "(union_value(\"since\" := '2024-08-08'), ",
        "(NULL, ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(&format!(
            "create table result as select * from ({sql}) limit 0; {text}"
        ))
        .unwrap();
    let all = "select union_tag(u), u::varchar, t, l, d::varchar, f::varchar";
    let differ: i64 = connection
        .query_row(
            &format!("select count(*) from ({all} from result except all {all} from ({sql}))"),
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(differ, 0);
}

#[test]
fn markup_is_escaped() {
    let sql = "select 1 as id, 'a<b> & \"c\"' as \"x_y\", null as nothing";
    assert_eq!(
        encoded(sql, Format::Html, Layout::default()),
        "<table>\n<thead>\n<tr><th>id</th><th>x_y</th><th>nothing</th></tr>\n</thead>\n<tbody>\n\
         <tr><td align=\"right\">1</td><td>a&lt;b&gt; &amp; &quot;c&quot;</td><td></td></tr>\n</tbody>\n</table>\n"
    );
    assert_eq!(
        encoded(
            "select 1 as a_b, '50% \\ {x}' as t",
            Format::Latex,
            Layout::default()
        ),
        "\\begin{tabular}{rl}\n\\hline\na\\_b & t \\\\\n\\hline\n1 & 50\\% \\textbackslash{} \\{x\\} \\\\\n\\hline\n\\end{tabular}\n"
    );
}

#[test]
fn a_box_is_never_cut() {
    let sql = "select i, repeat('x', 200) as x from range(100) t(i)";
    let text = encoded(sql, Format::Box, terminal(40, 5));
    assert_eq!(text.matches(&"x".repeat(200)).count(), 100);
}
