#!/usr/bin/env python3
"""Bytes a row of trades, quotes and book deltas: the lake's beside the same rows in other formats.

    mdb --db DB load …; mdb --db DB seal --all; mdb --db DB compact --all
    python3 benches/sizes.py DB [MDB]

Needs duckdb 2.0; databento-dbn for DBN, without which that column is left out. All rows of a table are one file in each
format: csv.gz by gzip -6 in the order of capture, with Tardis' columns and nanoseconds; DBN of the matching schema
(trades, bbo as mbp-1, book levels as mbo) by zstd 3; Parquet by plain DuckDB, zstd 3, in the order of capture, all columns.
"""

import gzip
import os
import subprocess
import sys
import tempfile

import duckdb

COLUMNS = {
    "trades": "venue, symbol, epoch_ns(ts) AS ts, epoch_ns(recv_ts) AS recv_ts, trade_id, side, price, size",
    "quotes": "venue, symbol, epoch_ns(ts) AS ts, epoch_ns(recv_ts) AS recv_ts, ask_size, ask_price, bid_price, bid_size",
    "book_deltas": "venue, symbol, epoch_ns(ts) AS ts, epoch_ns(recv_ts) AS recv_ts, is_snapshot, side, price, size",
}


def dbn(table, connection, source, path):
    """Prices are whole numbers of 1e-9 there, sizes whole numbers of 32 bits: as many as the size has steps of 1e-5."""
    try:
        import databento_dbn as dbn
        import zstandard
    except ImportError:
        return None
    ids = {}
    schema = {"trades": dbn.Schema.TRADES, "quotes": dbn.Schema.MBP_1, "book_deltas": dbn.Schema.MBO}[table]
    metadata = dbn.Metadata(
        dataset="XNAS.ITCH", start=0, stype_out=dbn.SType.INSTRUMENT_ID, schema=schema, symbols=[], partial=[], not_found=[],
        mappings=[], stype_in=dbn.SType.RAW_SYMBOL, end=None, limit=None, ts_out=False,
    )

    def price(value):
        return dbn.UNDEF_PRICE if value is None else round(value * 1e9)

    def size(value):
        return min(round((value or 0) * 1e5), 2**32 - 1)

    side = {"buy": dbn.Side.BID, "sell": dbn.Side.ASK, "bid": dbn.Side.BID, "ask": dbn.Side.ASK}
    compressor = zstandard.ZstdCompressor(level=3)
    with open(path, "wb") as file, compressor.stream_writer(file) as out:
        out.write(metadata.encode())
        for row in connection.execute(f"SELECT {COLUMNS[table]}, seq FROM {source} ORDER BY recv_ts, seq").fetchall():
            number = ids.setdefault(row[:2], len(ids) + 1)
            common = {"publisher_id": 1, "instrument_id": number, "ts_event": row[2]}
            if table == "trades":
                record = dbn.TradeMsg(
                    **common, price=price(row[6]), size=size(row[7]), action=dbn.Action.TRADE,
                    side=side.get(row[5], dbn.Side.NONE), depth=0, ts_recv=row[3], flags=0, ts_in_delta=0,
                    sequence=int(row[4] or 0) & 0xFFFFFFFF,
                )
            elif table == "quotes":
                level = dbn.BidAskPair(
                    bid_px=price(row[6]), ask_px=price(row[5]), bid_sz=size(row[7]), ask_sz=size(row[4]), bid_ct=0, ask_ct=0
                )
                record = dbn.MBP1Msg(
                    **common, price=price(row[6]), size=0, action=dbn.Action.MODIFY, side=dbn.Side.NONE, depth=0,
                    ts_recv=row[3], flags=0, ts_in_delta=0, sequence=row[8] & 0xFFFFFFFF, levels=level,
                )
            else:
                record = dbn.MBOMsg(
                    **common, order_id=0, price=price(row[6]), size=size(row[7]),
                    action=dbn.Action.CANCEL if row[7] == 0 else dbn.Action.MODIFY, side=side.get(row[5], dbn.Side.NONE),
                    ts_recv=row[3], flags=0, channel_id=0, ts_in_delta=0, sequence=row[8] & 0xFFFFFFFF,
                )
            out.write(bytes(record))
    return os.path.getsize(path)


def main():
    database, mdb = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "mdb"
    connection = duckdb.connect()
    print("| | trades | quotes | book deltas |\n|---|---|---|---|")
    figures = {name: [] for name in ("mdb", "csv.gz", "DBN.zst", "DuckDB's Parquet")}
    with tempfile.TemporaryDirectory() as scratch:
        for table, columns in COLUMNS.items():
            pattern = os.path.join(database, "lake", table, "*", "*.parquet")
            hot = subprocess.run(
                [mdb, "--db", database, "sql", "--format", "csv", f"SELECT count(*) FROM hot.{table}"],
                check=True, capture_output=True, text=True,
            ).stdout.split()[1]
            assert hot == "0", f"{table} has {hot} rows that are not sealed"
            source = f"read_parquet('{pattern}')"
            rows = connection.execute(f"SELECT count(*) FROM {source}").fetchone()[0]
            sizes = connection.execute(f"SELECT sum(size) FROM read_blob('{pattern}')").fetchone()[0]
            figures["mdb"].append(sizes / rows)
            csv = os.path.join(scratch, "rows.csv")
            connection.execute(f"COPY (SELECT {columns} FROM {source} ORDER BY recv_ts, seq) TO '{csv}' (FORMAT csv)")
            with open(csv, "rb") as plain, gzip.open(csv + ".gz", "wb", 6) as packed:
                while block := plain.read(1 << 20):
                    packed.write(block)
            figures["csv.gz"].append(os.path.getsize(csv + ".gz") / rows)
            size = dbn(table, connection, source, os.path.join(scratch, "rows.dbn.zst"))
            figures["DBN.zst"].append(None if size is None else size / rows)
            parquet = os.path.join(scratch, "rows.parquet")
            connection.execute(
                f"COPY (SELECT * FROM {source} ORDER BY recv_ts, seq) TO '{parquet}' (FORMAT parquet, COMPRESSION zstd)"
            )
            figures["DuckDB's Parquet"].append(os.path.getsize(parquet) / rows)
    for name, values in figures.items():
        if None not in values:
            print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in values) + " |")


if __name__ == "__main__":
    main()
