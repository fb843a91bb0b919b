"""Every setting of `feedagg`: its default, what it is for, and where a value comes from.

In rising order: the default, the file (`feedagg.toml` in the directory, or the one that `--config` names), the
environment (`FEEDAGG_<NAME>`), the flags of the command line.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints
from urllib.parse import urlsplit

from core.errors import BadArgument
from core.peer import PUBLIC_BOOTSTRAP

LOOPBACK_HOSTS: Final = ("127.0.0.1", "::1", "localhost")
CONFIG_FILE: Final = "feedagg.toml"
PREFIX: Final = "FEEDAGG_"

ROLES: Final = ("all", "web", "ingest", "jobs")
LOGS: Final = ("text", "json")
PEER_ADDRESSES: Final = ("auto", "public", "any")


def _set(default: Any, meaning: str, *, at_least: int = 0, one_of: tuple[str, ...] = ()) -> Any:
    """One setting. `meaning`: the page of all settings; numbers are `at_least` so large."""
    return field(default=default, metadata={"meaning": meaning, "at_least": at_least, "one_of": one_of})


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one aggregator. `dir` holds the blocks, the SQLite database and the aggregator's own key.

    `origins`: where each value that is no default came from.
    """

    dir: Path
    web: str = _set("127.0.0.1:8080", "where pages are served; port 0 takes a free one")
    listen: str = _set("127.0.0.1:0", "where peers may connect")
    db: str | None = _set(None, "a database URL, such as postgresql+psycopg://user@host/name; none: SQLite")
    role: str = _set(
        "all",
        "what this process does: all; or, of several on one PostgreSQL, web (pages), ingest (reads bees), jobs (writes "
        "the aggregator's own bees)",
        one_of=ROLES,
    )
    lease_seconds: float = _set(
        90.0,
        "how long a bee stays with a process that is not heard of; a third of it between check-ups",
        at_least=1,
    )
    no_dht: bool = _set(False, "find peers only by the addresses given")
    bootstrap: str | None = _set(None, "nodes of the DHT to begin with, host:port,...; none: the public ones")
    dht_node: bool = _set(False, "store for others in the DHT as soon as this machine is reachable")
    max_peers: int = _set(1_024, "peers connected at most that were found in the DHT", at_least=1)
    public_url: str | None = _set(None, "the address as readers see it, when a proxy stands before it")
    site_name: str = _set("Meadow", "the name on every page")
    peer_addresses: str = _set(
        "auto",
        "where a stranger may make us dial: auto is the internet, and this machine while the pages are on it; "
        "public never this machine; any also private networks",
        one_of=PEER_ADDRESSES,
    )
    submit_burst: int = _set(60, "submissions of one address at once", at_least=1)
    submit_per_hour: int = _set(600, "and how fast that refills", at_least=1)
    report_burst: int = _set(5, "reports and appeals of one address at once", at_least=1)
    report_per_hour: int = _set(20, "and how fast that refills", at_least=1)
    trust_proxy: bool = _set(
        False, "take the submitter's address from X-Forwarded-For; only behind a proxy of yours"
    )
    max_per_submitter: int = _set(1_000, "bees that one address may give", at_least=1)
    max_sources: int = _set(10_000, "bees followed at most", at_least=1)
    new_bee_days: int = _set(7, "how long a bee that a stranger gave is new, and its quota binds it")
    operations_per_second: int = _set(50, "operations of a new bee read in a second", at_least=1)
    operations_per_hour: int = _set(2_500, "in an hour; what is over it is read later", at_least=1)
    operations_per_day: int = _set(20_000, "and in a day", at_least=1)
    image_cache_mb: int = _set(512, "megabytes of images kept for pages; 0 shows none")
    connect_seconds: float = _set(10.0, "how long a connection may take")
    answer_seconds: float = _set(20.0, "how long a connected peer may take to answer for its blocks")
    tries_at_once: int = _set(64, "connections attempted at the same time", at_least=1)
    slice_blocks: int = _set(
        512, "blocks of one bee in a turn, so that a busy bee makes nobody wait", at_least=1
    )
    backfill_per_second: int = _set(
        20_000, "blocks of history read in a second, all bees together", at_least=1
    )
    public_metrics: bool = _set(False, "answer /metrics to everybody, not only to this machine and the token")
    log: str = _set("text", "how the log is written: text for people, json one object a line", one_of=LOGS)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

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


@dataclass(frozen=True, slots=True)
class Line:
    """One setting as the page of all settings shows it. `origin`: "default", a file, a variable or a flag."""

    name: str
    value: str
    default: str
    origin: str
    meaning: str


def load(directory: Path, config: Path | None = None, **flags: Any) -> Settings:
    """Settings of `directory`. A flag of None is not given.

    Raises `BadArgument` with a sentence that names the file, line, variable or flag and says how to mend it.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, (value, origin) in _from_file(directory, config).items():
        values[name], origins[name] = value, origin
    for name, kind in _kinds().items():
        variable = PREFIX + name.upper()
        if variable in os.environ:
            values[name] = _parse(name, os.environ[variable], kind, variable)
            origins[name] = variable
        if flags.get(name) is not None:
            origins[name] = f"--{name.replace('_', '-')}"
            values[name] = _checked(name, flags[name], kind, origins[name])
    for name in ("web", "listen"):
        if name in values:
            try:
                split_address(values[name])
            except BadArgument as error:
                raise BadArgument(f"{origins[name]}: {error}") from None
    if "public_url" in values and not _is_web_address(values["public_url"]):
        raise BadArgument(
            f"{origins['public_url']}: {values['public_url']!r} is no address of a site; write it whole, such as "
            "https://meadow.example"
        )
    return replace(Settings(dir=directory, origins=origins), **values)


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
        )
    except ValueError:
        return False


def table(settings: Settings) -> list[Line]:
    """Every setting with its value and where that came from; a database's password is not shown."""
    lines = []
    for each in fields(Settings):
        if "meaning" in each.metadata:
            value = _shown(each.name, getattr(settings, each.name))
            origin = settings.origins.get(each.name, "default")
            default = _shown(each.name, each.default)
            lines.append(Line(each.name, value, default, origin, each.metadata["meaning"]))
    return lines


def split_address(text: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as a pair. Raises `BadArgument` with a sentence."""
    host, colon, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not (colon and host and port.isascii() and port.isdigit() and len(port) < 6 and int(port) <= 65535):
        raise BadArgument(f"{text!r} is no address; write host:port, such as 127.0.0.1:49737.")
    return host, int(port)


# --- the sources of values ----------------------------------------------------------------------


def _kinds() -> dict[str, type]:
    """Settings by name, with the type of their values (of `str | None`: str)."""
    hints = get_type_hints(Settings)
    named = [each.name for each in fields(Settings) if "meaning" in each.metadata]
    return {
        name: next((kind for kind in get_args(hints[name]) if kind is not type(None)), hints[name])
        for name in named
    }


def _from_file(directory: Path, config: Path | None) -> dict[str, tuple[Any, str]]:
    """name -> (value, "file, line n")."""
    path = config or directory / CONFIG_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if config is None:
            return {}
        raise BadArgument(f"There is no settings file {path}; check the name after --config.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadArgument(f"The settings file {path} cannot be read: {error}") from error
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadArgument(
            f'{path} is not TOML: {error}. A line looks like: site_name = "Our meadow"'
        ) from error
    kinds = _kinds()
    values = {}
    for name, value in found.items():
        where = f"{path}, line {_line_of(text, name)}"
        if name not in kinds:
            close = get_close_matches(name, kinds, 1)
            hint = f"did you mean {close[0]}?" if close else "`feedagg settings` lists those there are."
            raise BadArgument(f"{where}: there is no setting {name}; {hint}")
        values[name] = (_checked(name, value, kinds[name], where), where)
    return values


def _line_of(text: str, name: str) -> int:
    """The line on which a key of the top level is set."""
    for number, line in enumerate(text.splitlines(), 1):
        key = line.partition("=")[0].strip().strip("\"'[]")
        if key.split(".")[0].strip() == name:
            return number
    return 1


_WORDS: Final = {bool: "yes or no (true or false)", int: "a whole number", float: "a number", str: "a text"}


def _parse(name: str, text: str, kind: type, where: str) -> Any:
    """The value in an environment variable."""
    value: Any = text
    try:
        if kind is bool:
            words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
            value = words[text.strip().lower()]
        elif kind in (int, float):
            value = kind(text)
    except (KeyError, ValueError):
        raise BadArgument(f"{where} is {text!r}, which is not {_WORDS[kind]}.") from None
    return _checked(name, value, kind, where)


def _checked(name: str, value: Any, kind: type, where: str) -> Any:
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise BadArgument(f"{where}: {name} is {value!r}, which is not {_WORDS[kind]}.")
    facts = next(each.metadata for each in fields(Settings) if each.name == name)
    if facts["one_of"] and value not in facts["one_of"]:
        raise BadArgument(f"{where}: {name} is {value!r}; it is one of: {', '.join(facts['one_of'])}.")
    if kind in (int, float) and not value >= facts["at_least"]:
        raise BadArgument(f"{where}: {name} is {value!r}; it is at least {facts['at_least']}.")
    return value


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "db":
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            return make_url(value).render_as_string(hide_password=True)
        except ArgumentError:
            return "a URL that cannot be read"
    return str(value)
