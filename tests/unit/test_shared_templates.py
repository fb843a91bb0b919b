"""The shared macros, filters and stylesheet: escaping, accessibility, and colours that can be read."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import ChoiceLoader, DictLoader, Environment

import templates
from templates.filters import clock, count, data_size, honeycomb, hue, iso, moment, short_key

KEY = "6a09e667" * 8


@pytest.fixture(scope="module")
def env() -> Environment:
    return templates.environment(app_name="Meadow", app_tagline="One feed, many bees.")


def show(env: Environment, source: str, **context: object) -> str:
    return env.from_string(source).render(context)


# --- filters ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        1_795_422_300_000,
        1_795_422_300.0,
        "2026-11-23T08:25:00Z",
        "2026-11-23T09:25:00+01:00",
        datetime(2026, 11, 23, 8, 25, tzinfo=UTC),
    ],
)
def test_a_moment_is_the_same_however_it_is_given(value: object) -> None:
    assert iso(value) == "2026-11-23T08:25:00Z"  # type: ignore[arg-type]
    assert clock(value) == "23 Nov 2026, 08:25 UTC"  # type: ignore[arg-type]


def test_old_dates_in_milliseconds_stay_old() -> None:
    assert iso(50_000_000_000) == "1971-08-02T16:53:20Z"
    assert iso(-1) == "1969-12-31T23:59:59Z"


@pytest.mark.parametrize("value", ["yesterday", "", 10**30, float("nan")])
def test_what_is_no_moment_says_so(value: object) -> None:
    with pytest.raises(ValueError):
        moment(value)  # type: ignore[arg-type]


def test_numbers_as_people_read_them() -> None:
    assert count(1234567) == "1\u202f234\u202f567"
    assert [data_size(n) for n in (0, 999, 1400, 3_000_000)] == ["0 B", "999 B", "1.4 kB", "3.0 MB"]
    assert short_key(KEY) == "6a09e667…e667"


@given(st.text(max_size=80))
def test_any_text_has_a_honeycomb(key: str) -> None:
    cells = honeycomb(key)
    assert len(cells) == 7
    assert all(0 <= light <= 100 for _, light in cells)
    assert 0 <= hue(key) < 360
    assert honeycomb(key) == cells


def test_different_keys_look_different() -> None:
    keys = [f"{n:08x}" * 8 for n in range(0, 2**32, 2**32 // 997)]
    assert len({(hue(key), str(honeycomb(key))) for key in keys}) > 900


# --- macros -------------------------------------------------------------------------------------------------

EVIL = "<script>alert('1')</script>\"'"


@pytest.mark.parametrize(
    "source",
    [
        "{% call ui.card(x, x, 0, href=x, permalink=x, id=x) %}{{ x }}{% endcall %}",
        "{{ ui.film(x, x, x, 7, true, true, x) }}",
        "{{ ui.field(x, x, x, 'text', x, x, placeholder=x) }}",
        "{{ ui.textarea(x, x, x, x, x) }}",
        "{{ ui.select(x, x, [(x, x)], x) }}",
        "{{ ui.key_text(x) }}{{ ui.tags([x], '/t/') }}{{ ui.tags([x]) }}{{ ui.badge(x, 'ok', x) }}",
        "{{ ui.notice(x, 'bad') }}{{ ui.empty(x, x) }}{{ ui.facts([(x, x)]) }}{{ ui.pagination(x, x) }}",
        "{{ ui.button(x, hx_post=x) }}{{ ui.button_link(x, x) }}{{ ui.nav_link(x, x, x) }}",
        "{{ ui.checkbox(x, x) }}",
        "{% call ui.panel(x, x) %}{{ x }}{% endcall %}{% call ui.spoiler(x) %}{{ x }}{% endcall %}",
        "{{ ui.page_head(x, x) }}",
    ],
)
def test_macros_escape_what_strangers_wrote(env: Environment, source: str) -> None:
    html = show(env, source, x=EVIL)
    assert "<script" not in html
    assert re.search(r"=\"[^\"]*\"'\"", html) is None


@pytest.mark.parametrize(
    ("rating", "label", "classes"),
    [
        (1, "0.5 of 5 stars", ["half"]),
        (7, "3.5 of 5 stars", ["full"] * 3 + ["half"]),
        (10, "5 of 5 stars", ["full"] * 5),
    ],
)
def test_stars_say_what_they_show(env: Environment, rating: int, label: str, classes: list[str]) -> None:
    html = show(env, "{{ ui.stars(r) }}", r=rating)
    assert f'aria-label="{label}"' in html
    assert re.findall(r"star-(full|half)", html) == classes


def test_a_field_names_its_help_and_its_error(env: Environment) -> None:
    html = show(env, "{{ ui.field('name', 'Name', help='h', error='e', required=true, disabled=false) }}")
    assert 'for="f-name"' in html
    assert 'id="f-name"' in html
    assert 'aria-describedby="f-name-help f-name-error"' in html
    assert 'aria-invalid="true"' in html
    assert " required" in html
    assert "disabled" not in html


PAGE = """{% extends 'shared/base.html' %}
{% block main %}[{% block list %}{{ ui.badge(word) }}{% endblock %}]{% endblock %}"""


def test_a_block_rendered_alone_is_the_same_as_in_its_page(env: Environment) -> None:
    assert env.loader is not None
    pages = env.overlay(loader=ChoiceLoader([DictLoader({"page.html": PAGE}), env.loader]))
    context = {"word": "hello", "path": "/"}
    block = templates.render_block(pages, "page.html", "list", context)
    assert "hello" in block
    assert f"[{block}]" in templates.render_page(pages, "page.html", context)
    with pytest.raises(KeyError):
        templates.render_block(pages, "page.html", "nothing", context)


def test_the_page_holds_nothing_that_its_policy_forbids(env: Environment) -> None:
    html = show(env, "{% extends 'shared/base.html' %}", path="/")
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    assert not re.search(r"\sstyle=|\son[a-z]+=|javascript:", html)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", html)
    for name in ("meadow.css", "meadow.js", "htmx-bundle.js", "favicon.svg"):
        assert re.search(rf'/static/{re.escape(name)}\?v=[0-9a-f]{{12}}"', html)
    assert "'unsafe" not in templates.CONTENT_SECURITY_POLICY


# --- colours ------------------------------------------------------------------------------------------------


def palette(css: str, start: str) -> dict[str, str]:
    body = css[css.index(start) :]
    body = body[body.index("{") + 1 : body.index("}")]
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", body))


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


CSS = (templates.STATIC / "meadow.css").read_text(encoding="utf-8")
LIGHT = palette(CSS, ":root {")
DARK = palette(CSS, ':root[data-theme="dark"] {')

PAIRS = [
    (text, ground) for text in ("ink", "muted", "link", "bad") for ground in ("paper", "surface", "sunken")
]
PAIRS += [(name, f"{name}-back") for name in ("ok", "info", "warn", "bad")]
PAIRS += [("on-honey", "honey"), ("on-honey", "honey-deep"), ("link-hover", "surface")]


@pytest.mark.parametrize(("text", "ground"), PAIRS)
@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read(colours: dict[str, str], text: str, ground: str) -> None:
    assert contrast(colours[text], colours[ground]) >= 4.5


@pytest.mark.parametrize("mark", ["edge", "focus", "honey-deep", "leaf"])
@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_edges_and_marks_can_be_seen(colours: dict[str, str], mark: str) -> None:
    assert contrast(colours[mark], colours["surface"]) >= 3


def test_both_ways_into_the_dark_have_the_same_colours() -> None:
    assert palette(CSS, ':root:not([data-theme="light"]) {') == DARK
    assert set(DARK) == set(LIGHT)
