"""Two machines (two directories, two daemons) that know nothing of each other but a key, over a DHT on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hyp import daemon, environment, items, kill, local_dht, refused, said
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def dht() -> Iterator[str]:
    with local_dht() as bootstrap:
        yield bootstrap


def movies(directory: Path, name: str = "movies") -> str:
    """A bee of three movies; its URL."""
    url = said(directory, "create", "bee", name)
    for title in ("alien", "brazil", "ran"):
        said(directory, "bee", "put", f"{name}/{title}", json.dumps({"title": title}))
    return url


def readable(directory: Path, url: str) -> bool:
    """Whether all of it can be read from here."""
    return len(items(directory, "bee", "ls", url, "--timeout", "30")) == 3


def test_a_bee_is_read_watched_and_never_written_by_somebody_else(dht: str, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    with daemon(one, "--bootstrap", dht), daemon(two, "--bootstrap", dht):
        url = movies(one)
        assert readable(two, url)
        assert items(two, "bee", "get", f"{url}/ran")[0]["value"] == {"title": "ran"}
        assert "not yours" in refused(two, "bee", "put", f"{url}/mine", "1")
        watching = subprocess.Popen(
            [sys.executable, "-m", "userpeer.hyp.cli", "--dir", str(two), "--json", "bee", "watch", url],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert watching.stdout is not None
        with watching.stdout:
            assert json.loads(watching.stdout.readline()) == {"watching": 4}
            said(one, "bee", "put", "movies/stalker", '{"title": "stalker"}')
            change = json.loads(watching.stdout.readline())
            watching.terminate()
            watching.wait(30)
        assert (change["type"], change["key"]) == ("put", "stalker")
        (here,) = items(one, "info", "movies")
        assert here["announced"]
        assert here["peers"][0]["bytesSent"] > 0
        assert here["takers"][0]["blocks"] >= 4
        assert "connected" in said(one, "info", "movies", "--long")


def test_a_seeded_bee_lives_on_without_its_owner_and_after_a_reboot(dht: str, tmp_path: Path) -> None:
    one, two, three = tmp_path / "one", tmp_path / "two", tmp_path / "three"
    with daemon(one, "--bootstrap", dht) as owner, daemon(two, "--bootstrap", dht) as seeder:
        url = movies(one)
        key = url.removeprefix("hyper://")
        assert said(two, "seed", url) == f"Seeding {key[:6]}..{key[-2:]}"
        wait_for(lambda: items(two, "info", url)[0]["percent"] == 100.0, "the whole bee at the seeder")
        kill(owner["pid"])
        kill(seeder["pid"])
    with daemon(two, "--bootstrap", dht), daemon(three, "--bootstrap", dht):
        (seeded,) = [item for item in items(two, "ls") if not item["own"]]
        assert (seeded["url"], seeded["seeding"], seeded["length"]) == (url, True, 4)
        wait_for(lambda: items(two, "info", url)[0]["announced"], "the announcement")
        assert readable(three, url)


def test_an_unseeded_bee_is_not_announced_also_after_a_reboot(dht: str, tmp_path: Path) -> None:
    one, two, three = tmp_path / "one", tmp_path / "two", tmp_path / "three"
    with daemon(one, "--bootstrap", dht), daemon(two, "--bootstrap", dht) as seeder:
        url = movies(one)
        said(two, "seed", url)
        wait_for(lambda: items(two, "info", url)[0]["percent"] == 100.0, "the whole bee at the seeder")
        said(two, "unseed", url)
        assert "not seeded here" in refused(two, "unseed", url)
        assert readable(two, url)
        said(one, "unseed", "movies")
        assert "Not seeding" in said(one, "info", "movies")
        kill(seeder["pid"])
        said(one, "daemon", "stop")
    with daemon(one, "--bootstrap", dht), daemon(two, "--bootstrap", dht), daemon(three, "--bootstrap", dht):
        assert [item["name"] for item in items(two, "ls")] == ["main"]
        assert "Nobody announces this bee" in refused(three, "bee", "ls", url, "--timeout", "3")
        assert len(items(one, "bee", "ls", "movies")) == 3
        said(one, "seed", "movies")
        wait_for(lambda: items(one, "info", "movies")[0]["announced"], "the announcement")
        assert readable(three, url)
        assert "nobody else may have all of it" in refused(one, "unseed", "movies", "--clear")
        said(three, "unseed", "--clear", url)
        (after,) = items(three, "info", url)
        assert (after["blocks"], after["percent"]) == (0, 0.0)


def test_no_announce_finds_but_is_not_found(dht: str, tmp_path: Path) -> None:
    one, two, three = tmp_path / "one", tmp_path / "two", tmp_path / "three"
    with daemon(one, "--bootstrap", dht), daemon(two, "--bootstrap", dht, "--no-announce") as shy:
        assert shy["announces"] is False
        url = movies(one)
        hidden = said(two, "create", "bee", "hidden")
        said(two, "bee", "put", "hidden/a", "1")
        assert readable(two, url)
        with daemon(three, "--bootstrap", dht):
            assert "Nobody announces this bee" in refused(three, "bee", "ls", hidden, "--timeout", "3")


def test_the_port_is_the_same_after_a_restart_and_the_one_that_is_asked_for(dht: str, tmp_path: Path) -> None:
    ports = []
    for _ in range(2):
        with daemon(tmp_path, "--bootstrap", dht) as status:
            ports.append(status["udp"])
    assert ports[0] == ports[1]
    port = ports[0].rpartition(":")[2]
    other = tmp_path / "other"
    with daemon(other, "--bootstrap", dht, "--port", port) as status:
        assert status["udp"] == ports[0]
        sentence = refused(tmp_path, "daemon", "start", "--bootstrap", dht, "--port", port)
        assert f"port {port}" in sentence
        with daemon(tmp_path, "--bootstrap", dht) as elsewhere:  # without the wish, another port does
            assert elsewhere["udp"] != ports[0]
