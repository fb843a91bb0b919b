"""The `hyperbee` extension: the messages of the recorded conversation, asked and answered by us."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from core.corestore import Corestore
from core.hyperbee import Hyperbee
from core.hyperbee.extension import Cache, Get, Iterator, Message, decode_message, encode_message
from core.hyperbee.ranges import Bounds
from core.hypercore import Hypercore

pytestmark = pytest.mark.anyio

TRANSCRIPTS = Path(__file__).parent / "log" / "transcripts.json"


def conversation() -> list[tuple[str, bytes]]:
    """(who, message) without the length that stands before it on the wire: B asks, A answers, twice."""
    scenarios = json.loads(TRANSCRIPTS.read_text())["scenarios"]
    (scenario,) = (each for each in scenarios if each["name"] == "hyperbee-extension")
    return [
        (frame["from"], bytes.fromhex(part["extension"]["message"])[1:])
        for frame in scenario["frames"]
        for part in frame.get("decoded", [])
        if "extension" in part
    ]


class Wiretap:
    """In the place of a log's extension: keeps what is sent, and brings in what is said to be received."""

    def __init__(self, core: Hypercore) -> None:
        self.broadcasts: list[bytes] = []
        self.answers: list[bytes] = []
        self.downloads: list[int] = []
        self.receive: Callable[[bytes, Any], None] = lambda *_: None
        core.register_extension = self._register  # type: ignore[method-assign]

    def _register(self, name: str, on_message: Callable[[bytes, Any], None]) -> Any:
        assert name == "hyperbee"
        self.receive = on_message
        return self

    def broadcast(self, message: bytes) -> None:
        self.broadcasts.append(message)

    def send(self, message: bytes, peer: Any) -> None:
        assert peer == "the one who asked"
        self.answers.append(message)

    def destroy(self) -> None:
        self.receive = lambda *_: None


class TappedCore(Hypercore):
    """A session whose extension and downloads can be replaced."""

    __slots__ = ("download", "register_extension")


@pytest.fixture
async def store() -> AsyncIterator[Corestore]:
    store = Corestore(None)
    yield store
    await store.close()


async def thirty(store: Corestore, count: int = 30) -> tuple[Hyperbee, Wiretap]:
    core = TappedCore(store.get(name="thirty").log)
    tap = Wiretap(core)
    bee = Hyperbee(core, key_encoding="utf-8", value_encoding="utf-8")
    for number in range(count):
        await bee.put(f"k{number:02d}", f"v{number}")
    return bee, tap


async def test_we_answer_as_the_reference_did(store: Corestore) -> None:
    (_, get), (_, got), (_, walk), (_, walked) = conversation()
    _, tap = await thirty(store)
    tap.receive(get, "the one who asked")
    tap.receive(walk, "the one who asked")
    assert [answer.hex() for answer in tap.answers] == [got.hex(), walked.hex()]


async def test_we_ask_as_the_reference_did(store: Corestore) -> None:
    (_, get), _, (_, walk), _ = conversation()
    bee, _ = await thirty(store)
    await bee.core.clear(1, 31)
    fresh = TappedCore(bee.core.log)
    tap = Wiretap(fresh)
    fresh.download = lambda **_: None  # type: ignore[method-assign]
    reader = Hyperbee(fresh, key_encoding="utf-8", value_encoding="utf-8")
    with pytest.raises(TimeoutError):
        await reader.get("k17", timeout=0.01)
    with pytest.raises(TimeoutError):
        await anext(reader.range(gte="k05", lte="k09", timeout=0.01))
    assert [asked.hex() for asked in tap.broadcasts] == [get.hex(), walk.hex()]


async def test_only_what_we_asked_for_is_downloaded(store: Corestore) -> None:
    bee, _ = await thirty(store)
    await bee.core.clear(5, 20)
    fresh = TappedCore(bee.core.log)
    tap = Wiretap(fresh)
    fresh.download = lambda *, blocks: tap.downloads.extend(blocks)  # type: ignore[method-assign, assignment]
    reader = Hyperbee(fresh, key_encoding="utf-8")
    cache = encode_message(Cache(2, 999, (2, 6, 7, 31, 998)))
    tap.receive(cache, "a stranger")
    assert tap.downloads == []
    with pytest.raises(TimeoutError):
        await reader.get("k05", timeout=0.01)
    tap.receive(cache, "a stranger")
    assert tap.downloads == [6, 7]
    for _ in range(2_000):
        tap.receive(cache, "a stranger")
    assert len(tap.downloads) <= 2_176


async def test_a_long_walk_is_answered_in_pieces_and_resumed_at_its_checkpoint(store: Corestore) -> None:
    async def long_bee(name: str) -> tuple[Hyperbee, Wiretap]:
        core = TappedCore(store.get(name=name).log)
        tap = Wiretap(core)
        bee = Hyperbee(core)
        async with bee.batch() as batch:
            for number in range(6_000):
                await batch.put(number.to_bytes(2, "big"), b"")
        return bee, tap

    def told(tap: Wiretap) -> list[int]:
        answers = [decode_message(answer)[0] for answer in tap.answers]
        for answer in answers:
            assert isinstance(answer, Cache)
            assert len(answer.blocks) <= 128
            assert (answer.start, answer.end) == (min(answer.blocks), max(answer.blocks) + 1)
        tap.answers.clear()
        return [seq for answer in answers if isinstance(answer, Cache) for seq in answer.blocks]

    server, tap = await long_bee("server")
    tap.receive(encode_message(Iterator(server.version, Bounds(), 0, False)), "the one who asked")
    blocks = told(tap)
    assert len(blocks) == len(set(blocks)) == 2_176
    assert set(range(1, 2_000)) < set(blocks)

    reader, asked = await long_bee("reader")  # the same bee, half of which is missing
    await reader.core.clear(3_000, 5_000)
    reader.core.download = lambda **_: None  # type: ignore[method-assign]
    with pytest.raises(TimeoutError):
        async for _ in reader.range(timeout=0.01):
            pass
    (question,) = asked.broadcasts
    tap.receive(question, "the one who asked")
    blocks = told(tap)
    # It stops before 3,000 already: nodes are written after the keys they lead to.
    assert len(blocks) == 2_176
    assert set(range(1_950, 3_950)) < set(blocks)
    assert not set(range(1, 1_850)) & set(blocks)


async def test_what_is_malformed_or_not_ours_is_ignored(store: Corestore) -> None:
    bee, tap = await thirty(store)
    newer = Get(bee.version + 1, b"k01")
    beyond = Iterator(bee.version, Bounds(), 0, False, (30, 0, 99))
    nowhere = Iterator(bee.version, Bounds(), 0, False, (999, 0, 1))
    no_level = Iterator(bee.version, Bounds(), 0, True, (3, 7, 1))
    for message in (newer, Get(0, b""), beyond, nowhere, no_level):
        tap.receive(encode_message(message), "the one who asked")
    for garbage in (b"", b"\xff", b"\x0a\x05\x1a\x03\xff\xff\xff", b"\x1a\x02\x42\x01", b"\x22\x00"):
        tap.receive(garbage, "the one who asked")
    assert [answer for answer in tap.answers if not decode_message(answer)] == []
    await bee.close()
    count = len(tap.answers)
    tap.receive(encode_message(Get(5, b"k01")), "the one who asked")
    assert len(tap.answers) == count


@pytest.mark.parametrize(
    "message",
    [
        Cache(3, 300, (3, 299, 128)),
        Get(7, b"key"),
        Iterator(1, Bounds(b"a", True, b"b", False), 5, True, (1, 0, 3, 300, 2, 1)),
        Iterator(2**40, Bounds(b"", False, b"", True), 0, False),
        Iterator(2, Bounds(), 0, False),
    ],
)
def test_messages_come_back(message: Message) -> None:
    assert decode_message(encode_message(message)) == [message]


def test_a_message_may_have_several_parts_and_unknown_ones() -> None:
    parts = encode_message(Get(7, b"key")) + b"\x22\x01x" + encode_message(Cache(1, 2, (1,)))
    assert decode_message(parts) == [Get(7, b"key"), Cache(1, 2, (1,))]
