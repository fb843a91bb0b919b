"""The scheduler's table: name, trigger, function. It holds no logic and makes no job per bee.

One tick a second claims the sources that are due; when each is due is a column of its row.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from feedagg.contact import Contact
from feedagg.metrics import Metrics
from feedagg.standing import Standing
from feedagg.workers import BEAT_SECONDS

TICK_SECONDS = 1
CLAIM = "claim due sources"


def scheduler(
    contact: Contact, standing: Standing, metrics: Metrics, beat: Callable[[], Awaitable[None]]
) -> AsyncIOScheduler:
    """The scheduler of one process, not started yet."""
    jobs = AsyncIOScheduler(job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": 30})
    for name, trigger, function in (
        (CLAIM, IntervalTrigger(seconds=TICK_SECONDS), contact.tick),
        ("follow the operator", IntervalTrigger(seconds=TICK_SECONDS), standing.tick),
        ("say that we are here", IntervalTrigger(seconds=BEAT_SECONDS), beat),
    ):
        jobs.add_job(metrics.timed(name, function), trigger, id=name, name=name)
    return jobs
