#!/usr/bin/env python3
"""Reads a database directory with tools that know nothing of mdb: duckdb, Polars and pyarrow.

    lake_readers.py DIR [--all-sealed] [--trade-sums SIZE NOTIONAL] TABLE=ROWS ...

Exits with 1 and says why if one of them sees other rows than expected. A tool that is not installed is
skipped, and that is said. With --all-sealed the lake alone must hold every row.
"""

import argparse
import glob
import importlib
import os
import sys


def module(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"skipped: Python module {name} is not installed")
        return None


class Checks:
    def __init__(self):
        self.failed = 0
        self.passed = 0

    def equal(self, what, got, want):
        if got == want:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {what}: {got}, expected {want}", file=sys.stderr)

    def close(self, what, got, want):
        if abs(got - want) <= 1e-9 * abs(want):
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {what}: {got}, expected {want}", file=sys.stderr)


def lake_tables(directory):
    return sorted(
        table
        for table in os.listdir(os.path.join(directory, "lake"))
        if glob.glob(os.path.join(directory, "lake", table, "date=*", "*.parquet"))
    )


def files(directory, table):
    return sorted(glob.glob(os.path.join(directory, "lake", table, "date=*", "*.parquet")))


def time_column(table):
    """The column whose UTC date names a row's folder."""
    return "recv_ts" if table == "raw_messages" else "ts"


def read_with_duckdb(duckdb, directory, checks):
    """Rows by table, and that every row lies in the folder of its own date, or of the first of its month or year."""
    rows = {}
    connection = duckdb.connect()
    for table in lake_tables(directory):
        pattern = os.path.join(directory, "lake", table, "*", "*.parquet")
        source = f"read_parquet('{pattern}', hive_partitioning = true)"
        rows[table] = connection.execute(f"SELECT count(*) FROM {source}").fetchone()[0]
        # Summing a hash reads every column of every row.
        connection.execute(f"SELECT sum(hash(t)) FROM {source} t").fetchone()
        if table not in ("dead_letters", "feed_events"):
            misplaced = connection.execute(
                f"SELECT count(*) FROM (SELECT {time_column(table)}::DATE AS own, date::DATE AS folder FROM {source}) "
                "WHERE folder NOT IN (own, date_trunc('month', own), date_trunc('year', own))"
            ).fetchone()[0]
            checks.equal(f"duckdb: {table} rows in the folder of another date", misplaced, 0)
    sums = None
    if "trades" in rows:
        pattern = os.path.join(directory, "lake", "trades", "*", "*.parquet")
        sums = connection.execute(
            f"SELECT sum(size), sum(price * size) FROM read_parquet('{pattern}')"
        ).fetchone()
    return rows, sums


def read_with_polars(polars, directory, _checks):
    rows, sums = {}, None
    for table in lake_tables(directory):
        pattern = os.path.join(directory, "lake", table, "*", "*.parquet")
        frame = polars.scan_parquet(pattern, hive_partitioning=True).collect()
        rows[table] = frame.height
        if table == "trades":
            sums = (frame["size"].sum(), (frame["price"] * frame["size"]).sum())
    return rows, sums


def read_with_pyarrow(pyarrow, directory, checks):
    dataset = importlib.import_module("pyarrow.dataset")
    compute = importlib.import_module("pyarrow.compute")
    parquet = importlib.import_module("pyarrow.parquet")
    rows, sums = {}, None
    for table in lake_tables(directory):
        source = dataset.dataset(
            os.path.join(directory, "lake", table), format="parquet", partitioning="hive"
        )
        content = source.to_table()
        rows[table] = content.num_rows
        if table == "trades":
            notional = compute.multiply(content["price"], content["size"])
            sums = (compute.sum(content["size"]).as_py(), compute.sum(notional).as_py())
        for file in files(directory, table):
            schema = parquet.ParquetFile(file).schema_arrow
            without_id = [
                field.name
                for field in schema
                if not (field.metadata and b"PARQUET:field_id" in field.metadata)
            ]
            checks.equal(f"pyarrow: columns of {table} without a field id", without_id, [])
            times = [f.name for f in schema if f.name in ("ts", "recv_ts") and f.type.unit != "ns"]
            checks.equal(f"pyarrow: times of {table} that are not in nanoseconds", times, [])
    return rows, sums


def read_database(duckdb, directory, expected, sums, checks):
    """Plain duckdb, started in the moved directory as a person would."""
    if int(duckdb.__version__.split(".")[0]) < 2:
        print(f"skipped: duckdb {duckdb.__version__} is older than the file's format")
        return
    os.chdir(directory)
    connection = duckdb.connect("market.duckdb", read_only=True)
    for table, rows in expected.items():
        got = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        checks.equal(f"market.duckdb: rows of {table}", got, rows)
    if sums:
        got = connection.execute("SELECT sum(size), sum(price * size) FROM trades").fetchone()
        for value, want in zip(got, sums):
            checks.close("market.duckdb: a sum over trades", value, want)
    views = connection.execute(
        "SELECT view_name FROM duckdb_views() WHERE NOT internal AND schema_name = 'main'"
    ).fetchall()
    for needed in ("ticks", "latest"):
        checks.equal(f"market.duckdb: has a view {needed}", (needed,) in views, True)
    # It is computed with mdb's own time zones, which plain DuckDB has not got.
    views.remove(("exchange_days",))
    for (view,) in views:
        connection.execute(f'SELECT * FROM "{view}" LIMIT 10').fetchall()
    connection.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory")
    parser.add_argument("--all-sealed", action="store_true")
    parser.add_argument("--trade-sums", nargs=2, type=float)
    parser.add_argument("tables", nargs="+", metavar="TABLE=ROWS")
    arguments = parser.parse_intermixed_args()
    directory = os.path.abspath(arguments.directory)
    expected = {table: int(rows) for table, rows in (pair.split("=") for pair in arguments.tables)}
    checks = Checks()

    readers = {"duckdb": read_with_duckdb, "polars": read_with_polars, "pyarrow": read_with_pyarrow}
    seen = {}
    for name, read in readers.items():
        library = module(name)
        if library is None:
            continue
        rows, sums = read(library, directory, checks)
        seen[name] = rows
        if arguments.all_sealed:
            for table, count in expected.items():
                checks.equal(f"{name}: rows of {table} in the lake", rows.get(table, 0), count)
            for value, want in zip(sums or (), arguments.trade_sums or ()):
                checks.close(f"{name}: a sum over trades in the lake", value, want)
        elif not rows:
            checks.equal(f"{name}: tables in the lake", rows, "some")
    for name, rows in seen.items():
        checks.equal(f"{name}: rows by table, as the first reader saw them", rows, next(iter(seen.values())))

    library = module("duckdb")
    if library is not None:
        read_database(library, directory, expected, arguments.trade_sums, checks)
    print(f"lake_readers: {checks.passed} checks passed, {checks.failed} failed ({', '.join(seen) or 'no reader'})")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
