"""The scheduler's table: name, trigger, function. It holds no logic and makes no job per bee.

One tick a second claims the sources that are due; when each is due is a column of its row.
"""

from __future__ import annotations

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from feedagg.contact import Contact

TICK_SECONDS = 1


def scheduler(contact: Contact) -> AsyncIOScheduler:
    """The scheduler of one process, not started yet."""
    jobs = AsyncIOScheduler(job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": 30})
    for name, trigger, function in (
        ("claim due sources", IntervalTrigger(seconds=TICK_SECONDS), contact.tick),
    ):
        jobs.add_job(function, trigger, id=name, name=name)
    return jobs
