//! What vendors' files say comes out as canonical rows: each time to the nanosecond, each number as it stands in the
//! file (issue 4, item 3). Lines are those of the vendors' documentation and of files they publish.

use std::fs;

use serde_json::Value;

use crate::bulk::{empty, load, zipped};
use crate::harness::{Db, join_lines, read_lines, real, recorded};

/// A file of one vendor and what it comes to.
struct Case {
    /// Beside the dialect.
    flags: &'static [&'static str],
    /// The archive that holds it.
    archive: Option<&'static str>,
    file: &'static str,
    lines: &'static [&'static str],
    table: &'static str,
    /// All columns but `seq`, with bars between them.
    rows: &'static [&'static str],
}

const fn case(
    file: &'static str,
    lines: &'static [&'static str],
    table: &'static str,
    rows: &'static [&'static str],
) -> Case {
    Case {
        flags: &[],
        archive: None,
        file,
        lines,
        table,
        rows,
    }
}

/// All rows of a table in the order they were loaded in, without `seq`.
fn rows(db: &Db, table: &str) -> Vec<String> {
    let rows = db.sql(&format!("SELECT * FROM {table} ORDER BY seq"));
    rows.into_iter().map(|row| row[1..].join("|")).collect()
}

/// Loads the files one after the other into one database: its tables hold what they come to, and nothing else.
fn check(dialect: &str, cases: &[Case]) {
    let db = empty();
    for case in cases {
        let mut bytes = join_lines(case.lines);
        if case.archive.is_some() {
            bytes = zipped(&[(case.file, &bytes[..])]);
        }
        let file = db.write(case.archive.unwrap_or(case.file), &bytes);
        let mut args = vec!["--as", dialect];
        args.extend(case.flags);
        load(&db, &file, &args).ok();
    }
    for table in ["trades", "quotes", "book_deltas", "bars"] {
        let of_table = cases.iter().filter(|case| case.table == table);
        let want: Vec<&str> = of_table
            .flat_map(|case| case.rows.iter().copied())
            .collect();
        assert_eq!(rows(&db, table), want, "{dialect}: {table}");
    }
    assert_eq!(db.count("SELECT count(*) FROM dead_letters"), 0);
}

const USD_M: Case = case(
    "BTCUSDT-trades-2024-05-31.csv",
    &[
        "id,price,qty,quote_qty,time,is_buyer_maker",
        "5053880937,68402.6,0.024,1641.6624,1717113600031,false",
    ],
    "trades",
    &[
        "binance_usdm|BTCUSDT|2024-05-31 00:00:00.031|2024-05-31 00:00:00.031|5053880937|68402.6|0.024|buy|",
    ],
);

const COIN_M: Case = case(
    "BTCUSD_PERP-trades-2026-08-31.csv",
    &[
        "id,price,qty,base_qty,time,is_buyer_maker",
        "1151022504,78526.1,83.0,0.10569734,1788220802731,true",
    ],
    "trades",
    &[
        "binance_coinm|BTCUSD_PERP|2026-09-01 00:00:02.731|2026-09-01 00:00:02.731|1151022504|78526.1|83.0|sell|",
    ],
);

const BINANCE_VISION: [Case; 8] = [
    case(
        "BNBUSDT-trades-2020-03-08.csv",
        &["51175358,17.80180000,5.69000000,101.29224200,1583709433583,True,True"],
        "trades",
        &[
            "binance_spot|BNBUSDT|2020-03-08 23:17:13.583|2020-03-08 23:17:13.583|51175358|17.8018|5.69|sell|",
        ],
    ),
    // Microseconds since 2025.
    case(
        "BTCUSDT-trades-2025-01-01.csv",
        &["4359,93000.01000000,0.00011,10,1735689600010866,False,True"],
        "trades",
        &[
            "binance_spot|BTCUSDT|2025-01-01 00:00:00.010866|2025-01-01 00:00:00.010866|4359|93000.01|0.00011|buy|",
        ],
    ),
    USD_M,
    case(
        "ETHBTC-aggTrades-2017-06-30.csv",
        &["26129,0.01633102,4.70443515,27781,27781,1498793709153,true,true"],
        "trades",
        &[
            "binance_spot|ETHBTC|2017-06-30 03:35:09.153|2017-06-30 03:35:09.153|a26129|0.01633102|4.70443515|sell|[aggregate]",
        ],
    ),
    case(
        "AAVEUSDT-1m-2020-10-01.csv",
        &[
            "1601510340000,4.15070000,4.15870000,4.15060000,4.15540000,539.23000000,1601510399999,2240.39860900,13,401.82000000,1669.98121300,0",
        ],
        "bars",
        &[
            "binance_spot|AAVEUSDT|2020-09-30 23:59:00|2020-09-30 23:59:00|1m|4.1507|4.1587|4.1506|4.1554||539.23|2240.398609|13|||true",
        ],
    ),
    // What the file calls the quote volume is in base currency.
    case(
        "BTCUSD_200626-1m-2020-06-04.csv",
        &[
            "1591258320000,9640.7,9642.4,9640.6,9642.0,206,1591258379999,2.13660389,48,119,1.23424865,0",
        ],
        "bars",
        &[
            "binance_coinm|BTCUSD_200626|2020-06-04 08:12:00|2020-06-04 08:12:00|1m|9640.7|9642.4|9640.6|9642.0||206.0||48|||true",
        ],
    ),
    // The name tells nothing any more, and so the user does.
    Case {
        flags: &["--symbol", "AAVEUSDT", "--set", "interval=5m"],
        ..case(
            "renamed.csv",
            &[
                "1601510400000,4.15540000,4.16000000,4.15000000,4.15500000,10.00000000,1601510699999,41.55000000,2,5.00000000,20.77500000,0",
            ],
            "bars",
            &[
                "binance_spot|AAVEUSDT|2020-10-01 00:00:00|2020-10-01 00:00:00|5m|4.1554|4.16|4.15|4.155||10.0|41.55|2|||true",
            ],
        )
    },
    case(
        "BTCUSDT-bookTicker-2023-05-16.csv",
        &[
            "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time",
            "1,27077.3,19.35,27077.4,8.6,1684237787209,1684237787214",
            // No bid, and no ask.
            "2,0,0,27077.4,8.6,1684237787212,1684237787214",
            "3,27077.3,19.35,0.00,0.000,1684237787211,1684237787214",
        ],
        "quotes",
        &[
            "binance_usdm|BTCUSDT|2023-05-16 11:49:47.209|2023-05-16 11:49:47.209|27077.3|19.35|27077.4|8.6|1",
            "binance_usdm|BTCUSDT|2023-05-16 11:49:47.212|2023-05-16 11:49:47.212|||27077.4|8.6|2",
            "binance_usdm|BTCUSDT|2023-05-16 11:49:47.211|2023-05-16 11:49:47.211|27077.3|19.35|||3",
        ],
    ),
];

#[test]
fn binance_vision_is_read_with_and_without_a_header_in_ms_and_us() {
    check("binance_vision", &BINANCE_VISION);
    check("binance_vision", &[COIN_M]);
}

/// A price that cannot be read is not no bid.
#[test]
fn a_quote_of_binance_vision_that_cannot_be_read_is_a_dead_letter() {
    let db = empty();
    let lines = [
        "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time",
        "1,27077.3,19.35,27077.4,8.6,1684237787209,1684237787214",
        "2,x,19.35,27077.4,8.6,1684237787210,1684237787214",
        "3,27077.3,19.35,27077.4,,1684237787211,1684237787214",
    ];
    let file = db.write("BTCUSDT-bookTicker-2023-05-16.csv", &join_lines(lines));
    load(&db, &file, &["--as", "binance_vision"]).ok();
    assert_eq!(db.sql("SELECT update_id FROM quotes"), [["1"]]);
    assert_eq!(
        db.sql("SELECT line, reason FROM dead_letters ORDER BY line"),
        [
            ["3", "'bid_price' is out of range"],
            ["4", "'ask_size' is out of range"],
        ]
    );
}

/// The futures' files call one column `quote_qty` or `base_qty`: that is no change of the vendor's.
#[test]
fn files_of_markets_that_name_a_column_otherwise_go_into_one_database() {
    check("binance_vision", &[USD_M, COIN_M]);
}

const TARDIS: [Case; 5] = [
    case(
        "binance_trades_2024-02-29_BTCUSDT.csv",
        &[
            "exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
            "binance,BTCUSDT,1709251199998000,1709251200001123,3445374963,sell,61130.98,0.00145",
        ],
        "trades",
        &[
            "binance_spot|BTCUSDT|2024-02-29 23:59:59.998|2024-03-01 00:00:00.001123|3445374963|61130.98|0.00145|sell|",
        ],
    ),
    // What is said wins over what the file says.
    Case {
        flags: &["--venue", "mine", "--symbol", "XBT"],
        ..case(
            "binance_trades_2024-03-01_BTCUSDT.csv",
            &[
                "exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
                "binance,BTCUSDT,1709251200000000,1709251200001124,3445374964,unknown,61130.99,1",
            ],
            "trades",
            &[
                "mine|XBT|2024-03-01 00:00:00|2024-03-01 00:00:00.001124|3445374964|61130.99|1.0|unknown|",
            ],
        )
    },
    case(
        "huobi_quotes_2020-05-01_BTC-USD.csv",
        &[
            "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount",
            "huobi,BTC-USD,1588291201099000,1588291201234268,5000,8629.3,8629.1,800",
        ],
        "quotes",
        &[
            "huobi|BTC-USD|2020-05-01 00:00:01.099|2020-05-01 00:00:01.234268|8629.1|800.0|8629.3|5000.0|6505640760255564802",
        ],
    ),
    case(
        "binance-futures_incremental_book_L2_2022-01-01_BTCUSDT.csv",
        &[
            "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount",
            "binance-futures,BTCUSDT,1640995200000000,1640995200100000,true,ask,50000.0,1.0",
        ],
        "book_deltas",
        &[
            "binance_usdm|BTCUSDT|2022-01-01 00:00:00|2022-01-01 00:00:00.1||1640995200100000||true|ask|50000.0|1.0|",
        ],
    ),
    // Levels that are not there are empty.
    case(
        "binance-futures_book_snapshot_5_2020-09-01_BTCUSDT.csv",
        &[
            "exchange,symbol,timestamp,local_timestamp,\
             asks[0].price,asks[0].amount,bids[0].price,bids[0].amount,\
             asks[1].price,asks[1].amount,bids[1].price,bids[1].amount,\
             asks[2].price,asks[2].amount,bids[2].price,bids[2].amount,\
             asks[3].price,asks[3].amount,bids[3].price,bids[3].amount,\
             asks[4].price,asks[4].amount,bids[4].price,bids[4].amount",
            "binance-futures,BTCUSDT,1598918403696000,1598918403810979,\
             11657.08,10,11657.07,10.896,11657.1,20,11656.97,0.2,,,,,,,,,,,,",
        ],
        "book_deltas",
        &[
            "binance_usdm|BTCUSDT|2020-09-01 00:00:03.696|2020-09-01 00:00:03.810979||1598918403810979||true|bid|11657.07|10.896|",
            "binance_usdm|BTCUSDT|2020-09-01 00:00:03.696|2020-09-01 00:00:03.810979||1598918403810979||true|bid|11656.97|0.2|",
            "binance_usdm|BTCUSDT|2020-09-01 00:00:03.696|2020-09-01 00:00:03.810979||1598918403810979||true|ask|11657.08|10.0|",
            "binance_usdm|BTCUSDT|2020-09-01 00:00:03.696|2020-09-01 00:00:03.810979||1598918403810979||true|ask|11657.1|20.0|",
        ],
    ),
];

#[test]
fn tardis_files_keep_both_clocks_and_get_the_venue_folders_names() {
    check("tardis", &TARDIS);
}

const LEAN: [Case; 5] = [
    // One of them is flagged as suspicious.
    Case {
        archive: Some("20131008_trade.zip"),
        ..case(
            "20131008_bac_Trade_Tick.csv",
            &[
                "14400009.367,1374500,100,D,1,0",
                "34200000,1680000,5,P,80000020,1",
            ],
            "trades",
            &[
                "usa|BAC|2013-10-08 08:00:00.009367|2013-10-08 08:00:00.009367||137.45|100.0|unknown|[1]",
                "usa|BAC|2013-10-08 13:30:00|2013-10-08 13:30:00||168.0|5.0|unknown|[80000020, suspicious]",
            ],
        )
    },
    // In December New York is five hours behind.
    case(
        "20131208_bac_Quote_Tick.csv",
        &["14400009.367,1374500,100,0,0,D,1,0"],
        "quotes",
        &["usa|BAC|2013-12-08 09:00:00.009367|2013-12-08 09:00:00.009367|137.45|100.0|||"],
    ),
    case(
        "20140605_aapl_minute_trade.csv",
        &["15300000,6448000,6448000,6448000,6448000,90"],
        "bars",
        &[
            "usa|AAPL|2014-06-05 08:15:00|2014-06-05 08:15:00|1m|644.8|644.8|644.8|644.8||90.0|||||true",
        ],
    ),
    case(
        "spy.csv",
        &["19980102 00:00,973000,975300,965300,973100,2150000"],
        "bars",
        &[
            "usa|SPY|1998-01-02 05:00:00|1998-01-02 05:00:00|1d|97.3|97.53|96.53|97.31||2150000.0|||||true",
        ],
    ),
    Case {
        flags: &["--venue", "coinbase"],
        ..case(
            "20180101_btcusd_tick_trade.csv",
            &["86400,232.40,93.1"],
            "trades",
            &["coinbase|BTCUSD|2018-01-01 00:01:26.4|2018-01-01 00:01:26.4||232.4|93.1|unknown|"],
        )
    },
];

#[test]
fn lean_files_are_read_by_new_yorks_clock_and_in_ten_thousandths() {
    check("lean", &LEAN);
}

#[test]
fn databentos_records_come_out_as_they_were_sent() {
    let file = |schema: &str| recorded(&format!("databento/test_data.{schema}.v3.dbn.zst"));
    let [Some(trades), Some(quotes), Some(bars)] = ["trades", "mbp-1", "ohlcv-1m"].map(file) else {
        return;
    };
    let db = empty();
    for file in [trades, quotes, bars] {
        load(&db, &file, &["--as", "databento"]).ok();
    }
    for (table, first) in [
        (
            "trades",
            "GLBX.MDP3|ESH1|2020-12-28 13:00:00.098821953|2020-12-28 13:00:00.099150057|1:1170380:98821953:3720250000000:5|3720.25|5.0|sell|",
        ),
        (
            "quotes",
            "GLBX.MDP3|ESH1|2020-12-28 13:00:00.006001487|2020-12-28 13:00:00.006136329|3720.25|24.0|3720.5|11.0|",
        ),
        (
            "bars",
            "GLBX.MDP3|ESH1|2020-12-28 13:00:00|2020-12-28 13:00:00|1m|372025.0|372150.0|372025.0|372100.0||353.0|||||true",
        ),
    ] {
        let rows = rows(&db, table);
        assert_eq!(rows.len(), 2, "{table}: {rows:?}");
        assert_eq!(rows[0], first, "{table}");
    }
}

#[test]
fn alpha_vantages_weeks_begin_on_monday_by_new_yorks_clock() {
    check(
        "alpha_vantage",
        &[case(
            "weekly_adjusted_IBM.csv",
            &[
                "timestamp,open,high,low,close,adjusted close,volume,dividend amount",
                "2022-08-05,130.7500,132.8620,130.5100,132.4800,130.8129,17400572,0.0000",
            ],
            "bars",
            &[
                "alpha_vantage|IBM|2022-08-01 04:00:00|2022-08-01 04:00:00|1w|130.75|132.862|130.51|132.48|130.8129|17400572.0||||0.0|",
            ],
        )],
    );
}

#[test]
fn alpha_vantages_newest_bar_may_still_be_running() {
    let Some(file) = recorded("alpha_vantage/time_series_intraday_msft.json") else {
        return;
    };
    let db = empty();
    load(&db, &file, &["--as", "alpha_vantage"]).ok();
    let rows = rows(&db, "bars");
    assert_eq!(rows.len(), 100);
    assert_eq!(
        rows[0],
        "alpha_vantage|MSFT|2017-12-18 19:56:00|2017-12-18 19:56:00|1m|86.49|86.5|86.475|86.5||10494.0|||||"
    );
    assert_eq!(
        rows[1],
        "alpha_vantage|MSFT|2017-12-18 19:55:00|2017-12-18 19:55:00|1m|86.49|86.5|86.4801|86.5||12682.0|||||true"
    );
}

/// A recorded session of Binance, and what its recorder counted.
struct Recorded {
    file: &'static str,
    venue: &'static str,
    symbol: &'static str,
    trades: u64,
    sum_size: f64,
    sum_notional: f64,
}

const RECORDED: [Recorded; 2] = [
    Recorded {
        file: "spot_btcusdt_20240808.gz",
        venue: "binance_spot",
        symbol: "BTCUSDT",
        trades: 9_757,
        sum_size: 212.033_15,
        sum_notional: 13_084_074.112_388_6,
    },
    Recorded {
        file: "usdm_ethusdt_20240808.gz",
        venue: "binance_usdm",
        symbol: "ETHUSDT",
        trades: 14_076,
        sum_size: 9_164.948,
        sum_notional: 24_574_856.514_2,
    },
];

/// The trades of recorded messages as data.binance.vision has them: of spot without a header line, and with one column
/// more.
fn as_vision(lines: &[String], is_spot: bool) -> Vec<u8> {
    let mut text = Vec::new();
    if !is_spot {
        text.push("id,price,qty,quote_qty,time,is_buyer_maker".to_owned());
    }
    for line in lines {
        let (_, json) = line.split_once(' ').unwrap();
        if !json.contains("\"e\":\"trade\"") {
            continue;
        }
        let message: Value = serde_json::from_str(json).unwrap();
        let trade = &message["data"];
        let text_of = |field: &str| trade[field].as_str().unwrap().to_owned();
        let (price, size) = (text_of("p"), text_of("q"));
        let quote = price.parse::<f64>().unwrap() * size.parse::<f64>().unwrap();
        let maker = trade["m"].as_bool().unwrap();
        let flags = match (is_spot, maker) {
            (true, true) => "True,True",
            (true, false) => "False,True",
            (false, true) => "true",
            (false, false) => "false",
        };
        text.push(format!(
            "{},{price},{size},{quote:.8},{},{flags}",
            trade["t"], trade["T"]
        ));
    }
    join_lines(text)
}

/// Rows and checksum of the trades, without what only one who received them has.
fn trades(db: &Db) -> Vec<String> {
    db.row("SELECT count(*), sum(hash(t)) FROM (SELECT * EXCLUDE (seq, recv_ts) FROM trades) t")
}

#[test]
fn a_vendors_file_of_what_was_captured_is_the_same_trades_and_adds_none() {
    for session in &RECORDED {
        let Some(capture) = real(session.file) else {
            continue;
        };
        let Recorded { venue, symbol, .. } = *session;
        let what = session.file;
        let captured = empty();
        captured.load(venue, symbol, [&capture]).ok();
        let want = trades(&captured);

        let vendor = empty();
        let bytes = as_vision(&read_lines(&capture), venue == "binance_spot");
        let file = vendor.write(&format!("{symbol}-trades-2024-08-08.csv"), &bytes);
        let dialect = ["--as", "binance_vision"];
        load(&vendor, &file, &dialect).ok();
        assert_eq!(trades(&vendor), want, "{what}");
        let figures = vendor.row("SELECT count(*), sum(size), sum(price * size) FROM trades");
        assert_eq!(figures[0], session.trades.to_string(), "{what}");
        for (got, want) in [
            (&figures[1], session.sum_size),
            (&figures[2], session.sum_notional),
        ] {
            let got: f64 = got.parse().unwrap();
            assert!(
                (got - want).abs() <= 1e-9 * want,
                "{what}: {got}, not {want}"
            );
        }

        // Whichever way they come first, they are there once.
        let run = load(&captured, &file, &dialect).ok();
        assert!(run.stdout.contains(": 0 rows into trades"), "{run}");
        assert!(run.stdout.contains("known"), "{run}");
        vendor.load(venue, symbol, [&capture]).ok();
        for db in [&captured, &vendor] {
            assert_eq!(trades(db), want, "{what}");
            db.assert_sound();
        }
    }
}

/// Puts a file of a dialect `acme` into the database's own sql/.
fn write_acme(db: &Db, sql: &str) {
    let folder = db.dir().join("sql/files/acme");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("trades.sql"), sql).unwrap();
}

/// The example of sql/files/README.md, taken from there.
#[test]
fn a_folder_of_sql_is_a_dialect_of_ones_own() {
    let readme = include_str!("../../sql/files/README.md");
    let example = readme.split("```sql\n").nth(1).unwrap();
    let db = empty();
    write_acme(&db, example.split("```").next().unwrap());
    let lines = [
        "time,deal,direction,price,lots,status",
        "1704067200,d1,B,1.10415,2.5,",
        "1704067201.25,d2,S,1.10416,1,X",
        "1704067202.5,d3,S,1.10417,0.1,ok",
        "1704067203,d4,?,1.10418,1,",
    ];
    let file = db.write("trades_EURUSD_2024.csv", &join_lines(lines));
    load(&db, &file, &["--as", "acme"]).ok();
    assert_eq!(
        rows(&db, "trades"),
        [
            "acme|EURUSD|2024-01-01 00:00:00|2024-01-01 00:00:00|d1|1.10415|250000.0|buy|",
            "acme|EURUSD|2024-01-01 00:00:02.5|2024-01-01 00:00:02.5|d3|1.10417|10000.0|sell|",
            "acme|EURUSD|2024-01-01 00:00:03|2024-01-01 00:00:03|d4|1.10418|100000.0|unknown|",
        ]
    );
    assert_eq!(db.count("SELECT count(*) FROM dead_letters"), 0);
}

#[test]
fn a_mistake_in_a_dialect_of_ones_own_is_told_with_its_file_and_line() {
    let db = empty();
    let file = db.write("ticks.csv", &join_lines(["time,what", "1704067200,A"]));
    let columns = "-- Trades of Acme.\n-- @columns time, what\nSELECT file_row, 'acme' AS venue,\n";
    let rest = "from_epoch(time) AS ts, 1 AS price, 2 AS size FROM file\n";
    write_acme(&db, &format!("{columns}       wat AS symbol, {rest}"));
    load(&db, &file, &["--as", "acme"]).fails_naming(&["acme/trades.sql:4:", "wat"]);
    write_acme(
        &db,
        &format!("{columns}       what AS symbol, 3 AS prise, {rest}"),
    );
    load(&db, &file, &["--as", "acme"]).fails_naming(&["acme/trades.sql", "prise"]);
    // A dialect that there is not, and one that knows no such file.
    load(&db, &file, &["--as", "acne"]).fails_naming(&["ticks.csv", "acne", "acme", "lean"]);
    load(&db, &file, &["--as", "tardis"]).fails_naming(&[
        "ticks.csv",
        "time, what",
        "local_timestamp",
    ]);
    assert_eq!(db.count("SELECT count(*) FROM trades"), 0);
    assert!(db.lake().is_empty());
}
