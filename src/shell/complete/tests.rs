//! Cursor positions, and what is expected first there.

use std::collections::BTreeMap;

use super::catalog::Function;
use super::*;

fn list(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

fn catalog() -> Catalog {
    let function = |parameters: &str, table, own| Function {
        table,
        own,
        parameters: list(parameters),
    };
    let relations = [
        (
            "bars",
            "seq venue symbol ts recv_ts interval open high low close volume",
        ),
        (
            "quotes",
            "seq venue symbol ts recv_ts bid_price bid_size ask_price ask_size update_id",
        ),
        (
            "trades",
            "seq venue symbol ts recv_ts trade_id price size side conditions",
        ),
        (
            "trades_reported",
            "seq venue symbol ts recv_ts trade_id price size side",
        ),
        ("instruments", "venue symbol tick_size lot_size"),
        (
            "hot.trades",
            "seq venue symbol ts recv_ts trade_id price size side conditions",
        ),
        ("hot.quotes", "seq venue symbol ts bid_price ask_price"),
        ("hot.bars", "seq venue symbol interval"),
        ("ops.manifest", "table_name date path rows"),
        ("Odd Name", "Price Level select"),
        ("other.t", "gamma beta"),
    ];
    let functions = [
        ("ohlcv", function("sym bucket from to", true, true)),
        ("book_at", function("sym t levels", true, true)),
        ("bucket_start", function("ts bucket", false, true)),
        ("read_csv", function("path header delim", true, false)),
        ("read_parquet", function("path union_by_name", true, false)),
        ("range", function("stop", true, false)),
        ("sum", function("arg", false, false)),
        ("sqrt", function("x", false, false)),
        ("strftime", function("data format", false, false)),
        ("hour", function("ts", false, false)),
        ("arg_max", function("arg val", false, false)),
        ("count", function("arg", false, false)),
        ("count_if", function("arg", false, false)),
        (
            "time_bucket",
            function("bucket_width timestamp", false, false),
        ),
        ("date_trunc", function("part timestamp", false, false)),
        ("xor", function("left right", false, false)),
        ("from_epoch", function("value", false, true)),
    ];
    let reserved = "all and as asc case desc distinct from group having in join limit not null on or order qualify select union using where with";
    let words =
        "begin columns extract fetch interval lateral over partition sample tablesample values";
    let mut catalog = Catalog {
        relations: relations
            .iter()
            .map(|(name, columns)| ((*name).to_owned(), list(columns)))
            .collect(),
        temporary: BTreeMap::from([("_".to_owned(), list("mid spread"))]),
        functions: functions
            .into_iter()
            .map(|(name, function)| (name.to_owned(), function))
            .collect(),
        keywords: list(reserved)
            .into_iter()
            .map(|word| (word, true))
            .chain(list(words).into_iter().map(|word| (word, false)))
            .collect(),
        settings: list("default_order memory_limit threads"),
        types: list("bigint double integer timestamp timestamp_ns varchar"),
        parameters: list("day sym"),
        saved: list("morning spreads"),
        ..Catalog::default()
    };
    let shared = |column: &str| ValuesOf {
        relation: None,
        column: column.to_owned(),
    };
    let symbols: Vec<String> = list("BTCUSDT BTCUSD BTC-PERP ETHUSDT ETHBTC SOLUSDT");
    catalog.learn_values(shared("symbol"), symbols);
    catalog.learn_values(shared("venue"), list("first_spot first_usdm zeta"));
    catalog.learn_values(shared("interval"), list("1m 1d 1w"));
    catalog.learn_values(
        ValuesOf {
            relation: Some("trades".to_owned()),
            column: "side".to_owned(),
        },
        list("buy sell"),
    );
    catalog.learn_columns(
        "ohlcv('BTCUSDT', '1 minute')".to_owned(),
        list("venue symbol ts open high low close vwap"),
    );
    catalog.learn_columns("'a.csv'".to_owned(), list("when what"));
    catalog
}

fn files(prefix: &str) -> Vec<String> {
    let all = ["a.csv", "archive/", "trades.parquet"];
    let fits = all.iter().filter(|name| name.starts_with(prefix));
    fits.map(|name| (*name).to_owned()).collect()
}

fn completion(text: &str) -> (String, usize, Completion) {
    let cursor = text.find('¦').expect("a cursor");
    let text = text.replace('¦', "");
    let catalog = catalog();
    let names = Names {
        catalog: &catalog,
        files: &files,
    };
    let completion = complete(&text, cursor, &names);
    (text, cursor, completion)
}

/// What may stand at the `¦`, as it would stand in the line.
fn at(text: &str) -> Vec<String> {
    let (_, _, completion) = completion(text);
    completion
        .candidates
        .into_iter()
        .map(|candidate| candidate.text)
        .collect()
}

/// A cursor and the first candidates there, `|` between them; nothing for no candidate at all.
const POSITIONS: [(&str, &str); 168] = [
    // The beginning of a statement.
    ("¦", "select|from|with"),
    ("sel¦", "select"),
    ("SEL¦", "SELECT"),
    ("select 1; fr¦", "from"),
    ("slect¦", "select"),
    ("ins¦", "insert into"),
    ("expl¦", "explain|explain analyze"),
    ("explain sel¦", "select"),
    ("ex¦", "explain|explain analyze|export database|exit"),
    ("create t¦", "table|temp table|type"),
    ("with x as (sel¦", "select"),
    ("create table t as sel¦", "select"),
    // Tables.
    ("from ¦", "_|Odd Name|bars|instruments|quotes"),
    ("select * from tr¦", "trades|trades_reported"),
    ("from trades¦", "trades|trades_reported"),
    ("from quotes¦", ""),
    ("from QUOTES¦", ""),
    ("select 1; from q¦", "quotes"),
    ("from trades join qu¦", "quotes"),
    ("from trades t, qu¦", "quotes"),
    ("from trades asof join q¦", "quotes"),
    ("select * from (select * from tr¦", "trades|trades_reported"),
    ("select * from (tr¦", "trades|trades_reported"),
    ("select * from ops.¦", "manifest"),
    ("from hot.t¦", "trades"),
    ("from OPS.m¦", "manifest"),
    ("select * from main.¦", "Odd Name|bars"),
    ("from Main.tr¦", "trades|trades_reported"),
    ("from main.oh¦", "ohlcv("),
    ("from main.quotes where ask¦", "ask_price"),
    ("from main.quotes q where q.ask_p¦", "ask_price"),
    ("from other.¦", "t"),
    ("describe tra¦", "trades|trades_reported"),
    ("summarize q¦", "quotes"),
    ("insert into q¦", "quotes"),
    ("update tra¦", "trades|trades_reported"),
    ("delete from q¦", "quotes"),
    ("drop table q¦", "quotes"),
    ("from oh¦", "ohlcv("),
    ("from ohlv¦", "ohlcv("),
    ("from read_c¦", "read_csv("),
    ("from trdaes¦", "trades"),
    ("from \"Od¦", "\"Odd Name\""),
    ("from Od¦", "\"Odd Name\""),
    ("from _¦", ""),
    // Queries that WITH names: never made another word.
    ("with x as (select 1 as a) select * from x¦", ""),
    ("with x as (select 1 as a) select * from ¦", "x|_"),
    (
        "with big as (from trades) select * from b¦",
        "big|bars|book_at(",
    ),
    (
        "with x as (select price, size * 2 as twice from trades) select x.¦ from x",
        "price|twice",
    ),
    (
        "with x as (select price, size * 2 as twice from trades) select tw¦ from x",
        "twice",
    ),
    ("with x(one, two) as (select 1, 2) select o¦ from x", "one"),
    ("with x as (from trades), y as (select pr¦ from x)", "price"),
    (
        "with x as (select 1 as a), y as (select 2 as b) select y.¦ from y",
        "b",
    ),
    (
        "with recursive r as (select 1 as n union all select n¦ from r",
        "n",
    ),
    (
        "with recursive r as (select 1 as num union all select nu¦ from r",
        "num",
    ),
    // Columns of the tables in scope.
    ("from trades where symb¦", "symbol"),
    ("from trades where symbol¦", ""),
    ("from trades where pr¦", "price"),
    ("select pr¦ from trades", "price"),
    ("select bi¦, 1 from quotes q", "bid_price|bid_size"),
    ("select * from trades t where t.¦", "seq|venue|symbol|ts"),
    ("select * from trades t where t.pr¦", "price"),
    (
        "select q.a¦ from trades as t, quotes as q",
        "ask_price|ask_size",
    ),
    ("from quotes; from trades where si¦", "size|side"),
    ("select\n  trades.p¦\nfrom trades", "price"),
    (
        "select t.price, q.bid¦ from trades t asof join quotes q using (symbol, ts)",
        "bid_price|bid_size",
    ),
    (
        "select * from trades t join quotes q on t.symbol = q.sy¦",
        "symbol",
    ),
    ("select * from trades t join quotes q using (sy¦", "symbol"),
    ("select * from trades t join quotes q using (pri¦", ""),
    ("select * from trades order by pri¦", "price"),
    ("select venue, sum(si¦ from trades", "size|side"),
    ("select sum(price * si¦) from trades", "size|side"),
    ("select price * 2 as dear from trades order by de¦", "dear"),
    ("from trades select pr¦", "price"),
    ("from hot.quotes where ask¦", "ask_price"),
    (
        "select manifest.¦ from ops.manifest",
        "table_name|date|path",
    ),
    (
        "select * from (select price as p2 from trades) s where s.¦",
        "p2",
    ),
    (
        "select * from (select price as p2 from trades) s where p¦",
        "p2",
    ),
    (
        "select * from trades t where exists (from quotes q where q.symbol = t.sy¦",
        "symbol",
    ),
    (
        "select * from trades where price > (select max(bid¦) from quotes)",
        "bid_price|bid_size",
    ),
    ("select * exclude (pri¦) from trades", "price"),
    ("insert into quotes (bid¦", "bid_price|bid_size"),
    ("update trades set pr¦", "price"),
    ("delete from quotes where up¦", "update_id"),
    ("select bdp¦ from quotes", "bid_price"),
    ("select symobl¦ from trades", "symbol"),
    ("select sym¦bol from trades", "sym"),
    ("select low¦ from ohlcv('BTCUSDT', '1 minute')", ""),
    ("from ohlcv('BTCUSDT', '1 minute') where vw¦", "vwap"),
    (
        "from ohlcv('BTCUSDT', '1 minute') o where o.¦",
        "venue|symbol|ts|open",
    ),
    ("from 'a.csv' where wh¦", "when|what"),
    ("from \"Odd Name\" where Pr¦", "\"Price\""),
    ("select \"Pri¦ from \"Odd Name\"", "\"Price\""),
    ("from \"Odd Name\" where \"Pri¦", "\"Price\""),
    ("from \"Odd Name\" where sel¦", "\"select\""),
    ("from _ where spr¦", "spread"),
    (
        "from (values (1, 2)) v(left_one, right_one) where le¦",
        "left_one",
    ),
    // What follows.
    ("select price f¦", "from|filter"),
    ("from trades wh¦", "where"),
    ("FROM trades WH¦", "WHERE"),
    ("select * from trades t w¦", "where|window"),
    ("from trades where price > 1 gr¦", "group by"),
    ("from trades group by symbol o¦", "order by"),
    ("from trades order by ts d¦", "desc"),
    ("from trades order ¦", "by"),
    ("select * ¦", "from|as"),
    // Functions.
    ("select sq¦", "sqrt("),
    ("from trades select arg¦", "arg_max("),
    ("select count¦", "count|count_if("),
    ("select buc¦(ts, '1 minute') from trades", "bucket_start"),
    ("select ho¦", "hour("),
    ("select extract(ho¦ from ts)", "hour"),
    ("from ohlcv('BTCUSDT', buck¦", "bucket := "),
    ("from ohlcv('BTCUSDT', '1 minute', fr¦", "\"from\" := "),
    ("select cast(price as doub¦", "double"),
    ("select price::dou¦", "double"),
    ("set mem¦", "memory_limit"),
    ("select * from trades where ts > $d¦", "day"),
    // Values.
    (
        "from trades where symbol = 'BT¦",
        "'BTCUSDT'|'BTCUSD'|'BTC-PERP'",
    ),
    (
        "from trades where symbol = 'ETHU¦' and price > 1",
        "'ETHUSDT",
    ),
    ("from trades where symbol = BTCUSD¦", "BTCUSD|'BTCUSDT'"),
    (
        "from trades t where t.symbol in ('BTCUSDT', 'ETHU¦",
        "'ETHUSDT'",
    ),
    ("from trades where venue = 'ze¦", "'zeta'"),
    ("from bars where interval = '¦", "'1m'|'1d'|'1w'"),
    ("from trades where side = 'b¦", "'buy'"),
    ("from ohlcv('ETHU¦", "'ETHUSDT'"),
    ("from ohlcv('BTCUSDT', '5¦", "'5 minutes'"),
    ("select ts - interval '1 h¦", "'1 hour'"),
    ("from trades where symbol ilike 'sol¦", "'SOLUSDT'"),
    // Files.
    ("from 'tr¦", "'trades.parquet'"),
    ("from 'ar¦", "'archive/"),
    ("from read_csv('a.¦", "'a.csv'"),
    ("copy trades to 'tr¦", "'trades.parquet'"),
    // Where there is nothing to say.
    ("select 'fro¦", ""),
    ("select 1 /* fro¦", ""),
    ("select 1 -- fro¦", ""),
    ("select $$fro¦", ""),
    ("select price as pri¦ from trades", ""),
    // Commands.
    (".ti¦", ".timer"),
    (".mode c¦", "csv"),
    (".timer ¦", "on|off"),
    (".schema tr¦", "trades|trades_reported"),
    (".quit ¦", ""),
    (".help oh¦", "ohlcv"),
    (".tabels¦", ".tables"),
    (".describe tr¦", "trades|trades_reported"),
    (".watch 1s from tr¦", "trades|trades_reported"),
    (".watch from trades where symb¦", "symbol"),
    (
        ".plot candles from ohlcv('BTCUSDT', '1 minute') where clo¦",
        "close",
    ),
    (".tail trades BTCU¦", "BTCUSDT|BTCUSD"),
    (".book ETHU¦", "ETHUSDT"),
    (".candles ETHU¦", "ETHUSDT"),
    (".symbol ETHU¦", "ETHUSDT"),
    (".range le¦", "left"),
    (".keys v¦", "vi"),
    (".color l¦", "light"),
    (".plot tr¦", "trades|trades_reported"),
    (".plot hea¦", "heat"),
    (".lineage tr¦", "trades|trades_reported"),
    (".export a.csv tr¦", "trades|trades_reported"),
    (".export a.csv from trades where symb¦", "symbol"),
    (".explain from trades where symb¦", "symbol"),
    (".import tr¦", "trades.parquet"),
    (".copy mark¦", "markdown"),
    (".param set d¦", "day"),
    (".run mo¦", "morning"),
    (".read tr¦", "trades.parquet"),
    (".save s select symb¦", "symbol"),
];

#[test]
fn the_first_candidates_at_every_position_are_the_expected_ones() {
    let mut wrong = Vec::new();
    for (text, expected) in POSITIONS {
        let expected: Vec<&str> = expected
            .split('|')
            .filter(|text| !text.is_empty())
            .collect();
        let found = at(text);
        let first: Vec<&str> = found
            .iter()
            .map(String::as_str)
            .take(expected.len().max(1))
            .collect();
        let unquoted: Vec<&str> = if expected.iter().any(|text| text.starts_with(['"', '\''])) {
            first.clone()
        } else {
            first.iter().map(|text| text.trim_matches('"')).collect()
        };
        if first != expected && unquoted != expected {
            wrong.push(format!(
                "{text}\n  expected {expected:?}\n  found    {found:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        POSITIONS.len(),
        wrong.join("\n")
    );
}

#[test]
fn a_word_that_is_whole_is_left_as_it_was_written() {
    for text in [
        "with x as (select 1) select * from x¦",
        "select * from trades t where t.price¦",
        "select PRICE¦ from trades",
        "from trades where symbol = 'BTCUSDT'¦",
        "from trades t¦",
        "select count¦ from trades",
        "select extract(hour¦",
    ] {
        let (text, cursor, completion) = completion(text);
        let word = &text[completion.start..cursor];
        for candidate in &completion.candidates {
            assert!(candidate.text.starts_with(word), "{text}: {candidate:?}");
        }
    }
}

#[test]
fn what_is_not_known_yet_is_asked_for() {
    let (_, _, call) = completion("from ohlcv('ETHUSDT', '1 hour') where ¦");
    assert_eq!(call.describe, ["ohlcv('ETHUSDT', '1 hour')"]);
    let (_, _, values) = completion("from quotes where update_id = '¦");
    let of = values.values.expect("a column");
    assert_eq!(
        (of.relation.as_deref(), of.column.as_str()),
        (Some("quotes"), "update_id")
    );
    let (_, _, symbols) = completion("from trades where symbol = '¦");
    assert_eq!(symbols.values.map(|of| of.relation), Some(None));
}

#[test]
fn ten_thousand_symbols_are_searched_in_a_moment() {
    let mut catalog = catalog();
    let of = ValuesOf {
        relation: None,
        column: "symbol".to_owned(),
    };
    catalog.learn_values(of, (0..10_000).map(|i| format!("SYM{i}USDT")).collect());
    let names = Names {
        catalog: &catalog,
        files: &files,
    };
    for typed in ["SYM99", "S9DT", "SYN12", "nothing"] {
        let text = format!("from trades where symbol = '{typed}");
        let start = std::time::Instant::now();
        let found = complete(&text, text.len(), &names).candidates.len();
        let elapsed = start.elapsed();
        assert!(
            elapsed.as_millis() < 50,
            "{typed}: {found} candidates in {elapsed:?}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn any_text_and_cursor_give_an_answer(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "select", " ", "\n", ";", "'", "\"", "from", "trades", "t", ".", "where", "(", ")", "with", "x", " as ", "in",
            "--", "/*", "*/", "$$", "$", "[", "]", "é", "=", ",", "join", ":", "*", "ohlcv(", "union", ".mode", "insert into ",
        ]), 0..30),
        cursor in 0_usize..200,
    ) {
        let text = parts.concat();
        let cursor = text.floor_char_boundary(cursor);
        let catalog = catalog();
        let names = Names { catalog: &catalog, files: &files };
        let completion = complete(&text, cursor.min(text.len()), &names);
        proptest::prop_assert!(completion.start <= cursor && text.is_char_boundary(completion.start));
    }
}
