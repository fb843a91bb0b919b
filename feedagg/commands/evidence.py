"""`verify`: what a proof file shows, checked here with nothing but the file. `prove`: that nothing can be deleted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from core.errors import MeadowError
from core.peer import Finding, Kind, check_file, parse_key
from feedagg import signed_receipts
from feedagg.commands import network
from feedagg.commands.directory import json_option


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", metavar="KEY", help="The bee it must be about; another one is refused.")
@json_option
def verify(file: Path, key: str | None, is_json: bool) -> None:
    """Check the proof FILE, or a signed receipt; needs no network and no aggregator."""
    data = file.read_bytes()
    if data.lstrip()[:1] == b"{":
        _verify_receipt(file, data, key, is_json)
        return
    try:
        found = check_file(data)
    except MeadowError as error:
        raise click.ClickException(f"{file} proves nothing: {error}.") from error
    if key is not None and parse_key(key) != found.key:
        raise click.ClickException(f"{file} is about another bee: {found.key.hex()}.")
    print(json.dumps(as_json(found)) if is_json else in_words(found))


def _verify_receipt(file: Path, data: bytes, key: str | None, is_json: bool) -> None:
    try:
        said, by = signed_receipts.check(data)
    except MeadowError as error:
        raise click.ClickException(f"{file} proves nothing: {error}.") from error
    if key is not None and parse_key(key).hex() != said["bee"]:
        raise click.ClickException(f"{file} is about another bee: {said['bee']}.")
    if is_json:
        print(json.dumps({"kind": "receipt", "by": by, "statement": said}))
        return
    print(f"True: the aggregator {by} said this of the bee {said['bee']}:")
    for name, value in said.items():
        print(f"  {name}: {'-' if value is None else value}")


@click.command()
@click.argument("bee")
@click.argument("key")
@json_option
@click.pass_obj
def prove(directory: Path, bee: str, key: str, is_json: bool) -> None:
    """Show that the running aggregator cannot delete the record KEY of a BEE: hide it (a dry run), fetch it again from
    others, compare, and list the secret keys it holds.
    """
    which = parse_key(bee)
    said = network.ask(directory, f"prove.json?bee={which.hex()}&key={quote(key, safe='')}", seconds=60.0)
    if is_json:
        print(json.dumps(said))
    else:
        gone = "the feed did not list it" if said["goneWhileHidden"] else "it was still listed"
        print(f"Hidden in a dry run: {gone}")
        for one in said["attempts"]:
            print(f"Asked {one['place']}: {one['error'] or 'gave the block'}")
        print(f"Hash here   {said['hashHere']}")
        print(f"Hash there  {said['hashThere'] or 'nobody else who has it was reached'}")
        print("Secret keys held:")
        for one in said["secretKeys"]:
            print(f"  {one['key']}  {one['for']}")
        print("One of them is a bee's!" if said["holdsKeyOfABee"] else "None of them is a bee's.")
    raise SystemExit(0 if said["holds"] else 1)


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


COMMANDS = (verify, prove)
