"""The scheduler's table: name, trigger, function. It holds no logic and makes no job per bee.

One tick a second claims the sources that are due; when each is due is a column of its row.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from feedagg.contact import Contact
from feedagg.database import Database
from feedagg.metrics import Metrics
from feedagg.standing import Standing
from feedagg.tidying import tidy
from feedagg.workers import BEAT_SECONDS

TICK_SECONDS = 1
CLAIM = "claim due sources"
TIDY_MINUTES = 10


def scheduler(
    contact: Contact,
    standing: Standing,
    metrics: Metrics,
    database: Database,
    beat: Callable[[], Awaitable[None]],
) -> AsyncIOScheduler:
    """The scheduler of one process, not started yet."""
    jobs = AsyncIOScheduler(job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": 30})
    for name, trigger, function in (
        (CLAIM, IntervalTrigger(seconds=TICK_SECONDS), contact.tick),
        ("follow the operator", IntervalTrigger(seconds=TICK_SECONDS), standing.tick),
        ("say that we are here", IntervalTrigger(seconds=BEAT_SECONDS), beat),
        ("tidy the index of words", IntervalTrigger(minutes=TIDY_MINUTES), partial(tidy, database)),
    ):
        jobs.add_job(metrics.timed(name, function), trigger, id=name, name=name)
    return jobs
