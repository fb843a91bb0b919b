"""What each template is given: one frozen dataclass a page, and nothing that is not in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.peer import NetworkStatus, SharedStatus
from core.records import Blob

from .coverage import Answer, Finding, Line
from .draft_store import KeptDraft
from .library.diary import Month, Year
from .library.queries import Page, Thread
from .library.shelf import KnownBee
from .library.shown import Shown
from .moving.arrivals import Report
from .pending import Failed, Pending
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


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What every page shows: where it is, whose peer this is, and a notice. `me_avatar`: where in the media core their
    picture is.
    """

    path: str
    me_key: str
    me_name: str | None
    me_avatar: str | None
    restoring: str | None
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
    kept: KeptDraft | None
    waiting: list[Pending]
    failed: list[Failed]


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
    """`profile.html`. `avatar`: one's picture, if there is one."""

    form: Form
    avatar: Blob | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyView(View):
    """`key.html`: the key as text and as a QR code (an inline SVG), and where this peer listens. `form`: of the backup;
    `sealing`: of the seal; `is_private`: only this machine can reach the page.
    """

    id: str
    qr: str
    info: BeeInfo
    listening: str | None
    directory: str
    is_sealed: bool
    is_private: bool
    form: Form
    sealing: Form


@dataclass(frozen=True, slots=True)
class OpenLog:
    """One log that is open here, and what it is to whoever reads the page; `href` is its page, where it has one."""

    status: SharedStatus
    name: str
    href: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkView(View):
    """`network.html`: whether others reach us, who is connected and what they took. `status` None: no DHT.

    `logs`: the first of them, what is one's own before what others are connected for; `more`: how many are left out.
    """

    status: NetworkStatus | None
    logs: list[OpenLog]
    more: int
    connected: list[Connected]
    info: BeeInfo
    listening: str | None


@dataclass(frozen=True, slots=True)
class AggregatorLine:
    """One aggregator: what it was given, its last answer (None: never asked), and that beside one's own log."""

    submission: Submission
    answer: Answer | None
    lines: list[Line]
    findings: list[Finding]
    is_asking: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatorsView(View):
    """`aggregators.html`: to whom the key was given, and what they say. `asking`: answers are under way."""

    aggregators: list[AggregatorLine]
    asking: bool
    form: Form
    listening: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntriesView(View):
    """`entries.html`: the bee itself, key by key, and how feeds read each entry."""

    page: EntryPage
    after: str | None
    info: BeeInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineView(View):
    """`timeline.html`: posts and films of everyone who is followed, and one's own. `older`: the next page's address."""

    page: Page
    kind: str
    before: str | None
    following: int
    older: str


@dataclass(frozen=True, slots=True)
class Person:
    """A bee that is read here: what is known of it, and how the reading goes."""

    known: KnownBee
    is_followed: bool
    is_connected: bool
    is_reading: bool
    has_older: bool
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowingView(View):
    """`following.html`: whom one follows, and the form to follow another."""

    people: list[Person]
    form: Form


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonView(View):
    """`person.html`: one bee's page, one's own included."""

    person: Person
    page: Page
    kind: str
    before: str | None
    older: str
    years: list[tuple[int, int]]
    avatar: Blob | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadView(View):
    """`thread.html`: a record between what it answers and what was answered; `form`: one's own answer."""

    thread: Thread
    bee: str
    key: str
    form: Form
    kept: KeptDraft | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchView(View):
    """`search.html`. `page` is None before anything was asked."""

    words: str
    page: Page | None
    older: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiaryView(View):
    """`diary.html`: a month of films. `earlier` and `later`: other months as "YYYY-MM", or empty."""

    bee: str
    who: str
    years: list[tuple[int, int]]
    month: Month
    earlier: str
    later: str
    before: str | None
    loose: list[Shown]
    has_more_loose: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UndatedView(View):
    """`undated.html`: films without a date, or (`year`) with a year alone. `older`: the `before` of the next page."""

    bee: str
    who: str
    years: list[tuple[int, int]]
    year: int | None
    items: list[Shown]
    is_first: bool
    older: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class YearView(View):
    """`year.html`: a year in review."""

    bee: str
    who: str
    years: list[tuple[int, int]]
    year: Year


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchlistView(View):
    """`watchlist.html`."""

    items: list[Shown]
    form: Form


@dataclass(frozen=True, slots=True, kw_only=True)
class ListsView(View):
    """`lists.html`: one's lists, each with how many films it has."""

    lists: list[tuple[Shown, int]]
    form: Form


@dataclass(frozen=True, slots=True, kw_only=True)
class ListView(View):
    """`list.html`: one list and its films in order."""

    head: Shown
    items: list[Shown]
    form: Form


@dataclass(frozen=True, slots=True, kw_only=True)
class MovingView(View):
    """`moving.html`: bringing records in and taking them out. `report`: the import that runs or ran last."""

    form: Form
    report: Report | None
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftsView(View):
    """`drafts.html`: what was typed and not published."""

    drafts: list[tuple[KeptDraft, str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorView(View):
    """`error.html`: what did not work, and the next step."""

    status: int
    title: str
    sentence: str
