"""`hyp import` on a folder that the official packages of 2021 wrote: Hypercore 9, Hyperbee 1, corestore 5."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import skip_or_fail
from tests.support.hyp import daemon, items, refused, said
from tests.support.node import NODE_DIRECTORY
from userpeer.errors import UserError
from userpeer.hyp.bees import Bees
from userpeer.hyp.hypercore9 import find_old_logs, full_roots, read_old_log
from userpeer.hyp.importing import import_folder
from userpeer.service import open_service
from userpeer.settings import Settings

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

DIRECTORY = NODE_DIRECTORY.parent / "node2021"


def why_missing() -> str | None:
    if shutil.which("node") is None:
        return "Node is not installed, so no folder of 2021 can be made"
    if not (DIRECTORY / "node_modules/hypercore").is_dir():
        return "the packages of 2021 are not installed: run `make node-packages`"
    return None


def write(folder: Path, what: str) -> Any:
    done = subprocess.run(
        ["node", str(DIRECTORY / "folder.js"), str(folder), what], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder of 2021, and what is in it."""
    skip_or_fail(why_missing())
    folder = tmp_path_factory.mktemp("hyperspace") / "storage"
    return folder, write(folder, "new")


@pytest.fixture
def copy(made: tuple[Path, Any], tmp_path: Path) -> tuple[Path, Any]:
    """One that a test may spoil."""
    shutil.copytree(made[0], tmp_path / "storage")
    return tmp_path / "storage", made[1]


@pytest.fixture
async def bees(tmp_path: Path) -> AsyncIterator[Bees]:
    async with open_service(Settings(tmp_path / "peer")) as service:
        yield service.bees


async def run(bees: Bees, folder: Path, **options: bool) -> dict[str, dict[str, Any]]:
    """What became of each log, by its old key."""
    return {item["old"]: item async for item in import_folder(bees, folder, **options) if "old" in item}


async def entries(bees: Bees, name: str) -> list[list[Any]]:
    held = bees.own(name)
    assert held is not None
    return [[entry.key, entry.value] async for entry in held.bee.range()]


def url(told: Any) -> str:
    return f"hyper://{told['key']}"


async def test_each_own_bee_becomes_a_new_one_with_the_same_entries(
    made: tuple[Path, Any], bees: Bees
) -> None:
    folder, told = made
    report = await run(bees, folder)
    assert await entries(bees, "movies") == told["movies"]["entries"]
    assert await entries(bees, "default") == told["default"]["entries"]
    assert len(told["movies"]["entries"]) == 300 - 43 + 1
    assert report[url(told["log"])]["sentence"] == "A log, but not a bee."
    assert "Somebody else's" in report[url(told["theirs"])]["sentence"]
    held = bees.own("movies")
    assert held is not None
    assert held.key.hex() != told["movies"]["key"]
    header = await held.bee.get_header()
    assert header is not None
    assert header.metadata is not None
    assert json.loads(header.metadata.user_data or b"")["importedFrom"] == told["movies"]["key"]


async def test_a_second_run_takes_what_is_new_and_leaves_what_was_changed_here(
    copy: tuple[Path, Any], bees: Bees
) -> None:
    folder, told = copy
    await run(bees, folder)
    again = await run(bees, folder)
    assert again[url(told["movies"])]["result"] == "nothing new"
    held = bees.own("movies")
    assert held is not None
    length = held.bee.core.length
    await held.bee.put("m/0002", "changed here")
    await held.bee.put("mine", 1)
    now = dict(map(tuple, write(folder, "more")["movies"]["entries"]))
    third = await run(bees, folder)
    assert "2 entries put, 1 deleted. 1 changed here since" in third[url(told["movies"])]["sentence"]
    assert held.bee.core.length == length + 2 + 3
    expected = {**now, "m/0002": "changed here", "mine": 1}
    assert dict(map(tuple, await entries(bees, "movies"))) == expected
    assert (await run(bees, folder))[url(told["movies"])]["result"] == "nothing new"


async def test_a_run_that_was_killed_is_finished_by_the_next(copy: tuple[Path, Any], bees: Bees) -> None:
    """Killed after the bee was made, or after it was filled: neither a second bee nor a doubled entry."""
    folder, told = copy
    await run(bees, folder)
    held = bees.own("movies")
    assert held is not None
    length = held.bee.core.length
    key = told["movies"]["key"]
    await bees.remember_import(bytes.fromhex(key), {"name": "movies", "length": 0})
    report = await run(bees, folder)
    assert report[url(told["movies"])]["put"] == 0
    assert held.bee.core.length == length
    assert sorted(each.name or "" for each in bees.kept()) == ["default", "main", "movies"]


async def test_a_bee_of_which_only_a_part_was_read_is_copied_as_far_as_it_goes(
    made: tuple[Path, Any], bees: Bees
) -> None:
    folder, told = made
    report = (await run(bees, folder, everybody=True))[url(told["theirs"])]
    assert report["result"] == "imported"
    assert 0 < report["missing"] < report["length"]
    found = await entries(bees, report["name"])
    assert ["t/05", 5] in found
    whole = [list(entry) for entry in told["theirs"]["entries"]]
    assert all(entry in whole for entry in found)


async def test_what_its_owner_did_not_sign_is_not_imported(copy: tuple[Path, Any], bees: Bees) -> None:
    folder, told = copy
    (place,) = [
        place for place in find_old_logs(folder) if read_old_log(place).key.hex() == told["movies"]["key"]
    ]
    whole = read_old_log(place)
    assert whole.missing == 0
    data = bytearray((place / "data").read_bytes())
    spot = data.index(b"Movie 100")
    data[spot : spot + 9] = b"Movie 666"
    (place / "data").write_bytes(data)
    spoiled = read_old_log(place)
    assert spoiled.missing == 1
    report = (await run(bees, folder))[url(told["movies"])]
    assert "not what their owner signed" in report["sentence"]
    found = await entries(bees, "movies")
    assert all("666" not in str(value) for _, value in found)
    assert len(found) > 200


async def test_a_torn_end_goes_back_to_the_last_signature(copy: tuple[Path, Any]) -> None:
    """A crash of then may have left blocks without their signature, or a signature that was cut."""
    folder, told = copy
    (place,) = [
        place for place in find_old_logs(folder) if read_old_log(place).key.hex() == told["movies"]["key"]
    ]
    whole = read_old_log(place)
    signatures = (place / "signatures").read_bytes()
    (place / "signatures").write_bytes(signatures[:-70])
    shorter = read_old_log(place)
    assert shorter.blocks == whole.blocks[:-2]
    (place / "signatures").write_bytes(signatures[:-64] + b"\x01" * 64)
    assert read_old_log(place).blocks == whole.blocks[:-1]
    for name in ("signatures", "data", "tree"):
        (place / name).write_bytes(b"")
    assert read_old_log(place).blocks == []


async def test_folders_that_hold_nothing_or_rubbish(tmp_path: Path, bees: Bees) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        await run(bees, tmp_path / "nothere")
    with pytest.raises(UserError, match="no log of 2021"):
        await run(bees, tmp_path)
    place = tmp_path / "aa/bb/cc"
    place.mkdir(parents=True)
    for name in ("key", "tree", "data", "signatures", "name"):
        (place / name).write_bytes(b"\xff" * 33)
    found = [item async for item in import_folder(bees, tmp_path)]
    assert [item["result"] for item in found] == ["skipped"]
    (place / "key").write_bytes(b"\xff" * 32)
    found = [item async for item in import_folder(bees, tmp_path)]
    assert [item["result"] for item in found] == ["skipped"]


def test_roots_of_every_small_length_cover_it() -> None:
    def width(index: int) -> int:
        return ((~index & (index + 1)) << 1) // 2 or 1

    for length in range(200):
        assert sum(width(root) for root in full_roots(length)) == length


def test_by_the_command_line(made: tuple[Path, Any], tmp_path: Path) -> None:
    folder, told = made
    with daemon(tmp_path):
        lines = said(tmp_path, "import", str(folder)).splitlines()
        assert any(line.startswith(f"{url(told['movies'])} -> movies hyper://") for line in lines)
        assert json.loads(said(tmp_path, "bee", "get", "default/hello")) == "world"
        assert {item["result"] for item in items(tmp_path, "import", str(folder))} == {
            "nothing new",
            "skipped",
        }
        assert "does not exist" in refused(tmp_path, "import", str(tmp_path / "nothere"), code=2)
