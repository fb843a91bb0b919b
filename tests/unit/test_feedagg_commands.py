"""What `feedagg` says when it cannot do what it was asked for: one sentence, and never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from feedagg.cli import main

KEY = "ab" * 32


def run(directory: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--dir", str(directory), *words], env={"FEEDAGG_DB": None})


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("export", "{here}/no/such/folder"), "cannot be written to {here}/no/such/folder: No such file"),
        (("list", "--db", "mysql://user@host/name"), "not the URL of a database"),
        (("restore", "{here}/garbage"), "is no whole backup"),
        (("import", "{here}/garbage"), "is not the export of an aggregator"),
        (("bees", "import", "{here}/garbage"), "neither JSON nor OPML"),
        (("verify", "{here}/garbage"), "proves nothing"),
        (("diff", "--limit", "0", "{here}/garbage", "{here}/garbage"), "0 is not in the range"),
        (("policy", "sometimes"), "'sometimes' is not one of"),
        (("accept", "nobody"), "a key is 52 z-base-32 letters or 64 hexadecimal digits"),
        (("pause", KEY), "There is no bee"),
        (("hide", KEY, "post/1", "--reason", " "), "Give a reason"),
        (("hide", KEY, "", "--reason", "empty"), "Name the record"),
        (("add", KEY, "--peer", "nowhere"), "write host:port"),
        (("check",), "There is no aggregator in"),
        (("rebuild",), "There is no aggregator in"),
        (("backup", "{here}/file"), "There is no aggregator in"),
        (("net",), "No aggregator runs in"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence(tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    (tmp_path / "garbage").write_text("garbage")
    if words[0] != "restore":  # which begins one
        assert run(tmp_path / "site", "policy", "closed").exit_code == 0
    done = run(tmp_path / "site", *(word.format(here=tmp_path) for word in words))
    assert done.exit_code in (1, 2), done.output
    assert isinstance(done.exception, SystemExit), done.exception  # no other error got out
    said = " ".join(done.output.split())
    assert sentence.format(here=tmp_path) in said, said
    assert len(said.split("Error: ")[-1]) < 300


@pytest.mark.parametrize(
    "words",
    [
        ("list",), ("decisions",), ("policy",), ("bees", "export"), ("export", "{here}/out"), ("pause", KEY),
        ("accept", KEY), ("trust", KEY), ("hide", KEY, "post/1", "--reason", "x"), ("unhide", KEY, "post/1"),
        ("purge", KEY, "--reason", "x", "--yes"),
    ],
)  # fmt: skip
def test_a_mistyped_directory_is_told_and_not_made(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(tmp_path / "typo", *(word.format(here=tmp_path) for word in words))
    assert done.exit_code == 1, done.output
    assert f"There is no aggregator in {tmp_path}/typo" in " ".join(done.output.split())
    assert not (tmp_path / "typo").exists()


def test_an_aggregator_can_be_begun_by_a_command(tmp_path: Path) -> None:
    for number, words in enumerate((("add", KEY), ("refuse", KEY, "--reason", "x"), ("policy", "closed"))):
        assert run(tmp_path / str(number), *words).exit_code == 0
        assert run(tmp_path / str(number), "decisions").output.count("\n") == 1


def test_trust_is_a_decision_and_is_told_once(tmp_path: Path) -> None:
    assert run(tmp_path, "refuse", KEY, "--reason", "x").exit_code == 0
    assert "free from the quota." in run(tmp_path, "trust", KEY, "--reason", "A friend").output
    assert "already" in run(tmp_path, "trust", KEY).output
    assert "bound by the quota." in run(tmp_path, "trust", "--off", KEY).output
    said = run(tmp_path, "decisions").output.splitlines()
    assert [line.split("  ")[1] for line in said] == ["bound", "trusted", "refused"]
    assert "A friend" in said[1]


def test_every_command_says_what_it_does(tmp_path: Path) -> None:
    for name, command in main.commands.items():
        done = run(tmp_path, name, "--help")
        assert done.exit_code == 0
        assert "Usage: " in done.output
        assert command.help, name
