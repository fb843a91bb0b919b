"""An aggregator for tests: scratch databases, a site without sockets, and bees that write to it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import uvicorn
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from core.peer import Peer
from feedagg.aggregator import Aggregator
from feedagg.app import create_app
from feedagg.database import Database, database_url
from feedagg.decide import Operation
from feedagg.settings import Settings
from tests.conftest import skip_or_fail

ENGINES = ("sqlite", "postgres")


@contextmanager
def scratch_url(engine: str) -> Iterator[str | None]:
    """A database URL of this test alone: None (SQLite in the test's directory), or a schema on a real
    PostgreSQL.
    """
    if engine == "sqlite":
        yield None
        return
    server = os.environ.get("MEADOW_TEST_POSTGRES_URL")
    skip_or_fail(None if server else "MEADOW_TEST_POSTGRES_URL names no PostgreSQL to test on")
    assert server is not None
    schema = f"t{uuid4().hex[:16]}"
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


@contextmanager
def scratch_database(engine: str, directory: Path) -> Iterator[Database]:
    """An open, migrated database, gone afterwards."""
    with scratch_url(engine) as url:
        database = Database(database_url(directory, url))
        try:
            yield database
        finally:
            database.dispose()


def put(seq: int, key: str, value: Any) -> Operation:
    """The operation of `db.put(key, value)` in a bee of JSON values."""
    return Operation(seq, key.encode(), json.dumps(value, separators=(",", ":")).encode())


def delete(seq: int, key: str) -> Operation:
    return Operation(seq, key.encode(), None)


@asynccontextmanager
async def aggregator(directory: Path, **settings: Any) -> AsyncIterator[Aggregator]:
    """A started aggregator, without a DHT unless `bootstrap` names one on loopback."""
    running = await Aggregator.open(
        Settings(dir=directory, **{"no_dht": "bootstrap" not in settings} | settings)
    )
    try:
        await running.start()
        yield running
    finally:
        await running.close()


def client(running: Aggregator, **options: Any) -> httpx2.AsyncClient:
    """A client of its pages, without a socket between."""
    transport = httpx2.ASGITransport(app=create_app(running))
    return httpx2.AsyncClient(transport=transport, base_url="http://localhost:8080", **options)


@asynccontextmanager
async def author(directory: Path | None = None) -> AsyncIterator[tuple[Peer, Any, str]]:
    """A peer with a bee, listening: (peer, bee, "host:port")."""
    peer = await Peer.open(directory)
    try:
        bee = peer.bee(name="main")
        host, port = await peer.listen()
        yield peer, bee, f"{host}:{port}"
    finally:
        await peer.close()


@asynccontextmanager
async def site(directory: Path, **settings: Any) -> AsyncIterator[tuple[Aggregator, str]]:
    """An aggregator whose pages are really served: (running, "http://127.0.0.1:port")."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        async with aggregator(directory, **settings) as running:
            config = uvicorn.Config(
                create_app(running), lifespan="off", log_level="warning", access_log=False
            )
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve(sockets=[bound]))
            try:
                yield running, f"http://127.0.0.1:{bound.getsockname()[1]}"
            finally:
                running.live.close()
                server.should_exit = True
                await serving


async def titles(web: httpx2.AsyncClient, expected: set[str], seconds: float = 30.0) -> None:
    """Wait until the feed shows exactly these titles."""
    found: set[str] = set()
    async with asyncio.timeout(seconds):
        while found != expected:
            feed = (await web.get("/feed.json")).json()
            found = {item["title"] for item in feed["items"]}
            await asyncio.sleep(0.02)
