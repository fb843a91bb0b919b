"""Every setting of `feedagg`, with its default and why one would change it.

Flags of the command line win over the environment (`FEEDAGG_<NAME>`), which wins over the default.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, get_type_hints

from core.errors import BadArgument
from core.peer import PUBLIC_BOOTSTRAP

LOOPBACK_HOSTS: Final = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Settings:
    """See the comment beside each; the page `/about` publishes those that bind strangers."""

    dir: Path  # the store of blocks, the SQLite database, the aggregator's own key
    web: str = "127.0.0.1:8080"  # where pages are served; port 0 takes a free one
    listen: str = "127.0.0.1:0"  # where peers may connect to us
    db: str | None = None  # a database URL; None: SQLite in `dir`
    no_dht: bool = False  # find peers only by the addresses given
    bootstrap: str | None = (
        None  # nodes of the DHT to begin with, "host:port,..."; None: the public network's
    )
    dht_node: bool = False  # store for others in the DHT as soon as this machine is reachable
    max_peers: int = 1_024  # peers connected at most that were found in the DHT
    public_url: str | None = None  # our address as readers see it, for links in feeds behind a proxy
    site_name: str = "Meadow"

    # Addresses that a stranger may make us dial. `auto`: the open internet, and loopback only while the pages
    # themselves are on loopback; `public`: never loopback; `any`: also private networks (a home, an office).
    peer_addresses: str = "auto"

    submit_burst: int = 60  # submissions of one address at once ...
    submit_per_hour: int = 600  # ... and how fast that refills
    trust_proxy: bool = (
        False  # take the submitter's address from X-Forwarded-For; only behind a proxy of yours
    )
    max_per_submitter: int = 1_000  # bees that one address may give
    max_sources: int = 10_000  # bees followed at most; later ones are refused with a sentence

    connect_seconds: float = 10.0
    answer_seconds: float = 20.0  # how long a connected peer may take to answer for its blocks
    tries_at_once: int = 64
    slice_blocks: int = 512  # blocks of one bee per turn, so that a busy bee makes nobody wait
    backfill_per_second: int = 20_000  # blocks of history read in a second, all bees together

    @property
    def dht(self) -> tuple[str, ...] | None:
        """The nodes to begin with; None: no DHT."""
        if self.no_dht:
            return None
        if self.bootstrap is None:
            return PUBLIC_BOOTSTRAP
        return tuple(filter(None, map(str.strip, self.bootstrap.split(","))))

    @property
    def web_is_local(self) -> bool:
        return split_address(self.web)[0] in LOOPBACK_HOSTS


def load(directory: Path, **flags: Any) -> Settings:
    """Settings from flags (None = not given), environment, defaults. Raises `BadArgument` with a sentence."""
    hints = get_type_hints(Settings)
    values: dict[str, Any] = {}
    for field in fields(Settings):
        text = os.environ.get(f"FEEDAGG_{field.name.upper()}")
        if flags.get(field.name) is not None:
            values[field.name] = flags[field.name]
        elif text is not None and field.name != "dir":
            values[field.name] = _parse(field.name, text, hints[field.name])
    settings = Settings(**{**values, "dir": directory})
    if settings.peer_addresses not in ("auto", "public", "any"):
        raise BadArgument("peer_addresses must be auto, public or any.")
    split_address(settings.web)
    split_address(settings.listen)
    return settings


def split_address(text: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as a pair. Raises `BadArgument` with a sentence."""
    host, colon, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise BadArgument(f"{text!r} is no address; write host:port, such as 127.0.0.1:49737.")
    return host, int(port)


def _parse(name: str, text: str, kind: Any) -> Any:
    try:
        if kind is bool:
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[
                text.lower()
            ]
        return kind(text) if kind in (int, float) else text
    except (KeyError, ValueError):
        raise BadArgument(f"FEEDAGG_{name.upper()} is {text!r}, which is no {kind.__name__}.") from None
