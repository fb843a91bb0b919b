"""What a newcomer stumbled over in 2021, number by number. docs/hyp.md has the list; `tests/architecture` compares."""

from __future__ import annotations

import inspect
import json
import os
import re
import socket
import stat
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hyp import ROOT, alive, daemon, hyp, items, kill, local_dht, refused, said
from tests.support.waiting import wait_for
from userpeer.hyp.client import Bee, Hyp

pytestmark = pytest.mark.timeout(180)

KEY = "ab" * 32


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("pains")
    with daemon(directory):
        yield directory


def test_01_a_daemon_that_cannot_start_says_why_and_the_log_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "data.mdb").write_bytes(b"this is no store" * 1000)
    (tmp_path / "store" / "journal").write_bytes(b"")
    sentence = refused(tmp_path, "daemon", "start", "--no-dht").removeprefix("hyp: ").strip()
    assert sentence
    assert sentence.splitlines()[0] in (tmp_path / "daemon.log").read_text()


def test_02_running_means_that_it_answers_and_dead_means_that_it_does_not(tmp_path: Path) -> None:
    with daemon(tmp_path) as status:
        kill(status["pid"])
        assert (tmp_path / "control.sock").exists()  # what a crash leaves behind fools nobody
        assert "not active" in refused(tmp_path, "daemon", "status", code=2)
        assert f"hyp --dir {tmp_path} daemon start" in refused(tmp_path, "ls", code=2)
        with daemon(tmp_path) as again:
            assert alive(again["pid"])
        assert (tmp_path / "daemon.log").read_text().count("serving") == 2


def test_03_what_is_installed_is_pinned_and_all_of_it_is_here() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"]["hyp"] == "userpeer.hyp.cli:main"
    assert Path(sys.executable).with_name("hyp").exists()
    for folder in ("node", "node2021"):
        packages = json.loads((ROOT / "tests/interop" / folder / "package.json").read_text())["dependencies"]
        assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in packages.values())


def test_05_a_url_is_taken_everywhere_and_no_key_opens_nothing(place: Path) -> None:
    before = items(place, "ls")
    for undefined in ("undefined", "null", "hyper://undefined", KEY[:-1], KEY + "0"):
        assert "no bee called" in refused(place, "bee", "ls", undefined)
    assert "Name a bee" in refused(place, "bee", "ls", "", code=2)
    url = said(place, "create", "bee")
    for address in (url, f"{url}/", url.removeprefix("hyper://"), url.upper().replace("HYPER", "hyper")):
        assert said(place, "bee", "ls", address) == ""
    assert len(items(place, "ls")) == len(before) + 1


def test_07_a_fresh_bee_can_be_used_by_every_command(place: Path) -> None:
    url = said(place, "create", "bee", "fresh")
    for words in (("bee", "ls"), ("bee", "history"), ("info",)):
        said(place, *words, url)
    assert said(place, "bee", "diff", url, "1") == ""
    said(place, "bee", "put", f"{url}/a", "1")


def test_08_failures_fail_ranges_range_and_values_need_no_terminal(place: Path) -> None:
    said(place, "create", "bee", "eight")
    said(place, "bee", "put", "eight/a", "given as an argument, without a terminal")
    said(place, "bee", "put", "eight/b", "2")
    assert items(place, "bee", "get", "eight/a")[0]["value"] == "given as an argument, without a terminal"
    assert [item["key"] for item in items(place, "bee", "ls", "eight", "--gt", "a")] == ["b"]
    assert said(place, "info", KEY).startswith("ababab..ab (hyperbee): 0 connected")  # does not hang
    for words in (
        ("bee", "get", "eight/none"),
        ("bee", "put", f"{KEY}/a", "1"),
        ("bee", "del", "eight/none"),
    ):
        refused(place, *words)
    assert hyp(place, "nosuch").returncode == 2


def test_09_an_empty_list_says_which_kind_of_empty_it_is(place: Path, tmp_path: Path) -> None:
    assert "in no network" in refused(place, "bee", "ls", KEY)
    with daemon(tmp_path / "lost", "--bootstrap", "127.0.0.1:9"):
        assert "No node of the DHT answers" in refused(tmp_path / "lost", "bee", "ls", KEY, "--timeout", "1")
    with (
        local_dht() as dht,
        daemon(tmp_path / "one", "--bootstrap", dht),
        daemon(tmp_path / "two", "--bootstrap", dht),
    ):
        sentence = refused(tmp_path / "two", "bee", "ls", KEY, "--timeout", "2")
        assert "Nobody announces this bee" in sentence
        empty = said(tmp_path / "one", "create", "bee")
        wait_for(lambda: items(tmp_path / "one", "info", empty)[0]["announced"], "the announcement")
        done = hyp(tmp_path / "two", "bee", "ls", empty, "--timeout", "30")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")  # found, and really empty


def test_10_pages_of_a_long_list(place: Path) -> None:
    said(place, "create", "bee", "long")
    lines = "\n".join(json.dumps({"key": f"{number:03}", "value": number}) for number in range(250))
    said(place, "bee", "batch", "long", stdin=lines)
    page = items(place, "bee", "ls", "long", "--limit", "100")
    following = items(place, "bee", "ls", "long", "--limit", "100", "--gt", page[-1]["key"])
    assert (page[0]["value"], following[0]["value"], len(following)) == (0, 100, 100)


def test_11_nothing_is_put_by_accident_and_strange_values_spoil_no_list(place: Path) -> None:
    said(place, "create", "bee", "odd")
    for stdin in (
        '{"key": "a"}',
        '{"key": "a", "value": null}',
        '{"value": 1}',
        '{"key": 1, "value": 1}',
        "[]",
        '{"key": "a", "value": [{"b": 1e999}]}',
    ):
        refused(place, "bee", "batch", "odd", stdin=stdin)
    refused(place, "bee", "put", "odd/a", stdin="", code=2)
    refused(place, "bee", "put", "odd/a", "-", stdin="", code=2)
    for number in ("1e999", '{"a": -1e999}', "[1e999]"):  # JavaScript would write null
        assert "put it as text" in refused(place, "bee", "put", "odd/a", number)
        assert "put it as text" in refused(place, "bee", "put", "main/odd", number)
    assert said(place, "bee", "ls", "odd") == ""
    for number, value in enumerate(('"<script>alert(1)</script>"', "[[[]]]", "0", '""', '"\\u001b[31m"')):
        said(place, "bee", "put", f"odd/{number}", value)
    listed = said(place, "bee", "ls", "odd")
    assert len(listed.splitlines()) == 5
    assert "\x1b" not in listed  # an author's text drives no terminal


def test_12_a_bad_client_harms_nobody_else(place: Path) -> None:
    for garbage in (
        b"\x00\xff\n",
        b"[" * 100_000 + b"\n",
        b'{"command": "hyp.ls"}\n',
        b"{}\n" * 1000,
        b"no line end",
    ):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(place / "control.sock"))
            client.sendall(garbage)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65_536):
                pass
    assert said(place, "daemon", "status").startswith("Meadow")


def test_13_keys_are_closed_to_others_and_can_be_backed_up(place: Path) -> None:
    said(place, "create", "bee", "secret")
    for file in place.rglob("*"):
        mode = stat.S_IMODE(file.stat().st_mode)
        private = file.parent.stat().st_mode & 0o077 == 0 or mode & 0o077 == 0
        assert private, f"{file} has mode {mode:o}"
    assert place.joinpath("store").stat().st_mode & 0o777 == 0o700
    from userpeer.cli import cli

    assert {"backup", "restore"} <= set(cli.commands)


def test_14_two_peers_of_one_machine_do_not_collide(place: Path, tmp_path: Path) -> None:
    with daemon(tmp_path) as other:
        (mine,) = items(place, "daemon", "status")
        assert mine["pid"] != other["pid"]
        assert {(place / "control.sock").exists(), (tmp_path / "control.sock").exists()} == {True}
        assert mine["listen"] != other["listen"]


def test_16_memory_is_small_and_a_bee_costs_no_file(place: Path) -> None:
    (status,) = items(place, "daemon", "status")
    said(place, "ls")
    files = len(os.listdir(f"/proc/{status['pid']}/fd"))
    for _ in range(20):
        said(place, "create", "bee")
    wait_for(lambda: len(os.listdir(f"/proc/{status['pid']}/fd")) <= files, "the last command to be gone")
    text = Path(f"/proc/{status['pid']}/status").read_text()
    resident = int(re.search(r"VmRSS:\s+(\d+) kB", text)[1])  # type: ignore[index]
    assert resident < 95_000  # half of what a machine of 2021 took


def test_17_what_is_here_is_read_without_waiting_for_the_network(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    with local_dht() as dht, daemon(one, "--bootstrap", dht), daemon(two, "--bootstrap", dht):
        url = said(one, "create", "bee", "here")
        said(one, "bee", "put", "here/a", "1")
        assert said(two, "bee", "ls", url, "--timeout", "30") == "/a = 1"
    with daemon(two, "--bootstrap", "127.0.0.1:9"):
        done = hyp(two, "bee", "ls", url, "--timeout", "3000")  # the tests of this file end long before that
        assert (done.returncode, done.stdout) == (0, "/a = 1\n")
        assert "as of block 2" in done.stderr


def test_19_the_client_is_typed_and_explained() -> None:
    for kind in (Hyp, Bee):
        for name, function in inspect.getmembers(kind, inspect.isfunction):
            if name.startswith("_") or function.__qualname__.partition(".")[0] != kind.__name__:
                continue
            hints = inspect.signature(function)
            assert hints.return_annotation is not inspect.Signature.empty, name
            parameters = list(hints.parameters.values())[1:]
            assert all(parameter.annotation is not inspect.Parameter.empty for parameter in parameters), name
