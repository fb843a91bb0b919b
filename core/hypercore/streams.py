"""A log read from one end to the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from ..errors import BadArgument

if TYPE_CHECKING:
    from .session import Hypercore


async def read_stream(
    core: Hypercore, start: int, end: int, *, live: bool, snapshot: bool
) -> AsyncIterator[bytes]:
    """Blocks [start, end) in order, waiting for those that are not held.

    end -1: to the end of the log, which is the one it has at the first read (`snapshot`) or whenever it is
    reached. `live`: never ends; waits for appends.
    """
    if live and end != -1:
        raise BadArgument("a live stream has no end")
    view = core.snapshot() if snapshot and not live else core
    try:
        index = start
        while live or index < (view.length if end == -1 else end):
            block = view.block_if_local(index)
            if block is None:
                block = await view.get(index, wait=True)
                assert block is not None
            yield block
            index += 1
    finally:
        if view is not core:
            await view.close()


async def byte_stream(
    core: Hypercore, byte_offset: int, byte_length: int, *, prefetch: int
) -> AsyncIterator[bytes]:
    """`byte_length` bytes of content from `byte_offset` on (-1: to the end), cut as the blocks are.

    Up to `prefetch` blocks are asked for ahead of the reader. Raises `BadArgument` outside the log.
    """
    total = core.byte_length
    rest = total - byte_offset if byte_length == -1 else byte_length
    if byte_offset < 0 or rest < 0 or byte_offset + rest > total:
        raise BadArgument(
            f"bytes {byte_offset} to {byte_offset + rest} are not within a log of {total} bytes"
        )
    if not rest:
        return
    found = await core.seek(byte_offset)
    if found is None:
        return
    index, skip = found
    ahead = core.download(start=index, end=min(core.length, index + prefetch)) if prefetch else None
    asked = index + prefetch
    try:
        while rest:
            block = await core.get(index, wait=True)
            assert block is not None
            index += 1
            if ahead is not None and index + prefetch // 2 >= asked < core.length:
                ahead.destroy()
                asked = index + prefetch
                ahead = core.download(start=index, end=min(core.length, asked))
            piece = block[skip : skip + rest]
            skip = 0
            rest -= len(piece)
            if piece:
                yield piece
    finally:
        if ahead is not None:
            ahead.destroy()
