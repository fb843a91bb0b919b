"""What names a bee, and which keys a range means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from userpeer.errors import UserError
from userpeer.hyp.address import BadName, check_name, is_key, split_address
from userpeer.hyp.arguments import after_prefix, in_bounds, key_bounds, seconds
from userpeer.hyp.cli import cli
from userpeer.hyp.terminal import Group, size

KEY = "0123456789abcdef" * 4
WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)


@pytest.mark.parametrize(
    ("text", "bee", "path"),
    [
        (f"hyper://{KEY}", KEY, ""),
        (f"hyper://{KEY}/", KEY, ""),
        (f"{KEY}/a/b", KEY, "a/b"),
        ("movies/a", "movies", "a"),
        (" movies ", "movies", ""),
    ],
)
def test_an_address_is_a_bee_and_what_stands_behind_the_slash(text: str, bee: str, path: str) -> None:
    assert split_address(text) == (bee, path)


@pytest.mark.parametrize("text", ["", "hyper://", "/key"])
def test_an_address_without_a_bee_is_refused(text: str) -> None:
    with pytest.raises(BadName, match="Name a bee"):
        split_address(text)


def test_a_name_can_never_be_taken_for_a_key() -> None:
    assert is_key(KEY)
    assert is_key("y" * 52)
    for name in ("movies", "bee-1", "a.b_c", "0"):
        assert check_name(name) == name
    for name in ("", "A", "-a", "a/b", KEY, "y" * 52, "a" * 64, "ü"):
        with pytest.raises(BadName):
            check_name(name)


@given(WORDS, st.lists(WORDS, max_size=20))
def test_a_prefix_means_exactly_the_keys_that_begin_with_it(prefix: str, keys: list[str]) -> None:
    keys += [prefix, prefix + "\U0010ffff", prefix + "a"]
    bounds = key_bounds({"prefix": prefix})
    # Bees order by bytes; code points come in the same order.
    assert [key for key in keys if in_bounds(key, bounds)] == [key for key in keys if key.startswith(prefix)]
    end = after_prefix(prefix)
    if end is not None:
        end.encode()


@given(WORDS, WORDS, WORDS, st.lists(WORDS, max_size=20))
def test_bounds_and_a_prefix_are_both_kept(prefix: str, low: str, high: str, keys: list[str]) -> None:
    for low_name in ("gt", "gte"):
        for high_name in ("lt", "lte"):
            given_bounds = {low_name: low, high_name: high}
            bounds = key_bounds({"prefix": prefix, **given_bounds})
            for key in [*keys, prefix, prefix + low, low, high]:
                wanted = key.startswith(prefix) and in_bounds(key, given_bounds)
                assert in_bounds(key, bounds) == wanted


@pytest.mark.parametrize("timeout", [0, -1, True, "1", 1e9])
def test_a_timeout_is_a_number_of_seconds(timeout: object) -> None:
    with pytest.raises(UserError, match="timeout"):
        seconds({"timeout": timeout})


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (12_345, "12 kB"), (3.4e9, "3.4 GB")]
)
def test_sizes_in_words(count: float, words: str) -> None:
    assert size(count) == words


def groups(group: Group, path: tuple[str, ...] = ()) -> Iterator[tuple[Group, tuple[str, ...]]]:
    yield group, path
    for name, command in group.commands.items():
        if isinstance(command, Group):
            yield from groups(command, (*path, name))


@pytest.mark.parametrize("path", [path for _, path in groups(cli)])
def test_a_list_of_commands_says_what_each_does_in_a_whole_sentence(path: tuple[str, ...]) -> None:
    listed = CliRunner().invoke(cli, [*path, "--help"], terminal_width=80).output.partition("Commands:")[2]
    assert listed.strip()
    for line in listed.strip().splitlines():
        assert line.endswith("."), line
        assert not line.endswith("..."), line


def test_every_option_says_what_it_is_for() -> None:
    for group, path in groups(cli):
        for name, command in group.commands.items():
            for option in command.params:
                if isinstance(option, click.Option):
                    assert option.help, (*path, name, option.name)


def test_without_a_daemon_the_advice_can_be_typed_as_it_stands(tmp_path: Path) -> None:
    place = tmp_path / "a place"
    done = CliRunner().invoke(cli, ["--dir", str(place), "ls"])
    assert done.exit_code == 2
    assert f"\n  hyp --dir '{place}' daemon start\n" in done.output
    assert "\n  hyp daemon start\n" in CliRunner(env={"HYP_DIR": str(place)}).invoke(cli, ["ls"]).output
