//! Messages that the venues document and no recording holds: what the venues' SQL makes of them.

use std::collections::BTreeSet;

use crate::harness::Db;
use crate::normalized::{columns, empty, made};
use crate::venues::Compared;

/// A message, and the rows of which table it gives; `control` gives none, `dead` is for what nobody reads.
struct Message<'a> {
    channel: &'a str,
    symbol: &'a str,
    payload: &'a str,
    table: &'a str,
    rows: &'a [&'a str],
}

fn live<'a>(payload: &'a str, table: &'a str, rows: &'a [&'a str]) -> Message<'a> {
    answer("ws/1", "", payload, table, rows)
}

fn answer<'a>(
    channel: &'a str,
    symbol: &'a str,
    payload: &'a str,
    table: &'a str,
    rows: &'a [&'a str],
) -> Message<'a> {
    Message {
        channel,
        symbol,
        payload,
        table,
        rows,
    }
}

#[track_caller]
fn assert_made(venue: &str, messages: &[Message<'_>]) {
    let given: Vec<(&str, &str, &str)> = messages
        .iter()
        .map(|m| (m.channel, m.symbol, m.payload))
        .collect();
    let mut want = BTreeSet::new();
    for (n, message) in messages.iter().enumerate() {
        match message.table {
            "dead" => {}
            "control" => {
                want.insert((n, "control".to_owned(), String::new()));
            }
            table => want.extend(
                message
                    .rows
                    .iter()
                    .map(|row| (n, table.to_owned(), (*row).to_owned())),
            ),
        }
    }
    let got = made(&empty(), venue, &given);
    let missing: Vec<_> = want.difference(&got).collect();
    let surplus: Vec<_> = got.difference(&want).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{venue}:\nexpected and not made: {missing:#?}\nmade and not expected: {surplus:#?}"
    );
}

#[test]
fn binance() {
    let trade = r#"{"stream":"bnbbtc@trade","data":{"e":"trade","E":1499865549595,"s":"BNBBTC","t":28457,"p":"4.00000100","q":"12.00000000","T":1499865549590,"m":true,"M":true}}"#;
    let micros = r#"{"stream":"bnbbtc@trade","data":{"e":"trade","E":1499865549595123,"s":"BNBBTC","t":28458,"p":"4.00000100","q":"12.00000000","T":1499865549590123,"m":false,"M":true}}"#;
    let history = r#"[{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012","time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}]"#;
    let aggregates = r#"[{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,"m":true,"M":true}]"#;
    let klines = r#"[[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499644799999,"2434.19055334",308,"1756.87402397","28.46694368","0"],[1699999980000,"1","3","0.5","2","10",1700000039999,"20",3,"4","5","0"]]"#;
    let depth = r#"{"lastUpdateId":1027024,"bids":[["4.00000000","431.00000000"]],"asks":[["4.00000200","12.00000000"]]}"#;
    let single = ["BNBBTC|28457|1499865549590000000|sell||4.000001|12.0"];
    let aggregate = ["BNBBTC|a26129|1498793709153000000|sell|aggregate|0.01633102|4.70443515"];
    let common = [
        live(trade, "trades", &single),
        answer("rest/trades", "BNBBTC", history, "trades", &single),
        answer(
            "rest/agg_trades",
            "BNBBTC",
            aggregates,
            "trades",
            &aggregate,
        ),
        answer("rest/trades", "BNBBTC", "[]", "control", &[]),
        live(r#"{"result":null,"id":1}"#, "control", &[]),
        live(r#"{"result":["btcusdt@aggTrade"],"id":3}"#, "control", &[]),
        live(
            r#"{"e":"serverShutdown","E":1770123456789}"#,
            "control",
            &[],
        ),
        live(
            r#"{"error":{"code":2,"msg":"Invalid request: unknown variant"},"id":1}"#,
            "dead",
            &[],
        ),
    ];
    for venue in ["binance_spot", "binance_usdm", "binance_coinm"] {
        assert_made(venue, &common);
    }
    let bars = [
        "BNBBTC|1m|1499040000000000000|true|0.0163479|0.8|0.015758|0.015771|148976.11427815|2434.19055334",
        "BNBBTC|1m|1699999980000000000|false|1.0|3.0|0.5|2.0|10.0|20.0",
    ];
    let of_spot = [
        live(
            micros,
            "trades",
            &["BNBBTC|28458|1499865549590123000|buy||4.000001|12.0"],
        ),
        answer("rest/bars_1m", "BNBBTC", klines, "bars", &bars),
        answer(
            "rest/depth",
            "BNBBTC",
            depth,
            "book_deltas",
            &[
                "BNBBTC|1700000000000000000||1027024||true|bid||4.0|431.0",
                "BNBBTC|1700000000000000000||1027024||true|ask||4.000002|12.0",
            ],
        ),
    ];
    assert_made("binance_spot", &of_spot);
}

#[test]
fn futures() {
    let trade = r#"{"e":"trade","E":1723100000005,"T":1723100000001,"s":"BTCUSDT","t":5,"p":"58710.20","q":"0.014","X":"INSURANCE_FUND","m":false}"#;
    let no_trade = r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":6,"p":"0","q":"0","X":"NA","m":true}}"#;
    let ticker = r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":400900217,"E":1568014460893,"T":1568014460891,"s":"BTCUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000","st":1}}"#;
    let depth = r#"{"lastUpdateId":16769853,"symbol":"BTCUSD_PERP","pair":"BTCUSD","E":1591250106370,"T":1591250106368,"bids":[["9638.0","431"]],"asks":[]}"#;
    let klines = r#"[[1591258320000,"9640.7","9642.4","9640.6","9642.0","206",1591258379999,"2.13660389",48,"119","1.23424865","0"]]"#;
    assert_made(
        "binance_usdm",
        &[
            live(
                trade,
                "trades",
                &["BTCUSDT|5|1723100000001000000|buy|INSURANCE_FUND|58710.2|0.014"],
            ),
            live(no_trade, "control", &[]),
            live(
                ticker,
                "quotes",
                &["BTCUSDT|1568014460891000000|25.3519|31.21|25.3652|40.66"],
            ),
            answer(
                "rest/bars_1h",
                "BTCUSDT",
                klines,
                "bars",
                &[
                    "BTCUSDT|1h|1591258320000000000|true|9640.7|9642.4|9640.6|9642.0|206.0|2.13660389",
                ],
            ),
        ],
    );
    assert_made(
        "binance_coinm",
        &[
            answer(
                "rest/depth",
                "BTCUSD_PERP",
                depth,
                "book_deltas",
                &["BTCUSD_PERP|1591250106368000000||16769853||true|bid||9638.0|431.0"],
            ),
            // The eighth element is base currency here.
            answer(
                "rest/bars_1m",
                "BTCUSD_PERP",
                klines,
                "bars",
                &["BTCUSD_PERP|1m|1591258320000000000|true|9640.7|9642.4|9640.6|9642.0|206.0|"],
            ),
        ],
    );
}

#[test]
fn coinbase() {
    let ticker = r#"{"type":"ticker","sequence":37475248783,"product_id":"ETH-USD","price":"1285.22","open_24h":"1310.79","best_bid":"1285.04","best_bid_size":"0.46688654","best_ask":"1285.27","best_ask_size":"1.56637040","side":"buy","time":"2022-10-19T23:28:22.061769Z","trade_id":370843401,"last_size":"11.4396987"}"#;
    let update = r#"{"type":"l2update","product_id":"BTC-USD","changes":[["buy","22356.270000","0.00000000"],["sell","22356.300000","1.00000000"]],"time":"2022-08-04T15:25:05.010758Z"}"#;
    let nothing = r#"{"type":"l2update","product_id":"BTC-USD","changes":[],"time":"2022-08-04T15:25:05.010758Z"}"#;
    let trade = r#"{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"a","taker_order_id":"b","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}"#;
    let history = r#"[{"trade_id":11,"side":"buy","size":"0.01","price":"400.22","time":"2014-11-07T08:19:28Z"},{"trade_id":10,"side":"sell","size":"5.23512","price":"400.23","time":"2014-11-07T08:19:27.028459Z"}]"#;
    let same = "BTC-USD|10|1415348367028459000|buy||400.23|5.23512";
    assert_made(
        "coinbase",
        &[
            live(trade, "trades", &[same]),
            answer(
                "rest/trades",
                "BTC-USD",
                history,
                "trades",
                &[same, "BTC-USD|11|1415348368000000000|sell||400.22|0.01"],
            ),
            answer("rest/trades", "BTC-USD", "[]", "control", &[]),
            live(
                ticker,
                "quotes",
                &["ETH-USD|1666222102061769000|1285.04|0.46688654|1285.27|1.5663704"],
            ),
            live(
                update,
                "book_deltas",
                &[
                    "BTC-USD|1659626705010758000||||false|bid||22356.27|0.0",
                    "BTC-USD|1659626705010758000||||false|ask||22356.3|1.0",
                ],
            ),
            live(
                nothing,
                "book_deltas",
                &["BTC-USD|1659626705010758000||||false||||"],
            ),
            answer(
                "rest/bars_1m",
                "BTC-USD",
                "[[1415398768,0.32,4.2,0.35,4.1,12.3]]",
                "bars",
                &["BTC-USD|1m|1415398768000000000||0.35|4.2|0.32|4.1|12.3|"],
            ),
            live(
                r#"{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD","time":"2014-11-07T08:19:28.464459Z"}"#,
                "control",
                &[],
            ),
            live(
                r#"{"type":"status","products":[],"currencies":[]}"#,
                "control",
                &[],
            ),
            live(
                r#"{"type":"error","message":"Failed to subscribe","reason":"ZZZ-USD is not a valid product"}"#,
                "dead",
                &[],
            ),
        ],
    );
}

#[test]
fn kraken_trades_and_quotes() {
    let second = r#"{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":30243.4,"qty":0.34507674,"ord_type":"market","trade_id":61044952,"timestamp":"2023-07-06T18:53:17.827736Z"},{"symbol":"BTC/USD","side":"sell","price":30243.3,"qty":0.0037696,"ord_type":"limit","trade_id":61044953,"timestamp":"2023-07-06T18:53:18.280411Z"}]}"#;
    let history = r#"{"error":[],"result":{"XXBTZUSD":[["30243.40000","0.34507674",1688669597.8277369,"b","m","",61044952],["30243.30000","0.00376960",1688669598.2804112,"s","l","",61044953]],"last":"1688671969993150842"}}"#;
    let same = [
        "BTC/USD|61044952|1688669597827736000|buy||30243.4|0.34507674",
        "BTC/USD|61044953|1688669598280411000|sell||30243.3|0.0037696",
    ];
    let first = r#"[0,[["5541.20000","0.15850568","1534614057.321597","s","l",""],["6060.00000","0.02455000","1534614057.3215979","b","l",""]],"trade","XBT/USD"]"#;
    let ticker = r#"{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":87794.0,"bid_qty":0.08299728,"ask":87794.1,"ask_qty":2.44593945,"last":87794.1,"volume":2617.38647876,"vwap":87264.8,"low":86007.0,"high":88822.0,"change":-749.7,"change_pct":-0.85,"timestamp":"2026-01-26T12:31:08.210624Z"}]}"#;
    let spread = r#"[0,["5698.40000","5700.00000","1542057299.545897","1.01234567","0.98765432"],"spread","XBT/USD"]"#;
    assert_made(
        "kraken",
        &[
            live(second, "trades", &same),
            answer("rest/trades", "BTC/USD", history, "trades", &same),
            live(
                first,
                "trades",
                &[
                    "XBT/USD||1534614057321597000|sell||5541.2|0.15850568",
                    "XBT/USD||1534614057321597900|buy||6060.0|0.02455",
                ],
            ),
            live(
                ticker,
                "quotes",
                &["BTC/USD|1769430668210624000|87794.0|0.08299728|87794.1|2.44593945"],
            ),
            live(
                spread,
                "quotes",
                &["XBT/USD|1542057299545897000|5698.4|1.01234567|5700.0|0.98765432"],
            ),
        ],
    );
}

#[test]
fn kraken_books() {
    let snapshot = r#"{"channel":"book","type":"snapshot","data":[{"symbol":"MATIC/USD","bids":[{"price":0.5666,"qty":4831.75496356}],"asks":[{"price":0.5668,"qty":4410.79769741}],"checksum":2439117997}]}"#;
    let update = r#"{"channel":"book","type":"update","data":[{"symbol":"MATIC/USD","bids":[{"price":0.5657,"qty":1098.39470000}],"asks":[],"checksum":2114181697,"timestamp":"2023-10-06T17:35:55.440295Z"}]}"#;
    let again = r#"[1234,{"a":[["5541.30000","2.50700000","1534614248.456738","r"]],"c":"974942666"},"book-25","XBT/USD"]"#;
    let both = r#"[1234,{"a":[["5542.50000","0.40100000","1534614335.345903"]]},{"b":[["5541.30000","0.00000000","1534614335.34"]],"c":"974942666"},"book-10","XBT/USD"]"#;
    assert_made(
        "kraken",
        &[
            live(
                snapshot,
                "book_deltas",
                &[
                    "MATIC/USD|1700000000000000000||||true|ask|2439117997|0.5668|4410.79769741",
                    "MATIC/USD|1700000000000000000||||true|bid|2439117997|0.5666|4831.75496356",
                ],
            ),
            live(
                update,
                "book_deltas",
                &["MATIC/USD|1696613755440295000||||false|bid|2114181697|0.5657|1098.3947"],
            ),
            live(
                again,
                "book_deltas",
                &["XBT/USD|1700000000000000000||||false|ask|974942666|5541.3|2.507"],
            ),
            live(
                both,
                "book_deltas",
                &[
                    "XBT/USD|1534614335345903000||||false|ask|974942666|5542.5|0.401",
                    "XBT/USD|1534614335345903000||||false|bid|974942666|5541.3|0.0",
                ],
            ),
        ],
    );
}

#[test]
fn kraken_bars() {
    let bar = r#"{"channel":"ohlc","type":"update","timestamp":"2023-10-04T16:26:30.524394914Z","data":[{"symbol":"MATIC/USD","open":0.5624,"high":0.5628,"low":0.5622,"close":0.5627,"trades":12,"volume":30927.68066226,"vwap":0.5626,"interval_begin":"2023-10-04T16:25:00.000000000Z","interval":240,"timestamp":"2023-10-04T16:30:00.000000Z"}]}"#;
    let old_bar = r#"[42,["1542057314.748456","1542057360.435743","3586.70000","3586.80000","3586.60000","3586.65000","3586.68894","0.03373000",2],"ohlc-5","XBT/USD"]"#;
    let bars = r#"{"error":[],"result":{"XXBTZUSD":[[1688671200,"30306.1","30306.2","30305.7","30305.8","30306.1","3.39243896",23]],"last":1688672160}}"#;
    assert_made(
        "kraken",
        &[
            live(
                bar,
                "bars",
                &["MATIC/USD|4h|1696436700000000000||0.5624|0.5628|0.5622|0.5627|30927.68066226|"],
            ),
            live(
                old_bar,
                "bars",
                &["XBT/USD|5m|1542057060000000000||3586.7|3586.8|3586.6|3586.65|0.03373|"],
            ),
            answer(
                "rest/bars_1m",
                "BTC/USD",
                bars,
                "bars",
                &["BTC/USD|1m|1688671200000000000||30306.1|30306.2|30305.7|30305.8|3.39243896|"],
            ),
        ],
    );
}

#[test]
fn kraken_control() {
    assert_made(
        "kraken",
        &[
            answer(
                "rest/trades",
                "BTC/USD",
                r#"{"error":[],"result":{"XXBTZUSD":[],"last":"1688671969993150842"}}"#,
                "control",
                &[],
            ),
            live(r#"{"channel":"heartbeat"}"#, "control", &[]),
            live(
                r#"{"channel":"status","data":[{"api_version":"v2","connection_id":12393906104898154338,"system":"online","version":"2.0.0"}],"type":"update"}"#,
                "control",
                &[],
            ),
            live(
                r#"{"method":"subscribe","result":{"channel":"book","depth":1000,"snapshot":true,"symbol":"MATIC/USD"},"success":true,"req_id":3}"#,
                "control",
                &[],
            ),
            live(r#"{"method":"pong","req_id":101}"#, "control", &[]),
            live(r#"{"event":"pong","reqid":42}"#, "control", &[]),
            live(
                r#"{"channelID":10001,"channelName":"ohlc-5","event":"subscriptionStatus","pair":"XBT/EUR","reqid":42,"status":"unsubscribed","subscription":{"interval":5,"name":"ohlc"}}"#,
                "control",
                &[],
            ),
            live(
                r#"{"errorMessage":"Subscription depth not supported","event":"subscriptionStatus","pair":"XBT/USD","status":"error","subscription":{"depth":42,"name":"book"}}"#,
                "dead",
                &[],
            ),
            live(
                r#"{"error":"Currency pair not supported FOO/BAR","method":"subscribe","success":false,"symbol":"FOO/BAR"}"#,
                "dead",
                &[],
            ),
        ],
    );
}

#[test]
fn okx() {
    let aggregate = r#"{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"130639474","px":"42219.9","sz":"0.12060306","side":"buy","ts":"1630048897897","count":"3","source":"0","seqId":1234}]}"#;
    let each = r#"{"arg":{"channel":"trades-all","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"242720720","px":"29963.2","sz":"0.00001","side":"sell","source":"1","ts":"1654161646974"}]}"#;
    let history = r#"{"code":"0","msg":"","data":[{"instId":"BTC-USDT","side":"sell","sz":"0.00001","source":"1","px":"29963.2","tradeId":"242720720","ts":"1654161646974"}]}"#;
    let same = "BTC-USDT|242720720|1654161646974000000|sell|liquidity_program|29963.2|1e-5";
    let best = r#"{"arg":{"channel":"bbo-tbt","instId":"BCH-USDT-SWAP"},"data":[{"asks":[["111.06","55154","0","2"]],"bids":[],"ts":"1670324386802","seqId":363996337}]}"#;
    let ticker = r#"{"arg":{"channel":"tickers","instId":"BTC-USD-1-C"},"data":[{"instType":"OPTION","instId":"BTC-USD-1-C","last":"","lastSz":"0","askPx":"","askSz":"","bidPx":"0.1","bidSz":"5","ts":"1597026383085"}]}"#;
    let snapshot = r#"{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{"asks":[["8476.98","415","0","13"]],"bids":[["8476.97","256","0","12"]],"ts":"1597026383085","checksum":-855196043,"prevSeqId":-1,"seqId":123456}]}"#;
    let alive = r#"{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[],"bids":[],"ts":"1597026443085","checksum":0,"prevSeqId":123456,"seqId":123456}]}"#;
    let depth = r#"{"code":"0","msg":"","data":[{"asks":[["41006.8","0.60038921","0","1"]],"bids":[["41006.3","0.30178218","0","2"]],"ts":"1629966436396","seqId":3235851742}]}"#;
    let of_day = r#"{"arg":{"channel":"candle1Dutc","instId":"BTC-USDT"},"data":[["1597017600000","8533.02","8553.74","8527.17","8548.26","45247","529.5858061","5529.5858061","0"]]}"#;
    let bars = r#"{"code":"0","msg":"","data":[["1597026360000","3.721","3.743","3.677","3.708","8422410","22698348.04828491","12698348.04828491","1"]]}"#;
    assert_made(
        "okx",
        &[
            live(
                aggregate,
                "trades",
                &["BTC-USDT|a130639474|1630048897897000000|buy|aggregate|42219.9|0.12060306"],
            ),
            live(each, "trades", &[same]),
            answer("rest/trades", "BTC-USDT", history, "trades", &[same]),
            live(
                best,
                "quotes",
                &["BCH-USDT-SWAP|1670324386802000000|||111.06|55154.0"],
            ),
            live(
                ticker,
                "quotes",
                &["BTC-USD-1-C|1597026383085000000|0.1|5.0||"],
            ),
            live(
                snapshot,
                "book_deltas",
                &[
                    "BTC-USDT|1597026383085000000||123456||true|ask|-855196043|8476.98|415.0",
                    "BTC-USDT|1597026383085000000||123456||true|bid|-855196043|8476.97|256.0",
                ],
            ),
            live(
                alive,
                "book_deltas",
                &["BTC-USDT|1597026443085000000||123456|123456|false||||"],
            ),
            answer(
                "rest/depth",
                "BTC-USDT",
                depth,
                "book_deltas",
                &[
                    "BTC-USDT|1629966436396000000||3235851742||true|ask||41006.8|0.60038921",
                    "BTC-USDT|1629966436396000000||3235851742||true|bid||41006.3|0.30178218",
                ],
            ),
            live(
                of_day,
                "bars",
                &[
                    "BTC-USDT|1d|1597017600000000000|false|8533.02|8553.74|8527.17|8548.26|45247.0|5529.5858061",
                ],
            ),
            answer(
                "rest/bars_1m",
                "BTC-USDT",
                bars,
                "bars",
                &[
                    "BTC-USDT|1m|1597026360000000000|true|3.721|3.743|3.677|3.708|8422410.0|12698348.04828491",
                ],
            ),
            answer(
                "rest/trades",
                "BTC-USDT",
                r#"{"code":"0","msg":"","data":[]}"#,
                "control",
                &[],
            ),
            live("pong", "control", &[]),
            live(
                r#"{"id":"1512","event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}"#,
                "control",
                &[],
            ),
            live(
                r#"{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade. Please reconnect.","connId":"a4d3ae55"}"#,
                "control",
                &[],
            ),
            live(
                r#"{"id":"1512","event":"error","code":"60012","msg":"Invalid request: {\"op\": \"subscribe\"}","connId":"a4d3ae55"}"#,
                "dead",
                &[],
            ),
        ],
    );
}

#[test]
fn hitbtc() {
    let trade = r#"{"jsonrpc":"2.0","method":"updateTrades","params":{"data":[{"id":54469813,"price":"0.054670","quantity":"0.183","side":"buy","timestamp":"2017-10-19T16:34:25.041Z"}],"symbol":"ETHBTC"}}"#;
    let history = r#"[{"id":54469813,"price":"0.054670","quantity":"0.183","side":"buy","timestamp":"2017-10-19T16:34:25.041Z"}]"#;
    let same = "ETHBTC|54469813|1508430865041000000|buy||0.05467|0.183";
    let bar = r#"{"jsonrpc":"2.0","method":"updateCandles","params":{"data":[{"timestamp":"2017-10-19T16:30:00.000Z","open":"0.054614","close":"0.054465","min":"0.054339","max":"0.054724","volume":"141.268","volumeQuote":"7.709353873"}],"symbol":"ETHBTC","period":"H4"}}"#;
    let bars = r#"[{"timestamp":"2017-10-20T20:00:00.000Z","open":"0.050459","close":"0.050087","min":"0.050000","max":"0.050511","volume":"1326.628","volumeQuote":"66.555987736"}]"#;
    let update = r#"{"jsonrpc":"2.0","method":"updateOrderbook","params":{"ask":[],"bid":[],"symbol":"ETHBTC","sequence":8073830,"timestamp":"2018-11-19T05:00:28.700Z"}}"#;
    assert_made(
        "hitbtc",
        &[
            live(trade, "trades", &[same]),
            answer("rest/trades", "ETHBTC", history, "trades", &[same]),
            live(
                bar,
                "bars",
                &[
                    "ETHBTC|4h|1508430600000000000||0.054614|0.054724|0.054339|0.054465|141.268|7.709353873",
                ],
            ),
            answer(
                "rest/bars_1m",
                "ETHBTC",
                bars,
                "bars",
                &[
                    "ETHBTC|1m|1508529600000000000||0.050459|0.050511|0.05|0.050087|1326.628|66.555987736",
                ],
            ),
            live(
                update,
                "book_deltas",
                &["ETHBTC|1542603628700000000|8073830|8073830||false||||"],
            ),
            live(
                r#"{"jsonrpc":"2.0","method":"snapshotTrades","params":{"data":[],"symbol":"ETHBTC"}}"#,
                "control",
                &[],
            ),
            answer("rest/trades", "ETHBTC", "[]", "control", &[]),
            live(
                r#"{"jsonrpc":"2.0","result":true,"id":123}"#,
                "control",
                &[],
            ),
            live(
                r#"{"jsonrpc":"2.0","error":{"code":2001,"message":"Symbol not found","description":"Try get /api/2/public/symbol, to get list of available symbols."},"id":123}"#,
                "dead",
                &[],
            ),
        ],
    );
}

/// What a checksum is made of: v1 and v2 write the same digits, trailing zeros and all.
#[test]
fn the_book_engine_gets_the_digits_of_the_wire() {
    let of = Compared {
        table: "book_deltas",
        columns: &["price_text", "size_text", "depth"],
        numbers: 0,
    };
    let first = r#"[0,{"b":[["0.56570","1098.39470000","1534614335.345903"]],"c":"974942666"},"book-10","XBT/USD"]"#;
    let second = r#"{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":0.56570,"qty":1098.39470000},{"price":12,"qty":0}],"asks":[],"checksum":1}]}"#;
    assert_eq!(
        columns("kraken", &of, &[first, second]),
        [
            "0.56570|1098.39470000|10",
            "0.56570|1098.39470000|1000",
            "12|0|1000"
        ]
    );
    let update = |channel: &str| {
        format!(
            r#"{{"arg":{{"channel":"{channel}","instId":"BTC-USDT"}},"action":"update","data":[{{"asks":[["8476.980","415.0","0","13"]],"bids":[],"ts":"1597026383085","checksum":-1}}]}}"#
        )
    };
    let (all, some) = (update("books"), update("books50-l2-tbt"));
    assert_eq!(
        columns("okx", &of, &[&all, &some]),
        ["8476.980|415.0|400", "8476.980|415.0|50"]
    );
}

/// Where a venue numbers no quotes, copies of one get the same id, and other quotes of the same moment another one.
#[test]
fn made_up_ids_tell_copies_from_other_quotes() {
    let of = Compared {
        table: "quotes",
        columns: &["update_id"],
        numbers: 0,
    };
    let quotes = [
        (
            "kraken",
            r#"{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":BID,"bid_qty":1.5,"ask":3.5,"ask_qty":2,"timestamp":"2026-01-26T12:31:08.210624Z"}]}"#,
        ),
        (
            "okx",
            r#"{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","askPx":"3.5","askSz":"2","bidPx":"BID","bidSz":"1.5","ts":"1597026383085"}]}"#,
        ),
        (
            "hitbtc",
            r#"{"jsonrpc":"2.0","method":"ticker","params":{"ask":"3.5","bid":"BID","timestamp":"2021-07-15T03:06:44.273Z","symbol":"ETHBTC"}}"#,
        ),
    ];
    for (venue, quote) in quotes {
        let messages = ["2.5", "2.6", "2.5"].map(|bid| quote.replace("BID", bid));
        let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
        let ids: Vec<u64> = columns(venue, &of, &messages)
            .iter()
            .map(|id| id.parse().unwrap())
            .collect();
        assert_eq!(ids.len(), 3, "{venue}");
        assert_eq!(ids[0], ids[2], "{venue}");
        assert_ne!(ids[0], ids[1], "{venue}");
    }
}

/// A side on which nobody quotes is NULL, also where the venue writes a price of 0: as a price it would halve the mid.
#[test]
fn a_price_of_zero_is_no_quote() {
    let spot = r#"{"stream":"newusdt@bookTicker","data":{"u":7,"s":"NEWUSDT","b":"0.00000000","B":"0.00000000","a":"25.36520000","A":"40.66000000"}}"#;
    let futures = r#"{"e":"bookTicker","u":7,"s":"NEWUSDT","b":"25.35","B":"31.21","a":"0.00","A":"0","T":1568014460891,"E":1568014460893}"#;
    assert_made(
        "binance_spot",
        &[live(
            spot,
            "quotes",
            &["NEWUSDT|1700000000000000000|||25.3652|40.66"],
        )],
    );
    for venue in ["binance_usdm", "binance_coinm"] {
        assert_made(
            venue,
            &[live(
                futures,
                "quotes",
                &["NEWUSDT|1568014460891000000|25.35|31.21||"],
            )],
        );
    }
    assert_made(
        "coinbase",
        &[live(
            r#"{"type":"ticker","sequence":5,"product_id":"NEW-USD","price":"1","best_bid":"0","best_bid_size":"0.00000000","best_ask":"1.5","best_ask_size":"3.0","time":"2022-10-19T23:28:22.061769Z"}"#,
            "quotes",
            &["NEW-USD|1666222102061769000|||1.5|3.0"],
        )],
    );
    assert_made(
        "kraken",
        &[
            live(
                r#"{"channel":"ticker","type":"update","data":[{"symbol":"NEW/USD","bid":0.0,"bid_qty":0.0,"ask":1.5,"ask_qty":3.0,"timestamp":"2026-01-26T12:31:08.210624Z"}]}"#,
                "quotes",
                &["NEW/USD|1769430668210624000|||1.5|3.0"],
            ),
            live(
                r#"[0,["1.50000","0.00000","1542057299.545897","3.00000000","0.00000000"],"spread","NEW/USD"]"#,
                "quotes",
                &["NEW/USD|1542057299545897000|1.5|3.0||"],
            ),
        ],
    );
}

/// Of a message, a record that cannot be read is refused, and the other one is stored.
#[test]
fn a_bad_record_goes_alone() {
    let cases = [
        (
            "okx",
            r#"{"arg":{"channel":"trades-all","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"1","px":"?","sz":"1","side":"sell","ts":"1654161646974"},{"instId":"BTC-USDT","tradeId":"2","px":"3.5","sz":"1","side":"sell","ts":"1654161646974"}]}"#,
            "SELECT price FROM trades",
            ["trades", "'price' is missing"],
        ),
        (
            "okx",
            r#"{"code":"0","msg":"","data":[{"instId":"BTC-USDT","tradeId":"2","px":"3.5","sz":"1","side":"sell","ts":"1654161646974"},{"instId":"BTC-USDT","tradeId":"1","px":"3","sz":"1","side":"sell","ts":"9999999999999999"}]}"#,
            "SELECT price FROM trades",
            ["trades", "'ts' is missing"],
        ),
        (
            "okx",
            r#"{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"data":[{"asks":[["9","1","0","2"]],"bids":[["?","1","0","2"]],"ts":"1670324386802","seqId":1},{"asks":[["9","1","0","2"]],"bids":[["3.5","1","0","2"]],"ts":"1670324386803","seqId":2}]}"#,
            "SELECT bid_price FROM quotes",
            ["quotes", "'bid_price' is out of range"],
        ),
        (
            "okx",
            r#"{"arg":{"channel":"candle1m","instId":"BTC-USDT"},"data":[["1597017600000","3.5","4","3","4","45","52","55","0"],["1597017660000","3","4","3","4","?","52","55","0"]]}"#,
            "SELECT open FROM bars",
            ["bars", "'volume' is out of range"],
        ),
        (
            "kraken",
            r#"{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":3.5,"qty":1,"trade_id":1,"timestamp":"2023-07-06T18:53:17.827736Z"},{"symbol":"BTC/USD","side":"buy","price":3,"qty":1,"trade_id":2,"timestamp":"2023-07-06T25:53:17Z"}]}"#,
            "SELECT price FROM trades",
            ["trades", "'ts' is missing"],
        ),
        (
            "kraken",
            r#"{"error":[],"result":{"XXBTZUSD":[["3.5","1",1688669597.8277369,"b","m","",1],["3","?",1688669598.2804112,"s","l","",2]],"last":"1688671969993150842"}}"#,
            "SELECT price FROM trades",
            ["trades", "'size' is missing"],
        ),
        (
            "kraken",
            r#"{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":3,"bid_qty":1,"ask":9,"ask_qty":1,"timestamp":"soon"},{"symbol":"BTC/USD","bid":3.5,"bid_qty":1,"ask":9,"ask_qty":1,"timestamp":"2026-01-26T12:31:08.210624Z"}]}"#,
            "SELECT bid_price FROM quotes",
            ["quotes", "'ts' is missing"],
        ),
        (
            "coinbase",
            r#"[{"trade_id":11,"side":"buy","size":"","price":"400.22","time":"2014-11-07T08:19:28Z"},{"trade_id":10,"side":"sell","size":"5.2","price":"3.5","time":"2014-11-07T08:19:27.028459Z"}]"#,
            "SELECT price FROM trades",
            ["trades", "'size' is missing"],
        ),
        (
            "binance_spot",
            r#"[{"id":1,"price":"3.5","qty":"12","time":1499865549590,"isBuyerMaker":true},{"id":2,"price":"4","qty":"12","time":"soon","isBuyerMaker":true}]"#,
            "SELECT price FROM trades",
            ["trades", "'ts' is missing"],
        ),
        (
            "hitbtc",
            r#"{"jsonrpc":"2.0","method":"updateTrades","params":{"data":[{"id":1,"price":"?","quantity":"1","side":"buy","timestamp":"2017-10-19T16:34:25.041Z"},{"id":2,"price":"3.5","quantity":"1","side":"buy","timestamp":"2017-10-19T16:34:25.041Z"}],"symbol":"ETHBTC"}}"#,
            "SELECT price FROM trades",
            ["trades", "'price' is missing"],
        ),
    ];
    for (venue, message, stored, refused) in cases {
        let db = Db::new();
        let line = format!("1700000000000000000 {message}\n");
        db.load(venue, "BTC-USD", [db.write("message", line.as_bytes())])
            .ok();
        assert_eq!(db.sql(stored), [["3.5"]], "{venue} {message}");
        assert_eq!(
            db.sql("SELECT target, reason FROM dead_letters"),
            [refused],
            "{venue} {message}"
        );
    }
}

/// A page of bars that lacks a price of one: its row lacks it, so that mdb refuses that row.
#[test]
fn a_bad_bar_of_a_page_is_a_row_without_its_price() {
    let klines = r#"[[1591258320000,"?","9642.4","9640.6","9642.0","206",1591258379999,"2",48,"119","1","0"],[1591258380000,"1","3","0.5","2","10",1591258439999,"20",3,"4","5","0"]]"#;
    let candles = "[[1415398768,0.32,4.2,0.35,4.1,12.3],[1415398708,0.32,null,0.35,4.1,12.3]]";
    let page = |rows: &'static [&'static str]| answer("rest/bars_1m", "X", klines, "bars", rows);
    assert_made(
        "binance_usdm",
        &[page(&[
            "X|1m|1591258320000000000|true||9642.4|9640.6|9642.0|206.0|2.0",
            "X|1m|1591258380000000000|true|1.0|3.0|0.5|2.0|10.0|20.0",
        ])],
    );
    assert_made(
        "binance_coinm",
        &[page(&[
            "X|1m|1591258320000000000|true||9642.4|9640.6|9642.0|206.0|",
            "X|1m|1591258380000000000|true|1.0|3.0|0.5|2.0|10.0|",
        ])],
    );
    assert_made(
        "coinbase",
        &[answer(
            "rest/bars_1m",
            "X",
            candles,
            "bars",
            &[
                "X|1m|1415398708000000000||0.35||0.32|4.1|12.3|",
                "X|1m|1415398768000000000||0.35|4.2|0.32|4.1|12.3|",
            ],
        )],
    );
}
