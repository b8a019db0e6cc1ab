"""What others do with results: a commit per row; the tools that read the same database."""

from __future__ import annotations

import csv
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

from benchmarks.measuring import Work
from benchmarks.stub import BODY

COLUMNS = (
    "key, state, prediction, media_type, code, message, attempts, seconds, started_at, "
    "finished_at, path, params"
)
"""Of the view `results`: what an export has, without the position."""
CONVERTED = {"prediction": "json(prediction)", "params": "json(params)"}
JSON_OBJECT = ", ".join(f"'{name}', {CONVERTED.get(name, name)}" for name in COLUMNS.split(", "))
SELECTS = {
    "csv": f"SELECT {COLUMNS} FROM results ORDER BY position",
    "jsonl": f"SELECT json_object({JSON_OBJECT}) FROM results ORDER BY position",
    "status": "SELECT state, count(*) FROM items GROUP BY state",
}
"""For SQLite. JSON is checked when it is put into other JSON: it is made of answers."""


def commit_per_row(folder: str, count: int) -> Work:
    """A table of results, durable row by row: SQLite, WAL, synchronous=FULL."""

    def work() -> int:
        with tempfile.TemporaryDirectory(dir=folder) as below:
            database = sqlite3.connect(Path(below) / "results.db", isolation_level=None)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute(
                "CREATE TABLE results (key TEXT PRIMARY KEY, prediction TEXT, log TEXT)"
            )
            prediction, log = BODY[-300:].decode(), BODY.decode()
            for number in range(count):
                row = f"IMG_{number:08d}.jpg", prediction, log
                database.execute("INSERT INTO results VALUES (?, ?, ?)", row)
            done = database.execute("SELECT count(*) FROM results").fetchone()[0]
            database.close()
        return int(done)

    return work


def sqlite_shell(run: str, what: str, output: str, rows: int) -> Work:
    """The `sqlite3` program, its start included; without it, Python's module does the same."""
    if not shutil.which("sqlite3"):
        return sqlite_module(run, what, output, rows)
    mode = ("-csv", "-header") if what == "csv" else ("-list",)
    command = ["sqlite3", "-readonly", *mode, f"{run}/run.db", SELECTS[what]]

    def work() -> int:
        with Path(output).open("wb") as file:
            subprocess.run(command, stdout=file, check=True)
        return rows

    return work


def sqlite_module(run: str, what: str, output: str, rows: int) -> Work:
    """The same select by Python's module, written by the `csv` module or line by line."""

    def work() -> int:
        database = sqlite3.connect(f"file:{run}/run.db?mode=ro", uri=True)
        found = database.execute(SELECTS[what])
        with Path(output).open("w", encoding="utf-8", newline="") as file:
            if what == "csv":
                csv.writer(file).writerows(found)
            else:
                file.writelines(f"{row[0]}\n" for row in found)
        database.close()
        return rows

    return work


def duckdb_export(run: str, what: str, output: str, rows: int) -> Work:
    """DuckDB with its extension for SQLite, the same columns; its start is not included."""
    import duckdb  # noqa: PLC0415 - each process loads its own client only
    import duckdb_extension_sqlite_scanner  # noqa: PLC0415 - as above

    extensions = Path(duckdb_extension_sqlite_scanner.__file__).parent / "extensions"
    (extension,) = extensions.rglob("*.duckdb_extension")
    columns = (
        COLUMNS
        if what == "csv"
        else COLUMNS.replace("prediction", "prediction::JSON AS prediction").replace(
            "params", "params::JSON AS params"
        )
    )
    form = "FORMAT csv, HEADER" if what == "csv" else "FORMAT json"

    def work() -> int:
        with duckdb.connect() as connection:
            connection.execute(f"LOAD '{extension}'")
            connection.execute(f"ATTACH '{run}/run.db' AS run (TYPE sqlite, READ_ONLY)")
            select = f"SELECT {columns} FROM run.results ORDER BY position"
            connection.execute(f"COPY ({select}) TO '{output}' ({form})")
        return rows

    return work
