"""Settings: which source wins, and what is said about a mistake."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from core.errors import BadArgument
from feedagg import settings
from feedagg.cli import main


def write(directory: Path, text: str) -> Path:
    path = directory / settings.CONFIG_FILE
    path.write_text(text, encoding="utf-8")
    return path


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEEDAGG_SITE_NAME", "from the environment")
    monkeypatch.setenv("FEEDAGG_NO_DHT", "yes")
    path = write(
        tmp_path, 'site_name = "from the file"\n\nmax_sources = 7\nno_dht = false\nconnect_seconds = 3\n'
    )
    chosen = settings.load(tmp_path, web="127.0.0.1:0", listen=None)
    assert (chosen.site_name, chosen.max_sources, chosen.no_dht) == ("from the environment", 7, True)
    assert (chosen.web, chosen.connect_seconds) == ("127.0.0.1:0", 3.0)
    origins = {line.name: line.origin for line in settings.table(chosen)}
    assert origins["site_name"] == "FEEDAGG_SITE_NAME"
    assert origins["max_sources"] == f"{path}, line 3"
    assert origins["web"] == "--web"
    assert origins["listen"] == "default"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("site_nam = 'x'", r"line 1: there is no setting site_nam; did you mean site_name\?"),
        ('public_url = "meadow.example"', "line 1: 'meadow.example' is no address of a site; write it whole"),
        ('public_url = "ftp://meadow.example"', "is no address of a site"),
        ('public_url = "https://[meadow"', "is no address of a site"),
        ("\n\nmax_sources = 'many'", "line 3: max_sources is 'many', which is not a whole number"),
        ("max_sources = 0", "line 1: max_sources is 0; it is at least 1"),
        ("max_sources = true", "not a whole number"),
        ("no_dht = 1", "not yes or no"),
        ("peer_addresses = 'all'", "it is one of: auto, public, any"),
        ("web = 'everywhere'", "line 1: 'everywhere' is no address; write host:port"),
        ("connect_seconds = nan", "connect_seconds is nan; it is at least 0"),
        ("site_name\nx = 1", "is not TOML: .*line 1.*A line looks like"),
        ("[extra]\nx = 1", "line 1: there is no setting extra"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line_and_how_to_mend_it(
    tmp_path: Path, text: str, sentence: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(BadArgument, match=sentence) as wrong:
        settings.load(tmp_path)
    assert str(path) in str(wrong.value)


def test_a_mistake_in_the_environment_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEEDAGG_MAX_SOURCES", "many")
    with pytest.raises(BadArgument, match="FEEDAGG_MAX_SOURCES is 'many', which is not a whole number"):
        settings.load(tmp_path)


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="check the name after --config"):
        settings.load(tmp_path, tmp_path / "no.toml")


def test_the_command_prints_each_value_and_where_it_came_from_but_no_password(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('site_name = "Ours"\ndb = "postgresql+psycopg://me:hush@127.0.0.1/x"\n')
    words = ["--dir", str(tmp_path), "--config", str(other), "settings"]
    printed = CliRunner().invoke(main, words).output
    assert re.search(rf"site_name +Ours +{re.escape(str(other))}, line 1", printed)
    assert "hush" not in printed
    lines = json.loads(CliRunner().invoke(main, [*words, "--json"]).output)
    assert {line["name"] for line in lines} >= {"web", "listen", "db", "site_name"}
    assert all(line["meaning"] for line in lines)
