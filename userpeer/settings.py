"""Where a peer lives and which addresses it opens."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from core.errors import BadArgument, StorageError

APP_NAME = "Meadow"
APP_TAGLINE = "your own peer"
SOFTWARE = "meadow userpeer"


# A Unix socket's path may have 107 bytes on Linux and 103 on macOS.
_MAX_SOCKET_PATH = 103


class Address(NamedTuple):
    """A host (name or IP, without brackets) and a TCP port; port 0 asks for a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


DEFAULT_WEB = Address("127.0.0.1", 8641)
ANY_PORT = Address("127.0.0.1", 0)
UNDO_SECONDS = 6.0


def default_directory() -> Path:
    """`~/.local/share/meadow/peer`, or where XDG_DATA_HOME points."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "meadow" / "peer"


def parse_address(text: str) -> Address:
    """`HOST:PORT` or `[IPV6]:PORT`. Raises `BadArgument` with a sentence."""
    host, colon, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise BadArgument(f"{text!r} is ambiguous: write an IPv6 address in brackets, as in [::1]:8641.")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise BadArgument(f"{text!r} is not HOST:PORT, for example 127.0.0.1:8641 (port 0 takes a free one).")
    return Address(host, int(port))


@dataclass(frozen=True, slots=True)
class Settings:
    """One peer's directory and addresses.

    `listen` None: the port of the last time, or a free one. `bootstrap`: nodes of the DHT to begin with; None: no
    DHT. `dht_node`: store for others as soon as this machine turns out to be reachable. `undo_seconds`: how long an
    edit or a delete on the page waits before it is signed. `port`: the UDP port of the DHT; None: that of the last
    time, or a usual one. `announce`: False finds others without being found. `memory_only`: nothing of the store is
    written to the disk.
    `settle_seconds`: how long a restored peer looks for a longer
    head than the longest it found.
    """

    directory: Path
    web: Address = DEFAULT_WEB
    listen: Address | None = None
    bootstrap: tuple[str, ...] | None = None
    dht_node: bool = False
    undo_seconds: float = UNDO_SECONDS
    port: int | None = None
    announce: bool = True
    memory_only: bool = False
    settle_seconds: float = 10.0

    @property
    def store(self) -> Path:
        """The logs and the secret key."""
        return self.directory / "store"

    @property
    def aggregators(self) -> Path:
        """Where the key was submitted, as JSON."""
        return self.directory / "aggregators.json"

    @property
    def coverage(self) -> Path:
        """What aggregators said last about one's bee, as JSON; it may be deleted."""
        return self.directory / "coverage.json"

    @property
    def library(self) -> Path:
        """What was read of all bees, for pages; derived, so it may be deleted."""
        return self.directory / "library.db"

    @property
    def drafts(self) -> Path:
        """What was typed and not published yet, as JSON."""
        return self.directory / "drafts.json"

    @property
    def pending(self) -> Path:
        """Edits and deletes that can still be undone, as JSON."""
        return self.directory / "pending.json"

    @property
    def restored(self) -> Path:
        """There while a restored peer has not found its records."""
        return self.directory / "restored.json"

    @property
    def last_port(self) -> Path:
        """The port that peers used the last time: who was told of it shall find us again."""
        return self.directory / "listen-port"

    @property
    def last_dht_port(self) -> Path:
        """The UDP port of the last time: a firewall that was opened for it stays open for us."""
        return self.directory / "dht-port"

    @property
    def daemon_log(self) -> Path:
        """What the daemon has to say (`hyp daemon start`)."""
        return self.directory / "daemon.log"

    @property
    def web_token(self) -> Path:
        """What opens the web page from another machine."""
        return self.directory / "web-token"

    @property
    def control_socket(self) -> Path:
        """The socket of a running peer; in a private folder elsewhere when this path is too long for one."""
        path = self.directory.resolve() / "control.sock"
        if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
            return path
        name = hashlib.blake2b(os.fsencode(path), digest_size=8).hexdigest()
        return Path(tempfile.gettempdir()) / f"meadow-{os.getuid()}" / f"{name}.sock"

    def prepare(self) -> None:
        """Make the directories, closed to other users. Raises `StorageError` when that cannot be."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.store.mkdir(mode=0o700, exist_ok=True)
            self.store.chmod(0o700)
            folder = self.control_socket.parent
            if folder != self.directory.resolve():
                _make_private(folder)
        except OSError as error:
            reason = error.strerror or error
            raise StorageError(f"The directory {self.directory} cannot be used: {reason}.") from error


def _make_private(folder: Path) -> None:
    """A folder in a place that others can write to: it must be ours and closed."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StorageError(f"{folder} is not a private folder of yours; remove it and try again.")
