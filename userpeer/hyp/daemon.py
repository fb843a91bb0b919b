"""`python -m userpeer.hyp.daemon`: the peer without a page, in the background. `hyp daemon start` starts it.

It is the same service as `userpeer run`, on the same directory and the same control socket. What it has to say goes to
the log; whoever started it is told through standard output, in one line of JSON, that it answers or why it cannot.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from core.errors import MeadowError
from core.peer import PUBLIC_BOOTSTRAP, settle_garbage_collector
from userpeer.control import serve_control
from userpeer.online import go_online, listen
from userpeer.service import open_service
from userpeer.settings import Address, Settings
from userpeer.unlocking import Ask, asking

LOG_BYTES = 1024 * 1024
LOG_FILES = 3

_log = logging.getLogger("userpeer.hyp.daemon")


async def run(settings: Settings, passphrase: Ask | None = None) -> None:
    """Serve until SIGINT, SIGTERM or the command `daemon.stop`. Raises `MeadowError` when it cannot begin."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with open_service(settings, passphrase=passphrase) as service:
        service.listening = await listen(service.peer, settings)
        await go_online(service.peer, settings)
        await service.bees.start()
        await service.start()
        service.stop = stop.set
        async with serve_control(service):
            settle_garbage_collector()
            _log.info(
                "serving %s with %d bees, process %d",
                settings.directory,
                len(service.bees.kept()),
                os.getpid(),
            )
            tell({"event": "ready", "pid": os.getpid(), "listen": str(service.listening)})
            _let_go_of_the_terminal()
            await stop.wait()
            _log.info("stopping")
    _log.info("stopped")


def tell(event: dict[str, Any]) -> None:
    """One line to whoever started this process; nothing if nobody listens any more."""
    try:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
    except OSError:
        pass


def _let_go_of_the_terminal() -> None:
    """From here on nothing is written but the log: whoever waits for our output to end need not wait."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(nothing, stream)
    os.close(nothing)


def _write_log(file: Path) -> None:
    """Log to `file`, closed to others, in few and bounded pieces; what is printed in an emergency goes there too."""
    os.umask(0o077)
    handler = RotatingFileHandler(file, maxBytes=LOG_BYTES, backupCount=LOG_FILES - 1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    last_words = os.open(file, os.O_WRONLY | os.O_APPEND)
    os.dup2(last_words, 2)
    os.close(last_words)


def main() -> None:
    """Take the settings as one JSON object from the command line, and a passphrase from standard input."""
    given = json.loads(sys.argv[1])
    listening = given["listen"]
    bootstrap = PUBLIC_BOOTSTRAP if given["public_dht"] else given["bootstrap"]
    settings = Settings(
        Path(given["directory"]),
        listen=None if listening is None else Address(*listening),
        bootstrap=None if bootstrap is None else tuple(bootstrap),
        port=given["port"],
        announce=given["announce"],
        memory_only=given["memory_only"],
        dht_node=given["dht_node"],
    )
    try:
        settings.prepare()
        _write_log(settings.daemon_log)
        asyncio.run(run(settings, asking("-") if given["has_passphrase"] else None))
    except (MeadowError, OSError) as error:
        _log.error("%s", error)
        tell(
            {"event": "failed", "code": getattr(error, "code", type(error).__name__), "sentence": str(error)}
        )
        sys.exit(1)
    except BaseException:
        _log.exception("the daemon failed")
        raise


if __name__ == "__main__":
    main()
