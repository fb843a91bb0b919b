"""Starting and stopping the daemon from a command: both return when it is so."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.errors import BadArgument
from userpeer.call import RemoteError, call
from userpeer.errors import NotRunning, UserError
from userpeer.settings import Settings
from userpeer.unlocking import ENVIRONMENT, Ask

START_SECONDS = 30.0
"""A store that was not closed in order, on a slow disk, takes a while to open."""

STOP_SECONDS = 15.0


_PACKAGES = str(Path(__file__).parents[2])


class DaemonFailed(UserError):
    """It did not come up, or did not go away."""

    code = "daemon-failed"


def status(settings: Settings) -> dict[str, Any]:
    """What the running daemon says of itself. Raises `NotRunning`."""
    (answer,) = call(settings.control_socket, "daemon.status", {})
    return answer


def start(settings: Settings, *, public_dht: bool, passphrase: Ask) -> bool:
    """Start the daemon of this directory; True once it answers, False if it (or `userpeer run`) did already.

    `public_dht`: begin at the nodes of the public network, instead of those in the settings.
    `passphrase` is asked for when the keys are sealed; the daemon gets it through a pipe.

    Raises `DaemonFailed` with its own sentence; `BadArgument` if the settings are wrong.
    """
    try:
        status(settings)
        return False
    except NotRunning:
        pass
    settings.prepare()
    given = {**asdict(settings), "directory": str(settings.directory.resolve()), "public_dht": public_dht}
    event, last_words = _begin(given, None)
    if event is not None and event.get("code") == "StoreSealed":
        event, last_words = _begin(given, passphrase())
    if event is not None and event["event"] == "ready":
        return True
    if event is not None and event["code"] == "StorageLocked" and _answers_soon(settings):
        return False  # two were started at once, and the other one is there
    if event is not None and event["code"] == "BadArgument":
        raise BadArgument(event["sentence"])
    if event is not None:
        raise DaemonFailed(event["sentence"])
    raise DaemonFailed(f"The daemon ended before it answered. {last_words or f'See {settings.daemon_log}.'}")


def _begin(given: dict[str, Any], passphrase: str | None) -> tuple[dict[str, Any] | None, str]:
    """Start the process; what it tells first, as `_first_event`."""
    arguments = json.dumps({**given, "has_passphrase": passphrase is not None}, default=str)
    others = {name: value for name, value in os.environ.items() if name != ENVIRONMENT}
    packages = os.pathsep.join(filter(None, (_PACKAGES, os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "userpeer.hyp.daemon", arguments],
        stdin=subprocess.DEVNULL if passphrase is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in this terminal, and its end, are none of the daemon's business
        cwd="/",
        env={**others, "PYTHONPATH": packages},
    )
    if process.stdin is not None:
        with suppress(BrokenPipeError), process.stdin:  # it ended already, and says why
            process.stdin.write(f"{passphrase}\n".encode())
    return _first_event(process)


def stop(settings: Settings) -> int:
    """Stop what serves this directory and return its process id once that is gone. Raises `NotRunning`."""
    (answer,) = call(settings.control_socket, "daemon.stop", {})
    process: int = answer["pid"]
    if not _wait(lambda: not _is_alive(process), STOP_SECONDS):
        raise DaemonFailed(f"The daemon (process {process}) was asked to stop, but is still there.")
    return process


def _first_event(process: subprocess.Popen[bytes]) -> tuple[dict[str, Any] | None, str]:
    """What it tells first; when it ends (or says nothing) instead, None and its last words, if there are any."""
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        line = process.stdout.readline() if ready else b""
        if line:
            return json.loads(line), ""
        if not ready:
            process.kill()
        process.wait()
        return None, process.stderr.read().decode(errors="replace").strip().rpartition("\n")[2]


def _answers_soon(settings: Settings) -> bool:
    def answers() -> bool:
        try:
            status(settings)
        except (NotRunning, RemoteError):
            return False
        return True

    return _wait(answers, START_SECONDS)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # one that ended, and whose parent has not noticed, is gone for our purposes
        with open(f"/proc/{process}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True


def _wait(check: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
