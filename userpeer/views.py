"""What each template is given: one frozen dataclass a page, and nothing that is not in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from .reading import EntryPage, FeedPage, Item, Version
from .service import BeeInfo, Connected
from .submitting import Submission


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence at the top of a page. `kind`: ok, info, warn, bad. `undo`: the block to put back."""

    text: str
    kind: str = "ok"
    undo: int | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """What was typed, and what is wrong with it: field name -> text, field name -> sentence."""

    values: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def value(self, name: str) -> str:
        return self.values.get(name, "")

    def error(self, name: str) -> str:
        return self.errors.get(name, "")

    @property
    def is_fresh(self) -> bool:
        return not self.errors


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What every page shows: where it is, whose peer this is, and a notice."""

    path: str
    me_key: str
    me_name: str | None
    notice: Notice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeView(View):
    """`home.html`: writing, and one's own feed. `write`: post or movie; `kind`: a filter or empty."""

    page: FeedPage
    write: str
    form: Form
    kind: str
    before: str | None
    is_new: bool
    readers: int
    submitted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordView(View):
    """`record.html`: one key with its history. `item` is None when the record was deleted."""

    key: str
    item: Item | None
    versions: list[Version]
    pretty: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditView(View):
    """`edit.html`: a form over one version of a record (`seen` is its block)."""

    key: str
    kind: str
    seen: int
    form: Form


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteView(View):
    """`delete.html`: what a delete does and does not, before it is done."""

    item: Item


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileView(View):
    """`profile.html`."""

    form: Form


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyView(View):
    """`key.html`: the key as text and as a QR code (an inline SVG), and where this peer listens."""

    id: str
    qr: str
    info: BeeInfo
    listening: str | None
    directory: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeersView(View):
    """`peers.html`: who is connected, and what they took."""

    connected: list[Connected]
    info: BeeInfo
    listening: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatorsView(View):
    """`aggregators.html`: to whom the key was given."""

    submissions: list[Submission]
    form: Form
    listening: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntriesView(View):
    """`entries.html`: the bee itself, key by key, and how feeds read each entry."""

    page: EntryPage
    after: str | None
    info: BeeInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorView(View):
    """`error.html`: what did not work, and the next step."""

    status: int
    title: str
    sentence: str
