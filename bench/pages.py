"""How long the aggregator's pages take with a million records in its database, and how large that database is.

There is no reference for these: the figures are absolute, with the aims of the project beside them. The records go in
the way of a bee that is read (`decide`, `store.write`), the pages come out of the application itself, template and
all, without a socket between. "processor" is the time this process worked, which a busy machine changes less (the
PostgreSQL server's is not in it). On SQLite always, on PostgreSQL where MEADOW_TEST_POSTGRES_URL names one.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
from sqlalchemy import Connection, create_engine, delete, text
from sqlalchemy.engine import make_url

from core.records import format_date
from feedagg import sources, store
from feedagg.aggregator import Aggregator
from feedagg.app import create_app
from feedagg.database import Database, database_url
from feedagg.decide import Operation, Position, decide
from feedagg.queries import Place
from feedagg.settings import Settings
from feedagg.tables import feed_changes
from feedagg.tidying import tidy

RECORDS = 1_000_000
BEES = 1_000
SLICE = 512
AIMS = {"feed": 50.0, "search": 150.0}
NOW = 1_790_000_000_000
SPAN = 3 * 365 * 24 * 3600 * 1000
TAGS = [
    "film",
    "garden",
    "music",
    "books",
    "bees",
    "slow",
    "city",
    "cooking",
    *(f"tag{n}" for n in range(500)),
]


class Corpus:
    """Records like people's: some 60 words drawn as in a language (the nth word 1/n as often), films, tags, replies."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._chance = random.Random(11)
        letters = "etaoinshrdlucmfwypvbgk"
        self.words = [
            "".join(self._chance.choices(letters, k=2 + n % 9)) + str(n % 7) * (n > 400)
            for n in range(60_000)
        ]
        self._weights = list(accumulate(1 / (n + 8) for n in range(len(self.words))))
        self.films = [
            (f"The {self.words[n]} of {self.words[n * 3 % 60_000]}", 1930 + n % 95) for n in range(20_000)
        ]
        self._film_weights = list(accumulate(1 / (n + 20) for n in range(len(self.films))))
        self.bytes = 0
        self.bees = [blake2b(str(number).encode(), digest_size=32).digest() for number in range(BEES)]
        self.roots: list[tuple[bytes, str]] = []
        self.watched: list[tuple[str, int]] = []

    def bee(self, number: int) -> list[Operation]:
        """The log of one bee."""
        chance, key = self._chance, self.bees[number]
        share = self.count // BEES
        at = sorted(NOW - chance.randrange(SPAN) for _ in range(share))
        operations = [self._operation(1, "profile/self", {"name": f"Author {number}", "createdAt": NOW})]
        for seq, when in enumerate(at[1:], 2):
            operations.append(self._record(key, seq, when))
        self.bytes += sum(len(operation.key) + len(operation.value or b"") for operation in operations)
        return operations

    def _record(self, bee: bytes, seq: int, when: int) -> Operation:
        chance, dice = self._chance, self._chance.random()
        stamp = {"createdAt": format_date(when)}
        t16 = f"{when:012x}{seq % 65536:04x}"
        tags = (
            {"tags": chance.sample(TAGS[:8] if chance.random() < 0.5 else TAGS, 2)}
            if chance.random() < 0.3
            else {}
        )
        if dice < 0.08 and self.roots:
            subject_bee, subject = chance.choice(self.roots)
            ref = {"bee": subject_bee.hex(), "key": subject, "seq": 2, "hash": "00" * 32}
            return self._operation(
                seq, f"react/{subject_bee.hex()}/{subject}/like", {"subject": ref, **stamp}
            )
        if dice < 0.45:
            title, year = self.film()
            film = {"title": title, "year": year, "kind": "movie"}
            review = {"review": {"text": self.text(60)}} if chance.random() < 0.7 else {}
            value = {
                "film": film,
                "watchedOn": stamp["createdAt"][:10],
                "rating": chance.randint(1, 10),
                **review,
            }
            return self._operation(seq, f"movie/{t16}", {**value, **tags, **stamp})
        key = f"post/{t16}"
        reply = {}
        if dice < 0.55 and self.roots:
            root_bee, root = chance.choice(self.roots)
            ref = {"bee": root_bee.hex(), "key": root, "seq": 2, "hash": "00" * 32}
            reply = {"reply": {"root": ref, "parent": ref}}
        elif chance.random() < 0.05 and len(self.roots) < 5_000:
            self.roots.append((bee, key))
        return self._operation(seq, key, {"text": self.text(60), **tags, **reply, **stamp})

    def text(self, mean: int) -> str:
        many = max(3, int(self._chance.gauss(mean, mean / 3)))
        return " ".join(self._chance.choices(self.words, cum_weights=self._weights, k=many))

    def film(self) -> tuple[str, int]:
        film = self._chance.choices(self.films, cum_weights=self._film_weights)[0]
        if len(self.watched) < 5_000:
            self.watched.append(film)
        return film

    @staticmethod
    def _operation(seq: int, key: str, value: dict[str, Any]) -> Operation:
        return Operation(seq, key.encode(), json.dumps(value, separators=(",", ":")).encode())


def load(database: Database, corpus: Corpus) -> float:
    """All of the corpus into the database; seconds of the database and the decider, without the making of records."""
    spent = 0.0
    for number, key in enumerate(corpus.bees):
        operations = corpus.bee(number)
        began = time.perf_counter()
        database.write_now(sources.add, key, NOW, "command")
        position = Position(0, 1, 1)
        database.write_now(store.write, key, [], Position(), position, 1)
        for start in range(0, len(operations), SLICE):
            part = operations[start : start + SLICE]
            after = Position(0, position.cursor + len(part), 1)
            database.write_now(store.write, key, decide(part, NOW), position, after, after.cursor)
            position = after
        database.write_now(as_published)
        spent += time.perf_counter() - began
    if database.is_sqlite:
        with sqlite3.connect(database.url.database or "") as plain:
            plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            plain.execute("PRAGMA optimize")
        return spent
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE records")
    return spent


def as_published(connection: Connection) -> None:
    """What is noted for the feed's own bee goes when the publisher has written it there; nothing publishes here."""
    connection.execute(delete(feed_changes))


def size(database: Database) -> dict[str, int]:
    """Bytes on disk: all of it, and the parts that can be named."""
    if database.is_sqlite:
        path = Path(database.url.database or "")
        return {"all": sum(part.stat().st_size for part in path.parent.glob(path.name + "*"))}

    def ask(connection: Connection) -> dict[str, int]:
        names = text(
            "SELECT c.relname, pg_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = current_schema() AND c.relname LIKE 'records%' ORDER BY 2 DESC"
        )
        found = {str(name): int(many) for name, many in connection.execute(names)}
        whole = connection.execute(text("SELECT pg_total_relation_size('records')")).scalar() or 0
        return {"all": int(whole), **found}

    return database.read_now(ask)


@dataclass
class View:
    """One kind of page: how its address is made, and what it aims at."""

    name: str
    aim: str
    address: Any


def views(corpus: Corpus, database: Database) -> list[View]:
    """The pages, each with its own chances."""
    chance = random.Random(5)

    def places(connection: Connection) -> list[tuple[int, int]]:
        rows = connection.execute(text("SELECT sort_at, id FROM records WHERE id % 997 = 0 AND status = 0"))
        return [(row[0], row[1]) for row in rows]

    tokens = [Place(*place).token() for place in database.read_now(places)]
    common, mid, rare = corpus.words[:40], corpus.words[300:3_000], corpus.words[20_000:]
    long = [word for word in mid if len(word) >= 6]

    def pick(words: list[str]) -> str:
        return chance.choice(words)

    def film() -> str:
        title, year = chance.choice(corpus.watched)
        return f"/film/t:{'-'.join(title.lower().split())}:{year}"

    def thread() -> str:
        bee, key = chance.choice(corpus.roots)
        return f"/thread/{bee.hex()}/{key}"

    def record() -> str:
        bee, key = chance.choice(corpus.roots)
        return f"/bee/{bee.hex()}/{key}"

    return [
        View("feed, first page", "feed", lambda: "/"),
        View("feed, any page", "feed", lambda: f"/?before={pick(tokens)}"),
        View("feed by arrival, any page", "feed", lambda: f"/?sort=arrival&before={pick(tokens)}"),
        View("feed as RSS", "feed", lambda: "/feed.rss"),
        View("bee", "feed", lambda: f"/bee/{chance.choice(corpus.bees).hex()}"),
        View("film", "feed", film),
        View("tag, common", "search", lambda: f"/tag/{pick(TAGS[:8])}"),
        View("tag, rare", "search", lambda: f"/tag/{pick(TAGS[8:])}"),
        View("conversation", "feed", thread),
        View("record", "feed", record),
        View("search, common word", "search", lambda: f"/search?q={pick(common)}"),
        View("search, middling word", "search", lambda: f"/search?q={pick(mid)}"),
        View("search, rare word", "search", lambda: f"/search?q={pick(rare)}"),
        View("search, two words", "search", lambda: f"/search?q={pick(common)}+{pick(mid)}"),
        View("search, a beginning", "search", lambda: f"/search?q={pick(long)[:4]}*"),
        View("search, a phrase", "search", lambda: f"/search?q=%22{pick(common)}+{pick(common)}%22"),
        View(
            "search, filters",
            "search",
            lambda: f"/search?q={pick(common)}&kind=movie&rating=8-&year=1980-1989",
        ),
        View(
            "search, author",
            "search",
            lambda: f"/search?q={pick(common)}&author=author+{chance.randrange(BEES)}",
        ),
        View("search, no word", "search", lambda: "/search?kind=post&has=reply"),
        View("search, by arrival", "search", lambda: f"/search?q={pick(mid)}&sort=arrival"),
    ]


async def ask(aggregator: Aggregator, wanted: list[View], requests: int) -> list[dict[str, Any]]:
    """Every view `requests` times; milliseconds for each."""
    results = []
    transport = httpx2.ASGITransport(app=create_app(aggregator))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8080") as web:
        for view in wanted:
            addresses = [view.address() for _ in range(requests + 3)]
            times, work = [], []
            for number, address in enumerate(addresses):
                began, worked = time.perf_counter(), time.process_time()
                answer = await web.get(address)
                spent, worked = (time.perf_counter() - began) * 1000, (time.process_time() - worked) * 1000
                if answer.status_code != 200:
                    raise SystemExit(f"{address}: {answer.status_code}")
                if number >= 3:  # the first ones load templates and plans
                    times.append(spent)
                    work.append(worked)
            times.sort()
            work.sort()
            cpu = {f"cpu {name}": figure for name, figure in percentiles(work).items()}
            results.append({"title": view.name, "aim": AIMS[view.aim], **percentiles(times), **cpu})
            shown = results[-1]
            mark = "" if shown["p95"] <= shown["aim"] else "   NOT REACHED"
            print(
                f"  {view.name:<28}p50 {shown['p50']:7.1f}   p95 {shown['p95']:7.1f}   p99 {shown['p99']:7.1f}"
                f"   (aim p95 {shown['aim']:.0f}){mark}   processor p95 {shown['cpu p95']:.1f}",
                flush=True,
            )
    return results


def percentiles(times: list[float]) -> dict[str, float]:
    """p50, p95 and p99 of sorted figures."""
    return {f"p{share}": times[min(len(times) - 1, len(times) * share // 100)] for share in (50, 95, 99)}


@contextmanager
def scratch(engine: str) -> Iterator[str | None]:
    """A database of this run alone: None for SQLite in the directory, or a schema of the PostgreSQL that is named."""
    if engine == "sqlite":
        yield None
        return
    server = os.environ["MEADOW_TEST_POSTGRES_URL"]
    schema = f"bench{uuid4().hex[:12]}"
    admin = create_engine(database_url(Path("."), server), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    try:
        url = make_url(server).update_query_dict({"options": f"-csearch_path={schema}"})
        yield url.render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        admin.dispose()


async def measure(directory: Path, url: str | None, count: int, requests: int) -> dict[str, Any]:
    """One database: filled, weighed, asked."""
    directory.mkdir(parents=True, exist_ok=True)
    aggregator = await Aggregator.open(Settings(dir=directory, db=url, no_dht=True))
    try:
        corpus, database = Corpus(count), aggregator.database
        seconds = load(database, corpus)
        await tidy(database)  # as the job does every ten minutes
        weighed = size(database)
        ratio = weighed["all"] / corpus.bytes
        print(f"  filled at {count / seconds:,.0f} records/s; {corpus.bytes / count:,.0f} bytes a record")
        whole, content = weighed["all"] / 1e6, corpus.bytes / 1e6
        print(f"  storage {whole:,.0f} MB for {content:,.0f} MB of records: {ratio:.2f}x   (aim 2.00x)")
        for name, many in list(weighed.items())[1:]:
            print(f"      {name:<22}{many / 1e6:8.0f} MB")
        results = await ask(aggregator, views(corpus, database), requests)
    finally:
        await aggregator.close()
    return {"storage": ratio, "rate": count / seconds, "views": results}


def run(directory: Path, scale: float) -> list[dict[str, Any]]:
    """Every database there is, printed; returns the figures."""
    count = int(os.environ.get("MEADOW_BENCH_RECORDS", RECORDS * scale))
    figures = []
    for engine in ("sqlite", "postgres"):
        if engine == "postgres" and "MEADOW_TEST_POSTGRES_URL" not in os.environ:
            print("\npages on PostgreSQL: not measured, MEADOW_TEST_POSTGRES_URL names none")
            continue
        print(f"\npages of {count:,} records of {BEES:,} bees on {engine}  [ms]", flush=True)
        with scratch(engine) as url:
            found = asyncio.run(measure(directory / f"pages-{engine}", url, count, 100))
        figures.append({"title": f"pages on {engine}", "records": count, **found})
    return figures
