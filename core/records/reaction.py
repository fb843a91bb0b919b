"""`react/<bee>/<key>/<reaction>`: one reaction of a kind to one record, once a person by construction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .fields import Fields
from .ref import Ref, read_ref
from .rejected import Reason, Reject
from .stamp import Stamp, read_stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction(Stamp):
    """`subject` names the version that was reacted to; `reaction` is a word or an emoji."""

    subject: Ref
    reaction: str

    @property
    def kind(self) -> str:
        return "react"

    def to_json(self) -> dict[str, Any]:
        return self._stamped({"subject": self.subject.to_json()})


def reaction_key(subject: Ref, reaction: str) -> str:
    return f"react/{subject.bee}/{subject.key}/{reaction}"


def read_reaction(key: str, fields: Fields) -> Reaction:
    reaction = key.rpartition("/")[2]
    subject = read_ref(fields.object("subject"))
    if reaction_key(subject, reaction) != key:
        sentence = "The key names another record than the value's subject."
        raise Reject(Reason.KEY_MISMATCH, sentence, "subject")
    return Reaction(subject=subject, reaction=reaction, **read_stamp(key, fields))
