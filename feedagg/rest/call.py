"""One call of the API: its parameters and body, checked against the endpoint's row of the table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from feedagg.aggregator import Aggregator
from feedagg.rest.schemas import Schema


@dataclass(frozen=True, slots=True)
class Call:
    """`params`: path and query by name, of the right type; absent ones are missing. `body`: the JSON object."""

    here: Aggregator
    base: str
    params: Mapping[str, Any]
    body: Mapping[str, Any]

    @property
    def bee(self) -> bytes:
        return bytes.fromhex(self.params["bee"])

    @property
    def limit(self) -> int:
        return int(self.params.get("limit", 30))


class Wrong(Exception):
    """The call cannot be answered as asked: `status`, a sentence, and the field to mend."""

    def __init__(self, status: int, sentence: str, field: str | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.field = field


class Answer(Response):
    """JSON in ASCII: whatever an author's text holds can be said."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")


def check_value(name: str, value: Any, schema: Schema) -> None:
    """Raises `Wrong` unless `value` fits; the part of JSON Schema that `schemas.py` uses for what comes in."""
    kind = schema.get("type")
    if "enum" in schema and value not in schema["enum"]:
        raise Wrong(400, f"{name} is one of: {', '.join(schema['enum'])}.", name)
    if kind == "integer":
        if type(value) is not int:
            raise Wrong(400, f"{name} is a whole number.", name)
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        if not low <= value <= high:
            raise Wrong(400, f"{name} is {low} at least and {high} at most.", name)
    if kind == "string":
        if not isinstance(value, str):
            raise Wrong(400, f"{name} is a text.", name)
        if len(value) > schema.get("maxLength", len(value)):
            raise Wrong(400, f"{name} has at most {schema['maxLength']} characters.", name)
        if len(value) < schema.get("minLength", 0):
            raise Wrong(400, f"{name} is empty.", name)
        if "pattern" in schema and re.search(_whole(schema["pattern"]), value) is None:
            raise Wrong(400, f"{name} does not look like {schema['pattern']}.", name)


def _whole(pattern: str) -> str:
    """Python's `$` would let a line break pass."""
    return pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern


def parameters(request: Request, specs: Any) -> dict[str, Any]:
    """The parameters as the table describes them. Raises `Wrong`; unknown ones are left alone."""
    sent = dict(parse_qsl(request.url.query, keep_blank_values=True))
    found: dict[str, Any] = {}
    for spec in specs:
        text = request.path_params.get(spec.name) if spec.where == "path" else sent.get(spec.name)
        if text is None:
            if spec.required:
                raise Wrong(400, f"{spec.name} is missing.", spec.name)
            continue
        value: Any = text
        if spec.schema.get("type") == "integer":
            if re.fullmatch(r"-?[0-9]{1,16}", text) is None:
                raise Wrong(400, f"{spec.name} is a whole number.", spec.name)
            value = int(text)
        check_value(spec.name, value, spec.schema)
        found[spec.name] = value
    return found


async def body_of(request: Request, schema: Schema) -> dict[str, Any]:
    """The JSON object of the body, checked. Raises `Wrong`."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise Wrong(415, "Send a JSON object, with content-type application/json.")
    try:
        sent = json.loads(await request.body())
    except ClientDisconnect:
        raise Wrong(413, "The body is too large.") from None
    except (ValueError, RecursionError):
        raise Wrong(400, "The body could not be read as JSON.") from None
    if not isinstance(sent, dict):
        raise Wrong(400, "Send a JSON object.")
    properties = schema["properties"]
    for name in schema["required"]:
        if name not in sent:
            raise Wrong(400, f"{name} is missing.", name)
    for name, value in sent.items():
        if name not in properties:
            raise Wrong(400, f"There is no field {name[:40]!r}; known: {', '.join(properties) or 'none'}.")
        check_value(name, value, properties[name])
    return sent
