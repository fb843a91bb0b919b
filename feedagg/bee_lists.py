"""The bees that are followed as a list for another aggregator: JSON with everything, OPML for whoever reads that.

In OPML a bee is an outline with its key in `bee` (and `text`, `title` for its name); other outlines are left alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree

from core.errors import BadArgument
from core.peer import parse_key
from feedagg.addresses import normal

FORMATS: Final = ("json", "opml")
MAX_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Listed:
    """One bee of a list. `peers`: addresses where it was found, the best first."""

    bee: bytes
    name: str = ""
    state: str = "following"
    reason: str | None = None
    peers: tuple[str, ...] = ()


def dump(bees: list[Listed], form: str, title: str) -> str:
    """The list as text in one of `FORMATS`."""
    if form == "json":
        listed = [
            {
                "key": one.bee.hex(),
                "name": one.name,
                "state": one.state,
                "reason": one.reason,
                "peers": list(one.peers),
            }
            for one in bees
        ]
        return json.dumps({"title": title, "bees": listed}, indent=2, ensure_ascii=True) + "\n"
    root = ElementTree.Element("opml", version="2.0")
    ElementTree.SubElement(ElementTree.SubElement(root, "head"), "title").text = _xml_text(title)
    body = ElementTree.SubElement(root, "body")
    for one in bees:
        facts = {"text": _xml_text(one.name or one.bee.hex()), "type": "bee", "bee": one.bee.hex()}
        ElementTree.SubElement(body, "outline", facts | ({"peer": one.peers[0]} if one.peers else {}))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def load(text: str) -> list[Listed]:
    """The bees of a list in either format. Raises `BadArgument` with a sentence; nothing is taken of a bad list."""
    if len(text) > MAX_BYTES:
        raise BadArgument(f"A list has at most {MAX_BYTES:,} characters.")
    if text.lstrip("\ufeff \t\r\n").startswith("<"):
        return _from_opml(text)
    return _from_json(text)


def _from_json(text: str) -> list[Listed]:
    try:
        sent: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadArgument(f"The list is neither JSON nor OPML: {error}.") from error
    items = sent.get("bees") if isinstance(sent, dict) else sent
    if not isinstance(items, list):
        raise BadArgument('The list has no "bees".')
    found = []
    for number, item in enumerate(items, 1):
        facts = {"key": item} if isinstance(item, str) else item
        if not isinstance(facts, dict) or not isinstance(facts.get("key"), str):
            raise BadArgument(f"Bee {number} of the list has no key.")
        peers = facts.get("peers") or []
        if not isinstance(peers, list):
            raise BadArgument(f"Bee {number}: peers is a list of host:port.")
        found.append(
            _listed(number, facts["key"], str(facts.get("state") or "following"), facts.get("reason"), peers)
        )
    return found


def _from_opml(text: str) -> list[Listed]:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise BadArgument("An OPML file needs no DOCTYPE and no entities; this one is not read.")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 (entities are refused above)
    except ElementTree.ParseError as error:
        raise BadArgument(f"The list is not OPML: {error}.") from error
    found: list[Listed] = []
    for outline in root.iter("outline"):
        key = outline.get("bee")
        if key is not None:
            peer = outline.get("peer")
            found.append(_listed(len(found) + 1, key, "following", None, [peer] if peer else []))
    if not found:
        raise BadArgument("There is no bee in this OPML file: its outlines have no attribute `bee`.")
    return found


def _listed(number: int, key: str, state: str, reason: Any, peers: list[Any]) -> Listed:
    try:
        addresses = tuple(normal(str(peer)) for peer in peers)
        return Listed(parse_key(key), "", state, str(reason) if reason else None, addresses)
    except BadArgument as error:
        raise BadArgument(f"Bee {number} of the list: {error}") from None


def _xml_text(text: str) -> str:
    """XML has no way to write control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
