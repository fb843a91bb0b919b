"""One's own export, brought back: `records.jsonl` of the zip, record by record, under the keys they had."""

from __future__ import annotations

import json
from typing import Final

from core.records import Rejected, parse_record

from .wanted import NotUnderstood, Wanted, WantedRecord, open_zip, read_member

RECORDS: Final = "records.jsonl"
_LEFT_OUT: Final = ("meta/self",)
"""What belongs to the bee that was exported, not to the one it comes into."""


def is_own(names: list[str]) -> bool:
    return RECORDS in names


def read_own(data: bytes) -> Wanted:
    """What the zip asks for. Images stay where they are: their posts name blobs of the media core they were in."""
    wanted = Wanted()
    archive = open_zip(data)
    for number, line in enumerate(read_member(archive, RECORDS).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            key, value = row["key"], row["value"]
            if not isinstance(key, str):
                raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError):
            wanted.not_understood.append(
                NotUnderstood(RECORDS, number, "This line is not a record of an export.")
            )
            continue
        if key in _LEFT_OUT:
            continue
        record = parse_record(key, value)
        if isinstance(record, Rejected):
            wanted.not_understood.append(NotUnderstood(RECORDS, number, record.sentence))
            continue
        wanted.records.append(WantedRecord(record.kind, value, "", 0, key, (RECORDS, number)))
    return wanted
