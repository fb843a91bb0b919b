"""What a person types becomes a record's value, or a sentence about the field to mend."""

from __future__ import annotations

from typing import Any

import pytest

from core.records import Post, Rejected, Watch, parse_record
from userpeer.drafts import MovieDraft, PostDraft, ProfileDraft, draft_from, explain
from userpeer.errors import InvalidField

T16 = "019a0c3f5b000000"


def applied(draft: Any, value: dict[str, Any] | None = None) -> dict[str, Any]:
    value = {} if value is None else value
    draft.apply(value)
    return value


def test_a_post_as_a_form_sends_it() -> None:
    draft = PostDraft(text=" one\r\ntwo ", tags="#bees, meadow bees", cw="")
    assert applied(draft) == {"text": "one\ntwo", "tags": ["bees", "meadow"]}


def test_a_film_as_a_form_sends_it() -> None:
    draft = MovieDraft(
        title=" Dune ",
        year="2021",
        rating="9",
        review="Sand.",
        spoiler="1",
        watched_on="2026-11",
        rewatch="",
        liked="1",
        tags="",
        tmdb="438631",
        imdb="",
    )
    assert applied(draft) == {
        "film": {"title": "Dune", "year": 2021, "kind": "movie", "ids": {"tmdb": 438631}},
        "watchedOn": "2026-11",
        "rating": 9,
        "liked": True,
        "review": {"text": "Sand.", "spoiler": True},
    }


def test_what_is_not_given_stays_and_what_is_empty_goes() -> None:
    old = {
        "film": {
            "title": "Dune",
            "year": 2021,
            "kind": "movie",
            "ids": {"tmdb": 1, "letterboxd": "d"},
            "x": 1,
        },
        "rating": 9,
        "liked": True,
        "review": {"text": "Sand.", "spoiler": True, "mood": "dry"},
        "weather": "hot",
    }
    assert applied(MovieDraft(rating="8"), {**old}) == {**old, "rating": 8}
    cleared = applied(MovieDraft(year="", rating="", liked=False, review="", tmdb=""), {**old})
    assert cleared == {
        "film": {"title": "Dune", "kind": "movie", "ids": {"letterboxd": "d"}, "x": 1},
        "weather": "hot",
    }


@pytest.mark.parametrize(
    ("draft", "field", "words"),
    [
        (PostDraft(text=""), "text", "The text is empty; write something first."),
        (PostDraft(text="x" * 3001), "text", "The text is 3,001 bytes; the limit is 3,000."),
        (PostDraft(text="x", tags=" ".join("abcdefghi")), "tags", "The tags has 9 items"),
        (PostDraft(text="x", cw="x" * 201), "cw", "The content warning has 201 characters"),
        (MovieDraft(title=" "), "title", "The title is empty; write something first."),
        (MovieDraft(title="x", year="soon"), "year", "The year must be a whole number, not 'soon'."),
        (MovieDraft(title="x", year="1700"), "year", "The year is 1700; it must be a whole number from 1870"),
        (MovieDraft(title="x", rating="11"), "rating", "The rating is 11"),
        (MovieDraft(title="x", rating="0"), "rating", "from 1 to 10"),
        (MovieDraft(title="x", watched_on="now"), "watched_on", "The date watched must be a day"),
        (MovieDraft(title="x", imdb="1160419"), "imdb", "The IMDb id must have the form tt0062622."),
        (MovieDraft(title="x", review="x" * 60_001), "review", "The review is 60,001 bytes"),
        (ProfileDraft(name=""), "name", "The name is empty"),
        (ProfileDraft(name="x", website="example.org"), "website", "The website must be an address"),
    ],
)
def test_what_cannot_be_published_is_said_of_its_field(draft: Any, field: str, words: str) -> None:
    kind = {PostDraft: f"post/{T16}", MovieDraft: f"movie/{T16}", ProfileDraft: "profile/self"}[type(draft)]
    with pytest.raises(InvalidField) as caught:
        answer = parse_record(kind, applied(draft))
        assert isinstance(answer, Rejected)
        raise explain(answer)
    assert caught.value.field == field
    assert words in str(caught.value)


def test_a_record_fills_the_form_that_would_write_it_again() -> None:
    post = parse_record(f"post/{T16}", {"text": "hi", "tags": ["a", "b"], "cw": "c"})
    assert isinstance(post, Post)
    assert PostDraft.of(post) == PostDraft(text="hi", more="", lang="", tags="a b", cw="c")
    value = {"film": {"title": "Dune", "kind": "movie"}, "rating": 7, "rewatch": True}
    watch = parse_record(f"movie/{T16}", value)
    assert isinstance(watch, Watch)
    assert applied(MovieDraft.of(watch)) == value
    assert applied(MovieDraft.of(watch), {**value}) == value


def test_a_record_put_by_hand_keeps_its_simple_form() -> None:
    value = {"title": "Dune", "genre": "sf", "rating": "great"}
    watch = parse_record("ckv8", value)
    assert isinstance(watch, Watch)
    assert applied(MovieDraft(title="Dune II", year="2024"), {**value}) == {
        "title": "Dune II",
        "genre": "sf",
        "rating": "great",
        "year": 2024,
    }
    with pytest.raises(InvalidField, match="simple form"):
        applied(MovieDraft(review="Sand"), {**value})


def test_a_draft_takes_its_own_fields_from_a_form() -> None:
    assert draft_from(PostDraft, {"text": "x", "key": "y", "seen": "3"}) == PostDraft(text="x")
