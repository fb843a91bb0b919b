"""The programs that `make run` and `make demo` start: where they live, their ports, their first steps."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .supervise import Program, ProgramFailed, free_port, run_command

HOME = Path(".meadow")
"""Everything the two commands write; `make clean-data` removes it."""

HOST = "127.0.0.1"
AGGREGATOR_WEB, AGGREGATOR_LISTEN = 8080, 8630
PEER_WEB, PEER_LISTEN = 8641, 8631

BIN = Path(sys.executable).parent


def _addresses(web: int, listen: int) -> list[str]:
    return [
        "--web",
        f"{HOST}:{free_port(HOST, web)}",
        "--listen",
        f"{HOST}:{free_port(HOST, listen)}",
        "--json",
    ]


def dht(home: Path) -> Program:
    """A DHT on this machine, not yet started: what the two commands start finds itself there and nowhere else."""
    return Program("The DHT", [str(BIN / "userpeer"), "dht", "--nodes", "6", "--json"], home / "logs/dht.log")


def aggregator(home: Path, *, bootstrap: str) -> Program:
    """The aggregator in `home/aggregator`, not yet started."""
    command = [str(BIN / "feedagg"), "--dir", str(home / "aggregator"), "serve"]
    ports = _addresses(AGGREGATOR_WEB, AGGREGATOR_LISTEN)
    return Program(
        "The aggregator", [*command, *ports, "--bootstrap", bootstrap], home / "logs/aggregator.log"
    )


def peer(home: Path, name: str, title: str, number: int = 0, *, bootstrap: str) -> Program:
    """The personal peer in `home/name`, not yet started; `number` picks its usual ports."""
    command = [str(BIN / "userpeer"), "--dir", str(home / name), "run"]
    ports = _addresses(PEER_WEB + number, PEER_LISTEN + number)
    return Program(title, [*command, *ports, "--bootstrap", bootstrap], home / f"logs/{name}.log")


async def submit(home: Path, name: str, aggregator_url: str, ready: dict[str, Any]) -> None:
    """Give the peer's key and address to the aggregator, unless both are known there already.

    Raises ProgramFailed with the command's own words when it is refused.
    """
    remembered = home / name / "submitted.json"
    wanted = {"key": ready["key"], "listen": ready["listen"], "aggregator": aggregator_url}
    if remembered.exists() and json.loads(remembered.read_text()) == wanted:
        return
    code, said = await run_command(
        [str(BIN / "userpeer"), "--dir", str(home / name), "submit", aggregator_url]
    )
    if code:
        raise ProgramFailed(f"The aggregator did not take the key of {name}: {said}")
    remembered.write_text(json.dumps(wanted))
