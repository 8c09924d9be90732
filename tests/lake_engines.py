#!/usr/bin/env python3
"""Runs two of the marts' queries on the lake with another engine, and compares what comes out with the marts.

    lake_engines.py polars|spark LAKE BARS.csv LIQUIDITY.csv [--microseconds]

The CSV files are what mdb says: `SELECT … FROM ohlcv_1m` and `… FROM mart_liquidity`, see the columns below. LAKE is a
database's lake/, or with --microseconds a directory that `mdb export --timestamp us --partition-by` wrote, with trades/ and
quotes/ in it. Exits with 1 if anything differs, and says `skipped: …` without the engine.
"""

import csv
import importlib.util
import os
import sys

BARS = ["venue", "symbol", "minute", "open", "high", "low", "close", "volume", "trades"]
LIQUIDITY = ["venue", "symbol", "minute", "quotes", "bid_price", "ask_price", "spread_bps_avg", "spread_bps_max"]
MINUTE_NS = 60_000_000_000


def with_polars(lake, unit):
    import polars as pl

    def table(name):
        frame = pl.scan_parquet(os.path.join(lake, name, "**", "*.parquet"), hive_partitioning=True)
        # Polars counts both units itself: a time is a time.
        return frame.with_columns(minute=pl.col("ts").dt.truncate("1m").dt.epoch("ns") // MINUTE_NS)

    keys = ["venue", "symbol", "minute"]
    trades = table("trades").sort("ts", pl.col("trade_id").str.len_chars(), "trade_id")
    bars = trades.group_by(keys, maintain_order=True).agg(
        open=pl.col("price").first(), high=pl.col("price").max(), low=pl.col("price").min(), close=pl.col("price").last(),
        volume=pl.col("size").sum(), trades=pl.len(),
    )
    spread = 20000 * (pl.col("ask_price") - pl.col("bid_price")) / (pl.col("ask_price") + pl.col("bid_price"))
    quotes = table("quotes").sort("ts", "update_id").with_columns(spread=spread)
    liquidity = quotes.group_by(keys, maintain_order=True).agg(
        quotes=pl.len(), bid_price=pl.col("bid_price").last(), ask_price=pl.col("ask_price").last(),
        spread_bps_avg=pl.col("spread").mean(), spread_bps_max=pl.col("spread").max(),
    )
    return bars.select(BARS).collect().rows(), liquidity.select(LIQUIDITY).collect().rows()


def with_spark(lake, unit):
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        # Spark has no nanoseconds: it reads them as whole numbers if told to, and refuses the file if not.
        .config("spark.sql.legacy.parquet.nanosAsLong", "true")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    time = "ts" if unit == "ns" else "unix_micros(ts::TIMESTAMP) * 1000"
    for name in ("trades", "quotes"):
        frame = session.read.parquet(os.path.join(lake, name))
        frame.selectExpr("*", f"{time} AS ns", f"{time} DIV {MINUTE_NS} AS minute").createOrReplaceTempView(name)
    bars = session.sql(
        """SELECT venue, symbol, minute, min_by(price, (ns, length(trade_id), trade_id)) AS open, max(price) AS high,
                  min(price) AS low, max_by(price, (ns, length(trade_id), trade_id)) AS close, sum(size) AS volume,
                  count(*) AS trades
           FROM trades GROUP BY venue, symbol, minute"""
    ).collect()
    liquidity = session.sql(
        """SELECT venue, symbol, minute, count(*) AS quotes, max_by(bid_price, (ns, update_id)) AS bid_price,
                  max_by(ask_price, (ns, update_id)) AS ask_price,
                  avg(20000 * (ask_price - bid_price) / (ask_price + bid_price)) AS spread_bps_avg,
                  max(20000 * (ask_price - bid_price) / (ask_price + bid_price)) AS spread_bps_max
           FROM quotes GROUP BY venue, symbol, minute"""
    ).collect()
    session.stop()
    return [tuple(row) for row in bars], [tuple(row) for row in liquidity]


def compare(what, columns, got, path):
    with open(path, newline="") as file:
        want = {tuple(row[name] for name in columns[:3]): row for row in csv.DictReader(file)}
    got = {tuple(str(value) for value in row[:3]): row for row in got}
    wrong = [f"{key}: in one only" for key in sorted(want.keys() ^ got.keys())]
    for key in want.keys() & got.keys():
        for name, value in list(zip(columns, got[key]))[3:]:
            expected = float(want[key][name])
            # Sums differ in their last digits, by the order in which they are made.
            exact = name in ("open", "high", "low", "close", "trades", "quotes", "bid_price", "ask_price")
            if float(value) != expected if exact else abs(value - expected) > 1e-9 * abs(expected):
                wrong.append(f"{key} {name}: {value}, expected {expected}")
    print(f"{what}: {len(got)} rows, {len(wrong)} differences")
    for line in wrong[:10]:
        print(f"FAILED: {line}", file=sys.stderr)
    return len(wrong) + (0 if got else 1)


def main():
    engine, lake, bars, liquidity = sys.argv[1:5]
    unit = "us" if "--microseconds" in sys.argv else "ns"
    package = {"polars": "polars", "spark": "pyspark"}[engine]
    if importlib.util.find_spec(package) is None:
        print(f"skipped: Python module {package} is not installed")
        return 0
    of_trades, of_quotes = {"polars": with_polars, "spark": with_spark}[engine](lake, unit)
    failed = compare("ohlcv_1m", BARS, of_trades, bars) + compare("mart_liquidity", LIQUIDITY, of_quotes, liquidity)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
