"""Every list for feed readers: RSS, Atom, JSON Feed, OPML of its bees, and previews for other sites."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import feedparser
import httpx2
import pytest

from core.records import format_date
from feedagg import bee_lists, decisions, moderation, sources
from feedagg.aggregator import Aggregator
from feedagg.decide import Operation
from feedagg.ingest import now_ms
from feedagg.pages import syndication
from feedagg.xml_feeds import clean
from tests.support.feedagg import put
from tests.web.test_feedagg_reading import BEE, OTHER, START, answer, fill, movie, post, ref

pytestmark = pytest.mark.anyio

CONTROL = "bell \x07 and \x1b[31m\x0b \ufffe done"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>]]>'\"&" + CONTROL

# --- for feed readers ---------------------------------------------------------------------------------

AWKWARD = [
    post(1, HOSTILE, tags=["Sci-Fi", "a<b"], cw=None),
    post(2, "covered words", cw="spiders & more"),
    movie(3, "Ran & <Co>", rating=9, review={"text": HOSTILE, "spoiler": True}),
    put(4, "profile/self", {"name": "Ada <b> & Co", "createdAt": format_date(START)}),
]


def lists(root: Operation) -> dict[str, str]:
    return {
        "feed": "/feed.{}",
        "feed by arrival": "/feed.{}?sort=arrival",
        "bee": f"/feeds/{{}}/bee/{BEE.hex()}",
        "tag": "/feeds/{}/tag/sci-fi",
        "film": "/feeds/{}/film/t:ran-co:1985",
        "thread": f"/feeds/{{}}/thread/{BEE.hex()}/{root.key.decode()}",
        "search": "/feeds/{}/search?q=done",
    }


@pytest.mark.parametrize("name", list(lists(AWKWARD[0])))
async def test_every_list_is_a_feed_that_readers_accept(
    running: Aggregator, web: httpx2.AsyncClient, name: str
) -> None:
    await fill(running, AWKWARD)
    await fill(running, [answer(1, "a reply " + CONTROL, ref(AWKWARD[0]))], OTHER)
    path = lists(AWKWARD[0])[name]
    document = (await web.get(path.format("json"))).json()
    ids = [item["id"] for item in document["items"]]
    assert ids
    for kind, version in (("rss", "rss20"), ("atom", "atom10")):
        response = await web.get(path.format(kind))
        assert response.headers["content-type"].startswith(f"application/{kind}+xml")
        ElementTree.fromstring(response.content)  # well-formed XML 1.0, whatever the authors wrote
        parsed = feedparser.parse(response.content, response_headers=dict(response.headers))
        assert not parsed.bozo, parsed.get("bozo_exception")
        assert parsed.version == version
        assert [entry.id for entry in parsed.entries] == ids
        for entry in parsed.entries:
            assert entry.title
            assert urlsplit(entry.link).netloc
            assert entry.published_parsed
            assert entry.author
            body = entry.content[0].value if kind == "atom" else entry.description
            assert "<script" not in body
            assert "onerror=" not in re.sub(r"&lt;.*?&gt;", "", body)
        own = next(link.href for link in parsed.feed.links if link.rel == "self")
        assert own == f"http://localhost:8080{path.format(kind)}"
        page = urlsplit(parsed.feed.link)
        assert (await web.get(f"{page.path}?{page.query}")).status_code == 200
    again = await web.get(path.format("atom"), headers={"if-none-match": response.headers["etag"]})
    assert again.status_code == 304


async def test_what_is_covered_stays_covered_in_feeds(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await fill(running, AWKWARD)
    for kind in ("rss", "atom"):
        entries = {
            entry.link.rpartition("/")[2]: entry
            for entry in feedparser.parse((await web.get(f"/feed.{kind}")).content).entries
        }
        covered = entries[f"{2:016x}"]
        assert "covered words" not in covered.title
        assert "spiders" in covered.title
    embedded = (await web.get(f"/oembed?url=/bee/{BEE.hex()}/post/{2:016x}")).json()
    assert "<details>" in embedded["html"]


async def test_feeds_are_paged_and_announced_on_their_pages(
    running: Aggregator, web: httpx2.AsyncClient
) -> None:
    await fill(running, [post(n, f"n{n}", tags=["all"]) for n in range(1, 46)])
    for url in ("/", f"/bee/{BEE.hex()}", "/tag/all", "/search?q=tag:all"):
        page = (await web.get(url)).text
        found = re.findall(r'<link rel="alternate" type="application/(\w+)\+\w+" [^>]*href="([^"]+)"', page)
        assert [kind for kind, _ in found][:3] == ["rss", "atom", "feed"], url
        for kind, href in found[:2]:
            first = feedparser.parse((await web.get(href.replace("&amp;", "&"))).content)
            following = next(link.href for link in first.feed.links if link.rel == "next")
            second = feedparser.parse((await web.get(following)).content)
            assert len(first.entries) + len(second.entries) == 45, (url, kind)
            assert not {entry.id for entry in first.entries} & {entry.id for entry in second.entries}


async def test_every_list_is_as_long_as_it_is_asked_to_be(
    running: Aggregator, web: httpx2.AsyncClient
) -> None:
    said = [movie(n, "Ran & <Co>", tags=["sci-fi"], review={"text": "done"}) for n in range(1, 121)]
    await fill(running, said)
    root = post(200, "root")
    await fill(running, [root, *(answer(n, "done", ref(root)) for n in range(201, 321))])
    for path in lists(root).values():
        for asked, given in (("1", 1), ("7", 7), ("100", 100), ("1000", 100), ("x", 30)):
            url = path.format("json")
            found = (await web.get(f"{url}{'&' if '?' in url else '?'}limit={asked}")).json()
            assert len(found["items"]) == given, (path, asked)
            assert "next_url" in found


async def test_decisions_are_a_feed_whose_links_hold(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await fill(running, AWKWARD)
    for n in range(3):
        await running.database.write(moderation.hide, BEE, AWKWARD[n].key, f"No. {n}: {HOSTILE}", now_ms())
    await running.database.write(
        decisions.record, now_ms(), decisions.RULE, decisions.Action.POLICY, reason="So."
    )
    page = (await web.get("/decisions")).text
    for kind, version in (("rss", "rss20"), ("atom", "atom10")):
        assert f'href="/feeds/{kind}/decisions"' in page
        answer = await web.get(f"/feeds/{kind}/decisions?limit=2")
        feed = feedparser.parse(
            answer.content, response_headers={"content-type": answer.headers["content-type"]}
        )
        assert (feed.bozo, feed.version) == (False, version)
        assert feed.entries[0].title == "Policy changed"
        assert feed.entries[1].title == f"Hidden: {AWKWARD[2].key.decode()} of the bee {BEE.hex()[:6]}"
        onward = next(link.href for link in feed.feed.links if link.rel == "next")
        rest = feedparser.parse(
            (await web.get(urlsplit(onward)._replace(scheme="", netloc="").geturl())).content
        )
        assert len(rest.entries) == 2
    document = (await web.get(f"/feeds/json/decisions?bee={BEE.hex()}")).json()
    assert len(document["items"]) == 3
    assert "<script>" not in document["items"][0]["content_html"]
    await running.database.write(moderation.unhide, BEE, AWKWARD[0].key, now_ms())
    link = urlsplit(document["items"][1]["url"])
    at = (await web.get(f"{link.path}?{link.query}")).text
    assert at.index(f'id="{link.fragment}"') < at.index("No. 0")
    assert "Shown again" not in at  # the list begins with the one that was linked
    assert (await web.get("/feeds/rss/decisions?bee=nobody")).status_code == 404
    for path in ("/decisions", "/bees"):
        assert (await web.get("/oembed", params={"url": path})).json()["type"] == "link"
    assert 'href="/bees.opml"' in (await web.get("/bees")).text
    assert (await web.get("/feeds/opml/decisions")).text.count("<outline") == 1


async def test_nothing_that_is_not_there_is_a_feed(web: httpx2.AsyncClient) -> None:
    for url in ("/feed.exe", f"/feeds/rss/bee/{BEE.hex()}", "/feeds/rss/film/t:x:1", "/feeds/xml/tag/a"):
        assert (await web.get(url)).status_code == 404, url


async def test_the_bees_as_subscriptions(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await fill(running, AWKWARD)
    await fill(running, [post(1, "x")], OTHER)
    response = await web.get("/bees.opml")
    outlines = ElementTree.fromstring(response.content).findall("./body/outline")
    assert sorted(outline.attrib["text"] for outline in outlines) == [
        "Ada <b> & Co",
        f"Bee {OTHER.hex()[:6]}",
    ]
    for outline in outlines:
        assert feedparser.parse((await web.get(outline.attrib["xmlUrl"])).content).entries


def outlines(document: bytes) -> dict[str, str]:
    """The key of each bee of an OPML document, and where its RSS is; read as another aggregator reads it."""
    found = ElementTree.fromstring(document).findall("./body/outline")
    assert {line.attrib["type"] for line in found} <= {"rss"}
    return {line.attrib["bee"]: line.attrib["xmlUrl"] for line in found}


async def test_the_bees_of_each_list_as_subscriptions(running: Aggregator, web: httpx2.AsyncClient) -> None:
    third = bytes([9]) * 32
    refused = bytes([10]) * 32
    root = post(1, "a root with a word", tags=["garden"])
    await fill(running, [root, movie(2, "Ran")])
    await fill(running, [answer(1, "a reply", ref(root)), movie(2, "Ran")], OTHER)
    await fill(running, [post(1, "nothing of it"), movie(3, "Tampopo")], third)
    await fill(running, [post(1, "a word of the refused", tags=["garden"])], refused)
    await running.database.write(sources.stand, refused, START, sources.REFUSED, "because")
    thread = f"/thread/{BEE.hex()}/{root.key.decode()}"
    for page, opml, bees in (
        ("/", "/feed.opml", [BEE, OTHER, third]),
        ("/?sort=arrival", "/feed.opml?sort=arrival", [BEE, OTHER, third]),
        ("/tag/garden", "/feeds/opml/tag/garden", [BEE]),
        ("/film/t:ran:1985", "/feeds/opml/film/t:ran:1985", [BEE, OTHER]),
        (thread, f"/feeds/opml{thread}", [BEE, OTHER]),
        ("/search?q=word", "/feeds/opml/search?q=word", [BEE]),
        ("/search?q=year%3A1985", "/feeds/opml/search?q=year%3A1985", [BEE, OTHER, third]),
        (f"/bee/{third.hex()}", f"/feeds/opml/bee/{third.hex()}", [third]),
    ):
        html = (await web.get(page)).text
        assert '<link rel="alternate" type="text/x-opml" ' in html, page
        assert html.count(f'href="{opml}"') == 2, page  # for programs, and for people
        response = await web.get(opml)
        assert response.headers["content-type"] == "text/x-opml; charset=utf-8"
        found = outlines(response.content)
        assert sorted(found) == sorted(bee.hex() for bee in bees), page
        for url in found.values():
            assert feedparser.parse((await web.get(url)).content).entries
        assert {one.bee for one in bee_lists.load(response.text)} == set(bees)
        again = await web.get(opml, headers={"if-none-match": response.headers["etag"]})
        assert again.status_code == 304
    for gone in ("/feeds/opml/film/t:none:1", f"/feeds/opml/bee/{bytes(32).hex()}"):
        assert (await web.get(gone)).status_code == 404
    assert outlines((await web.get("/feeds/opml/tag/nobody")).content) == {}


async def test_the_bees_of_a_long_list_are_those_of_its_newest_records(
    running: Aggregator, web: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syndication, "SUBSCRIBED", 10)
    for n in range(12):
        await fill(running, [post(n + 1, "of many", tags=["all"])], bytes([n + 1]) * 32)
    found = outlines((await web.get("/feeds/opml/tag/all")).content)
    assert list(found) == [(bytes([n + 1]) * 32).hex() for n in range(11, 1, -1)]


# --- previews -----------------------------------------------------------------------------------------


async def test_a_link_to_a_record_can_be_embedded(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await fill(running, AWKWARD)
    permalink = f"http://localhost:8080/bee/{BEE.hex()}/movie/{3:016x}"
    page = (await web.get(permalink)).text
    found = re.search(r'type="application/json\+oembed" [^>]*href="([^"]+)"', page)
    assert found is not None
    for url in (found.group(1), f"/oembed?url={quote(permalink)}&maxwidth=300&maxheight=100"):
        embedded = (await web.get(url.replace("&amp;", "&"))).json()
        assert embedded["version"] == "1.0"
        assert embedded["type"] == "rich"
        assert embedded["author_name"] == "Ada <b> & Co"
        assert permalink in embedded["html"]
        assert "<script" not in embedded["html"]
        assert isinstance(embedded["width"], int)
    assert embedded["width"] <= 300
    assert embedded["height"] <= 100
    xml = ElementTree.fromstring((await web.get(f"/oembed?url={quote(permalink)}&format=xml")).content)
    assert xml.findtext("html") == clean((await web.get(f"/oembed?url={quote(permalink)}")).json()["html"])


async def test_every_page_has_a_preview_and_nothing_else_has(
    running: Aggregator, web: httpx2.AsyncClient
) -> None:
    await fill(running, AWKWARD)
    thread = f"/thread/{BEE.hex()}/{AWKWARD[0].key.decode()}"
    for url in (
        "/",
        f"/bee/{BEE.hex()}",
        "/tag/sci-fi",
        "/film/t:ran-co:1985",
        thread,
        "/search?q=%22a%2Bb+ran%22",
    ):
        announced = re.search(
            r'type="application/json\+oembed" [^>]*href="([^"]+)"', (await web.get(url)).text
        )
        assert announced is not None, url
        assert (await web.get(announced[1].replace("&amp;", "&"))).json()["type"] == "link"
        embedded = (await web.get("/oembed", params={"url": f"http://localhost:8080{url}"})).json()
        assert embedded["type"] == "link", url
        assert embedded["title"]
    assert embedded["title"] == 'Search: "a+b ran"'
    await running.database.write(moderation.hide, BEE, AWKWARD[1].key, "because", now_ms())
    for url in (
        "http://example.org/",
        f"/bee/{'ee' * 32}",
        f"/bee/{BEE.hex()}/{AWKWARD[1].key.decode()}",
        "/nothing",
        "",
    ):
        answered = await web.get("/oembed", params={"url": url or "//"})
        assert answered.status_code == (200 if url == "" else 404), url
    assert (await web.get("/oembed?url=/&format=yaml")).status_code == 501
