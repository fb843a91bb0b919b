"""`net`: how the network of a running aggregator is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import click

from core.errors import MeadowError, PeerUnreachable
from feedagg import operator_token
from feedagg.commands.directory import json_option

ANSWER_SECONDS = 10.0
SHOWN = 20


@click.command()
@json_option
@click.pass_obj
def net(directory: Path, is_json: bool) -> None:
    """Print how the network is: whether others reach it, who is connected and how, and what went wrong last.

    Asks the running aggregator, with its operator's token; so it shows addresses that its page shows to nobody else.
    """
    said = ask(directory, "network.json")
    if is_json:
        print(json.dumps(said))
        return
    print(said["sentence"])
    dht = said["dht"]
    if dht is not None:
        print(f"  {dht['nodes']} nodes known, {dht['announced']} of {dht['topics']} bees announced")
    for one in said["connections"]:
        rtt = "" if one["rtt"] is None else f", {one['rtt'] * 1000:.1f} ms"
        print(
            f"  {one['key'][:8]}  {one['how']:<8} {one['address']}{rtt}, "
            f"{one['bytesIn']:,} bytes in, {one['bytesOut']:,} out"
        )
    if not said["connections"]:
        print("  Nobody is connected.")
    for one in said["bees"][:SHOWN]:
        found = "" if one["found"] is None else f", {one['found']} found"
        print(f"  bee {one['key'][:8]}  {one['peers']} connected{found}")
    for one in said["unreachable"]:
        print(f"  bee {one['key'][:8]}  not reached: {one['sentence']}")
    for one in said["errors"]:
        print(f"  {one['key'][:8]}  could not be connected: {one['sentence']}")


def ask(directory: Path, path: str, *, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
    """A JSON answer of the aggregator that runs in `directory`, as its operator. Raises with a sentence."""
    import httpx2

    from feedagg.server import WEB_URL_FILE

    try:
        url = (directory / WEB_URL_FILE).read_text("ascii").strip()
    except OSError as error:
        raise _not_running(directory) from error
    token = operator_token.load(directory).reveal()
    try:
        answer = httpx2.get(
            f"{_from_here(url)}{path}", headers={"authorization": f"Bearer {token}"}, timeout=seconds
        )
        if answer.is_client_error and answer.headers.get("content-type", "").startswith("application/json"):
            raise MeadowError(str(answer.json().get("error")))
        answer.raise_for_status()
        said: dict[str, Any] = answer.json()
    except httpx2.ConnectError as error:  # it was killed, and could not take its file away
        raise _not_running(directory) from error
    except (httpx2.HTTPError, ValueError) as error:
        raise MeadowError(f"The aggregator at {url} did not answer as it should: {error}.") from error
    return said


def _not_running(directory: Path) -> PeerUnreachable:
    return PeerUnreachable(
        f"No aggregator runs in {directory}. Start it with: feedagg --dir {directory} serve"
    )


def _from_here(url: str) -> str:
    """Where to dial from this machine what listens on all interfaces."""
    parts = urlsplit(url)
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(parts.hostname or "")  # noqa: S104 - compared, not bound
    return url if host is None else urlunsplit((parts.scheme, f"{host}:{parts.port}", parts.path, "", ""))
