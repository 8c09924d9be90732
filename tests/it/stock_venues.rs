//! Stock venues: the documented frames, word for word, come to exactly these rows; what REST tells of the same trades
//! and quotes is known then. (issue 3, item 1)

use std::path::Path;

use crate::harness::{Db, join_lines};

/// Loads frames of a venue, a second apart, and returns the database.
fn captured(venue: &str, symbol: &str, frames: &[&str]) -> Db {
    let db = Db::new();
    load(&db, "frames.txt", venue, symbol, frames);
    db
}

/// 2023-11-14 22:13:20 UTC.
const RECEIVED_NS: u64 = 1_700_000_000_000_000_000;

fn load(db: &Db, name: &str, venue: &str, symbol: &str, frames: &[&str]) {
    let lines = (0_u64..)
        .zip(frames)
        .map(|(n, frame)| format!("{} {frame}", RECEIVED_NS + n * 1_000_000_000));
    let file = db.write(name, &join_lines(lines));
    db.load(venue, symbol, [file]).ok();
}

/// A body as the client library's own tests hold it, on one line; `None` (said on stderr) where it is absent.
fn real_body(name: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/real/massive")
        .join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is absent", path.display());
        return None;
    };
    Some(text.lines().map(str::trim).collect())
}

fn rows<const N: usize>(expected: &[[&str; N]]) -> Vec<Vec<String>> {
    let owned = |row: &[&str; N]| row.iter().map(|&text| text.to_owned()).collect();
    expected.iter().map(owned).collect()
}

const TRADES: &str = "SELECT seq, symbol, epoch_ns(ts), trade_id, price, size, side, array_to_string(conditions, ' ') \
                      FROM trades ORDER BY ALL";
const QUOTES: &str = "SELECT seq, symbol, epoch_ns(ts), bid_price, bid_size, ask_price, ask_size, update_id \
                      FROM quotes ORDER BY ALL";
const BARS: &str = "SELECT seq, symbol, epoch_ns(ts), \"interval\", open, high, low, close, volume, trades, vwap, is_final \
                    FROM bars ORDER BY ALL";
const DEAD: &str = "SELECT seq, target, reason FROM dead_letters ORDER BY ALL";

fn assert_no_dead_letters(db: &Db) {
    assert_eq!(db.sql(DEAD), rows::<3>(&[]));
}

/// Neither sealing nor a rebuild changes a row.
pub(crate) fn assert_kept(db: &Db) {
    let before = db.checksums();
    for step in [&["seal", "--all"][..], &["rebuild"], &["seal", "--all"]] {
        db.run(step.iter().copied()).ok();
        assert_eq!(db.checksums(), before, "{step:?}");
    }
    db.assert_sound();
}

#[test]
fn massive_stocks_frames_become_exactly_these_rows() {
    let db = captured(
        "massive_stocks",
        "",
        &[
            r#"[{"ev":"status","status":"connected","message":"Connected Successfully"}]"#,
            r#"[{"ev":"status","status":"auth_success","message":"authenticated"}]"#,
            r#"[{"ev":"status","status":"success","message":"subscribed to: T.MSFT"},{"ev":"status","status":"success","message":"subscribed to: Q.MSFT"}]"#,
            r#"[{"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"s":100,"c":[0,12],"t":1536036818784,"q":3681328},{"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"ax":7,"ap":114.128,"as":160,"c":0,"i":[604],"t":1536036818784,"q":50385480,"z":3}]"#,
            r#"[{"ev":"T","sym":"MSFT","x":4,"i":"71675","z":3,"p":114.1,"s":0,"ds":"0.25","t":1771869600000,"q":9,"trfi":201,"trft":1771869599000}]"#,
            r#"[{"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"ax":0,"ap":0,"as":0,"t":1771869600001,"q":10,"z":3}]"#,
            r#"[{"ev":"AM","sym":"GTE","v":4110,"av":9470157,"op":0.4372,"vw":0.4488,"o":0.4488,"c":0.4486,"h":0.4489,"l":0.4486,"a":0.4352,"z":685,"s":1610144640000,"e":1610144700000}]"#,
            r#"[{"ev":"A","sym":"SPCE","v":200,"dv":"200.5","av":8642007,"op":25.66,"vw":25.3981,"o":25.39,"c":25.39,"h":25.39,"l":25.39,"a":25.3714,"z":50,"s":1610144868000,"e":1610144869000}]"#,
        ],
    );
    assert_eq!(
        db.sql(TRADES),
        rows(&[
            [
                "4",
                "MSFT",
                "1536036818784000000",
                "4:12345",
                "114.125",
                "100.0",
                "unknown",
                "0 12"
            ],
            [
                "5",
                "MSFT",
                "1771869600000000000",
                "4:201:71675",
                "114.1",
                "0.25",
                "unknown",
                ""
            ],
        ])
    );
    // Round lots until November 2025, shares from then on; a price of 0 is no offer.
    assert_eq!(
        db.sql(QUOTES),
        rows(&[
            [
                "4",
                "MSFT",
                "1536036818784000000",
                "114.125",
                "10000.0",
                "114.128",
                "16000.0",
                "50385480"
            ],
            [
                "6",
                "MSFT",
                "1771869600001000000",
                "114.125",
                "100.0",
                "",
                "",
                "10"
            ],
        ])
    );
    assert_eq!(
        db.sql(BARS),
        rows(&[
            [
                "7",
                "GTE",
                "1610144640000000000",
                "1m",
                "0.4488",
                "0.4489",
                "0.4486",
                "0.4486",
                "4110.0",
                "",
                "0.4488",
                "true"
            ],
            [
                "8",
                "SPCE",
                "1610144868000000000",
                "1s",
                "25.39",
                "25.39",
                "25.39",
                "25.39",
                "200.5",
                "",
                "25.3981",
                "true"
            ],
        ])
    );
    assert_no_dead_letters(&db);
    assert_kept(&db);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of bodies")]
fn massive_rest_bodies_are_read() {
    let names = [
        "v3_trades_AAPL_limit_2.json",
        "v3_quotes_AAPL.json",
        "v2_aggs_ticker_AAPL_range_1_day_2005-04-01_2005-04-04.json",
    ];
    let Some(bodies) = names.map(real_body).into_iter().collect::<Option<Vec<_>>>() else {
        return;
    };
    // The library asked for bars that are adjusted for splits.
    let [trades, quotes, adjusted] = &bodies[..] else {
        panic!("{bodies:?}")
    };
    let as_traded = adjusted.replace(r#""adjusted": true"#, r#""adjusted": false"#);
    let db = captured(
        "massive_stocks",
        "AAPL",
        &[trades, quotes, &as_traded, adjusted],
    );
    // `correction` 1: corrected data under the old id, which is void with it.
    assert_eq!(
        db.sql(TRADES),
        rows(&[
            [
                "1",
                "AAPL",
                "1651181822461979400",
                "11:3:183276:c",
                "156.43",
                "10.0",
                "unknown",
                "12 37 corrected"
            ],
            [
                "1",
                "AAPL",
                "1651181822461979400",
                "12:3:183276:c",
                "157.43",
                "10.0",
                "unknown",
                "12 37 corrected"
            ],
        ])
    );
    assert_eq!(
        db.sql("SELECT trade_id, kind, reason, price, new_trade_id, new_price FROM trade_corrections ORDER BY ALL"),
        rows(&[
            ["11:3:183276", "correct", "1", "", "11:3:183276:c", "156.43"],
            ["12:3:183276", "correct", "1", "", "12:3:183276:c", "157.43"],
        ])
    );
    let quotes = db.sql(QUOTES);
    assert_eq!(quotes.len(), 10);
    assert_eq!(
        quotes[9],
        [
            "2",
            "AAPL",
            "1652191872800638700",
            "155.85",
            "400.0",
            "155.87",
            "300.0",
            "19288684"
        ]
    );
    assert_eq!(
        db.sql(BARS),
        rows(&[
            [
                "3",
                "AAPL",
                "1112331600000000000",
                "1d",
                "1.5032",
                "1.5064",
                "1.4489",
                "1.4604",
                "642646396.0",
                "82132",
                "1.469",
                "true"
            ],
            [
                "3",
                "AAPL",
                "1112587200000000000",
                "1d",
                "1.4639",
                "1.4754",
                "1.4343",
                "1.4675",
                "578172308.0",
                "65543",
                "1.4589",
                "true"
            ],
        ])
    );
    assert_eq!(
        db.sql(DEAD),
        rows(&[[
            "4",
            "",
            r#"its bars are adjusted for splits ("adjusted":true), not as traded: ask for them with adjusted=false"#
        ]])
    );
}

#[test]
fn massive_history_over_live_rows_adds_only_what_was_missed() {
    let db = captured(
        "massive_stocks",
        "",
        &[
            r#"[{"ev":"T","sym":"AAPL","x":4,"i":"7","p":156.43,"s":10,"c":[12],"t":1651181822461,"q":1,"trfi":202},{"ev":"Q","sym":"AAPL","bx":4,"bp":156,"bs":3,"ax":7,"ap":157,"as":4,"t":1651181822461,"q":5}]"#,
        ],
    );
    load(
        &db,
        "rest.txt",
        "massive_stocks",
        "AAPL",
        &[
            r#"{"results":[{"conditions":[12],"exchange":4,"id":"7","participant_timestamp":1651181822460000000,"price":156.43,"sequence_number":1,"sip_timestamp":1651181822461979400,"size":10,"tape":3,"trf_id":202},{"exchange":11,"id":"8","price":156.5,"sip_timestamp":1651181823461979400,"size":1,"decimal_size":"1.5"}],"status":"OK","request_id":"a"}"#,
            r#"{"results":[{"ask_price":157,"ask_size":4,"bid_price":156,"bid_size":3,"sequence_number":5,"sip_timestamp":1651181822461979400}],"status":"OK","request_id":"b"}"#,
            r#"{"results":[],"status":"OK","request_id":"c"}"#,
            r#"{"ticker":"AAPL","queryCount":0,"resultsCount":0,"adjusted":false,"status":"OK","request_id":"d"}"#,
        ],
    );
    assert_eq!(
        db.sql(TRADES),
        rows(&[
            [
                "1",
                "AAPL",
                "1651181822461000000",
                "4:202:7",
                "156.43",
                "10.0",
                "unknown",
                "12"
            ],
            [
                "2",
                "AAPL",
                "1651181823461979400",
                "11:8",
                "156.5",
                "1.5",
                "unknown",
                ""
            ],
        ])
    );
    assert_eq!(db.sql(QUOTES).len(), 1);
    assert_no_dead_letters(&db);
    assert_kept(&db);
}

#[test]
fn massive_options_frames_become_exactly_these_rows() {
    let db = captured(
        "massive_options",
        "O:AMC210827C00037000",
        &[
            r#"[{"ev":"T","sym":"O:AMC210827C00037000","x":65,"p":1.54,"s":1,"c":[233],"t":1629820676333,"q":651921857},{"ev":"T","sym":"O:AMC210827C00037000","x":65,"p":1.54,"s":1,"c":[201],"t":1629820676334,"q":651921858}]"#,
            r#"[{"ev":"Q","sym":"O:SPY241220P00720000","bx":302,"ax":302,"bp":9.71,"ap":9.81,"bs":17,"as":24,"t":1644506128351,"q":844090872}]"#,
            r#"[{"ev":"AM","sym":"O:ONEM220121C00025000","v":2,"av":8,"op":2.2,"vw":2.05,"o":2.05,"c":2.05,"h":2.05,"l":2.05,"a":2.1312,"z":2,"s":1632419640000,"e":1632419700000}]"#,
            r#"{"results":[{"conditions":[209],"exchange":46,"participant_timestamp":1401715883806000000,"price":6.91,"sip_timestamp":1401715883806000000,"size":1},{"exchange":46,"price":6.91,"sip_timestamp":1401715883806000000,"size":1}],"status":"OK","request_id":"a"}"#,
            r#"{"results":[{"ask_exchange":323,"ask_price":282,"ask_size":10,"bid_exchange":316,"bid_price":277.5,"bid_size":1,"sequence_number":789539218,"sip_timestamp":1645119125346243600}],"status":"OK","request_id":"b"}"#,
        ],
    );
    let contract = "O:AMC210827C00037000";
    // The report that calls a trade off (condition 201) is none itself.
    assert_eq!(
        db.sql(TRADES),
        rows(&[
            [
                "1",
                contract,
                "1629820676333000000",
                "q651921857",
                "1.54",
                "1.0",
                "unknown",
                "233"
            ],
            [
                "4",
                contract,
                "1401715883806000000",
                "46:1401715883806000000:6.91:1:0",
                "6.91",
                "1.0",
                "unknown",
                "209"
            ],
            [
                "4",
                contract,
                "1401715883806000000",
                "46:1401715883806000000:6.91:1:1",
                "6.91",
                "1.0",
                "unknown",
                ""
            ],
        ])
    );
    assert_eq!(db.count("SELECT count(*) FROM trades_reported"), 4);
    assert_eq!(
        db.sql(QUOTES),
        rows(&[
            [
                "2",
                "O:SPY241220P00720000",
                "1644506128351000000",
                "9.71",
                "17.0",
                "9.81",
                "24.0",
                "844090872"
            ],
            [
                "5",
                contract,
                "1645119125346243600",
                "277.5",
                "1.0",
                "282.0",
                "10.0",
                "789539218"
            ],
        ])
    );
    assert_eq!(
        db.sql(BARS),
        rows(&[[
            "3",
            "O:ONEM220121C00025000",
            "1632419640000000000",
            "1m",
            "2.05",
            "2.05",
            "2.05",
            "2.05",
            "2.0",
            "",
            "2.05",
            "true"
        ]])
    );
    assert_no_dead_letters(&db);
    assert_kept(&db);
}

#[test]
fn massive_crypto_frames_become_exactly_these_rows() {
    let frames = [
        r#"[{"ev":"XT","pair":"BTC-USD","p":33021.9,"t":1610462007425,"s":0.01616617,"c":[2],"i":14272084,"x":3,"r":1610462007576},{"ev":"XT","pair":"BTC-USD","p":33021.8,"t":1610462007426,"s":0.5,"c":[0],"i":"a-1","x":1,"r":1610462007577}]"#,
        r#"[{"ev":"XQ","pair":"BTC-USD","bp":33052.79,"bs":0.48,"ap":33073.19,"as":0.601,"t":1610462411115,"x":1,"r":1610462411128}]"#,
        r#"[{"ev":"XA","pair":"BCD-USD","v":951.6112,"vw":0.7756,"z":73,"o":0.772,"c":0.784,"h":0.784,"l":0.771,"s":1610463240000,"e":1610463300000}]"#,
    ];
    let db = captured("massive_crypto", "", &frames);
    let trades = [
        [
            "1",
            "BTC-USD",
            "1610462007425000000",
            "3:14272084",
            "33021.9",
            "0.01616617",
            "buy",
            "",
        ],
        [
            "1",
            "BTC-USD",
            "1610462007426000000",
            "1:a-1",
            "33021.8",
            "0.5",
            "unknown",
            "",
        ],
    ];
    assert_eq!(db.sql(TRADES), rows(&trades));
    let quotes = db.sql(QUOTES);
    assert_eq!(quotes.len(), 1);
    assert_eq!(
        quotes[0][..7],
        [
            "2",
            "BTC-USD",
            "1610462411115000000",
            "33052.79",
            "0.48",
            "33073.19",
            "0.601"
        ]
    );
    assert_eq!(
        db.sql(BARS),
        rows(&[[
            "3",
            "BCD-USD",
            "1610463240000000000",
            "1m",
            "0.772",
            "0.784",
            "0.771",
            "0.784",
            "951.6112",
            "",
            "0.7756",
            "true"
        ]])
    );

    // The same by REST, and a copy of the quote by another connection: nothing is new but the second trade.
    load(
        &db,
        "again.txt",
        "massive_crypto",
        "BTC-USD",
        &[
            frames[1],
            r#"{"results":[{"conditions":[2],"exchange":3,"id":"14272084","participant_timestamp":1610462007425000000,"price":33021.9,"size":0.01616617},{"conditions":[1],"exchange":1,"id":"191450340","participant_timestamp":1625097600103000000,"price":35060,"size":1.0434526}],"status":"OK","request_id":"a","next_url":"b"}"#,
        ],
    );
    assert_eq!(db.sql(QUOTES), quotes);
    assert_eq!(db.count("SELECT count(*) FROM trades"), 3);
    assert_eq!(
        db.row("SELECT symbol, trade_id, side FROM trades ORDER BY seq DESC LIMIT 1"),
        ["BTC-USD", "1:191450340", "sell"]
    );
    assert_no_dead_letters(&db);
    assert_kept(&db);
}

#[test]
fn alpaca_stocks_frames_become_exactly_these_rows() {
    let db = captured(
        "alpaca_stocks",
        "",
        &[
            r#"[{"T":"success","msg":"connected"}]"#,
            r#"[{"T":"success","msg":"authenticated"}]"#,
            r#"[{"T":"subscription","trades":["AAPL"],"quotes":["AMD","CLDR"],"bars":["*"],"updatedBars":[],"dailyBars":["VOO"],"statuses":["*"],"lulds":[],"corrections":["AAPL"],"cancelErrors":["AAPL"]}]"#,
            r#"[{"T":"t","i":96921,"S":"AAPL","x":"D","p":126.55,"s":1,"t":"2021-02-22T15:51:44.208Z","c":["@","I"],"z":"C"}]"#,
            r#"[{"T":"q","S":"AMD","bx":"U","bp":87.66,"bs":1,"ax":"Q","ap":87.68,"as":4,"t":"2021-02-22T15:51:45.335689322Z","c":["R"],"z":"C"}]"#,
            r#"[{"T":"b","S":"SPY","o":388.985,"h":389.13,"l":388.975,"c":389.12,"v":49378,"n":461,"vw":389.062639,"t":"2021-02-22T19:15:00Z"}]"#,
            r#"[{"T":"t","S":"AAPL","i":628,"x":"K","p":162.92,"s":3,"c":["@","F","T","I"],"z":"C","t":"2023-04-06T11:54:26.838232225Z"},{"T":"t","S":"AAPL","i":628,"x":"Z","p":162.92,"s":3,"c":["@","F","T","I"],"z":"C","t":"2023-04-06T11:54:26.838562809Z"}]"#,
            r#"[{"T":"u","S":"SPY","o":388.985,"h":389.2,"l":388.975,"c":389.12,"v":49379,"n":462,"vw":389.0626,"t":"2021-02-22T19:15:00Z"},{"T":"d","S":"SPY","o":388.985,"h":389.13,"l":388.975,"c":389.12,"v":749378,"t":"2021-02-16T05:00:00Z"}]"#,
        ],
    );
    let trades = [
        [
            "4",
            "AAPL",
            "1614009104208000000",
            "D:96921",
            "126.55",
            "1.0",
            "unknown",
            "@ I",
        ],
        [
            "7",
            "AAPL",
            "1680782066838232225",
            "K:628",
            "162.92",
            "3.0",
            "unknown",
            "@ F T I",
        ],
        [
            "7",
            "AAPL",
            "1680782066838562809",
            "Z:628",
            "162.92",
            "3.0",
            "unknown",
            "@ F T I",
        ],
    ];
    assert_eq!(db.sql(TRADES), rows(&trades));
    let quotes = db.sql(QUOTES);
    assert_eq!(quotes.len(), 1);
    assert_eq!(
        quotes[0][..7],
        [
            "5",
            "AMD",
            "1614009105335689322",
            "87.66",
            "100.0",
            "87.68",
            "400.0"
        ]
    );
    assert_eq!(
        db.sql(BARS),
        rows(&[
            [
                "8",
                "SPY",
                "1613451600000000000",
                "1d",
                "388.985",
                "389.13",
                "388.975",
                "389.12",
                "749378.0",
                "",
                "",
                "false"
            ],
            [
                "8",
                "SPY",
                "1614021300000000000",
                "1m",
                "388.985",
                "389.2",
                "388.975",
                "389.12",
                "49379.0",
                "462",
                "389.0626",
                "true"
            ],
        ])
    );

    assert_no_dead_letters(&db);
    assert_kept(&db);
}

#[test]
fn alpaca_history_of_what_was_received_live_is_known() {
    let db = captured(
        "alpaca_stocks",
        "",
        &[
            r#"[{"T":"t","i":96921,"S":"AAPL","x":"D","p":126.55,"s":1,"t":"2021-02-22T15:51:44.208Z","c":["@","I"],"z":"C"}]"#,
            r#"[{"T":"q","S":"AMD","bx":"U","bp":87.66,"bs":1,"ax":"Q","ap":87.68,"as":4,"t":"2021-02-22T15:51:45.335689322Z","c":["R"],"z":"C"}]"#,
            r#"[{"T":"t","S":"AAPL","i":628,"x":"K","p":162.92,"s":3,"c":["@","F","T","I"],"z":"C","t":"2023-04-06T11:54:26.838232225Z"},{"T":"t","S":"AAPL","i":628,"x":"Z","p":162.92,"s":3,"c":["@","F","T","I"],"z":"C","t":"2023-04-06T11:54:26.838562809Z"}]"#,
        ],
    );
    let live = (db.sql(TRADES), db.sql(QUOTES));
    assert_eq!((live.0.len(), live.1.len()), (3, 1));
    load(
        &db,
        "rest.txt",
        "alpaca_stocks",
        "AAPL",
        &[
            r#"{"next_page_token":null,"trades":{"AAPL":[{"c":["@","I"],"i":96921,"p":126.55,"s":1,"t":"2021-02-22T15:51:44.208Z","x":"D","z":"C"}]}}"#,
            r#"{"symbol":"AAPL","next_page_token":null,"trades":[{"c":["@","F","T","I"],"i":628,"p":162.92,"s":3,"t":"2023-04-06T11:54:26.838232225Z","x":"K","z":"C"}]}"#,
            r#"{"quotes":{"AMD":[{"ap":87.68,"as":4,"ax":"Q","bp":87.66,"bs":1,"bx":"U","c":["R"],"t":"2021-02-22T15:51:45.335689322Z","z":"C"}]},"next_page_token":"QU1E"}"#,
            r#"{"next_page_token":null,"trades":{}}"#,
            r#"{"bars":null,"next_page_token":null,"symbol":"AAPL"}"#,
        ],
    );
    assert_eq!((db.sql(TRADES), db.sql(QUOTES)), live);
    assert_no_dead_letters(&db);
}

#[test]
fn alpaca_crypto_frames_become_rows_and_a_book() {
    let db = captured(
        "alpaca_crypto",
        "",
        &[
            r#"[{"T":"subscription","trades":["BTC/USD"],"quotes":["ETH/USDT"],"orderbooks":["BTC/USD"],"bars":[],"updatedBars":[],"dailyBars":[]}]"#,
            r#"[{"T":"t","S":"AVAX/USD","p":47.299,"s":29.205707815,"t":"2024-03-12T10:27:48.858228144Z","i":3447222699101865076,"tks":"S"}]"#,
            r#"[{"T":"q","S":"BAT/USD","bp":0.35718,"bs":13445.46,"ap":0.3581,"as":13561.902,"t":"2024-03-12T10:29:43.111588173Z"}]"#,
            r#"[{"T":"o","S":"BTC/USD","t":"2024-03-12T10:38:50.79613221Z","b":[{"p":71859.53,"s":0.27994},{"p":71849.4,"s":0.553986}],"a":[{"p":71939.7,"s":0.83953},{"p":71940.4,"s":1}],"r":true}]"#,
            r#"[{"T":"o","S":"BTC/USD","t":"2024-03-12T10:38:51.5Z","b":[],"a":[{"p":71939.7,"s":0}]},{"T":"o","S":"BTC/USD","t":"2024-03-12T10:38:51.6Z","b":[{"p":71860,"s":2}],"a":[]}]"#,
            r#"[{"T":"o","S":"BTC/USD","t":"2024-03-12T10:38:51.6Z","b":[{"p":71860,"s":2}],"a":[]}]"#,
            r#"{"next_page_token":"a","trades":{"AVAX/USD":[{"i":3447222699101865076,"p":47.299,"s":29.205707815,"t":"2024-03-12T10:27:48.858228144Z","tks":"S"}]}}"#,
            r#"{"next_page_token":null,"quotes":{"BAT/USD":[{"ap":0.3581,"as":13561.902,"bp":0.35718,"bs":13445.46,"t":"2024-03-12T10:29:43.111588173Z"}]}}"#,
        ],
    );
    assert_eq!(
        db.sql(TRADES),
        rows(&[[
            "2",
            "AVAX/USD",
            "1710239268858228144",
            "3447222699101865076",
            "47.299",
            "29.205707815",
            "sell",
            ""
        ]])
    );
    assert_eq!(db.count("SELECT count(*) FROM quotes"), 1);
    // The copy of the last update is known.
    assert_eq!(db.count("SELECT count(*) FROM book_deltas"), 6);
    assert_eq!(
        db.sql("SELECT seq, bid_price, bid_size, ask_price, ask_size, epoch FROM book_tops ORDER BY seq, ts"),
        rows(&[
            ["4", "71859.53", "0.27994", "71939.7", "0.83953", "1"],
            ["5", "71859.53", "0.27994", "71940.4", "1.0", "1"],
            ["5", "71860.0", "2.0", "71940.4", "1.0", "1"],
        ])
    );
    assert_no_dead_letters(&db);
    assert_kept(&db);
}

/// Bars whose prices the venue has divided by later splits are none as traded; of options it adjusts none.
#[test]
fn bars_adjusted_for_splits_are_refused_and_stay_readable() {
    let body = |said: &str| {
        format!(
            r#"{{"ticker":"AAPL","queryCount":2,"resultsCount":2,{said}"results":[{{"v":1,"o":1.5,"c":1.4,"h":1.5,"l":1.4,"t":1112331600000}},{{"v":1,"o":1.4,"c":1.4,"h":1.4,"l":1.4,"t":1112587200000}}],"status":"OK","request_id":"a"}}"#
        )
    };
    let bodies = [r#""adjusted":true,"#, r#""adjusted":false,"#, ""].map(body);
    let bodies = bodies.each_ref().map(String::as_str);
    let empty = r#"{"ticker":"AAPL","queryCount":0,"resultsCount":0,"adjusted":true,"status":"OK","request_id":"d"}"#;
    let [adjusted, raw, unsaid] = bodies;
    let db = captured("massive_stocks", "AAPL", &[adjusted, empty]);
    assert_eq!(db.count("SELECT count(*) FROM bars"), 0);
    assert_eq!(
        db.sql("SELECT seq, contains(reason, 'adjusted=false'), payload LIKE '%queryCount%' FROM dead_letters"),
        rows(&[["1", "true", "true"]])
    );
    assert_kept(&db);
    for body in [raw, unsaid] {
        let db = captured("massive_stocks", "AAPL", &[body]);
        assert_eq!(db.count("SELECT count(*) FROM bars"), 2, "{body}");
        assert_no_dead_letters(&db);
    }
    let db = captured("massive_options", "O:AAPL", &[adjusted]);
    assert_eq!(db.count("SELECT count(*) FROM bars"), 2);
    assert_no_dead_letters(&db);
}

/// A body that names its one symbol is that one's, whatever was said of the file.
#[test]
fn an_alpaca_body_names_its_own_symbol() {
    let trade = r#"{"t":"2021-02-22T15:51:44.208Z","x":"D","p":3,"s":1,"i":7,"z":"C"}"#;
    let quote = r#"{"t":"2021-02-22T15:51:45Z","bx":"U","bp":87.66,"bs":1,"ax":"Q","ap":87.68,"as":4,"c":["R"],"z":"C"}"#;
    let void = trade.replace(r#""i":7"#, r#""i":8,"u":"canceled""#);
    let bodies = [
        format!(r#"{{"trades":[{trade},{void}],"symbol":"AAPL","next_page_token":null}}"#),
        format!(r#"{{"quotes":[{quote}],"symbol":"AAPL","next_page_token":null}}"#),
        format!(r#"{{"trades":{{"IBM":[{trade}]}},"next_page_token":null}}"#),
        format!(r#"{{"trades":[{trade}],"next_page_token":null}}"#),
    ];
    let db = captured(
        "alpaca_stocks",
        "MSFT",
        &bodies.each_ref().map(String::as_str),
    );
    assert_eq!(
        db.sql("SELECT seq, symbol FROM trades ORDER BY seq"),
        rows(&[["1", "AAPL"], ["3", "IBM"], ["4", "MSFT"]])
    );
    assert_eq!(
        db.sql("SELECT symbol, trade_id FROM trade_corrections"),
        rows(&[["AAPL", "D:8"]])
    );
    assert_eq!(db.sql("SELECT symbol FROM quotes"), rows(&[["AAPL"]]));
    assert_no_dead_letters(&db);
    assert_kept(&db);
}

/// What the venue answers where there is nothing, by one symbol or several.
#[test]
fn an_alpaca_body_without_records_is_no_dead_letter() {
    let empty = [
        r#"{"bars":{"AAPL":null},"next_page_token":null}"#,
        r#"{"bars":{"AAPL":null}}"#,
        r#"{"trades":{"AAPL": [], "BTC/USD": null},"next_page_token":null}"#,
        r#"{"quotes":{},"next_page_token":null}"#,
        r#"{"trades":null,"symbol":"AAPL","next_page_token":null}"#,
        r#"{"trades":[],"symbol":"AAPL","next_page_token":null}"#,
    ];
    for venue in ["alpaca_stocks", "alpaca_crypto"] {
        let db = captured(venue, "AAPL", &empty);
        assert_eq!(db.count("SELECT count(*) FROM raw_messages"), 6);
        assert_no_dead_letters(&db);
    }
    // Records of one symbol beside none of another are read; what is no record is told.
    let db = captured(
        "alpaca_stocks",
        "AAPL",
        &[
            r#"{"trades":{"AAPL":null,"IBM":[{"t":"2021-02-22T15:51:44.208Z","x":"D","p":3,"s":1,"i":7}]},"next_page_token":null}"#,
            r#"{"trades":{"AAPL":[{"t":"2021-02-22T15:51:44.208Z","x":"D","s":1,"i":7}]},"next_page_token":null}"#,
        ],
    );
    assert_eq!(db.sql("SELECT symbol FROM trades"), rows(&[["IBM"]]));
    assert_eq!(db.sql(DEAD), rows(&[["2", "trades", "'price' is missing"]]));
}

/// A refusal is no market data, and nothing to pass over either.
#[test]
fn refusals_are_dead_letters() {
    let massive = [
        r#"[{"ev":"status","status":"auth_failed","message":"authentication failed"}]"#,
        r#"[{"ev":"status","status":"success","message":"subscribed to: T.A"},{"ev":"status","status":"max_connections","message":"Maximum number of websocket connections exceeded. "}]"#,
        r#"{"status":"ERROR","request_id":"a","error":"Unknown API Key"}"#,
    ];
    for venue in ["massive_stocks", "massive_options", "massive_crypto"] {
        assert_eq!(captured(venue, "", &massive).sql(DEAD).len(), 3, "{venue}");
    }
    let alpaca = [
        r#"[{"T":"error","code":402,"msg":"auth failed"}]"#,
        r#"{"message":"forbidden."}"#,
    ];
    for venue in ["alpaca_stocks", "alpaca_crypto"] {
        assert_eq!(captured(venue, "", &alpaca).sql(DEAD).len(), 2, "{venue}");
    }
}

/// What of an array cannot be read does not take the rest along, and is not lost.
#[test]
fn an_element_that_is_faulty_is_refused_alone() {
    let db = captured(
        "alpaca_stocks",
        "",
        &[
            r#"[{"T":"t","i":1,"S":"AAPL","x":"D","s":1,"t":"2021-02-22T15:51:44.208Z"},{"T":"t","i":2,"S":"AAPL","x":"D","p":3,"s":1,"t":"2021-02-22T15:51:44.208Z"}]"#,
            r#"[{"T":"t","i":3,"S":"AAPL","x":"D","p":3,"s":1,"t":"2021-02-22T15:51:44"#,
            r#"[{"T":"q","S":"AMD","bp":"?","bs":1,"ap":87.68,"as":4,"t":"2021-02-22T15:51:45Z"},{"T":"q","S":"AMD","bp":0,"bs":1,"ap":87.68,"as":4,"t":"2021-02-22T15:51:46Z"}]"#,
        ],
    );
    assert_eq!(db.sql("SELECT trade_id FROM trades"), rows(&[["D:2"]]));
    assert_eq!(
        db.sql("SELECT bid_price, ask_price FROM quotes"),
        rows(&[["", "87.68"]])
    );
    assert_eq!(
        db.sql(DEAD),
        rows(&[
            ["1", "trades", "'price' is missing"],
            ["2", "", "malformed JSON"],
            ["3", "quotes", "'bid_price' is out of range"],
        ])
    );
}

/// Of an array what nobody reads is told, and does not take along what somebody reads.
#[test]
fn an_element_of_a_kind_that_no_file_reads_is_a_dead_letter() {
    let unread = |venue: &str, what: &str| {
        format!("no file of sql/venues/{venue} reads its elements: {what}")
    };
    let db = captured(
        "alpaca_stocks",
        "",
        &[
            r#"[{"T":"t","i":1,"S":"AAPL","x":"D","p":3,"s":1,"t":"2021-02-22T15:51:44.208Z"},{"T":"zz"},{"other":1},{"T":"zz"}]"#,
            r#"[{"T":"success","msg":"authenticated"},{"T":"error","code":405,"msg":"symbol limit exceeded"}]"#,
            r#"[{"T":"t","i":2,"S":"AAPL","x":"D","p":3,"s":1,"t":"2021-02-22T15:51:44.208Z"}]"#,
        ],
    );
    assert_eq!(db.count("SELECT count(*) FROM trades"), 2);
    let [kinds, error] = ["without T, zz", "error"].map(|what| unread("alpaca_stocks", what));
    assert_eq!(db.sql(DEAD), rows(&[["1", "", &kinds], ["2", "", &error]]));
    assert_kept(&db);

    let trades = [
        (
            "massive_stocks",
            r#"{"ev":"T","sym":"MSFT","x":4,"i":"12345","p":114.125,"s":100,"t":1536036818784}"#,
        ),
        (
            "massive_options",
            r#"{"ev":"T","sym":"O:AMC210827C00037000","x":65,"p":1.54,"s":1,"t":1629820676333,"q":651921857}"#,
        ),
        (
            "massive_crypto",
            r#"{"ev":"XT","pair":"BTC-USD","p":33021.9,"t":1610462007425,"s":0.5,"i":14272084,"x":3}"#,
        ),
    ];
    for (venue, trade) in trades {
        let frames = [
            format!(r#"[{{"ev":"status","status":"max_connections"}},{trade}]"#),
            r#"[{"ev":"status","status":"success"}]"#.to_owned(),
        ];
        let db = captured(venue, "", &frames.each_ref().map(String::as_str));
        assert_eq!(db.count("SELECT count(*) FROM trades"), 1, "{venue}");
        let refused = unread(venue, "status max_connections");
        assert_eq!(db.sql(DEAD), rows(&[["1", "", &refused]]));
    }
}

/// A whole book that the venue sends again, with the time it had before, is taken: what came since may have been lost.
#[test]
fn a_whole_book_that_comes_again_starts_the_book_anew() {
    let whole = r#"{"T":"o","S":"BTC/USD","t":"2024-03-12T10:38:50.7Z","b":[{"p":71859.5,"s":1},{"p":71849.5,"s":2}],"a":[{"p":71939.5,"s":3}],"r":true}"#;
    let better =
        r#"{"T":"o","S":"BTC/USD","t":"2024-03-12T10:38:51.5Z","b":[{"p":71860,"s":4}],"a":[]}"#;
    let frames = [
        format!("[{whole},{better}]"),
        format!("[{better}]"),
        format!("[{whole}]"),
    ];
    let first = captured("alpaca_crypto", "", &[&frames[0]]);
    let all = captured("alpaca_crypto", "", &frames.each_ref().map(String::as_str));
    assert_eq!(
        all.sql("SELECT seq, bid_price, epoch FROM book_tops ORDER BY seq, ts"),
        rows(&[
            ["1", "71859.5", "1"],
            ["1", "71860.0", "1"],
            ["3", "71859.5", "2"]
        ])
    );
    // The update counts that stands behind the whole book in its message.
    let best = "SELECT price FROM book_at('BTC/USD') WHERE side = 'bid' AND level = 1";
    assert_eq!(first.value(best), "71860.0");
    assert_eq!(all.value(best), "71859.5");
    assert_no_dead_letters(&all);
    assert_kept(&all);
}
