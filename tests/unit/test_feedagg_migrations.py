"""A database of an older version is brought up to date with everything that is in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

import feedagg
from core.records import Ref, format_date, value_hash
from feedagg import database as databases
from feedagg import find, queries, search
from feedagg.database import Database, database_url
from feedagg.decide import decide, target_of
from tests.support.feedagg import ENGINES, put, scratch_url

NOW = 1_790_000_000_000
BEE = bytes(range(32))


@pytest.mark.parametrize(
    "engine", [pytest.param(name, marks=[pytest.mark.postgres] * (name != "sqlite")) for name in ENGINES]
)
def test_from_the_first_version(engine: str, tmp_path: Path) -> None:
    ref = Ref(BEE.hex(), "post/0000000000000001", 1, value_hash(b"")).to_json()
    rows = decide(
        [
            put(1, "post/0000000000000001", {"text": "apple pie", "createdAt": format_date(NOW)}),
            put(2, "post/0000000000000002",
                {"text": "plum", "createdAt": format_date(NOW), "reply": {"root": ref, "parent": ref}}),
            put(3, f"react/{BEE.hex()}/post/0000000000000001/like", {"subject": ref, "createdAt": format_date(NOW)}),
        ],
        NOW,
    )  # fmt: skip
    with scratch_url(engine) as given:
        url = database_url(tmp_path, given)
        made = databases._engine(url, pool_size=1, is_writer=True)
        config = Config()
        config.set_main_option("script_location", str(Path(feedagg.__file__).parent / "migrations"))
        with made.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            for row in rows:
                old = {name: value for name, value in row.items() if name not in ("target", "label")}
                names, marks = ", ".join(f'"{name}"' for name in old), ", ".join(f":{name}" for name in old)
                connection.execute(
                    text(f"INSERT INTO records (bee, {names}) VALUES (:bee, {marks})"), {**old, "bee": BEE}
                )
        made.dispose()
        database = Database(url)
        try:
            found = database.read_now(find.find, search.parse("apple")).page.items
            assert [item.seq for item in found] == [1]
            assert [item.seq for item in database.read_now(queries.feed).items] == [2, 1]
            with database.reader.connect() as connection:
                aims = connection.execute(text("SELECT seq, target, label FROM records ORDER BY seq")).all()
            target = target_of(BEE, b"post/0000000000000001")
            assert [tuple(row) for row in aims] == [(1, None, None), (2, target, None), (3, target, "like")]
        finally:
            database.dispose()
