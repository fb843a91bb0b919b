"""One import at a time, going on while pages come and go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from userpeer.errors import UserError
from userpeer.publishing import Publisher
from userpeer.reading import Reader

from .arrivals import Arrivals, Report


class ImportJob:
    """The import that runs, or the last one that did. `name`: its file's."""

    def __init__(self, publisher: Publisher, reader: Reader, changed: Callable[[], None]) -> None:
        self.report: Report | None = None
        self.name = ""
        self.started_at = 0.0
        self._publisher = publisher
        self._reader = reader
        self._changed = changed
        self._task: asyncio.Task[Report] | None = None

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self, name: str, data: bytes) -> asyncio.Task[Report]:
        """Begin; the task gives the report. Raises `UserError` while another runs, or while nothing may be written."""
        if self.is_running:
            raise UserError("Another import is running. Wait until it is over, then start this one.")
        self._publisher.may_write()
        arrivals = Arrivals(self._publisher, self._reader, lambda _: self._changed())
        self.name, self.report, self.started_at = name, arrivals.report, time.time()
        self._task = asyncio.create_task(arrivals.run(data), name="import")
        return self._task

    async def close(self) -> None:
        """Stop between two batches; the next run of the same import goes on from there."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
