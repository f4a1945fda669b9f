"""Read selected columns of a Parquet file within memory limits, which are checked before the columns are read.

A Parquet file of a few megabytes can hold gigabytes: equal values are stored once, and text is compressed. The limits
apply to the decoded size, both in total and relative to the size of the file.

Example::

    table = read_parquet(Path("faces.parquet"), ["path", "split"])
"""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from auxface.evaluation.predictions import TableError

# Tables that would take more memory than this are not read.
MOST_BYTES = 8 * 2**30
# A table larger than half a gigabyte may be at most this many times larger than its file.
_FREE_BYTES, _MOST_EXPANSION = 2**29, 100


# Bytes per value of the physical types of Parquet that have a fixed length.
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}


def read_whole_parquet(path: Path, lists: Collection[str] = ()) -> pa.Table:
    """Return all columns of a Parquet file, decoded; nested columns are omitted, except for the named lists of numbers.

    Raises:
        TableError: a column occurs twice, or the columns would take too much memory.
    """
    schema = pq.read_schema(path)
    names = [
        field.name
        for field in schema
        if not pa.types.is_nested(field.type)
        or (field.name in lists and pa.types.is_list(field.type) and pa.types.is_floating(field.type.value_type))
    ]
    return decode_dictionaries(read_parquet(path, names), path)


def read_parquet(path: Path, names: list[str]) -> pa.Table:
    """Return columns of a Parquet file; text columns are dictionary-encoded, so that repeated text is stored once.

    Raises:
        TableError: a selected column occurs twice, or the columns would take too much memory.
    """
    with pq.ParquetFile(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
    check_repeated(path, schema.names, names)
    check_size(path, metadata.num_rows, len(names), _uncompressed(metadata, set(names)), path.stat().st_size)
    words = [name for name in names if _is_text(schema.field(name).type)]
    return pq.read_table(path, columns=names, read_dictionary=words)


def decode_dictionaries(table: pa.Table, path: Path) -> pa.Table:
    """Return a table with every dictionary-encoded column decoded.

    Raises:
        TableError: the decoded table would take too much memory.
    """
    check_size(path, table.num_rows, 0, sum(map(_decoded_bytes, table.columns)), path.stat().st_size)
    for place, kind in enumerate(table.schema.types):
        if pa.types.is_dictionary(kind):
            values = table.column(place).cast(pa.large_string() if _is_text(kind.value_type) else kind.value_type)
            table = table.set_column(place, table.schema.names[place], values)
    return table


def check_size(path: Path, rows: int, columns: int, size: int, on_disk: int | None = None) -> None:
    """Check that a table with the given numbers of rows, columns and bytes may be read.

    Raises:
        TableError: the table is larger than :data:`MOST_BYTES`, or much larger than its file of ``on_disk`` bytes.
    """
    needed = max(size, rows * columns * 8)
    limit = MOST_BYTES if on_disk is None else min(MOST_BYTES, max(_FREE_BYTES, _MOST_EXPANSION * on_disk))
    if needed > limit:
        bound = f"the limit is {limit / 2**30:.2g} GB"
        if limit < MOST_BYTES:
            bound += f" for a file of {on_disk:,} bytes"
        raise TableError(
            f"{path}: {rows:,} rows would take {needed / 2**30:.2g} GB of memory; {bound}. Keep fewer columns, or a "
            "sample of the rows"
        )


def check_repeated(path: Path, names: list[str], chosen: list[str]) -> None:
    """Check that each selected column occurs only once.

    Raises:
        TableError: a selected column occurs twice.
    """
    repeated = sorted({name for name in chosen if names.count(name) > 1})
    if repeated:
        raise TableError(f"{path}: column '{repeated[0]}' occurs twice; rename or remove one of the two")


def _uncompressed(metadata: pq.FileMetaData, used: set[str]) -> int:
    total = 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for place in range(row_group.num_columns):
            column = row_group.column(place)
            # The schema path of a nested column starts with the name of the column.
            name = column.path_in_schema
            if name in used or name.partition(".")[0] in used:
                # Equal values are stored once, so a column with few distinct values expands when it is read.
                decoded = column.num_values * _WIDTHS.get(column.physical_type, 1)
                total += max(column.total_uncompressed_size, decoded)
    return total


def _decoded_bytes(column: pa.ChunkedArray) -> int:
    """Return the size of a column in bytes after decoding, that is, counting each use of a dictionary value."""
    total = 0
    for chunk in column.chunks:
        if isinstance(chunk, pa.DictionaryArray) and _is_text(chunk.dictionary.type):
            lengths = pc.binary_length(chunk.dictionary)  # pyright: ignore[reportAttributeAccessIssue]
            total += pc.sum(lengths.take(chunk.indices)).as_py() or 0  # pyright: ignore[reportAttributeAccessIssue]
        else:
            total += chunk.nbytes
    return total


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
