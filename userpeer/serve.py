"""`userpeer run`: the peer, its page and its control socket, from the first start to a clean stop."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from core.peer import settle_garbage_collector

from .app import create_app
from .control import serve_control
from .online import cannot_open, go_online, listen
from .security import load_token
from .service import open_service
from .settings import Address, Settings
from .unlocking import Ask

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


async def serve(
    settings: Settings, announce: Callable[[dict[str, Any]], None], passphrase: Ask | None = None
) -> None:
    """Run until SIGINT or SIGTERM; `announce` gets one `ready` event once everything answers. `passphrase` is asked for
    when the keys are sealed.

    Raises `StorageError` when the directory cannot be had and `PeerUnreachable` when an address cannot.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with open_service(settings, reads=True, passphrase=passphrase) as service:
        web_socket = _bind(settings.web, "--web")
        with web_socket:
            web = Address(settings.web.host, web_socket.getsockname()[1])
            token = load_token(settings.web_token)
            service.listening = await listen(service.peer, settings)
            await go_online(service.peer, settings)
            await service.bees.start()
            service.stop = stop.set
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
                    announce(_ready(service.key, web, service.listening, None if web.is_loopback else token))
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
        raise cannot_open(option, wanted, error) from error
    bound.setblocking(False)
    return bound
