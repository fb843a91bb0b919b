"""`feedagg serve`: open everything, say so, serve until told to stop, close everything."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from core.errors import MeadowError
from core.peer import settle_garbage_collector
from feedagg import logs
from feedagg.aggregator import Aggregator
from feedagg.app import create_app
from feedagg.settings import Settings, split_address
from feedagg.workers import WEB

STOP_SECONDS = 5
WEB_URL_FILE = "web-url"
"""In the aggregator's directory while it runs: where its pages are, for commands that ask it something."""


class _Server(uvicorn.Server):
    """Stops without taking the process with it: the aggregator is closed after the pages."""

    def __init__(self, config: uvicorn.Config, aggregator: Aggregator) -> None:
        super().__init__(config)
        self._aggregator = aggregator

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """In place of uvicorn's, which raises the signal again when it is done."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        # The live streams first, or waiting for them would take until the last reader leaves.
        self._aggregator.live.close()
        self.force_exit = self.should_exit  # asked twice: at once
        self.should_exit = True


async def serve(settings: Settings, *, is_json: bool) -> None:
    """Run until SIGINT or SIGTERM. Raises `MeadowError` with a sentence when it cannot start."""
    logs.configure(settings.log)
    aggregator = await Aggregator.open(settings)
    try:
        web = _bind(settings.web)
        url = aggregator.url = _url(settings, web)
        listen = await _listen(aggregator)
        await aggregator.start()
        settle_garbage_collector()
        where = settings.dir / WEB_URL_FILE
        where.write_text(f"{url}\n", "ascii")
        _announce(aggregator, url=url, listen=listen, is_json=is_json)
        config = uvicorn.Config(
            create_app(aggregator),
            log_level="warning",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
            proxy_headers=False,
        )
        try:
            await _Server(config, aggregator).serve(sockets=[web])
        finally:
            where.unlink(missing_ok=True)
    finally:
        await aggregator.close()


def _bind(address: str) -> socket.socket:
    """The listening socket of the pages, bound before anything is announced."""
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(1024)
    except OSError as error:
        bound.close()
        raise _cannot_listen(address, error) from error
    bound.setblocking(False)
    return bound


def _cannot_listen(address: str, error: OSError) -> MeadowError:
    return MeadowError(f"Cannot listen on {address}: {error.strerror or error}. Choose another port, or 0.")


def _url(settings: Settings, bound: socket.socket) -> str:
    host, _ = split_address(settings.web)
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{bound.getsockname()[1]}/"


async def _listen(aggregator: Aggregator) -> str | None:
    """Where peers connect; None in a process that only serves pages."""
    settings = aggregator.settings
    if settings.role == WEB:
        return None
    try:
        host, port = await aggregator.peer.listen(*split_address(settings.listen))
    except OSError as error:
        raise _cannot_listen(settings.listen, error) from error
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _announce(aggregator: Aggregator, *, url: str, listen: str | None, is_json: bool) -> None:
    ready: dict[str, Any] = {
        "event": "ready",
        "key": aggregator.peer.public_key.hex(),
        "web": url,
        "listen": listen,
    }
    if is_json:
        print(json.dumps(ready), flush=True)
        return
    print(f"The feed is at      {url}")
    if listen is not None:
        print(f"Peers connect to    {listen}")
    print(f"Add a bee at        {url}submit    or with: feedagg --dir {aggregator.settings.dir} add KEY")
    print("Ctrl-C stops it.", flush=True)
