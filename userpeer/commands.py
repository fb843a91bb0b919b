"""What the command line can do, in one table: the same functions run in this process or in a running peer.

A command takes the opened peer and plain JSON arguments and yields plain JSON objects, one a line.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.records import Rejected, parse_record

from .backup import seal, words_of
from .coverage import findings, lines
from .drafts import MovieDraft, PostDraft, draft_from
from .errors import NotFound, UserError
from .hyp.commands import HYP_COMMANDS, LIVE_COMMANDS
from .moving.exporting import export
from .publishing import Written
from .service import Connected, PeerService, bee_key
from .submitting import aggregator_url, submit

LIVE = LIVE_COMMANDS
"""Commands that go on until the client hangs up."""

Items = AsyncIterator[dict[str, Any]]
Command = Callable[[PeerService, Mapping[str, Any]], Items]

COMMANDS: dict[str, Command] = {**HYP_COMMANDS}


def _command(name: str) -> Callable[[Command], Command]:
    def register(function: Command) -> Command:
        COMMANDS[name] = function
        return function

    return register


@_command("key")
async def _key(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    yield {"key": service.key, "id": service.id}


@_command("post")
async def _post(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    yield _written(await service.publisher.post(draft_from(PostDraft, arguments)))


@_command("movie")
async def _movie(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    yield _written(await service.publisher.movie(draft_from(MovieDraft, arguments)))


@_command("edit")
async def _edit(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    key = _text(arguments, "key")
    item = await service.reader.get(key)
    if item is None:
        raise NotFound(f"There is no record with the key {key!r}. `userpeer bee ls` lists all keys.")
    kind = PostDraft if getattr(item.record, "kind", "") == "post" else MovieDraft
    known = set(kind.__slots__) | {"key"}
    strange = [name for name, value in arguments.items() if value is not None and name not in known]
    if strange:
        what = "a post" if kind is PostDraft else "a film"
        raise UserError(f"{key} is {what}, which has no {', '.join(sorted(strange))}.")
    if all(arguments.get(name) is None for name in kind.__slots__):
        raise UserError("Nothing to change was given. `userpeer edit --help` lists what can be changed.")
    yield _written(await service.publisher.edit(key, draft_from(kind, arguments), seen=item.seq))


@_command("delete")
async def _delete(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    removed = await service.publisher.delete(_text(arguments, "key"))
    yield {"key": removed.key, "deleted": True, "seq": removed.seq, "value": removed.value}


@_command("bee.put")
async def _bee_put(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    written = await service.publisher.put(_text(arguments, "key"), arguments.get("value"))
    record = parse_record(written.key, written.value)
    note = {"note": f"Feeds will not show it: {record.sentence}"} if isinstance(record, Rejected) else {}
    yield {**_written(written), **note}


@_command("bee.get")
async def _bee_get(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    key = _text(arguments, "key")
    entry = await service.bee.get(key)
    if entry is None:
        raise NotFound(f"There is nothing under the key {key!r}. `userpeer bee ls` lists all keys.")
    yield {"key": entry.key, "value": entry.value, "seq": entry.seq}


@_command("bee.del")
async def _bee_del(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    removed = await service.publisher.delete(_text(arguments, "key"))
    yield {"key": removed.key, "deleted": True, "seq": removed.seq}


@_command("bee.ls")
async def _bee_ls(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    async for entry in service.bee.range(**_range(arguments, str)):
        yield {"key": entry.key, "value": entry.value, "seq": entry.seq}


@_command("bee.history")
async def _bee_history(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    async for entry in service.bee.history(**_range(arguments, int)):
        yield {"type": entry.type, "seq": entry.seq, "key": entry.key, "value": entry.value}


@_command("bee.info")
async def _bee_info(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    info = service.info()
    listening = str(service.listening) if service.listening else None
    yield {
        "key": info.key,
        "id": info.id,
        "discoveryKey": info.discovery_key,
        "length": info.length,
        "byteLength": info.byte_length,
        "fork": info.fork,
        "writable": info.writable,
        "listen": listening,
        "peers": [_connected(one) for one in service.connected()],
    }


@_command("net")
async def _net(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    network = service.peer.network
    connections = [
        {
            "key": one.connection.key.hex(),
            "address": one.connection.address,
            "how": one.connection.how,
            "dialled": one.connection.dialled,
            "since": one.connection.since,
            "bytesIn": one.connection.bytes_in,
            "bytesOut": one.connection.bytes_out,
            "rtt": one.connection.rtt,
            "blocksSent": one.blocks_sent,
        }
        for one in service.connected()
    ]
    bee: dict[str, Any] = {"peers": len(service.bee.core.peers)}
    if network is None:
        sentence = (
            "The DHT is off: peers are found by address only."
            if service.stop is not None
            else "Your peer does not run, so nobody can reach it. Start it with: userpeer run"
        )
        yield {"sentence": sentence, "dht": None, "bee": bee, "connections": connections}
        return
    status = network.status()
    errors = [{"at": one.at, "key": one.key.hex(), "sentence": one.sentence} for one in status.errors]
    topic = network.topic_status(service.bee.core.discovery_key)
    if topic is not None:
        bee |= {"found": topic.peers_found, "refreshed": topic.refreshed, "error": topic.error}
    dht = {**asdict(status), "errors": errors}
    yield {"sentence": status.sentence, "dht": dht, "bee": bee, "connections": connections}


@_command("submit")
async def _submit(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    url = aggregator_url(_text(arguments, "url"))
    submission = await submit(url, service.key, service.listening)
    service.submissions.remember(submission)
    yield {**asdict(submission), "peer": str(service.listening) if service.listening else None}


@_command("aggregators")
async def _aggregators(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    for submission in service.submissions.all():
        answer = await service.coverage.ask(submission.url)
        receipt, own = answer.receipt, await service.own_log()
        said = None
        if receipt is not None:
            found = findings(receipt, own, answer.hidden, answer.unread)
            said = {
                "receipt": asdict(receipt),
                "beside": [asdict(line) for line in lines(receipt, own)],
                "findings": [asdict(one) for one in found],
            }
        yield {"url": submission.url, "at": submission.at, "problem": answer.problem, "says": said}


@_command("import")
async def _import(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    path = Path(_text(arguments, "path"))
    try:
        data = await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    task = service.importing.start(path.name, data)
    report = service.importing.report
    assert report is not None
    while not task.done():
        await asyncio.wait({task}, timeout=0.1)
        if not task.done():
            yield {"done": report.done, "total": report.total}
    if report.problem is not None:
        raise UserError(report.problem)
    yield {**asdict(task.result()), "sentence": report.sentence}


@_command("export")
async def _export(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    path = Path(_text(arguments, "path"))
    try:
        with path.open("xb") as out:  # noqa: ASYNC230 - opening a local file once does not need a thread
            os.chmod(path, 0o600)
            records = await export(service.bee, service.media, out, lambda _: None)
    except FileExistsError:
        raise UserError(f"{path} is there already, and is not overwritten. Name another file.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error
    yield {"path": str(path), "records": records}


@_command("backup")
async def _backup(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    sealed = await asyncio.to_thread(seal, await service.backup(), _text(arguments, "passphrase"))
    yield {"key": service.key, "file": sealed.decode()}


@_command("words")
async def _words(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    yield {"key": service.key, "words": words_of(service.peer.store.primary_key)}


@_command("sealed")
async def _sealed(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    yield {"sealed": service.sealing.is_sealed}


@_command("seal")
async def _seal(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    await service.sealing.change(_maybe_text(arguments, "current"), _text(arguments, "new"))
    yield {"sealed": True}


@_command("unseal")
async def _unseal(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    await service.sealing.change(_maybe_text(arguments, "current"), None)
    yield {"sealed": False}


@_command("nobody-has-it")
async def _nobody_has_it(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    await service.restoring.nobody_has_it()
    yield {"key": service.key, "sentence": "From now on this peer writes. Its bee begins anew."}


@_command("follow")
async def _follow(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    yield _written(await service.follow(_text(arguments, "key")))


@_command("unfollow")
async def _unfollow(service: PeerService, arguments: Mapping[str, Any]) -> Items:
    key = bee_key(_text(arguments, "key"))
    await service.unfollow(key)
    yield {"key": f"follow/{key}", "deleted": True}


def _connected(one: Connected) -> dict[str, Any]:
    """A peer as `bee info` prints it."""
    return {
        "key": one.connection.key.hex(),
        "address": one.connection.address,
        "since": one.connection.since,
        "blocks_sent": one.blocks_sent,
        "bytes_sent": one.bytes_sent,
        "has": one.has,
    }


def _written(written: Written) -> dict[str, Any]:
    return {"key": written.key, "seq": written.seq, "value": written.value}


def _text(arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str):
        raise UserError(f"The argument {name} must be text.")
    return value


def _maybe_text(arguments: Mapping[str, Any], name: str) -> str | None:
    return None if arguments.get(name) is None else _text(arguments, name)


def _range(arguments: Mapping[str, Any], bound: type) -> dict[str, Any]:
    """The options of a range that were given, each of its type."""
    types = {"gt": bound, "gte": bound, "lt": bound, "lte": bound, "reverse": bool, "limit": int}
    given = {name: arguments[name] for name in types if arguments.get(name) is not None}
    for name, value in given.items():
        if type(value) is not types[name]:
            raise UserError(f"The argument {name} must be of the type {types[name].__name__}.")
    return given
