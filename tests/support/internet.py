"""A small Internet of Linux network namespaces: nodes in the middle, and houses behind NATs, made by nftables.

    with Internet() as internet:
        home = internet.house(Nat.CONSISTENT)
        start(Worker, inside=home)              # its only way out is the house's router

    home 192.168.n.2 -- 192.168.n.1 router 100.64.n.1 -- 100.64.n.254 middle 100.64.0.1 to .6

The middle is in 100.64.0.0/10: "public" here must be no *reserved* network, which official peers never punch towards
(hyperdht 6.34.0 `lib/connect.js`, `onlyNonReserved`), and a private one is harmless, because two peers try each other's
private addresses only when both come from one outside host. Nothing of it touches the network of this machine.

A router forwards what its house began and the answers to it. What comes unasked it drops; without that rule it would
answer a stranger's probe itself, and the kernel, which then believes in that exchange, would give the house's own probe
in the other direction another port.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import subprocess
from collections.abc import Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from types import TracebackType

MIDDLE_HOSTS = tuple(f"100.64.0.{number}" for number in range(1, 7))

_PREFIX = "meadow-test"
_numbers = itertools.count(1)
_RULES = """
table ip house {
  chain outward { type nat hook postrouting priority srcnat; oifname "wan" masquerade %s; }
  chain own { type filter hook input priority filter; iifname "wan" ct state new drop; }
  chain through { type filter hook forward priority filter; iifname "wan" ct state new drop; }
}
"""


class Nat(Enum):
    """What a router does with the port of a socket in its house."""

    CONSISTENT = ""
    """It keeps it, for every destination: plain `masquerade` does while no two sockets want the same one."""
    RANDOM = "fully-random"
    """A new one for each destination."""


def why_tools_are_missing() -> str | None:
    """A sentence, or None when `ip` and `nft` are there."""
    missing = [tool for tool in ("ip", "nft") if shutil.which(tool) is None]
    return f"{' and '.join(missing)} not installed (iproute2, nftables)" if missing else None


@cache
def why_there_are_no_namespaces() -> str | None:
    """A sentence when this machine lets us make none, or no NAT in them; None when it does."""
    try:
        with Internet() as internet:
            internet.house(Nat.RANDOM)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        return f"network namespaces with NAT cannot be made here: {said.strip().splitlines()[-1]}"
    return None


class Internet:
    """A context manager; at its end no namespace is left, whatever happened."""

    def __init__(self) -> None:
        self._name = f"{_PREFIX}-{os.getpid()}-{next(_numbers)}"
        self._made: list[str] = []
        self._houses = 0
        self.middle = f"{self._name}-middle"

    def __enter__(self) -> Internet:
        _remove_leftovers()
        atexit.register(self._remove)
        try:
            self._make(self.middle)
            for host in MIDDLE_HOSTS:
                _ip("-n", self.middle, "address", "add", f"{host}/32", "dev", "lo")
            _forward(self.middle)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def house(self, nat: Nat) -> str:
        """The namespace of a machine behind a router of that kind."""
        self._houses += 1
        number = self._houses
        router, home = f"{self._name}-router{number}", f"{self._name}-home{number}"
        self._make(router)
        self._make(home)
        _wire(self.middle, f"house{number}", f"100.64.{number}.254", router, "wan", f"100.64.{number}.1")
        _wire(router, "lan", f"192.168.{number}.1", home, "eth0", f"192.168.{number}.2")
        _ip("-n", router, "route", "add", "default", "via", f"100.64.{number}.254")
        _ip("-n", home, "route", "add", "default", "via", f"192.168.{number}.1")
        _run("ip", "netns", "exec", router, "nft", "-f", "-", input=_RULES % nat.value)
        _forward(router)
        return home

    def _make(self, name: str) -> None:
        _ip("netns", "add", name)
        self._made.append(name)
        _ip("-n", name, "link", "set", "lo", "up")

    def _remove(self) -> None:
        atexit.unregister(self._remove)
        while self._made:
            _ip("netns", "delete", self._made.pop(), check=False)


def inside(namespace: str) -> tuple[str, ...]:
    """What to put before a command that is to run in there."""
    return ("ip", "netns", "exec", namespace)


def _wire(one: str, one_end: str, one_host: str, other: str, other_end: str, other_host: str) -> None:
    _ip("link", "add", one_end, "netns", one, "type", "veth", "peer", "name", other_end, "netns", other)
    for name, end, host in ((one, one_end, one_host), (other, other_end, other_host)):
        _ip("-n", name, "address", "add", f"{host}/24", "dev", end)
        _ip("-n", name, "link", "set", end, "up")


def _forward(namespace: str) -> None:
    _run(*inside(namespace), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")


def _remove_leftovers() -> None:
    """Namespaces of test runs that were killed."""
    for path in Path("/run/netns").glob(f"{_PREFIX}-*"):
        owner = path.name.split("-")[2]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            _ip("netns", "delete", path.name, check=False)


def _ip(*words: str, check: bool = True) -> None:
    _run("ip", *words, check=check)


def _run(*words: str, input: str | None = None, check: bool = True) -> None:
    _checked(words, input, check)


def _checked(words: Sequence[str], input: str | None, check: bool) -> None:
    done = subprocess.run(words, input=input, capture_output=True, text=True, timeout=20)
    if check and done.returncode != 0:
        raise subprocess.CalledProcessError(done.returncode, words, done.stdout, done.stderr)
