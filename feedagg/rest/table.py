"""The one table of the API. Whatever is said about an endpoint elsewhere is derived from its row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from feedagg.operations import OPERATIONS, Operation
from feedagg.policy import POLICIES
from feedagg.rest import read, write
from feedagg.rest.call import Call
from feedagg.rest.schemas import ADDRESS, COUNT, HEX, KEY, NEEDED_REASON, REASON, TEXT, Schema, body
from feedagg.sources import STATES

PREFIX: Final = "/api/v1"

Handler = Callable[[Call], Awaitable[dict[str, Any]]]

PAGE_SIZE: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 100, "default": 30}
TOKEN: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$"}


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter. `where`: path or query."""

    name: str
    where: str
    schema: Schema
    about: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address and method. `answer`: the component that a 200 gives; `problems`: other statuses it may give.

    `secured`: only with the operator's token.
    """

    method: str
    path: str
    name: str
    about: str
    group: str
    handler: Handler
    answer: str
    params: tuple[Param, ...] = ()
    takes: Schema | None = None
    problems: tuple[int, ...] = ()
    secured: bool = False
    example: dict[str, Any] = field(default_factory=dict)

    @property
    def statuses(self) -> dict[int, str]:
        """Every status it may answer with beside 200, and what it means."""
        found = set(self.problems)
        if self.params or self.takes is not None:
            found.add(400)
        if self.takes is not None:
            found |= {413, 415}
        if self.secured:
            found |= {401, 429}
        return {status: PROBLEMS[status] for status in sorted(found)}


PROBLEMS: Final = {
    400: "The request cannot be followed; the sentence says which field to mend.",
    401: "The operator's token is missing or wrong.",
    404: "There is no such thing here.",
    409: "Its standing does not allow that now; the sentence says why.",
    410: "Its author removed it.",
    413: "The body is too large.",
    415: "The body is no JSON.",
    429: "Too many wrong tokens from this address; `retry-after` says when to come back.",
    451: "It is hidden here; the sentence says why.",
}

BEE = Param("bee", "path", KEY, "The bee's key.", required=True)
BEFORE = Param("before", "query", TOKEN, "`next` of the page before.")
LIMIT = Param("limit", "query", PAGE_SIZE, "Items on a page.")


def _about_bee(operation: Operation) -> Endpoint:
    takes = body({"reason": NEEDED_REASON}) if operation.needs_reason else body({}, {"reason": REASON})
    return Endpoint(
        "POST", f"/bees/{{bee}}/{operation.name}", f"{operation.name}Bee", operation.summary + ".", "operator",
        write.on_bee(operation.name), "Done", (BEE,), takes, (404, 409), secured=True,
        example={"reason": "A sentence."} if operation.needs_reason else {},
    )  # fmt: skip


def _about_record(operation: Operation) -> Endpoint:
    needed = {"bee": KEY, "keyHex": HEX}
    if operation.name in ("grant", "deny"):
        needed["keyHex"] = {"type": "string", "pattern": "^([0-9a-f]{2})*$", "maxLength": 2048}
    takes = body(needed | ({"reason": NEEDED_REASON} if operation.needs_reason else {}),
                 None if operation.needs_reason else {"reason": REASON})  # fmt: skip
    name = operation.name.replace("-r", "R") if "-" in operation.name else f"{operation.name}Record"
    return Endpoint(
        "POST", f"/records/{operation.name}", name, operation.summary + ".", "operator",
        write.on_record(operation.name), "Done", (), takes, (404,), secured=True,
        example={"bee": "…", "keyHex": "706f73742f30", "reason": "A sentence."},
    )  # fmt: skip


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        "GET", "/feed", "feed", "The merged feed, newest first.", "read", read.feed, "Records",
        (
            BEFORE, LIMIT,
            Param("order", "query", {"enum": ["date", "arrival"], "type": "string"}, "By date, or by arrival here."),
        ),
    ),
    Endpoint(
        "GET", "/search", "search", "The records of the feed that a query finds, newest first.", "read",
        read.search, "Records",
        (
            Param("q", "query", TEXT | {"minLength": 1, "maxLength": 500}, "As in the search field.", required=True),
            BEFORE, LIMIT,
        ),
    ),
    Endpoint(
        "GET", "/bees", "bees", "The bees by key.", "read", read.bees, "Bees",
        (
            Param("after", "query", KEY, "`next` of the page before."), LIMIT,
            Param("state", "query", {"enum": list(STATES), "type": "string"}, "Only those of this standing."),
        ),
    ),
    Endpoint(
        "GET", "/bees/{bee}", "bee", "What this aggregator has of a bee, and what was decided about it.", "read",
        read.bee, "BeeStatus", (BEE,), problems=(404,),
    ),
    Endpoint(
        "GET", "/bees/{bee}/records", "recordsOfBee", "The records of one bee, newest first.", "read",
        read.records_of, "Records", (BEE, BEFORE, LIMIT), problems=(404,),
    ),
    Endpoint(
        "GET", "/bees/{bee}/records/{keyHex}", "record", "One record, or why it is not shown.", "read",
        read.record, "Record",
        (BEE, Param("keyHex", "path", HEX, "The record's key in hex.", required=True)), problems=(404, 410, 451),
    ),
    Endpoint(
        "GET", "/films/{name}", "film", "Everything that is said about one film.", "read", read.film, "Film",
        (
            Param("name", "path", {"type": "string", "pattern": "^[a-z]{1,16}:[^/?#]{1,300}$"},
                  "`tmdb:N`, `imdb:ttN` or `t:<title>:<year>`.", required=True),
            BEFORE, LIMIT,
        ),
        problems=(404,),
    ),
    Endpoint(
        "GET", "/tags/{tag}", "tag", "The records with a tag, newest first.", "read", read.tag, "Records",
        (
            Param("tag", "path", {"type": "string", "pattern": "^[^/?#]{1,64}$"}, "The tag, without #.", required=True),
            BEFORE, LIMIT,
        ),
    ),
    Endpoint("GET", "/limits", "limits", "Every limit that binds strangers.", "read", read.limits, "Limits"),
    Endpoint(
        "GET", "/decisions", "decisions", "What was decided here, newest first.", "read", read.decided, "Decisions",
        (
            Param("before", "query", COUNT | {"maximum": 2**53 - 1}, "`next` of the page before."), LIMIT,
            Param("bee", "query", KEY, "Only those about this bee."),
        ),
    ),
    Endpoint("GET", "/policy", "policy", "Who may submit bees.", "read", read.policy_, "Policy"),
    Endpoint(
        "PUT", "/policy", "changePolicy", "Change who may submit bees.", "operator", write.policy_, "Done",
        takes=body({"policy": {"enum": list(POLICIES)}}), secured=True, example={"policy": "approval"},
    ),
    Endpoint(
        "GET", "/queue", "queue", "What waits for the operator.", "operator", read.queue, "Queue", secured=True
    ),
    Endpoint(
        "POST", "/bees", "addBee", "Follow a bee, whatever the policy.", "operator", write.add, "Done",
        takes=body({"bee": KEY}, {"peer": ADDRESS}), secured=True,
        example={"bee": "…", "peer": "127.0.0.1:49737"},
    ),
    *(_about_bee(operation) for operation in OPERATIONS.values() if operation.about == "bee"),
    *(_about_record(operation) for operation in OPERATIONS.values() if operation.about == "record"),
)  # fmt: skip
