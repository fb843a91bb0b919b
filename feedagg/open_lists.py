"""Which of the records that were just read belong to a list that somebody has open: a tag, a search, a film, a
conversation. The feed and the page of a bee need no such question.

The same conditions as the pages' own queries, asked of one record in memory: a list that is open costs no database, and
what is looked at in a record is taken out of it once for all lists.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Connection

from core.errors import BadArgument
from core.peer import parse_key
from core.records import Post, Watch, film_refs, parse_record
from feedagg import queries, search, words
from feedagg.queries import Item
from feedagg.search import Query, Term
from feedagg.views import Card


class Fresh:
    """A record that was just read, and what lists look at in it."""

    def __init__(self, item: Item, card: Card) -> None:
        self.item = item
        self.card = card
        value = item.value or b""
        self.terms = frozenset(words.terms(item.bee, card.kind, value).split(" "))
        self._record = parse_record(item.key, value)
        who = card.author
        self.author_words = frozenset(words.words(who.name) if who.has_profile else ())

    @property
    def root(self) -> tuple[str, str] | None:
        """What the conversation it belongs to is about: a bee's key (64 hex) and a record's key."""
        root = self._record.root if isinstance(self._record, Post) else None
        return None if root is None else (root.bee, root.key)

    @cached_property
    def film_refs(self) -> list[str]:
        """Every name of its film, the strongest first; empty if it is about none."""
        film = self._record.film if isinstance(self._record, (Post, Watch)) else None
        return [] if film is None else film_refs(film)

    @cached_property
    def texts(self) -> list[str]:
        """What a phrase may stand in."""
        return search.texts_of(self._record)


@dataclass(frozen=True, slots=True)
class OpenList:
    """One of: what `query` finds; what is about the film `film`, also under one of `titles` (`t:<slug>:<year>`);
    the replies under `root`, a bee's key (64 hex) and a record's key.
    """

    query: Query | None = None
    film: str | None = None
    titles: frozenset[str] = frozenset()
    root: tuple[str, str] | None = None

    def takes(self, fresh: Fresh) -> bool:
        """Whether the record is in this list."""
        if self.query is not None:
            return _is_found(self.query, fresh)
        if self.root is not None:
            return fresh.root == self.root
        refs = fresh.film_refs
        if not refs or self.film is None:
            return False
        if self.film.startswith("t:"):
            return refs[-1] == self.film
        return refs[0] == self.film or (len(refs) == 1 and refs[0] in self.titles)


def of_film(connection: Connection, name: str) -> OpenList:
    """The list of a film's page."""
    return OpenList(film=name, titles=frozenset(queries.titles_of(connection, name)))


def _is_found(query: Query, fresh: Fresh) -> bool:
    at = fresh.item.sort_at
    if query.is_empty or (query.since is not None and at < query.since):
        return False
    if query.until is not None and at >= query.until:
        return False
    if not all(_is_by(name, fresh) for name in query.authors) or _has_any(fresh.terms, query.without):
        return False
    return all(_has_any(fresh.terms, group) for group in query.every) and search.holds(query, fresh.texts)


def _has_any(terms: frozenset[str], wanted: Iterable[Term]) -> bool:
    return any(
        any(one.startswith(term.text) for one in terms) if term.is_prefix else term.text in terms
        for term in wanted
    )


def _is_by(name: str, fresh: Fresh) -> bool:
    """Whether `name` is the key of the record's bee, or all of its words stand in the name of its author."""
    try:
        return parse_key(name) == fresh.item.bee
    except BadArgument:
        wanted = words.words(name)
        return bool(wanted) and fresh.author_words.issuperset(wanted)
