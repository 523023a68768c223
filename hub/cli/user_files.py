"""Files of users: CSV with a header, and JSON lines.

- The columns of CSV are `id`, `name`, `email`, `phone`, `locale`, `timezone`, `attributes` (a JSON object), and
  `attributes.<name>`. Empty cells are ignored.
- A cell of an attribute is JSON if it is a number, `true`, `false`, or `null`, or if it is an object, a list, or a
  quoted text. Any other cell is text.
"""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from msgspec import Struct

FIELDS = ("id", "name", "email", "phone", "locale", "timezone")
ATTRIBUTES = "attributes"
ATTRIBUTE_PREFIX = "attributes."
JSON_STARTS = '-0123456789{["tfn'
SUFFIXES = (".csv", ".jsonl")
SHOWN_MAX_CHARS = 64  # of a number in an error
COLUMNS = f"{', '.join(FIELDS)}, {ATTRIBUTES}, and {ATTRIBUTE_PREFIX}<name>"


class UserFileError(Exception):
    """The file cannot be read as a whole. The message says what to change."""


class Row(Struct, frozen=True):
    """A user in a file.

    - `line`: the first line of the row, from 1. `raw`: its bytes.
    - `end`: the number of bytes of the file up to the end of the row.
    - `user`: the input of `upsertUsers`, or None if the row cannot be read. `error` then says why.
    """

    line: int
    raw: bytes
    end: int
    user: dict[str, Any] | None = None
    error: str = ""


class UserFile:
    """Reads a file from its beginning. `header` is the first line of a CSV file, otherwise empty."""

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise UserFileError(f"{path}: the name must end with {' or '.join(SUFFIXES)}.")
        self._is_csv = path.suffix.lower() == ".csv"
        self._path = path
        self.header = b""

    def rows(self) -> Iterator[Row]:
        """Yield the rows in order. Raise UserFileError or OSError."""
        with self._path.open("rb") as file:
            yield from self._csv_rows(file) if self._is_csv else _json_rows(file)

    def _csv_rows(self, file: IO[bytes]) -> Iterator[Row]:
        lines = _Lines(file)
        reader = csv.reader(lines, strict=True)
        try:
            columns = [column.strip() for column in next(reader, [])]
        except csv.Error as error:
            raise UserFileError(f"{self._path}:1: this is not CSV: {error}.") from None
        self.header = lines.take()[1]
        _check_columns(self._path, columns, lines.is_utf8)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                line, raw = lines.take()
                yield Row(line, raw, lines.bytes_read, error=f"this is not CSV: {error}")
                continue
            line, raw = lines.take()
            if not cells:
                continue
            try:
                if not lines.is_utf8:
                    raise ValueError("this is not UTF-8: save the file as UTF-8")
                user = _user_of_cells(columns, cells)
            except ValueError as error:
                yield Row(line, raw, lines.bytes_read, error=str(error))
            else:
                yield Row(line, raw, lines.bytes_read, user)


class _Lines:
    """The lines of a CSV file as text. `take` returns the lines since its last call."""

    def __init__(self, file: Iterable[bytes]) -> None:
        self._file = iter(file)
        self._taken: list[bytes] = []
        self._line = 1
        self.is_utf8 = True
        self.bytes_read = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = next(self._file)
        if not self._taken:
            self.is_utf8 = True
        self.bytes_read += len(raw)
        self._taken.append(raw)
        encoding = "utf-8-sig" if self.bytes_read == len(raw) else "utf-8"
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            self.is_utf8 = False
            return raw.decode(encoding, "replace")

    def take(self) -> tuple[int, bytes]:
        """Return the number of the first line, and the bytes of the lines."""
        line, raw = self._line, b"".join(self._taken)
        self._line += len(self._taken)
        self._taken = []
        return line, raw


def _check_columns(path: Path, columns: list[str], is_utf8: bool) -> None:
    """Raise UserFileError for an invalid header."""
    if not is_utf8:
        raise UserFileError(f"{path}:1: the header is not UTF-8. Save the file as UTF-8.")
    for column in columns:
        if column not in (*FIELDS, ATTRIBUTES) and not column.startswith(ATTRIBUTE_PREFIX):
            raise UserFileError(f"{path}:1: `{column}` is not a column. The columns are {COLUMNS}.")
    if "id" not in columns:
        raise UserFileError(f"{path}:1: the column `id` is missing. The first line must name the columns.")
    if len(set(columns)) < len(columns):
        raise UserFileError(f"{path}:1: two columns have the same name.")


def _user_of_cells(columns: list[str], cells: list[str]) -> dict[str, Any]:
    """Return the user of a CSV row. Raise ValueError."""
    if len(cells) != len(columns):
        raise ValueError(f"the row has {len(cells)} cells, and the header {len(columns)}")
    user: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for column, cell in zip(columns, cells, strict=True):
        if not cell:
            continue
        if column == ATTRIBUTES:
            attributes |= _json_object(cell, column)
        elif column.startswith(ATTRIBUTE_PREFIX):
            attributes[column.removeprefix(ATTRIBUTE_PREFIX)] = _attribute(cell)
        else:
            user[column] = cell
    if attributes:
        user[ATTRIBUTES] = attributes
    return _with_id(user)


def _with_id(user: dict[str, Any]) -> dict[str, Any]:
    if not user.get("id"):
        raise ValueError("id: the id is missing")
    return user


def _attribute(cell: str) -> Any:
    if cell[0] in JSON_STARTS:
        try:
            return _loads(cell)
        except ValueError:
            return cell
    return cell


def _json_object(text: str, column: str) -> dict[str, Any]:
    prefix = f"{column}: " if column else ""
    try:
        value = _loads(text)
    except ValueError as error:
        raise ValueError(f"{prefix}this is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f'{prefix}this is not a JSON object such as {{"id": "alice"}}')
    return value


def _loads(text: str) -> Any:
    """Return a JSON value. Raise ValueError also for what only Python accepts, such as NaN, and for numbers that Python
    reads as infinite, such as 1e999."""
    try:
        return json.loads(text, parse_constant=_reject, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:SHOWN_MAX_CHARS]} is too large")
    return number


def _reject(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _json_rows(file: Iterable[bytes]) -> Iterator[Row]:
    end = 0
    for line, raw in enumerate(file, 1):
        end += len(raw)
        text = raw.removeprefix(b"\xef\xbb\xbf") if line == 1 else raw
        if not text.strip():
            continue
        try:
            user = _with_id(_json_object(text.decode(), ""))
            if unknown := user.keys() - {*FIELDS, ATTRIBUTES}:
                raise ValueError(f"{min(unknown)}: unknown field. The fields are {', '.join(FIELDS)}, {ATTRIBUTES}")
        except UnicodeDecodeError:
            yield Row(line, raw, end, error="this is not UTF-8: save the file as UTF-8")
        except ValueError as error:
            yield Row(line, raw, end, error=str(error))
        else:
            yield Row(line, raw, end, user)


def write_csv(users: Iterable[Mapping[str, Any]], attributes: Iterable[str], file: IO[str]) -> None:
    """Write users as CSV, with one column for each of the attributes."""
    names = list(attributes)
    writer = csv.writer(file)
    writer.writerow([*FIELDS, *(f"{ATTRIBUTE_PREFIX}{name}" for name in names)])
    for user in users:
        values = user.get(ATTRIBUTES) or {}
        cells = [_cell(values[name]) if name in values else "" for name in names]
        writer.writerow([*(user.get(field) or "" for field in FIELDS), *cells])


def _cell(value: Any) -> str:
    """Return the cell of an attribute, which `_attribute` reads as the same value."""
    if isinstance(value, str) and value and _attribute(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)
