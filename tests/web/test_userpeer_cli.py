"""The command line as people and programs use it: on the store itself, and through a peer that runs."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.support.userpeer import command, json_lines, program, running

HEX = "0123456789abcdef"


@pytest.fixture(params=["store", "running"])
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A peer's directory, with the peer running or not: every command must do the same."""
    if request.param == "store":
        yield tmp_path
    else:
        with running(tmp_path):
            yield tmp_path


def test_a_day_on_the_command_line(peer: Path) -> None:
    key = command(peer, "key").stdout.strip()
    assert len(key) == 64
    assert set(key) <= set(HEX)
    (again,) = json_lines(command(peer, "key", "--json"))
    assert again["key"] == key
    assert len(again["id"]) == 52

    (post,) = json_lines(command(peer, "--json", "post", "hello there", "--tags", "a b"))
    assert post["key"].startswith("post/")
    assert post["value"]["tags"] == ["a", "b"]
    options = ["--year", "2021", "--rating", "9", "--review", "Sand.", "--liked", "--watched-on", "2026-11"]
    (movie,) = json_lines(command(peer, "--json", "movie", "Dune", *options))
    assert movie["value"]["film"] == {"title": "Dune", "year": 2021, "kind": "movie"}
    assert (movie["value"]["rating"], movie["value"]["liked"]) == (9, True)
    assert movie["key"].partition("/")[2] > post["key"].partition("/")[2]

    (edited,) = json_lines(command(peer, "--json", "edit", post["key"], "hello again"))
    assert edited["value"]["text"] == "hello again"
    assert edited["value"]["createdAt"] == post["value"]["createdAt"]
    (edited,) = json_lines(command(peer, "--json", "edit", movie["key"], "--rating", "8", "--review", ""))
    assert (edited["value"]["rating"], "review" in edited["value"]) == (8, False)

    deleted = command(peer, "delete", post["key"])
    assert (deleted.returncode, deleted.stdout) == (0, f"Deleted {post['key']}\n")
    assert command(peer, "delete", post["key"]).returncode == 1
    assert command(peer, "post", "-", stdin="from a pipe\n").stdout.startswith("Posted as post/")

    keys = [entry["key"] for entry in json_lines(command(peer, "bee", "ls"))]
    assert keys == sorted(keys)
    assert movie["key"] in keys
    assert "meta/self" in keys
    history = json_lines(command(peer, "bee", "history"))
    assert [one["seq"] for one in history] == list(range(1, len(history) + 1))
    assert [one["type"] for one in history if one["key"] == post["key"]][1:] == ["put", "del"]


def test_the_bee_takes_and_prints_json(peer: Path) -> None:
    for key, value in (("a", "1"), ("b", '{"title":"Dune"}'), ("c", '"ü"'), ("d", "null"), ("e", "[1,2]")):
        (put,) = json_lines(command(peer, "bee", "put", key, value))
        assert put["value"] == json.loads(value)
    assert json_lines(command(peer, "bee", "get", "b"))[0]["value"] == {"title": "Dune"}

    def listed(*options: str) -> list[str]:
        keys = [entry["key"] for entry in json_lines(command(peer, "bee", "ls", *options))]
        return [key for key in keys if key != "meta/self"]

    assert listed() == ["a", "b", "c", "d", "e"]
    assert listed("--gt", "a", "--lte", "c") == ["b", "c"]
    assert listed("--gte", "b", "--lt", "c") == ["b"]
    assert listed("--reverse", "--limit", "3") == ["e", "d"]
    assert listed("--limit", "0") == []
    (deleted,) = json_lines(command(peer, "bee", "del", "a"))
    assert deleted["deleted"] is True
    missing = command(peer, "bee", "get", "a")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "There is nothing under the key 'a'" in missing.stderr
    (newest,) = json_lines(command(peer, "bee", "history", "--reverse", "--limit", "1"))
    assert (newest["type"], newest["key"], newest["value"]) == ("del", "a", None)
    (info,) = json_lines(command(peer, "bee", "info"))
    assert info["writable"] is True
    assert info["length"] == newest["seq"] + 1
    (piped,) = json_lines(command(peer, "bee", "put", "z", "-", stdin='{"x": 1}'))
    assert piped["value"] == {"x": 1}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["post", ""], 1, "The text is empty"),
        (["movie", "Dune", "--rating", "11"], 1, "The rating is 11; it must be a whole number from 1 to 10."),
        (["movie", "Dune", "--rating", "good"], 2, "not a valid integer"),
        (["edit", "post/none", "x"], 1, "There is no record with the key 'post/none'"),
        (["delete", "none"], 1, "`userpeer bee ls` lists all keys"),
        (["bee", "put", "k", "hello"], 2, "not JSON"),
        (["bee", "put", "k", "NaN"], 2, "not JSON"),
        (["bee", "put", "", "1"], 1, "A key has 1 to 1,024 bytes"),
        (["bee", "put", "k", '"' + "x" * 65_536 + '"'], 1, "the limit is 65,536"),
        (["submit", "nowhere at all"], 1, "not the address of an aggregator"),
        (["submit", "http://127.0.0.1:1"], 1, "could not be reached"),
        (["nosuch"], 2, "No such command"),
        (["run", "--web", "8641"], 1, "is not HOST:PORT"),
    ],
)
def test_what_goes_wrong_is_said_and_the_code_is_honest(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    done = command(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_are_machine_readable_too(tmp_path: Path) -> None:
    done = program(tmp_path, "--json", "bee", "get", "none")
    assert done.returncode == 1
    error = json.loads(done.stderr)["error"]
    assert error["code"] == "not-found"
    assert error["sentence"].startswith("There is nothing")


def test_edit_says_what_a_record_does_not_have(tmp_path: Path) -> None:
    (post,) = json_lines(command(tmp_path, "--json", "post", "x"))
    assert "which has no rating" in command(tmp_path, "edit", post["key"], "--rating", "3").stderr
    assert "Nothing to change" in command(tmp_path, "edit", post["key"]).stderr


def test_a_value_that_feeds_would_not_show_is_remarked_upon(tmp_path: Path) -> None:
    done = command(tmp_path, "bee", "put", "profile/self", '{"name":""}')
    assert done.returncode == 0
    assert "Feeds will not show it" in done.stderr
    assert "note" not in json.loads(done.stdout)


def test_the_ready_line(tmp_path: Path) -> None:
    with running(tmp_path) as (_, ready):
        assert ready["event"] == "ready"
        assert len(ready["key"]) == 64
        host, _, port = ready["listen"].rpartition(":")
        assert host == "127.0.0.1"
        with socket.create_connection((host, int(port)), 5):
            pass
        with urllib.request.urlopen(ready["web"] + "health", timeout=60) as answer:
            assert json.load(answer)["key"] == ready["key"]
        assert program(tmp_path, "key").stdout.strip() == ready["key"]
    assert program(tmp_path, "key").stdout.strip() == ready["key"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_at_once_and_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path) as (process, ready):
        live = urllib.request.urlopen(ready["web"] + "live/feed", timeout=60)  # a browser that stays
        live.readline()
        started = time.monotonic()
        process.send_signal(number)
        assert process.wait(60) == 0
        assert time.monotonic() - started < 10, "it does not wait for the browser"
        live.close()
    assert not (tmp_path / "control.sock").exists()


def test_a_killed_peer_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    with running(tmp_path) as (process, ready):
        json_lines(command(tmp_path, "--json", "post", "before the end"))
        process.kill()
        process.wait(5)
    assert (tmp_path / "control.sock").exists()
    assert "before the end" in command(tmp_path, "bee", "ls").stdout
    with running(tmp_path) as (_, again):
        assert again["key"] == ready["key"]
        assert "before the end" in command(tmp_path, "bee", "ls").stdout


def test_peers_find_it_at_the_same_port_again(tmp_path: Path) -> None:
    with running(tmp_path, listen=None) as (_, first):
        pass
    with running(tmp_path, listen=None) as (_, second):
        assert second["listen"] == first["listen"]
    port = int(first["listen"].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)), running(tmp_path, listen=None) as (_, third):
        assert third["listen"] != first["listen"]
    (tmp_path / "listen-port").write_text("nonsense")
    with running(tmp_path, listen=None) as (_, fourth):
        assert fourth["listen"] == f"127.0.0.1:{(tmp_path / 'listen-port').read_text().strip()}"


def test_a_second_peer_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    with running(tmp_path) as (process, _):
        done = program(tmp_path, "run", "--web", "127.0.0.1:0")
        assert done.returncode == 1
        assert str(process.pid) in done.stderr
        assert "Traceback" not in done.stderr
        assert command(tmp_path, "key").returncode == 0


def test_a_taken_address_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for option in ("--web", "--listen"):
            other = "--listen" if option == "--web" else "--web"
            done = command(tmp_path, "run", option, address, other, "127.0.0.1:0")
            assert done.returncode == 1
            assert f"{address} cannot be opened: Address already in use" in done.stderr
            assert option in done.stderr


def test_files_are_closed_to_others(tmp_path: Path) -> None:
    with running(tmp_path / "peer"):
        for name, mode in (("", 0o700), ("store", 0o700), ("control.sock", 0o600)):
            assert stat.S_IMODE((tmp_path / "peer" / name).stat().st_mode) == mode


def test_an_open_page_asks_for_the_token_that_run_prints(tmp_path: Path) -> None:
    with running(tmp_path, "--web", "0.0.0.0:0") as (_, ready):
        port = ready["web"].rstrip("/").rpartition(":")[2]
        base = f"http://127.0.0.1:{port}/"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(base, timeout=60)
        assert "token=" in ready["open"]
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(base + ready["open"].partition("/?")[2].join(["?", ""]), timeout=60) as answer:
            assert answer.status == 200
            assert "token" not in answer.url


class Aggregator(BaseHTTPRequestHandler):
    """Takes submissions and remembers them."""

    forms: list[dict[str, list[str]]]
    status = 200

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        self.forms.append({"accept": [self.headers["accept"]], **parse_qs(self.rfile.read(length).decode())})
        body = json.dumps({"sentence": "Your bee is on the list.", "page": "/bees/x"}).encode()
        self.send_response(self.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def aggregator(status: int = 200) -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    forms: list[dict[str, list[str]]] = []
    handler = type("Handler", (Aggregator,), {"forms": forms, "status": status})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", forms
    finally:
        server.shutdown()
        server.server_close()


def test_submitting(tmp_path: Path) -> None:
    with aggregator() as (url, forms):
        with running(tmp_path) as (_, ready):
            done = command(tmp_path, "submit", url + "/")
            assert (done.returncode, done.stdout) == (0, "Your bee is on the list.\n")
            assert forms[-1] == {
                "accept": ["application/json"],
                "key": [ready["key"]],
                "peer": [ready["listen"]],
            }
        done = command(tmp_path, "submit", url)
        assert done.returncode == 0
        assert "nobody can fetch your records" in done.stderr
        assert "peer" not in forms[-1]
    assert json.loads((tmp_path / "aggregators.json").read_text())[0]["accepted"] is True


def test_a_refusal_is_an_answer_and_a_failure(tmp_path: Path) -> None:
    with aggregator(status=403) as (url, _):
        done = command(tmp_path, "submit", url)
        assert (done.returncode, done.stdout) == (1, "Your bee is on the list.\n")


def test_a_failure_through_a_running_peer_is_one_sentence(tmp_path: Path) -> None:
    with running(tmp_path) as (_, ready):
        done = program(tmp_path, "submit", ready["web"])  # a peer is no aggregator
    assert (done.returncode, done.stderr) == (1, "")
    assert len(done.stdout.splitlines()) == 1
    assert "is it an aggregator?" in done.stdout


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    for number in range(3):
        command(tmp_path, "bee", "put", f"k{number}", '"' + "x" * 30_000 + '"')
    shell = f"{os.sys.executable} -m userpeer --dir {tmp_path} bee ls | head -c 10"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, timeout=30)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
