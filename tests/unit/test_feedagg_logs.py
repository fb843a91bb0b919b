"""The log: both of its forms, and that no secret is written into either."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from feedagg import logs


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


def logged(kind: str) -> str:
    stream = io.StringIO()
    logs.configure(kind, stream)
    log = logging.getLogger("feedagg.test")
    log.info("read %d blocks", 7, extra={"bee": "ab12", "admin_token": "s3cret"})
    log.warning("cannot open postgresql://me:s3cret@127.0.0.1/x")
    log.info("sent Authorization: Bearer s3cret-token with feedagg_operator=1.s3cret.x; path=/")
    try:
        raise ValueError("wrong: Bearer s3cret")
    except ValueError:
        log.exception("it failed")
    return stream.getvalue()


def test_json_is_one_object_a_line() -> None:
    lines = [json.loads(line) for line in logged("json").splitlines()]
    assert [line["level"] for line in lines] == ["info", "warning", "info", "error"]
    assert (lines[0]["event"], lines[0]["bee"], lines[0]["logger"]) == (
        "read 7 blocks",
        "ab12",
        "feedagg.test",
    )
    assert "ValueError" in lines[3]["exception"]
    assert lines[0]["timestamp"].endswith("Z")


def test_text_is_for_people() -> None:
    lines = logged("text").splitlines()
    assert lines[0].endswith("feedagg.test: read 7 blocks bee=ab12 admin_token=[hidden]")
    assert " warning feedagg.test: cannot open postgresql://me:[hidden]@127.0.0.1/x" in lines[1]


@pytest.mark.parametrize("kind", ["json", "text"])
def test_no_secret_is_written(kind: str) -> None:
    assert "s3cret" not in logged(kind)
