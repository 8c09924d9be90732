#!/usr/bin/env python3
"""Reads what `mdb export --as` wrote with the tools themselves, and says what they saw.

    tool_readers.py hftbacktest DIR
    tool_readers.py nautilus DIR INSTRUMENT...

Prints `skipped: …` if the tool is not installed, and exits with 1 if it refuses what it is given.
"""

import glob
import importlib.util
import os
import sys


def hftbacktest(directory):
    import numpy
    from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest
    from hftbacktest.data import correct_local_timestamp, validate_event_order
    from hftbacktest.types import event_dtype

    for path in sorted(glob.glob(os.path.join(directory, "*.npz"))):
        data = numpy.load(path)["data"]
        assert data.dtype.fields == event_dtype.fields, data.dtype
        kinds = {kind: int(numpy.sum((data["ev"] & 0xFF) == kind)) for kind in (1, 2, 3, 4)}
        received = data[(data["ev"] & (1 << 30)) != 0]
        happened = data[(data["ev"] & (1 << 31)) != 0]
        assert len(received) == len(happened), "each event is received once and happens once"
        validate_event_order(data)
        # The recorder's clock may have been behind the venue's.
        data = correct_local_timestamp(data.astype(event_dtype), 0)
        asset = (
            BacktestAsset()
            .data(data)
            .linear_asset(1.0)
            .constant_order_latency(0, 0)
            .risk_adverse_queue_model()
            .no_partial_fill_exchange()
            .trading_value_fee_model(0.0, 0.0)
            .tick_size(0.01)
            .lot_size(0.00001)
            .last_trades_capacity(0)
        )
        backtest = HashMapMarketDepthBacktest([asset])
        while backtest.elapse(1_000_000_000) == 0:
            pass
        depth = backtest.depth(0)
        print(f"{os.path.basename(path)} {kinds[2]} trades, last {depth.best_bid:.2f} {depth.best_ask:.2f}, received {len(received)}")
        backtest.close()


def nautilus(directory, *instruments):
    from nautilus_trader.model.data import OrderBookDelta, QuoteTick, TradeTick
    from nautilus_trader.model.book import OrderBook
    from nautilus_trader.model.enums import BookType
    from nautilus_trader.model.identifiers import InstrumentId
    from nautilus_trader.persistence.catalog import ParquetDataCatalog

    catalog = ParquetDataCatalog(directory)
    for instrument in instruments:
        for kind in (TradeTick, QuoteTick, OrderBookDelta):
            rows = catalog.query(kind, identifiers=[instrument])
            if not rows:
                continue
            in_order = all(a.ts_init <= b.ts_init for a, b in zip(rows, rows[1:]))
            assert in_order, f"{kind.__name__} not in order of ts_init"
            if kind is TradeTick:
                notional = sum(float(t.price) * float(t.size) for t in rows)
                print(f"{instrument} TradeTick {len(rows)} {sum(float(t.size) for t in rows):.6f} {notional:.4f}")
            elif kind is QuoteTick:
                last = rows[-1]
                print(f"{instrument} QuoteTick {len(rows)} {last.bid_price} {last.ask_price}")
            else:
                book = OrderBook(InstrumentId.from_str(instrument), BookType.L2_MBP)
                for delta in rows:
                    book.apply_delta(delta)
                print(f"{instrument} OrderBookDelta {len(rows)} {book.best_bid_price()} {book.best_ask_price()}")


def main():
    tool, *arguments = sys.argv[1:]
    package = {"hftbacktest": "hftbacktest", "nautilus": "nautilus_trader"}[tool]
    if importlib.util.find_spec(package) is None:
        print(f"skipped: Python module {package} is not installed")
        return
    {"hftbacktest": hftbacktest, "nautilus": nautilus}[tool](*arguments)


if __name__ == "__main__":
    main()
