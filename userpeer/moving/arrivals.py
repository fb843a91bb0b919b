"""Publishing what an import asks for: what is new, in batches, with progress and a report. Safe to run twice.

What an import wrote carries where it came from (`src`, and `srcId`: the address of the entry there), so the next run
of the same export knows it again, updates what changed there, and leaves alone what the author edited since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from core.records import Subject, Watch, film_refs, format_date, parse_record, watchlist_key
from userpeer.errors import InvalidField, UserError
from userpeer.publishing import Publisher
from userpeer.reading import Reader
from userpeer.wording import counted

from .letterboxd import SOURCE, is_letterboxd, read_letterboxd
from .own import is_own, read_own
from .wanted import MAX_REPORTED, NotUnderstood, Wanted, WantedList, WantedRecord, open_zip

BATCH: Final = 400
SOURCE_ID: Final = "srcId"


@dataclass(slots=True)
class Report:
    """How an import went, or goes. `total` and `done` count what the file asks for."""

    total: int = 0
    done: int = 0
    added: int = 0
    updated: int = 0
    present: int = 0
    kept: int = 0
    not_understood: list[NotUnderstood] = field(default_factory=list)
    more_not_understood: int = 0
    ignored: list[str] = field(default_factory=list)
    problem: str | None = None
    is_over: bool = False

    @property
    def sentence(self) -> str:
        """The figures in words."""
        parts = [f"{self.added:,} added", f"{self.updated:,} updated", f"{self.present:,} here already"]
        if self.kept:
            parts.append(f"{self.kept:,} left alone because you edited them")
        wrong = len(self.not_understood) + self.more_not_understood
        if wrong:
            parts.append(f"{counted(wrong, 'line')} not fully understood")
        return ", ".join(parts) + "."

    def complain(self, problem: NotUnderstood) -> None:
        if len(self.not_understood) < MAX_REPORTED:
            self.not_understood.append(problem)
        else:
            self.more_not_understood += 1


def read_file(data: bytes) -> Wanted:
    """What a zip asks for, whichever of the two kinds it is. Raises `UserError`."""
    names = open_zip(data).namelist()
    if is_own(names):
        return read_own(data)
    if is_letterboxd(names):
        return read_letterboxd(data)
    raise UserError(
        "This zip is neither an export of Letterboxd (with diary.csv, ratings.csv, …) nor one of your own "
        "(with records.jsonl). Choose the zip as it was downloaded."
    )


class Arrivals:
    """One import into one bee."""

    def __init__(self, publisher: Publisher, reader: Reader, progress: Callable[[Report], None]) -> None:
        self.report = Report()
        self._publisher = publisher
        self._reader = reader
        self._progress = progress

    async def run(self, data: bytes) -> Report:
        """Bring in what the file asks for. A problem in the middle leaves what was written; the next run goes on."""
        report = self.report
        try:
            wanted = await asyncio.to_thread(read_file, data)
            report.total = len(wanted.records) + len(wanted.lists)
            report.ignored = wanted.ignored
            for problem in wanted.not_understood:
                report.complain(problem)
            self._progress(report)
            known = await self._known()
            for chunk in _chunks(wanted.records, BATCH):
                await self._bring(chunk, known)
            for one in wanted.lists:
                await self._bring_list(one)
        except UserError as error:
            report.problem = str(error)
        report.is_over = True
        self._progress(report)
        return report

    # --- records --------------------------------------------------------------------------------------

    async def _known(self) -> dict[str, tuple[str, Any]]:
        """What earlier imports wrote, by the address it had there."""
        known: dict[str, tuple[str, Any]] = {}
        async for entry in self._reader.range("movie/"):
            if isinstance(entry.value, dict) and isinstance(entry.value.get(SOURCE_ID), str):
                known[entry.value[SOURCE_ID]] = (entry.key, entry.value)
        return known

    async def _bring(self, chunk: list[WantedRecord], known: dict[str, tuple[str, Any]]) -> None:
        fresh: list[tuple[str, dict[str, Any]]] = []
        changed: list[tuple[str, dict[str, Any]]] = []
        for wanted in chunk:
            self.report.done += 1
            if wanted.key is not None:
                await self._same_key(wanted, changed)
            elif wanted.kind == "watchlist":
                await self._to_watchlist(wanted, changed)
            else:
                value = {**wanted.value, SOURCE_ID: wanted.source_id}
                if wanted.at:
                    value["createdAt"] = format_date(wanted.at)
                before = known.get(wanted.source_id) if wanted.source_id else None
                if before is None:
                    fresh.append((wanted.kind, value))
                    if wanted.source_id:
                        known[wanted.source_id] = ("", value)
                else:
                    self._again(before, value, changed)
        for kind, key, value, problem in await self._publisher.publish_many(fresh, changed):
            place = next((one.place for one in chunk if _is_same(one, key, value)), ("", 0))
            self.report.complain(NotUnderstood(*place, f"This {kind} cannot be published: {problem}"))
            if key is None:
                self.report.added -= 1
        self.report.added += len(fresh)
        self._progress(self.report)
        await asyncio.sleep(0)

    def _again(
        self, before: tuple[str, Any], value: dict[str, Any], changed: list[tuple[str, dict[str, Any]]]
    ) -> None:
        key, old = before
        theirs = {name: item for name, item in old.items() if name not in ("createdAt", "updatedAt")}
        ours = {name: item for name, item in value.items() if name != "createdAt"}
        if theirs == ours or not key:
            self.report.present += 1
        elif "updatedAt" in old:
            self.report.kept += 1
        else:
            self.report.updated += 1
            changed.append((key, {**value, "createdAt": old.get("createdAt", value.get("createdAt"))}))

    async def _same_key(self, wanted: WantedRecord, changed: list[tuple[str, dict[str, Any]]]) -> None:
        assert wanted.key is not None
        item = await self._reader.get(wanted.key)
        if item is None:
            changed.append((wanted.key, wanted.value))
            self.report.added += 1
        elif item.value == wanted.value:
            self.report.present += 1
        else:
            # What is here was written after the export, or on purpose: an import never takes words away.
            self.report.kept += 1

    async def _to_watchlist(self, wanted: WantedRecord, changed: list[tuple[str, dict[str, Any]]]) -> None:
        record = parse_record(f"movie/{'0' * 16}", {"film": wanted.value["film"]})
        assert isinstance(record, Watch)
        for ref in film_refs(record.film):
            if await self._reader.get(f"watchlist/{ref}") is not None:
                self.report.present += 1
                return
        value = {**wanted.value, "src": SOURCE}
        if wanted.at:
            value["createdAt"] = format_date(wanted.at)
        changed.append((watchlist_key(record.film), value))
        self.report.added += 1

    # --- lists ----------------------------------------------------------------------------------------

    async def _bring_list(self, wanted: WantedList) -> None:
        self.report.done += 1
        key = None
        async for entry in self._reader.range("list/"):
            if isinstance(entry.value, dict) and entry.value.get(SOURCE_ID) == wanted.source_id:
                key = entry.key
        if key is None:
            value = {"name": wanted.name, **({"text": wanted.text} if wanted.text else {})}
            if wanted.ordered:
                value["ordered"] = True  # type: ignore[assignment]
            try:
                written = await self._publisher.publish(
                    "list", {**value, "src": SOURCE, SOURCE_ID: wanted.source_id}
                )
            except InvalidField as error:
                self.report.complain(NotUnderstood(wanted.name, 1, f"This list cannot be published: {error}"))
                return
            key = written.key
            self.report.added += 1
        else:
            self.report.present += 1
        await self._fill_list(key.partition("/")[2], wanted)
        self._progress(self.report)

    async def _fill_list(self, id: str, wanted: WantedList) -> None:
        have: set[str] = set()
        last = 0
        async for entry in self._reader.range(f"listitem/{id}/"):
            order = entry.key.rpartition("/")[2]
            last = max(last, int(order) if order.isascii() and order.isdigit() else 0)
            have.update(_refs(entry.value))
        new = []
        for item in wanted.items:
            if not have.intersection(_refs(item)):
                last += 1000
                new.append((f"listitem/{id}/{last:09d}", item))
        for chunk in _chunks(new, BATCH):
            for kind, _, _, problem in await self._publisher.publish_many([], chunk):
                self.report.complain(
                    NotUnderstood(wanted.name, 1, f"A film cannot be put into it ({kind}): {problem}")
                )


def _is_same(wanted: WantedRecord, key: str | None, value: dict[str, Any]) -> bool:
    """Whether a record that was refused is the one that `wanted` asked for."""
    return wanted.key == key if key is not None else wanted.source_id == value.get(SOURCE_ID)


def _refs(item: Any) -> list[str]:
    film = item.get("film") if isinstance(item, dict) else None
    record = parse_record(f"movie/{'0' * 16}", {"film": film})
    return film_refs(record.film) if isinstance(record, Watch) and isinstance(record.film, Subject) else []


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
