"""`make run`: an aggregator and a personal peer on this machine, acquainted with each other."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from urllib.parse import urlsplit

from . import meadow
from .supervise import Program, run_until_interrupted

STATE = meadow.HOME / "running.json"
"""Where a running `make run` says where it serves, for `make demo`; gone when it ends."""

STOP = "Ctrl-C stops everything."


def running() -> tuple[str, str, str] | None:
    """The web addresses (and the DHT) of a `make run` in another terminal, if there is one that answers."""
    try:
        state = json.loads(STATE.read_text())
        os.kill(state["pid"], 0)
        feed = urlsplit(state["feed"])
        socket.create_connection((str(feed.hostname), feed.port or 80), timeout=5).close()
        return state["feed"], state["peer"], state["bootstrap"]
    except (OSError, ValueError, KeyError):
        return None


async def start(programs: list[Program]) -> tuple[str, str, str]:
    """Start a DHT and both, and submit the peer's key. Returns the web addresses of the aggregator and of the peer,
    and where the DHT begins.
    """
    network = meadow.dht(meadow.HOME)
    programs.append(network)
    await network.start()
    bootstrap = str(network.ready["bootstrap"])
    aggregator = meadow.aggregator(meadow.HOME, bootstrap=bootstrap)
    peer = meadow.peer(meadow.HOME, "peer", "Your peer", bootstrap=bootstrap)
    for program in (aggregator, peer):
        programs.append(program)
        print(f"  starting {program.name[0].lower()}{program.name[1:]} …", flush=True)
        await program.start()
    feed, own = str(aggregator.ready["web"]), str(peer.ready["web"])
    await meadow.submit(meadow.HOME, "peer", feed, peer.ready)
    STATE.write_text(json.dumps({"pid": os.getpid(), "feed": feed, "peer": own, "bootstrap": bootstrap}))
    return feed, own, bootstrap


def welcome(feed: str, own: str, next_step: str, *, how: str = "is running", stop: str = STOP) -> None:
    """Print where to look, and what to do there first."""
    print(
        f"""
  Meadow {how}.

    The feed       {feed}
    Your own peer  {own}

  Next: {next_step}
  Everything is kept in {meadow.HOME}/ · {stop}
""",
        flush=True,
    )


async def main() -> int:
    """Run until Ctrl-C or a crash; if it runs already, say where."""
    if (found := running()) is not None:
        feed, own, _ = found
        welcome(
            feed, own, "open your own peer.", how="is running already", stop="Ctrl-C where it runs stops it."
        )
        return 0

    async def both(programs: list[Program]) -> None:
        feed, own, _ = await start(programs)
        welcome(
            feed,
            own,
            "open your own peer, write a first post, and watch it arrive in the feed.\n"
            "  More to look at: run `make demo` in another terminal.",
        )

    try:
        return await run_until_interrupted(both)
    finally:
        STATE.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
