#!/usr/bin/env python3
"""Makes bars out of recorded Binance messages, without mdb and without a database.

    ohlcv_oracle.py SECONDS FILE ...

A file holds lines `<receive time, ns> <message as received>`, as they are or gzip. Single trades (`trade`) count, each
id of a symbol once, in a combined stream's envelope or bare; so give it files of one venue, or of different symbols.
Prints CSV, sorted by symbol and time: `ts` is the bar's start in ns since 1970, sums are exact decimals. Open and close
are the first and last trade by time, then by id.
"""

import csv
import gzip
import json
import sys
from decimal import Decimal, getcontext

COLUMNS = (
    "symbol ts open high low close volume quote_volume trades buy_volume sell_volume first_trade_id last_trade_id"
).split()


def messages(path):
    with open(path, "rb") as file:
        opened = gzip.open if file.read(2) == b"\x1f\x8b" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            _, text = line.split(" ", 1)
            message = json.loads(text)
            yield message.get("data", message) if isinstance(message, dict) else {}


def trades(paths):
    """Each single trade once, by symbol and id: (time in ns, price, size, whether the buyer was the aggressor)."""
    found = {}
    for path in paths:
        for message in messages(path):
            # NA is the futures' place holder for no trade.
            if message.get("e") != "trade" or message.get("X") == "NA":
                continue
            time = message["T"]
            # Microseconds if the connection asked for them, else milliseconds.
            ts = time * (1_000 if time > 10**14 else 1_000_000)
            trade = (ts, Decimal(message["p"]), Decimal(message["q"]), not message["m"])
            found.setdefault((message["s"], message["t"]), trade)
    return found


def bars(found, length_ns):
    by_bar = {}
    for (symbol, trade_id), (ts, price, size, bought) in found.items():
        start = ts - ts % length_ns
        by_bar.setdefault((symbol, start), []).append((ts, trade_id, price, size, bought))
    for (symbol, start), rows in sorted(by_bar.items()):
        rows.sort(key=lambda row: row[:2])
        prices = [row[2] for row in rows]
        yield (
            symbol,
            start,
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
            sum(row[3] for row in rows),
            sum(row[2] * row[3] for row in rows),
            len(rows),
            sum((row[3] for row in rows if row[4]), Decimal(0)),
            sum((row[3] for row in rows if not row[4]), Decimal(0)),
            rows[0][1],
            rows[-1][1],
        )


def plain(value):
    """A number without an exponent, and without the zeros that say nothing."""
    if not isinstance(value, Decimal):
        return value
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    # Exact: no price, size or sum of products here comes near so many digits.
    getcontext().prec = 60
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(COLUMNS)
    for bar in bars(trades(sys.argv[2:]), int(sys.argv[1]) * 1_000_000_000):
        out.writerow(plain(value) for value in bar)


if __name__ == "__main__":
    main()
