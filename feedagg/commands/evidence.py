"""`verify`: what a proof file shows, checked here with nothing but the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from core.errors import MeadowError
from core.peer import Finding, Kind, check_file, parse_key
from feedagg.commands.directory import json_option


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", metavar="KEY", help="The bee it must be about; another one is refused.")
@json_option
def verify(file: Path, key: str | None, is_json: bool) -> None:
    """Check the proof FILE; needs no network and no aggregator."""
    try:
        found = check_file(file.read_bytes())
    except MeadowError as error:
        raise click.ClickException(f"{file} proves nothing: {error}.") from error
    if key is not None and parse_key(key) != found.key:
        raise click.ClickException(f"{file} is about another bee: {found.key.hex()}.")
    print(json.dumps(as_json(found)) if is_json else in_words(found))


def in_words(found: Finding) -> str:
    """What was found, as a person reads it."""
    log = f"the log of {found.length:,} blocks signed by {found.key.hex()}"
    subject = found.subject.decode(errors="replace")
    if found.kind is Kind.CONFLICT:
        return (
            f"True: {found.key.hex()} signed two different histories of {found.at_length:,} blocks.\n"
            f"{found.at_hash.hex()}\n{found.other_hash.hex() if found.other_hash else ''}"
        )
    if found.is_absent:
        return f"True: in {log}, {subject!r} maps to nothing."
    lines = [f"True: {subject!r} in {log}"]
    for version in found.versions:
        said = "removed" if version.value is None else version.value.decode(errors="replace")
        lines.append(f"block {version.seq:,}: {said}")
    if found.at_length != found.length:
        lines.append(f"hash of its tree of {found.at_length:,} blocks: {found.at_hash.hex()}")
    return "\n".join(lines)


def as_json(found: Finding) -> dict[str, Any]:
    """The finding as the page's script gives it, bytes as hex."""
    return {
        "kind": found.kind.name.lower(),
        "key": found.key.hex(),
        "subject": found.subject.hex(),
        "fork": found.fork,
        "length": found.length,
        "atLength": found.at_length,
        "atHash": found.at_hash.hex(),
        "otherHash": None if found.other_hash is None else found.other_hash.hex(),
        "versions": [
            {"seq": version.seq, "value": None if version.value is None else version.value.hex()}
            for version in found.versions
        ],
    }


COMMANDS = (verify,)
