"""Read table files: Parquet, CSV with any separator and encoding, JSON lines and Excel, compressed or not.

The file type is determined from the content, not from the name. Text is decoded as UTF-8, UTF-16 or, if it is neither,
Windows-1252. The separator is whichever of ``, ; tab |`` occurs most often in the header line, or a space if none does.
Lines before the header line that start with ``#`` are comments.

>>> separator("a;b;c"), separator("'a, b'|c|d")
(';', '|')
"""

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from auxface.evaluation.csv_cells import is_number, restore_cells
from auxface.evaluation.parquet_tables import check_repeated, check_size, read_parquet
from auxface.evaluation.predictions import TableError

# A small compressed file can expand to any number of bytes, which are held in memory.
_MOST_UNPACKED = 2 * 2**30
# The key of the JSON header in the schema metadata of a Parquet file.
HEADER = b"auxface"
EXPECTED = "expected a table: .parquet, .csv, .tsv, .jsonl or .xlsx, or one of these compressed"
# Columns that hold text in the tables of auxface, so that "001" remains "001".
_TEXTS = {"dataset", "method", "source", "video", "corruption", "severity"}
# Lowercase first bytes of files that are not tables.
_DOCUMENTS = {
    "a web page (HTML)": (b"<!doctype html", b"<html", b"<head", b"<table", b"<!--"),
    "an XML document": (b"<?xml", b"<svg"),
    "a PDF document": (b"%pdf",),
    "an RTF document": (b"{\\rtf",),
    "an image": (b"\x89png", b"\xff\xd8\xff", b"gif8"),
}
_SEPARATORS = (",", ";", "\t", "|")
_OPEN: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_EXCEL, _UTF16 = {".xlsx", ".xlsm"}, (b"\xff\xfe", b"\xfe\xff")
_UNREADABLE = (
    pa.ArrowException, pd.errors.ParserError, pd.errors.EmptyDataError, OSError, UnicodeError, ValueError, EOFError,
    OverflowError, KeyError, RecursionError, csv.Error, lzma.LZMAError, zipfile.BadZipFile,
)  # fmt: skip


@dataclass
class TableFile:
    """The content of a table file.

    Attributes:
        frame: columns that were read; leading and trailing spaces of their names are removed.
        header: JSON header of a table that auxface wrote; empty for other tables.
        skipped: names of the columns that were not read.
        notes: notes for the reader, for example about a guessed encoding.
        nested: kind (``list``, ``struct`` or ``map``) of each column that was not read because it holds nested values,
            such as embeddings.
    """

    frame: pd.DataFrame
    header: dict[str, Any] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    nested: dict[str, str] = field(default_factory=dict)


def read_table(path: Path, used: Callable[[list[str]], list[str]], parse: Callable[[bytes, Path], Any]) -> TableFile:
    """Read the table in a file.

    Args:
        path: path of the file.
        used: function that receives all column names and returns the names of the columns to read.
        parse: function that parses the JSON header of a Parquet file, or the header file next to a CSV file.

    Raises:
        TableError: the file is missing, is not a table, has a duplicate column, or would take too much memory.
    """
    if path.is_dir():
        raise TableError(f"{path}: a folder, not a table; {EXPECTED}")
    if not path.is_file():
        raise TableError(f"{path}: no such file; {EXPECTED}")
    try:
        with path.open("rb") as file:
            start = file.read(512)
        if start.startswith(b"PAR1") or path.suffix.lower() == ".parquet":
            return _read_parquet(path, used, parse)
        if start.startswith(b"PK\x03\x04"):
            return _read_excel(path, used)
        if path.suffix.lower() in _EXCEL and b"\0" in start and not start.startswith(_UTF16):
            raise TableError(f"{path}: not an Excel file, or corrupt (its first bytes are {start[:4]!r}); {EXPECTED}")
        for magic, opened in _OPEN.items():
            if start.startswith(magic):
                with opened(path) as file:
                    return _read_text(path, io.BytesIO(_limited(file, path)), used)
        refuse_documents(start, path)
        check_size(path, 0, 0, path.stat().st_size)
        with path.open("rb") as file:
            found = _read_text(path, file, used)
    except TableError:
        raise
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise TableError(f"{path}: cannot be read as a table ({reason}); {EXPECTED}") from None
    beside = path.with_suffix(".json")
    if beside != path and beside.is_file() and _is_header(beside):
        found.header = parse(beside.read_bytes(), beside)
    return found


def refuse_documents(start: bytes, path: Path) -> None:
    """Raise an error if a file begins as a web page, a document or an image, which could be read as a table of text.

    Args:
        start: first bytes of the file.
        path: path of the file, for the message.

    Raises:
        TableError: the message names the kind of the file and the kinds of tables that can be read.
    """
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    kind = next((kind for kind, first in _DOCUMENTS.items() if text.startswith(first)), None)
    if kind is not None:
        raise TableError(f"{path}: {kind}, not a table; {EXPECTED}")


def json_lines(text: str, path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON Lines table, one per line that is not empty.

    Args:
        text: content of the file.
        path: path of the file, for messages.

    Raises:
        TableError: a line is not a JSON object; the message states the number of the line.
    """
    rows: list[dict[str, Any]] = []
    # Strings in JSON may contain other line separators of Unicode, at which splitlines would also split.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = f"not valid JSON ({' '.join(str(error).split())[:100]})"
        else:
            if isinstance(row, dict):
                rows.append(row)
                continue
            reason = f"{type(row).__name__} {line.strip()[:40]}"
        raise TableError(f'{path}: line {number}: {reason}; expected an object such as {{"path": "1.png"}}')
    return rows


def separator(line: str) -> str:
    """Return the separator of a header line; quoted text is ignored."""
    quote = next((letter for letter in line if letter in "\"'"), '"')
    plain = "".join(line.split(quote)[::2])
    found = max(_SEPARATORS, key=lambda one: (plain.count(one), -_SEPARATORS.index(one)))
    return " " if not plain.count(found) and len(plain.split()) > 1 else found


def _limited(file: BinaryIO, path: Path) -> bytes:
    content = file.read(_MOST_UNPACKED + 1)
    _check_unpacked(path, len(content))
    return content


def _is_header(path: Path) -> bool:
    """Return whether the JSON file next to a CSV file is its header; any other file with that name is ignored."""
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("tasks"), dict) and "version" in found


def _read_parquet(path: Path, used: Callable[[list[str]], list[str]], parse: Callable[[bytes, Path], Any]) -> TableFile:
    schema = pq.read_schema(path)
    # Lists, such as embeddings, take a lot of memory; a list in a column of labels or groups is rejected later.
    nested = {
        one.name: "struct" if pa.types.is_struct(one.type) else "map" if pa.types.is_map(one.type) else "list"
        for one in schema
        if pa.types.is_nested(one.type) and not one.name.startswith(("true.", "group."))
    }
    stripped = {name.strip(): name for name in schema.names}
    names = [stripped[name] for name in used(list(stripped)) if stripped[name] not in nested]
    frame = read_parquet(path, names).to_pandas()
    chosen = {*names, *nested}
    skipped = [name for name in schema.names if name not in chosen and not name.startswith("__index_level_")]
    frame.columns = [str(name).strip() for name in frame.columns]
    header = parse((schema.metadata or {}).get(HEADER, b"{}"), path)
    return TableFile(frame, header, skipped, nested=nested)


def _read_text(path: Path, file: BinaryIO, used: Callable[[list[str]], list[str]]) -> TableFile:
    """Read a table from JSON lines, a JSON list of objects, or delimiter-separated values."""
    start = file.read(1 << 16)
    file.seek(0)
    encoding, notes = _encoding(file, start)
    text = start.decode(encoding, errors="ignore").lstrip("\ufeff")
    if text.lstrip()[:1] in ("{", "["):
        content = file.read().decode(encoding).lstrip("\ufeff")
        lines = json_lines(content, path) if text.lstrip()[0] == "{" else None
        return _chosen(path, _table_of_objects(json.loads(content) if lines is None else lines), used, notes)
    if not text.strip():
        raise TableError(f"{path}: the file is empty; expected a header line and a row per sample")
    lines = text.splitlines(keepends=True)
    comments = _comment_lines(lines)
    line = lines[comments].rstrip("\r\n")
    between = separator(line)
    # Programs that pad columns write a space after every separator of the header line.
    padded = between == " " or (line.count(between) > 0 and line.count(between + " ") == line.count(between))
    given = next(csv.reader([line], delimiter=between, skipinitialspace=padded), [])
    names = [name.strip() for name in given]
    if given and all(is_number(name) for name in names):
        raise TableError(f"{path}: the first line holds numbers; expected a header line with column names")
    chosen = used(names)
    check_repeated(path, names, chosen)
    _check_lengths(path, lines[comments:], between, padded, len(names))
    if not chosen:
        return TableFile(pd.DataFrame(), {}, names, notes)
    # "None" and "NA" are valid names of classes and levels, so only empty fields count as missing.
    unique = [name if name in chosen else f"column {place}" for place, name in enumerate(names)]
    frame = pd.read_csv(
        file, sep=between, names=unique, usecols=chosen, header=0, encoding=encoding, keep_default_na=False,
        na_values=[""], skipinitialspace=padded, skiprows=comments, dtype=_as_categories(chosen),
    )  # fmt: skip
    frame.columns = [names[place] for place in sorted(names.index(name) for name in chosen)]
    for name in _TEXTS & set(frame.columns):
        if frame[name].isna().any():
            frame[name] = frame[name].cat.add_categories([""]).fillna("")
    return TableFile(restore_cells(frame), {}, [name for name in names if name and name not in chosen], notes)


def _table_of_objects(rows: Any) -> pd.DataFrame:
    """Return a table of JSON objects; the values of an object within a row are columns such as ``scores.fake``.

    A single object can also hold the whole table: its columns, as lists or as objects from row to value, or ``columns``
    and ``data`` (the orients of ``pandas.DataFrame.to_json``).
    """
    whole = rows[0] if isinstance(rows, list) and len(rows) == 1 else rows
    if isinstance(whole, dict) and whole:
        if isinstance(whole.get("columns"), list) and isinstance(whole.get("data"), list):
            return pd.DataFrame(whole["data"], columns=whole["columns"])
        values = list(whole.values())
        if all(isinstance(one, list) for one in values):
            return pd.DataFrame(whole)
        if all(isinstance(one, dict) and one.keys() == values[0].keys() for one in values):
            return pd.DataFrame({name: list(one.values()) for name, one in whole.items()})
    if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
        return pd.json_normalize(rows, max_level=2)
    return pd.DataFrame(rows)


def _comment_lines(lines: list[str]) -> int:
    """Return the number of comment lines before the header line; a header line has as many fields as the next line."""
    count = next((place for place, one in enumerate(lines) if not one.startswith("#")), 0)
    if not count:
        return 0
    between = separator(lines[count])
    return count - (lines[count - 1].count(between) == lines[count].count(between) > 0)


def _check_lengths(path: Path, lines: list[str], between: str, padded: bool, columns: int) -> None:
    """Check that no row at the start of a table has more fields than the header; pandas would drop the excess."""
    # The last line of a long text may be truncated.
    lines = lines[:-1] if sum(map(len, lines)) >= 1 << 15 else lines
    for row, fields in enumerate(csv.reader(lines, delimiter=between, skipinitialspace=padded)):
        if row and any(field.strip() for field in fields[columns:]):
            raise TableError(
                f"{path}: row {row} has {len(fields)} fields, but the header has {columns}; put fields that contain "
                f"'{between}' in quotes"
            )


def _as_categories(names: list[str]) -> Any:
    """Return categorical types for columns with few distinct texts, to save memory."""
    return {name: "category" for name in names if name.startswith("group.") or name in _TEXTS}


def _encoding(file: BinaryIO, start: bytes) -> tuple[str, list[str]]:
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16", []
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while block := file.read(1 << 24):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252", ["The table is not UTF-8; its text was read as Windows-1252."]
    finally:
        file.seek(0)
    return "utf-8-sig", []


def _read_excel(path: Path, used: Callable[[list[str]], list[str]]) -> TableFile:
    with zipfile.ZipFile(path) as archive:
        if "xl/workbook.xml" not in archive.namelist():
            raise TableError(f"{path}: a zip archive; unpack it first; {EXPECTED}")
        _check_unpacked(path, sum(member.file_size for member in archive.infolist()))
    try:
        frame = pd.read_excel(path, keep_default_na=False, na_values=[""])
    except ImportError:
        raise TableError(
            f"{path}: Excel tables need openpyxl: pip install 'auxface[excel]', or save the sheet as CSV"
        ) from None
    return _chosen(path, frame, used, [])


def _chosen(path: Path, frame: pd.DataFrame, used: Callable[[list[str]], list[str]], notes: list[str]) -> TableFile:
    frame.columns = [str(name).strip() for name in frame.columns]
    names = list(frame.columns)
    chosen = used(names)
    check_repeated(path, names, chosen)
    return TableFile(frame[chosen], {}, [name for name in names if name not in chosen], notes)


def _check_unpacked(path: Path, size: int) -> None:
    if size > _MOST_UNPACKED:
        raise TableError(
            f"{path}: the uncompressed size exceeds {_MOST_UNPACKED // 2**30} GB, the limit for compressed tables; "
            "save it as Parquet"
        )
