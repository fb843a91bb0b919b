"""`hyp` on one machine: the daemon, bees, entries, what it prints and how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.hyp import alive, daemon, environment, hyp, items, kill, local_dht, refused, said
from tests.support.userpeer import program
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a running daemon, shared by the tests that only use it."""
    directory = tmp_path_factory.mktemp("hyp")
    with daemon(directory):
        yield directory


def test_the_daemon_outlives_the_command_and_stops_when_told(tmp_path: Path) -> None:
    with daemon(tmp_path) as status:
        assert alive(status["pid"])
        assert said(tmp_path, "daemon", "status").startswith("Meadow v")
        again = hyp(tmp_path, "daemon", "start", "--no-dht")
        assert (again.returncode, again.stdout) == (0, "Daemon is running.\n")
        assert "running already" in again.stderr
        (now,) = items(tmp_path, "daemon", "status")
        assert now["pid"] == status["pid"]
        log = tmp_path / "daemon.log"
        assert f"process {status['pid']}" in log.read_text()
        assert log.stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "control.sock").stat().st_mode & 0o777 == 0o600
        assert said(tmp_path, "daemon", "stop") == "Daemon stopped."
        assert not alive(status["pid"])
        assert "stopped" in log.read_text()
    assert said(tmp_path, "daemon", "stop") == "Daemon was not running."


def test_two_starts_at_once_make_one_daemon(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "userpeer.hyp.cli",
        "--dir",
        str(tmp_path),
        "--json",
        "daemon",
        "start",
        "--no-dht",
    ]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) for _ in range(2)]
    told = [json.loads(process.communicate(timeout=60)[0])["pid"] for process in both]
    try:
        assert [process.returncode for process in both] == [0, 0]
        assert told[0] == told[1]
    finally:
        hyp(tmp_path, "daemon", "stop")
        for process in told:
            kill(process)


def test_a_daemon_that_cannot_start_says_why(tmp_path: Path) -> None:
    with daemon(tmp_path / "one") as status:
        taken = status["listen"]
        sentence = refused(tmp_path / "two", "daemon", "start", "--no-dht", "--listen", taken)
        assert taken in sentence
        assert "--listen" in sentence
    assert refused(tmp_path / "two", "daemon", "status", code=2).endswith("/two daemon start\n")


@pytest.mark.parametrize("wrong", [("--bootstrap", "nonsense"), ("--bootstrap", ","), ("--listen", "foo")])
def test_a_daemon_is_not_started_with_wrong_addresses(tmp_path: Path, wrong: tuple[str, str]) -> None:
    assert wrong[1].strip(",") in refused(tmp_path, "daemon", "start", *wrong, code=2)


def test_a_created_bee_is_named_listed_and_usable_at_once(place: Path) -> None:
    done = hyp(place, "create", "bee", "films")
    assert done.returncode == 0
    url = done.stdout.strip()
    assert re.fullmatch(r"hyper://[0-9a-f]{64}", url)
    assert "Bee created: films" in done.stderr
    assert said(place, "bee", "ls", url) == ""
    assert f"films            {url}" in said(place, "ls")
    assert said(place, "bee", "put", "films/alien", '{"year": 1979}') == "/alien written, type is object"
    assert json.loads(said(place, "bee", "get", f"{url}/alien")) == {"year": 1979}
    assert url in refused(place, "create", "bee", "films")
    assert "cannot be a bee's name" in refused(place, "create", "bee", "a/b")
    first, second = said(place, "create", "bee"), said(place, "create", "bee")
    names = {item["url"]: item["name"] for item in items(place, "ls")}
    assert (names[first], names[second]) == ("bee-1", "bee-2")


def test_a_new_key_is_made(place: Path) -> None:
    said(place, "create", "bee", "added")
    words = said(place, "bee", "add", "added/1979/", '{"title": "Alien"}')
    assert re.fullmatch(r"/1979/[0-9a-f]{16} written, type is object", words)
    second = items(place, "bee", "add", "added/1979/", "plain words")[0]["key"]
    said(place, "bee", "add", "added", stdin="from standard input")
    listed = items(place, "bee", "ls", "added")
    assert [item["value"] for item in listed] == ["from standard input", {"title": "Alien"}, "plain words"]
    assert listed[2]["key"] == second
    assert "Nothing to put" in refused(place, "bee", "add", "added", code=2)


def test_values_come_from_the_argument_or_from_standard_input(place: Path) -> None:
    said(place, "create", "bee", "values")
    cases = [
        (("hello",), None, "hello", "string"),
        (("42",), None, 42, "number"),
        (("42", "--text"), None, "42", "string"),
        (("true",), None, True, "boolean"),
        (("[1]",), None, [1], "array"),
        ((), '{"a": "ü"}\n', {"a": "ü"}, "object"),
        (("-",), "two\nlines\n", "two\nlines", "string"),
    ]
    for number, (words, stdin, value, kind) in enumerate(cases):
        told = said(place, "bee", "put", f"values/{number}", *words, stdin=stdin)
        assert told == f"/{number} written, type is {kind}"
        assert items(place, "bee", "get", f"values/{number}")[0]["value"] == value
    assert "begins like JSON" in refused(place, "bee", "put", "values/x", '{"a": }', code=2)
    assert "Nothing to put" in refused(place, "bee", "put", "values/x", code=2)
    assert "null" in refused(place, "bee", "put", "values/x", "null")
    assert "Which entry" in refused(place, "bee", "put", "values", "1", code=2)
    assert len(items(place, "bee", "ls", "values")) == len(cases)


@pytest.fixture(scope="module")
def letters(place: Path) -> Path:
    """A bee `letters`: a, b, c/1, c/2, c/3/x, d."""
    said(place, "create", "bee", "letters")
    keys = ("a", "b", "c/1", "c/2", "c/3/x", "d")
    lines = "\n".join(json.dumps({"key": key, "value": key.upper()}) for key in keys)
    assert "6 operations done" in said(place, "bee", "batch", "letters", stdin=lines)
    return place


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        ((), "a b c/1 c/2 c/3/x d"),
        (("--gt", "a"), "b c/1 c/2 c/3/x d"),
        (("--gte", "b", "--lt", "c/2"), "b c/1"),
        (("--lte", "c/1"), "a b c/1"),
        (("--reverse", "--limit", "2"), "d c/3/x"),
        (("--limit", "0"), ""),
        (("--shallow",), "a b c/ d"),
        (("--shallow", "--reverse", "--limit", "2"), "d c/"),
        (("--shallow", "--gt", "b"), "c/ d"),
    ],
)
def test_ranges(letters: Path, words: tuple[str, ...], keys: str) -> None:
    found = [item.get("key") or item["tree"] for item in items(letters, "bee", "ls", "letters", *words)]
    assert found == keys.split()


def test_a_subtree_is_listed_by_where_its_keys_begin(letters: Path) -> None:
    assert said(letters, "bee", "ls", "letters/c/").splitlines() == [
        '/c/1 = "C/1"',
        '/c/2 = "C/2"',
        '/c/3/x = "C/3/X"',
    ]
    assert said(letters, "bee", "ls", "letters/c/", "--shallow").splitlines()[-1] == "/c/3/"
    assert said(letters, "bee", "ls", "letters/c/", "--gt", "c/1", "--limit", "1") == '/c/2 = "C/2"'


def test_old_versions_history_and_differences(place: Path) -> None:
    said(place, "create", "bee", "times")
    for key, value in (("a", "1"), ("b", "2"), ("a", "3")):
        said(place, "bee", "put", f"times/{key}", value)
    assert said(place, "bee", "del", "times/b") == "/b has been deleted"
    assert said(place, "bee", "ls", "times", "--at", "3").splitlines() == ["/a = 1", "/b = 2"]
    assert said(place, "bee", "ls", "times") == "/a = 3"
    assert said(place, "bee", "history", "times").splitlines() == [
        "1 put /a = 1",
        "2 put /b = 2",
        "3 put /a = 3",
        "4 del /b",
    ]
    assert said(place, "bee", "history", "times", "--reverse", "--limit", "1") == "4 del /b"
    assert said(place, "bee", "history", "times", "--gte", "-2").splitlines()[0] == "3 put /a = 3"
    assert said(place, "bee", "diff", "times", "3").splitlines() == ["~ /a = 3", "- /b = 2"]
    assert said(place, "bee", "diff", "times", "1") == "+ /a = 3"
    assert "no version 99" in refused(place, "bee", "ls", "times", "--at", "99")
    assert "nothing under" in refused(place, "bee", "del", "times/b")
    assert "nothing under" in refused(place, "bee", "get", "times/b")


def test_compare_and_swap(place: Path) -> None:
    said(place, "create", "bee", "swap")
    assert items(place, "bee", "put", "swap/a", "1", "--if-seq", "0") == [{"key": "a", "seq": 1}]
    assert "Read it again" in refused(place, "bee", "put", "swap/a", "2", "--if-seq", "0")
    assert "is not there" in refused(place, "bee", "put", "swap/b", "2", "--if-seq", "1")
    said(place, "bee", "put", "swap/a", "2", "--if-seq", "1")
    assert "block 2" in refused(place, "bee", "del", "swap/a", "--if-seq", "1")
    lines = '{"key": "n", "value": 1}\n{"key": "a", "value": 3, "ifSeq": 1}\n'
    assert "Nothing was written" in refused(place, "bee", "batch", "swap", stdin=lines)
    assert said(place, "bee", "ls", "swap") == "/a = 2"
    said(place, "bee", "del", "swap/a", "--if-seq", "2")


def test_sub_databases_are_those_of_hyperbee(place: Path) -> None:
    said(place, "create", "bee", "subs")
    said(place, "bee", "put", "subs/k", "1", "--sub", "one", "--sub", "two")
    assert said(place, "bee", "ls", "subs", "--sub", "one", "--sub", "two") == "/k = 1"
    assert items(place, "bee", "ls", "subs")[0]["key"] == "one\0two\0k"
    assert items(place, "bee", "history", "subs", "--sub", "one", "--sub", "two")[0]["key"] == "k"


def test_values_that_are_no_json_are_read_as_what_they_are(place: Path) -> None:
    said(place, "create", "bee", "raw")
    said(place, "bee", "put", "raw/a", "00ff", "--text", "--values", "hex")
    assert "--values" in refused(place, "bee", "get", "raw/a")
    assert items(place, "bee", "get", "raw/a", "--values", "base64")[0]["value"] == "AP8="


def test_a_value_that_is_no_json_hides_no_other_and_can_be_replaced(place: Path) -> None:
    said(place, "create", "bee", "mixed")
    said(place, "bee", "put", "mixed/a", "1")
    said(place, "bee", "put", "mixed/b", "00ff", "--text", "--values", "hex")
    said(place, "bee", "put", "mixed/c", "3")
    strange = "(2 bytes that are no JSON: --values hex)"
    lines = ["/a = 1", f"/b = {strange}", "/c = 3"]
    assert said(place, "bee", "ls", "mixed").splitlines() == lines
    assert said(place, "bee", "ls", "mixed", "--shallow").splitlines() == lines
    assert said(place, "bee", "history", "mixed").splitlines() == [
        "1 put /a = 1",
        f"2 put /b = {strange}",
        "3 put /c = 3",
    ]
    assert said(place, "bee", "diff", "mixed", "1").splitlines() == [f"+ {line}" for line in lines]
    found = items(place, "bee", "ls", "mixed")[1]
    assert (found["value"], found["bytes"]) == (None, "AP8=")
    said(place, "bee", "put", "mixed/b", "2", "--if-seq", str(found["seq"]))
    said(place, "bee", "put", "mixed/b", "00ff", "--text", "--values", "hex")
    said(place, "bee", "del", "mixed/b")
    assert len(said(place, "bee", "ls", "mixed").splitlines()) == 2


def test_the_personal_bee_is_the_same_through_both_command_lines(place: Path) -> None:
    posted = program(place, "--json", "post", "written with userpeer")
    key = json.loads(posted.stdout)["key"]
    assert items(place, "bee", "get", f"main/{key}")[0]["value"]["text"] == "written with userpeer"
    said(place, "bee", "put", "main/anything", "1")
    assert json.loads(program(place, "bee", "get", "anything").stdout)["value"] == 1


def test_a_page_beside_the_daemon_is_refused_with_the_way_out(place: Path) -> None:
    done = program(place, "run", "--no-dht")
    assert done.returncode == 1
    assert "`hyp daemon stop`" in done.stderr


def test_a_wrong_command_is_refused_with_the_nearest_one(place: Path) -> None:
    assert "did you mean `hyp daemon start`?" in refused(place, "daemon", "strat", code=2)
    assert "did you mean `hyp seed`?" in refused(place, "sede", code=2)
    assert "did you mean `hyp daemon status`?" in refused(place, "stauts", code=2)
    assert "`hyp` knows beam, bee, create" in refused(place, "xyzzy", code=2)
    assert "bee" in refused(place, "create", "fee", code=2)
    error = json.loads(refused(place, "--json", "nosuch", code=2))["error"]
    assert error["code"] == "usage"


def test_json_may_stand_anywhere(place: Path) -> None:
    assert json.loads(said(place, "daemon", "status", "--json"))["pid"] > 0
    error = json.loads(refused(place, "bee", "get", "nothere/x", "--json"))["error"]
    assert (error["code"], "no bee called" in error["sentence"]) == ("not-found", True)


def test_the_status_says_what_one_asks_first(tmp_path: Path) -> None:
    with local_dht() as dht, daemon(tmp_path, "--bootstrap", dht):

        def told_twice() -> tuple[dict[str, Any], str] | None:
            """What it says in JSON, and in words between two times that it says the same in JSON."""
            (before,) = items(tmp_path, "daemon", "status")
            words = said(tmp_path, "daemon", "status")
            return (before, words) if [before] == items(tmp_path, "daemon", "status") else None

        wait_for(lambda: items(tmp_path, "daemon", "status")[0]["state"] == "online", "the DHT")
        about, words = wait_for(told_twice, "two equal answers")
        assert re.search(r"^Meadow v\d+\.\d+\.\d+, process \d+$", words, re.MULTILINE)
        reach = "hole-punchable" if about["holePunchable"] else "not hole-punchable"
        assert f"Your address:  {about['address']} ({reach})" in words
        assert f"bootstrap {dht}" in words
        for name in ("listen", "udp", "store", "log", "network"):
            assert about[name] in words


def test_info_names_the_kept_bees_and_never_waits(place: Path) -> None:
    unknown = "ab" * 32
    lines = said(place, "info", unknown, "main").splitlines()
    assert lines[0].startswith("ababab..ab (hyperbee): 0 connected - Not seeding")
    assert lines[1].startswith("main ")
    process = subprocess.Popen(
        [sys.executable, "-m", "userpeer.hyp.cli", "--dir", str(place), "--json", "info", "--live"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    with process.stdout:
        moments = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.terminate()
        process.wait(30)
    assert moments[0]["at"] < moments[1]["at"]
    assert {bee["name"] for bee in moments[0]["bees"]} >= {"main"}


def test_a_watch_ends_with_its_client_and_leaves_nothing(place: Path) -> None:
    said(place, "create", "bee", "watched")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "userpeer.hyp.cli",
            "--dir",
            str(place),
            "--json",
            "bee",
            "watch",
            "watched/a",
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    with process.stdout:
        assert json.loads(process.stdout.readline()) == {"watching": 1}
        said(place, "bee", "put", "watched/b", "0")
        said(place, "bee", "put", "watched/a", "1")
        assert json.loads(process.stdout.readline()) == {"type": "put", "seq": 2, "key": "a", "value": 1}
        (status,) = items(place, "daemon", "status")
        before = len(os.listdir(f"/proc/{status['pid']}/fd"))
        process.kill()
        process.wait(30)
    wait_for(lambda: len(os.listdir(f"/proc/{status['pid']}/fd")) < before, "the daemon to notice")


def test_memory_only_leaves_no_store(tmp_path: Path) -> None:
    with daemon(tmp_path, "--memory-only"):
        said(tmp_path, "create", "bee", "gone")
        said(tmp_path, "bee", "put", "gone/a", "1")
        assert said(tmp_path, "bee", "ls", "gone") == "/a = 1"
        assert not list((tmp_path / "store").iterdir())
        said(tmp_path, "daemon", "stop")
    with daemon(tmp_path, "--memory-only"):
        assert [item["name"] for item in items(tmp_path, "ls")] == ["main"]


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    with daemon(tmp_path) as status:
        said(tmp_path, "create", "bee", "kept")
        said(tmp_path, "bee", "put", "kept/a", "1")
        said(tmp_path, "seed", "cd" * 32)
        kill(status["pid"])
    with daemon(tmp_path):
        assert said(tmp_path, "bee", "ls", "kept") == "/a = 1"
        assert [item["key"] for item in items(tmp_path, "ls") if not item["own"]] == ["cd" * 32]
