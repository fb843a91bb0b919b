"""`hyp beam`: standard input here comes out of standard output there, and the other way round."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Sequence

from core.errors import MeadowError
from core.peer import Beam

from .phrase import seed_of

_PIECE = 64 * 1024

Say = Callable[[str], None]


async def beam(phrase: str, *, listens: bool, bootstrap: Sequence[str], say: Say) -> None:
    """Meet the other side and copy both ways until both have sent all. Raises `MeadowError`."""
    seed = await asyncio.to_thread(seed_of, phrase)
    if listens:
        pipe = await Beam.listen(
            seed, bootstrap=bootstrap, on_listening=lambda: say("Waiting for the other side.")
        )
    else:
        pipe = await Beam.connect(seed, bootstrap=bootstrap, on_waiting=_once(say))
    say(f"Connected with {pipe.remote_address} ({pipe.how}). Everything is encrypted.")
    try:
        sending = asyncio.create_task(_send(pipe))
        receiving = asyncio.create_task(_receive(pipe))
        await _both(pipe, sending, receiving)
    finally:
        await pipe.close()


async def _both(pipe: Beam, sending: asyncio.Task[None], receiving: asyncio.Task[None]) -> None:
    """Until both are done, or one of them failed. A person at a terminal need not say that there is no more."""
    try:
        await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
        if receiving.done() and receiving.exception() is None and not sending.done() and sys.stdin.isatty():
            sending.cancel()
            await pipe.end()
        for task in (receiving, sending):
            if not task.cancelled() and not task.cancelling():
                await task
    finally:
        for task in (sending, receiving):
            task.cancel()
        await asyncio.gather(sending, receiving, return_exceptions=True)


async def _send(pipe: Beam) -> None:
    """Standard input, read by a thread of its own: nothing else can read terminals, pipes and files alike."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    room = threading.Semaphore(4)

    def read() -> None:
        while True:
            room.acquire()
            try:
                data = os.read(0, _PIECE)
            except OSError:
                data = b""
            try:
                loop.call_soon_threadsafe(pieces.put_nowait, data)
            except RuntimeError:
                return  # everything is over
            if not data:
                return

    threading.Thread(target=read, daemon=True).start()
    while data := await pieces.get():
        await pipe.write(data)
        room.release()
    await pipe.end()


async def _receive(pipe: Beam) -> None:
    while (data := await pipe.read()) is not None:
        await asyncio.to_thread(_write, data)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def _once(say: Say) -> Callable[[MeadowError], None]:
    said = False

    def waiting(error: MeadowError) -> None:
        nonlocal said
        if not said:
            said = True
            say(
                f"Nobody listens under this phrase yet ({error}); looking again until somebody does. Ctrl-C stops."
            )

    return waiting
