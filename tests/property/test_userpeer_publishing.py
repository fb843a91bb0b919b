"""Whatever one writes, edits, deletes and puts back: the bee holds it, and each key's history is the log's."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core.peer import Peer
from userpeer.drafts import MovieDraft, PostDraft
from userpeer.publishing import Publisher
from userpeer.reading import Reader

pick = st.integers(0, 9)
words = st.text("ab", min_size=1, max_size=3)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("post"), words),
        st.tuples(st.just("movie"), words),
        st.tuples(st.just("edit"), pick, words),
        st.tuples(st.just("delete"), pick),
        st.tuples(st.just("restore"), pick),
        st.tuples(st.just("put"), words, words),
        st.tuples(st.just("batch"), st.lists(st.tuples(words, st.none() | words), max_size=5)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(operations, st.lists(st.integers(0, 3), min_size=30, max_size=30))
def test_the_bee_is_a_dictionary_with_a_memory(steps: list[Any], ticks: list[int]) -> None:
    asyncio.run(play(steps, iter(ticks * 20)))


async def play(steps: list[Any], ticks: Any) -> None:
    peer = await Peer.open(None)
    bee = peer.bee(name="main")
    now = 1_795_421_580_000

    def clock() -> int:
        return now + next(ticks)  # it stands still, jumps and runs back

    publisher = await Publisher.open(bee, now=clock)
    model: dict[str, Any] = {}
    mine: list[str] = []
    removed: list[tuple[int, str, Any]] = []
    for step in steps:
        if step[0] in ("post", "movie"):
            draft = PostDraft(text=step[1]) if step[0] == "post" else MovieDraft(title=step[1])
            written = await (publisher.post(draft) if step[0] == "post" else publisher.movie(draft))  # type: ignore[arg-type]
            assert not mine or written.key.partition("/")[2] > max(key.partition("/")[2] for key in mine)
            mine.append(written.key)
            model[written.key] = written.value
        elif step[0] == "edit" and mine:
            key = mine[step[1] % len(mine)]
            if key in model:
                draft = PostDraft(text=step[2]) if key.startswith("post") else MovieDraft(title=step[2])
                model[key] = (await publisher.edit(key, draft)).value
        elif step[0] == "delete" and mine:
            key = mine[step[1] % len(mine)]
            if key in model:
                gone = await publisher.delete(key)
                assert gone.value == model.pop(key)
                removed.append((gone.seq, key, gone.value))
        elif step[0] == "restore" and removed:
            seq, key, value = removed[step[1] % len(removed)]
            assert (await publisher.restore(seq)).key == key
            model[key] = value
        elif step[0] == "put":
            model[step[1]] = (await publisher.put(step[1], {"text": step[2]})).value
        elif step[0] == "batch":
            async with bee.batch() as batch:
                for key, text in step[1]:
                    if text is None:
                        await batch.delete(key)
                        model.pop(key, None)
                    else:
                        await batch.put(key, {"text": text})
                        model[key] = {"text": text}
    await check(bee, model)
    await peer.close()


async def check(bee: Any, model: dict[str, Any]) -> None:
    held = {entry.key: entry.value async for entry in bee.range()}
    held.pop("meta/self", None)
    assert held == model
    log: dict[str, list[tuple[int, Any]]] = {}
    async for operation in bee.history(reverse=True):
        log.setdefault(operation.key, []).append((operation.seq, operation.value))
    reader = Reader(bee)
    for key, operations_on_it in log.items():
        assert [(version.seq, version.value) for version in await reader.versions(key)] == operations_on_it
    feed = [item.key for item in (await reader.feed(limit=1000)).items]
    in_order = sorted(
        (key for key in model if "/" in key), key=lambda key: key.partition("/")[2], reverse=True
    )
    assert feed == in_order
    paged: list[str] = []
    before = None
    while True:
        page = await reader.feed(before=before, limit=2)
        paged += [item.key for item in page.items]
        before = page.older
        if before is None:
            break
    assert paged == in_order
