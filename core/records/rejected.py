"""Why an entry of a bee is not shown: a code for counting and a sentence for its author."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The codes of a coverage receipt. They are stored and published: never rename one."""

    BAD_KEY = "bad-key"
    KEY_MISMATCH = "key-mismatch"
    UNKNOWN_KIND = "unknown-kind"
    TOO_LARGE = "too-large"
    NOT_JSON = "not-json"
    NOT_AN_OBJECT = "not-an-object"
    MISSING = "missing-field"
    EMPTY = "empty-field"
    WRONG_TYPE = "wrong-type"
    OUT_OF_RANGE = "out-of-range"
    TOO_LONG = "too-long"
    TOO_MANY = "too-many"
    BAD_TEXT = "bad-text"
    BAD_FORM = "bad-form"

    @property
    def meaning(self) -> str:
        """One sentence for the page that explains the codes."""
        return _MEANINGS[self]


_MEANINGS: dict[Reason, str] = {
    Reason.BAD_KEY: "The key does not have the form its kind asks for.",
    Reason.KEY_MISMATCH: "The key names one thing and the value another.",
    Reason.UNKNOWN_KIND: "This program does not know this kind of record; it is counted and left alone.",
    Reason.TOO_LARGE: "The value is larger than the published limit.",
    Reason.NOT_JSON: "The value is not JSON.",
    Reason.NOT_AN_OBJECT: "The value is JSON, but not an object.",
    Reason.MISSING: "A field that this kind needs is not there.",
    Reason.EMPTY: "A field that needs text is empty.",
    Reason.WRONG_TYPE: "A field holds another type than its kind asks for.",
    Reason.OUT_OF_RANGE: "A number lies outside its limits.",
    Reason.TOO_LONG: "A text is longer than the published limit.",
    Reason.TOO_MANY: "A list has more items than the published limit.",
    Reason.BAD_TEXT: "A text holds a character that cannot be stored or shown.",
    Reason.BAD_FORM: "A text does not have the form its field asks for.",
}


@dataclass(frozen=True, slots=True)
class Rejected:
    """An entry that is not a record. `field` is the path of the field at fault, if one is."""

    key: str
    reason: Reason
    sentence: str
    field: str | None = None


class Reject(Exception):
    """How the readers inside this package give up; `parse_record` turns it into `Rejected`."""

    def __init__(self, reason: Reason, sentence: str, field: str | None = None) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence
        self.field = field
