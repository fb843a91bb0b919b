"""Addresses, directories, and where the control socket can be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import BadArgument, StorageError
from userpeer import settings as module
from userpeer.settings import Address, Settings, parse_address


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:8641", Address("127.0.0.1", 8641), True),
        ("localhost:0", Address("localhost", 0), True),
        ("[::1]:80", Address("::1", 80), True),
        ("0.0.0.0:8641", Address("0.0.0.0", 8641), False),
        ("meadow.example.org:443", Address("meadow.example.org", 443), False),
    ],
)
def test_addresses(text: str, address: Address, loopback: bool) -> None:
    assert parse_address(text) == address
    assert str(address) == text
    assert address.is_loopback is loopback


@pytest.mark.parametrize("text", ["", "8641", ":8641", "127.0.0.1", "127.0.0.1:", "a:b", "a:65536", "::1:80"])
def test_what_is_no_address_is_said(text: str) -> None:
    with pytest.raises(BadArgument, match=r"HOST:PORT|brackets"):
        parse_address(text)


def test_directories_are_closed_to_others(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "a" / "peer")
    settings.prepare()
    settings.prepare()
    assert settings.directory.stat().st_mode & 0o777 == 0o700
    assert settings.store.stat().st_mode & 0o777 == 0o700
    assert settings.control_socket == settings.directory / "control.sock"


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/peer cannot be used: Not a directory"):
        Settings(tmp_path / "file" / "peer").prepare()


def test_a_deep_directory_gets_a_short_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    settings = Settings(tmp_path / ("d" * 90))
    settings.prepare()
    assert settings.control_socket.parent == tmp_path / "t" / f"meadow-{os.getuid()}"
    assert settings.control_socket.parent.stat().st_mode & 0o777 == 0o700
    assert settings.control_socket != Settings(tmp_path / ("e" * 90)).control_socket


def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / f"meadow-{os.getuid()}").mkdir(mode=0o755)
    (tmp_path / f"meadow-{os.getuid()}").chmod(0o755)
    with pytest.raises(StorageError, match="not a private folder"):
        Settings(tmp_path / ("d" * 90)).prepare()
