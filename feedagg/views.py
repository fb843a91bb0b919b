"""Rows as pages show them: one frozen dataclass for a card, made of a row and its author's profile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from urllib.parse import quote

from markupsafe import Markup
from sqlalchemy import Connection

from core.records import Image, Post, Profile, Ref, Subject, Watch, film_ref, parse_record
from feedagg import answers, imaging, marks, pictures, queries
from feedagg.answers import Answers
from feedagg.cuts import opening, words_of_rest
from feedagg.ingest import now_ms
from feedagg.marks import Mark
from feedagg.markup import linkify, markdown
from feedagg.queries import Item

FLAGS = {
    "date-unparsable": "Unreadable date",
    "date-before-1970": "Impossible date",
    "date-in-future": "Dated in the future",
}
"""What a card says about a date that the feed does not follow. One without a date made no claim: nothing is said."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who a bee says it belongs to. `key`: 64 hex digits; `portrait`: where their picture is, if they have one."""

    key: str
    name: str
    bio: str | None = None
    website: str | None = None
    has_profile: bool = False
    portrait: str | None = None

    @property
    def href(self) -> str:
        return f"/bee/{self.key}"


@dataclass(frozen=True, slots=True)
class FilmLine:
    """The line that names a film."""

    title: str
    year: int | None
    href: str


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """What a post answers; `href` is its page here, whether or not that bee is followed."""

    href: str
    key: str


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of a post, as our own addresses give it: in a list, and alone. Width and height are claims."""

    alt: str
    small: str
    large: str
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class Talk:
    """What was said to a record. `href`: the page of its conversation; `reactions`: what, and how many."""

    href: str
    replies: int = 0
    reactions: tuple[tuple[str, int], ...] = ()
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """One record for `feedagg/cards.html`. Times are milliseconds since 1970."""

    id: str
    author: Author
    kind: str
    when: int
    permalink: str
    seq: int
    text: Markup | None = None
    more: Markup | None = None
    cw: str | None = None
    film: FilmLine | None = None
    rating: int | None = None
    liked: bool = False
    rewatch: bool = False
    watched_on: str | None = None
    spoiler: bool = False
    tags: tuple[str, ...] = ()
    images: tuple[Picture, ...] = ()
    reply_to: ReplyTo | None = None
    updated_at: int | None = None
    source: str | None = None
    flag: str | None = None
    plain: str = ""  # the words alone, for feeds and page descriptions
    rest: str = ""  # words of it that the card does not show
    mark: Mark | None = None  # where it stands: indexed, authentic, current
    number: int = 0  # its place in the order of arrival
    talk: Talk | None = None


def permalink(bee: bytes | str, key: bytes) -> str:
    """The path of a record's page. A key that a browser would rewrite as a path goes into the query."""
    base = f"/bee/{bee if isinstance(bee, str) else bee.hex()}"
    segments = key.split(b"/")
    if any(segment in (b"", b".", b"..") for segment in segments) or b"\\" in key or key.startswith(b"~"):
        return f"{base}?key={quote(key, safe='')}"
    return f"{base}/{quote(key, safe='/:')}"


def film_href(name: str) -> str:
    return f"/film/{quote(name, safe=':')}"


def dom_id(bee: bytes, key: bytes) -> str:
    """The id of a card's element: short, and fit for HTML whatever the key holds."""
    return "r" + blake2b(bee + key, digest_size=9).hexdigest()


def author(bee: bytes, profile: bytes | None) -> Author:
    """The author of a bee, nameless if there is no readable profile."""
    key = bee.hex()
    record = None if profile is None else parse_record(queries.PROFILE_KEY, profile)
    if not isinstance(record, Profile):
        return Author(key, f"Bee {key[:6]}")
    blob = record.avatar
    portrait = None if blob is None else f"/portrait/{key}?v={pictures.version(blob)}"
    return Author(key, record.name, record.bio, record.website, has_profile=True, portrait=portrait)


def cards(connection: Connection, items: Iterable[Item]) -> list[Card]:
    """Cards of these rows, in their order. Reads the profiles they need, and how far their bees are read."""
    items = list(items)
    bees = {item.bee for item in items}
    profiles = queries.profiles(connection, bees)
    authors = {bee: author(bee, profiles.get(bee)) for bee in bees}
    made = [(item, card(item, authors)) for item in items]
    return _placed(connection, [(item, card) for item, card in made if card is not None])


def whole_card(connection: Connection, item: Item) -> Card | None:
    """The card of one record for its own page: the long form too."""
    who = author(item.bee, queries.profiles(connection, [item.bee]).get(item.bee))
    made = card(item, {item.bee: who}, whole=True)
    return None if made is None else _placed(connection, [(item, made)])[0]


def _placed(connection: Connection, made: Sequence[tuple[Item, Card]]) -> list[Card]:
    """The cards with what is around them: how far their bees are read, and what was said to them."""
    read, now = marks.readings(connection, {item.bee for item, _ in made}), now_ms()
    said = answers.count(connection, [(item.bee, item.key) for item, _ in made])
    return [
        replace(
            card,
            mark=marks.mark(item.bee, item.key, item.seq, read.get(item.bee), now),
            talk=talk(item, said.get((item.bee, item.key))),
        )
        for item, card in made
    ]


def talk(item: Item, said: Answers | None) -> Talk:
    """What was said to a record, as its card shows it."""
    href = "/thread/" + permalink(item.bee, item.key).removeprefix("/bee/")
    if said is None:
        return Talk(href)
    return Talk(href, said.replies, tuple(said.reactions.items()), said.is_partial)


def card(item: Item, authors: Mapping[bytes, Author], *, whole: bool = False) -> Card | None:
    """The card of one row, or None if it holds no post and no movie. `whole`: nothing is cut, and the long form too."""
    record = None if item.value is None else parse_record(item.key, item.value)
    if isinstance(record, Post):
        return _post_card(item, record, authors[item.bee], whole)
    if isinstance(record, Watch):
        return _watch_card(item, record, authors[item.bee], whole)
    return None


def _post_card(item: Item, post: Post, who: Author, whole: bool) -> Card:
    text, long_form = post.text if whole else opening(post.text), None
    if whole and post.more is not None:
        is_markdown = post.more.mime == "text/markdown"
        long_form = markdown(post.more.text) if is_markdown else linkify(post.more.text)
    return Card(
        id=dom_id(item.bee, item.key),
        author=who,
        kind="post",
        when=item.sort_at,
        permalink=permalink(item.bee, item.key),
        seq=item.seq,
        number=item.id,
        text=linkify(text),
        more=Markup("") if long_form is None and (post.more or text != post.text) else long_form,
        cw=post.cw,
        film=None if post.film is None else _film_line(post.film),
        tags=post.tags,
        images=tuple(_picture(item, number, image) for number, image in enumerate(post.media)),
        reply_to=None if post.parent is None else _reply_to(post.parent),
        updated_at=post.updated_at,
        flag=_flag(item),
        plain=post.text,
        rest="" if whole else words_of_rest(post.text, text, post.more.text if post.more else ""),
    )


def _watch_card(item: Item, watch: Watch, who: Author, whole: bool) -> Card:
    review = watch.review
    words = "" if review is None else review.text
    text = words if whole else opening(words)
    return Card(
        id=dom_id(item.bee, item.key),
        author=who,
        kind="movie",
        when=item.sort_at,
        permalink=permalink(item.bee, item.key),
        seq=item.seq,
        number=item.id,
        text=None if review is None else linkify(text),
        more=None if text == words else Markup(""),
        film=_film_line(watch.film),
        rating=watch.rating,
        liked=watch.liked,
        rewatch=watch.rewatch,
        watched_on=_in_words(watch.watched_on),
        spoiler=review is not None and review.spoiler,
        tags=watch.tags,
        updated_at=watch.updated_at,
        source=watch.source,
        flag=_flag(item),
        plain=words,
        rest=words_of_rest(words, text),
    )


def _picture(item: Item, number: int, image: Image) -> Picture:
    base = f"/image/{item.bee.hex()}/{number}"
    small, large = (
        f"{base}/{width}/{quote(item.key, safe='/:')}?v={pictures.version(image.blob)}"
        for width in imaging.WIDTHS
    )
    return Picture(image.alt, small, large, image.width, image.height)


def _film_line(film: Subject) -> FilmLine:
    return FilmLine(film.title, film.year, film_href(film_ref(film)))


def _reply_to(ref: Ref) -> ReplyTo:
    return ReplyTo(permalink(ref.bee, ref.key.encode()), ref.bee)


def _flag(item: Item) -> str | None:
    return None if item.date_flag is None else FLAGS.get(item.date_flag)


def _in_words(partial: str | None) -> str | None:
    """`2026-11-23`, `2026-11` or `2026` as people write it."""
    if partial is None or len(partial) == 4:
        return partial
    date = datetime.fromisoformat(partial if len(partial) == 10 else partial + "-01")
    return f"{date.day} {date:%b %Y}" if len(partial) == 10 else f"{date:%B %Y}"
