"""What a file asks to be published, and what of it was not understood."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from userpeer.errors import UserError

MAX_ZIP_BYTES: Final = 64 * 1024 * 1024
MAX_UNPACKED_BYTES: Final = 512 * 1024 * 1024
MAX_FILES: Final = 20_000
MAX_ROWS: Final = 500_000
MAX_REPORTED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a CSV file: where it stands, and its fields by the names of the first line."""

    file: str
    line: int
    fields: dict[str, str]

    def get(self, name: str) -> str:
        return self.fields.get(name, "").strip()


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A line that was left out, and why."""

    file: str
    line: int
    sentence: str


@dataclass(frozen=True, slots=True)
class WantedRecord:
    """A record to be published. `source_id` names it for the next run of the same import; `key`: the key it had (own
    exports), None for a new one. `at` orders new ones (milliseconds since 1970).
    """

    kind: str
    value: dict[str, Any]
    source_id: str
    at: int
    key: str | None = None
    place: tuple[str, int] = ("", 0)


@dataclass(frozen=True, slots=True)
class WantedList:
    """A list of films with its items in order."""

    name: str
    text: str
    ordered: bool
    source_id: str
    items: tuple[dict[str, Any], ...]


@dataclass(slots=True)
class Wanted:
    """All that a file asks for."""

    records: list[WantedRecord] = field(default_factory=list)
    lists: list[WantedList] = field(default_factory=list)
    not_understood: list[NotUnderstood] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """Files of the zip that were not looked at."""

    def complain(self, row: Row, sentence: str) -> None:
        self.not_understood.append(NotUnderstood(row.file, row.line, sentence))


def open_zip(data: bytes) -> zipfile.ZipFile:
    """A zip within limits. Raises `UserError` with a sentence."""
    if len(data) > MAX_ZIP_BYTES:
        raise UserError(
            f"The file is larger than {MAX_ZIP_BYTES // 1024**2} MB; that is no export of this kind."
        )
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        infos = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        raise UserError(
            "This is not a zip file, or it was damaged. Choose the zip as it was downloaded."
        ) from None
    if len(infos) > MAX_FILES or sum(info.file_size for info in infos) > MAX_UNPACKED_BYTES:
        raise UserError("This zip unpacks to far more than an export; it was not opened.")
    return archive


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """One file of a zip, never more than it says. Raises `UserError`."""
    try:
        with archive.open(name) as member:
            data = member.read(archive.getinfo(name).file_size + 1)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, KeyError):
        raise UserError(f"{name} in the zip cannot be read; it was damaged or is protected.") from None
    if len(data) > archive.getinfo(name).file_size:
        raise UserError(f"{name} in the zip is larger than it says; nothing was read.")
    return data


def lines_of(text: str) -> list[str]:
    """Lines as a CSV file has them: not ended by the other characters that end lines elsewhere."""
    return list(io.StringIO(text, newline=""))


def csv_rows(file: str, data: bytes, *, skip: int = 0) -> Iterator[Row]:
    """The lines of a CSV file after its header, which stands after `skip` lines."""
    text = data.decode("utf-8-sig", "replace")
    lines = lines_of(text)[skip:]
    reader = csv.reader(lines)
    names: list[str] | None = None
    try:
        for number, fields in enumerate(reader):
            if number > MAX_ROWS:
                raise UserError(f"{file} has more than {MAX_ROWS:,} lines.")
            if names is None:
                names = [name.strip() for name in fields]
                continue
            if any(fields):
                yield Row(file, skip + reader.line_num, dict(zip(names, fields, strict=False)))
    except csv.Error as error:
        raise UserError(f"{file} is not a CSV file that can be read: {error}.") from error
