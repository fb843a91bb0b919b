"""The shapes of what the API takes and gives, as JSON Schema 2020-12 (which is what OpenAPI 3.1 speaks)."""

from __future__ import annotations

from typing import Any, Final

from feedagg.decisions import Action
from feedagg.policy import MAX_REASON, POLICIES
from feedagg.sources import STATES

Schema = dict[str, Any]

MAX_SAFE_INTEGER: Final = 2**53 - 1

KEY: Final[Schema] = {
    "type": "string",
    "pattern": "^[0-9a-f]{64}$",
    "description": "A bee's key: 64 hex digits.",
}
HEX: Final[Schema] = {
    "type": "string",
    "pattern": "^([0-9a-f]{2})+$",
    "maxLength": 2048,
    "description": "A record's key in hex: it may hold any bytes.",
}
TIME: Final[Schema] = {"type": "integer", "description": "Milliseconds since 1970."}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
TEXT: Final[Schema] = {"type": "string"}
ADDRESS: Final[Schema] = {
    "type": "string",
    "pattern": r"^([A-Za-z0-9.-]{1,200}|\[[0-9A-Fa-f:.]{2,45}\]):"
    r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$",
    "description": "Where a peer holds it: host:port.",
}
REASON: Final[Schema] = {
    "type": "string",
    "maxLength": MAX_REASON,
    "description": "Shown to the author and to everybody else.",
}
NEEDED_REASON: Final[Schema] = REASON | {"minLength": 1, "pattern": "[0-9A-Za-z]"}


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def of(**properties: Schema) -> Schema:
    """An object with exactly these members, all of them there."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def many(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def body(needed: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """What a request may send."""
    return {
        "type": "object",
        "properties": needed | (optional or {}),
        "required": list(needed),
        "additionalProperties": False,
    }


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_NUMBERS: Final[Schema] = {"type": "object", "additionalProperties": COUNT}

COMPONENTS: Final[dict[str, Schema]] = {
    "Problem": {
        "type": "object",
        "description": "What went wrong, as a sentence for people, and the field to mend.",
        "properties": {"error": TEXT, "field": TEXT},
        "required": ["error"],
    },
    "Author": of(key=KEY, name=TEXT, url=TEXT),
    "Record": of(
        bee=KEY,
        key=TEXT | {"description": "The record's key; bytes that are no UTF-8 are replaced."},
        keyHex=HEX,
        kind={"enum": ["post", "movie"]},
        block=COUNT | {"description": "The block of the author's log that holds it."},
        hash={
            "type": "string",
            "pattern": "^[0-9a-f]{64}$",
            "description": "BLAKE2b-256 of the value's bytes.",
        },
        value={"type": "object", "description": "The record as its author wrote it."},
        author=ref("Author"),
        createdAt=nullable(TIME) | {"description": "The author's claim, null if it cannot be read."},
        firstSeen=TIME,
        sortAt=TIME,
        url=TEXT,
    ),
    "Records": of(
        items=many(ref("Record")),
        next=nullable(TEXT) | {"description": "Give it as `before` for the next page; null at the end."},
    ),
    "Film": of(
        name=TEXT,
        title=TEXT,
        year=nullable({"type": "integer"}),
        average=nullable({"type": "number", "minimum": 1, "maximum": 10})
        | {"description": "Half stars, 1 to 10."},
        people=COUNT,
        items=many(ref("Record")),
        next=nullable(TEXT),
    ),
    "Bee": of(
        key=KEY,
        id=TEXT | {"description": "The key in z-base-32."},
        name=TEXT,
        state={"enum": list(STATES), "description": "Its standing here."},
        reason=nullable(TEXT),
        connected={"type": "boolean"},
        length=COUNT,
        indexedFrom=COUNT,
        indexedTo=COUNT,
        addedAt=TIME,
        lastContact=nullable(TIME),
        nextTry=TIME,
        waitsUntil=nullable(TIME) | {"description": "Its quota is used up until then."},
        error=nullable(TEXT),
        url=TEXT,
    ),
    "Bees": of(items=many(ref("Bee")), next=nullable(KEY) | {"description": "Give it as `after`."}),
    "BeeStatus": of(
        bee=ref("Bee"),
        remaining=COUNT | {"description": "Older blocks that are still to be read."},
        listed=_NUMBERS,
        kept=_NUMBERS,
        skipped=many(of(reason=TEXT, meaning=TEXT, count=COUNT)),
        hidden=COUNT,
        decisions=many(ref("Decision")),
    ),
    "Decision": of(
        id=COUNT,
        at=TIME,
        by={"enum": ["operator", "rule"]},
        action={"enum": [str(action) for action in Action]},
        bee=nullable(KEY),
        key=nullable(TEXT),
        keyHex=nullable({"type": "string", "pattern": "^([0-9a-f]{2})*$"}),
        reason=nullable(TEXT),
        block=nullable(COUNT)
        | {"description": "Its place in the aggregator's own log, null until it is there."},
    ),
    "Decisions": of(
        items=many(ref("Decision")), next=nullable(COUNT) | {"description": "Give it as `before`."}
    ),
    "Limits": {"type": "object", "additionalProperties": {"type": "integer"}},
    "Policy": of(policy={"enum": list(POLICIES)}, meaning=TEXT),
    "Queue": of(
        bees=many(ref("Bee")),
        reports=many(
            of(bee=KEY, keyHex=HEX, firstAt=TIME, reasons=_NUMBERS, words=many(TEXT)),
        ),
        appeals=many(of(id=COUNT, bee=KEY, keyHex={"type": "string"}, words=TEXT, at=TIME)),
    ),
    "Done": of(changed={"type": "boolean"}, message=TEXT),
}
