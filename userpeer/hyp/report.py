"""What `hyp info` prints of one bee."""

from __future__ import annotations

from typing import Any

from userpeer.wording import counted

from .terminal import size


def bee_report(item: dict[str, Any], *, is_long: bool) -> str:
    """A line, or with `is_long` a few more: each peer, and who took how much."""
    key = item["key"]
    name = f"{item['name']} " if item["name"] else ""
    here = "nothing here yet"
    if item["length"]:
        here = f"{item['percent']:g}% of {counted(item['length'], 'block')} ({size(item['bytes'])})"
    rates = f"[down {size(item['downRate'])}/s up {size(item['upRate'])}/s]"
    lines = [
        f"{name}{key[:6]}..{key[-2:]} (hyperbee): {len(item['peers'])} connected - {_state(item)} {rates} {here}"
    ]
    if is_long:
        lines.append(f"  {item['url']}")
        lines += [
            f"  connected {peer['key'][:8]} {peer['address'] or ''}: has {counted(peer['length'], 'block')}, "
            f"sent {size(peer['bytesSent'])}, received {size(peer['bytesReceived'])}"
            for peer in item["peers"]
        ]
        lines += [
            f"  taken by {taker['key'][:8]} {taker['address']}: "
            f"{counted(taker['blocks'], 'block')}, {size(taker['bytes'])}"
            for taker in item["takers"]
        ]
    return "\n".join(lines)


def _state(item: dict[str, Any]) -> str:
    if not item["seeding"]:
        return "Not seeding"
    return "Seeding" if item["announced"] else "Seeding, not announced yet"
