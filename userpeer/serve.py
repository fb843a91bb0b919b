"""`userpeer run`: the peer, its page and its control socket, from the first start to a clean stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from core.errors import PeerUnreachable
from core.peer import Peer, settle_garbage_collector

from .app import create_app
from .control import serve_control
from .security import load_token
from .service import open_service
from .settings import ANY_PORT, Address, Settings

# How long an answer under way may take after the stop; live streams are ended at once.
GRACE_SECONDS = 1


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: stopping is decided here, for all three doors."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answering.set()


async def serve(settings: Settings, announce: Callable[[dict[str, Any]], None]) -> None:
    """Run until SIGINT or SIGTERM; `announce` gets one `ready` event once everything answers.

    Raises `StorageError` when the directory cannot be had and `PeerUnreachable` when an address cannot.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with open_service(settings, reads=True) as service:
        web_socket = _bind(settings.web, "--web")
        with web_socket:
            web = Address(settings.web.host, web_socket.getsockname()[1])
            token = None if web.is_loopback else load_token(settings.web_token)
            service.listening = await _listen(service.peer, settings)
            await _go_online(service.peer, settings)
            app = create_app(service, web=web, token=token)
            server = _Server(
                uvicorn.Config(
                    app,
                    log_level="warning",
                    access_log=False,
                    server_header=False,
                    timeout_graceful_shutdown=GRACE_SECONDS,
                )
            )
            async with serve_control(service):
                serving = asyncio.create_task(server.serve(sockets=[web_socket]))
                await _first(serving, server.answering)
                settle_garbage_collector()
                if not serving.done():
                    announce(_ready(service.key, web, service.listening, token))
                await _first(serving, stop)
                app.state.hub.close()
                server.should_exit = True
                await serving


async def _first(task: asyncio.Task[None], event: asyncio.Event) -> None:
    """Wait until the event is set, or the task is over before it."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


def _ready(key: str, web: Address, listening: Address, token: str | None) -> dict[str, Any]:
    url = f"http://{web}/"
    event = {"event": "ready", "key": key, "web": url, "listen": str(listening)}
    if token is not None:
        event["open"] = f"{url}?token={token}"
    return event


async def _go_online(peer: Peer, settings: Settings) -> None:
    if settings.bootstrap is None:
        return
    try:
        await peer.go_online(settings.bootstrap, is_node=settings.dht_node)
    except OSError as error:
        raise PeerUnreachable(
            f"No UDP socket can be opened for the DHT: {error.strerror or error}. Without it: --no-dht."
        ) from error


async def _listen(peer: Peer, settings: Settings) -> Address:
    """Where it was asked for; else where it was the last time, so that who knows the address finds it again."""
    wanted = settings.listen
    if wanted is not None:
        return await _listen_at(peer, wanted)
    try:
        address = await _listen_at(peer, ANY_PORT._replace(port=_last_port(settings)))
    except PeerUnreachable:  # something else has that port now
        address = await _listen_at(peer, ANY_PORT)
    settings.last_port.write_text(f"{address.port}\n", "ascii")
    return address


async def _listen_at(peer: Peer, wanted: Address) -> Address:
    try:
        return Address(*await peer.listen(wanted.host, wanted.port))
    except OSError as error:
        raise _cannot("--listen", wanted, error) from error


def _last_port(settings: Settings) -> int:
    """0 when there was no last time."""
    try:
        port = int(settings.last_port.read_text("ascii"))
    except (OSError, ValueError):
        return 0
    return port if 0 < port < 65_536 else 0


def _bind(wanted: Address, option: str) -> socket.socket:
    """A listening socket, bound before anything is announced."""
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            wanted.host, wanted.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(target)
            bound.listen(128)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise _cannot(option, wanted, error) from error
    bound.setblocking(False)
    return bound


def _cannot(option: str, wanted: Address, error: OSError) -> PeerUnreachable:
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return PeerUnreachable(
        f"{wanted} cannot be opened: {reason}. Choose another with {option} HOST:PORT; port 0 is a free one."
    )
