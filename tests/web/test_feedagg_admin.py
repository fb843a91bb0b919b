"""The operator's pages, reports and appeals: who gets in, what each action does, and what is refused."""

from __future__ import annotations

import hmac
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from feedagg import decisions, policy, queries, reports, sources
from feedagg.admin.session import COOKIE, WRONG_TOKENS_AT_ONCE
from feedagg.aggregator import Aggregator
from feedagg.ingest import now_ms
from feedagg.operations import OPERATIONS
from tests.support.feedagg import aggregator, author, client, put
from tests.web.test_feedagg_pages import BEE, fill, sample

pytestmark = pytest.mark.anyio

DOORS: dict[str, Callable[[httpx2.AsyncClient, str], Awaitable[httpx2.Response]]] = {
    "the form": lambda web, token: web.post("/admin/enter", data={"token": token, "to": "/admin/bees"}),
    "a cookie": lambda web, token: web.get(
        "/admin/bees", headers={"Cookie": f"{COOKIE}=99999999999.nonce.{token}"}
    ),
    "the API": lambda web, token: web.post(
        f"/api/v1/bees/{BEE.hex()}/pause", json={"reason": "a pause"}, headers=by_header(token)
    ),
    "a backup": lambda web, token: web.post("/admin/backup", headers=by_header(token)),
    "the network": lambda web, token: web.get("/network.json", headers=by_header(token)),
    "the figures": lambda web, token: web.get("/metrics", headers=by_header(token)),
}
"""Wherever a secret of the operator may be offered."""


def by_header(token: str) -> dict[str, bytes]:
    return {"Authorization": b"Bearer " + token.encode()}


KEY = b"post/0000000000000001"
PAGES = (
    "/admin", "/admin/bees", "/admin/bees?state=refused", f"/admin/bee/{BEE.hex()}", "/admin/queue",
    "/admin/hidden", "/admin/decisions", "/admin/settings",
)  # fmt: skip


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Aggregator]:
    async with aggregator(tmp_path, report_burst=50) as opened:
        await fill(opened, sample())
        yield opened


@pytest.fixture
async def web(running: Aggregator) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(running) as opened:
        yield opened


@pytest.mark.parametrize("door", DOORS)
async def test_secrets_are_compared_as_hashes_of_one_length_in_constant_time(
    running: Aggregator, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, compared = running.token.reveal(), []
    real = hmac.compare_digest

    def compare(offered: bytes, secret: bytes) -> bool:
        compared.append((len(offered), len(secret)))
        return real(offered, secret)

    monkeypatch.setattr("feedagg.operator_token.hmac.compare_digest", compare)
    async with client(running) as web:
        for wrong in ("", "x", right[:-1], right + "x", "é" * len(right)):
            if door == "a cookie" and not wrong.isascii():
                continue  # no client can send it
            before = len(compared)
            answer = await DOORS[door](web, wrong)
            assert answer.status_code in (200, 303, 401, 403), answer.text
            assert right not in answer.text
            if wrong:  # an empty header is none: nothing was offered
                assert len(compared) == before + 1
        assert set(compared) <= {(32, 32)}
        if door != "a cookie":
            answer = await DOORS[door](web, right)
            assert answer.status_code in (200, 303), answer.text
            assert len(compared) > 0
            # And nothing but this comparison lets anybody in.
            monkeypatch.setattr("feedagg.operator_token.hmac.compare_digest", lambda *_: False)
            web.cookies.clear()
            shut = await DOORS[door](web, right)
            assert (shut.status_code, shut.content) != (answer.status_code, answer.content)


async def enter(running: Aggregator, web: httpx2.AsyncClient) -> None:
    answer = await web.post("/admin/enter", data={"token": running.token.reveal(), "to": "/admin/bees"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/bees")


async def act(web: httpx2.AsyncClient, action: str, **fields: str) -> httpx2.Response:
    """Send a form as the overview's own would be sent."""
    found = re.search(r'name="form_key" value="([^"]+)"', (await web.get("/admin")).text)
    assert found is not None
    return await web.post(
        "/admin/do", data={"form_key": found[1], "action": action, "back": "/admin"} | fields
    )


async def actions(running: Aggregator) -> list[str]:
    return [one.action for one in reversed(await running.database.read(decisions.listing, 100))]


# --- who gets in --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
async def test_without_the_token_every_page_leads_to_the_door(web: httpx2.AsyncClient, path: str) -> None:
    answer = await web.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/admin/enter?to=/admin")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PAGES)
async def test_within_the_session_every_page_shows_and_is_never_cached(
    running: Aggregator, web: httpx2.AsyncClient, path: str
) -> None:
    await enter(running, web)
    answer = await web.get(path)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert running.token.reveal() not in answer.text


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    running: Aggregator, web: httpx2.AsyncClient
) -> None:
    answer = await web.post("/admin/enter", data={"token": running.token.reveal()})
    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/admin"))
    assert "secure" not in cookie
    assert running.token.reveal().lower() not in cookie


async def test_behind_https_the_cookie_is_sent_over_nothing_else(tmp_path: Path) -> None:
    async with aggregator(tmp_path, public_url="https://meadow.example") as running, client(running) as web:
        answer = await web.post("/admin/enter", data={"token": running.token.reveal()})
        assert "secure" in answer.headers["set-cookie"].lower()


async def test_a_forged_or_old_cookie_opens_nothing(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await enter(running, web)
    until, nonce, signature = web.cookies[COOKIE].split(".")
    for forged in (
        f"{int(until) + 1}.{nonce}.{signature}",
        f"{until}.{nonce}x.{signature}",
        f"{until}.{nonce}.{signature[:-1]}",
        f"1.{nonce}.{signature}",
        "é..",
        "..",
        "",
    ):
        answer = await web.get("/admin", headers={"cookie": f"{COOKIE}={forged}".encode("latin-1")})
        assert answer.status_code == 303, forged


async def test_wrong_tokens_are_counted_and_a_right_one_is_not(
    running: Aggregator, web: httpx2.AsyncClient
) -> None:
    for _ in range(WRONG_TOKENS_AT_ONCE - 1):
        assert (await web.post("/admin/enter", data={"token": "wrong"})).status_code == 403
    for _ in range(3):
        await enter(running, web)
    assert (await web.post("/admin/enter", data={"token": "wrong"})).status_code == 403
    answer = await web.post("/admin/enter", data={"token": running.token.reveal()})
    assert answer.status_code == 429
    assert "try again in" in answer.text
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "to", ["https://evil.example/", "//evil.example/admin/", "/\\evil", "/bees", "/administer"]
)
async def test_the_door_leads_to_our_own_pages_only(
    running: Aggregator, web: httpx2.AsyncClient, to: str
) -> None:
    answer = await web.post("/admin/enter", data={"token": running.token.reveal(), "to": to})
    assert answer.headers["location"] == "/admin"


async def test_a_form_of_another_session_or_site_does_nothing(
    running: Aggregator, web: httpx2.AsyncClient
) -> None:
    await enter(running, web)
    form = {"action": "policy", "policy": "closed", "back": "/admin"}
    assert (await web.post("/admin/do", data=form | {"form_key": "guess"})).status_code == 403
    assert (await web.post("/admin/do", data=form)).status_code == 403
    crossed = await web.post("/admin/do", data=form, headers={"origin": "https://evil.example"})
    assert crossed.status_code == 403
    assert await running.database.read(policy.policy) == "open"


async def test_leaving_ends_the_session(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await enter(running, web)
    found = re.search(r'name="form_key" value="([^"]+)"', (await web.get("/admin")).text)
    assert found is not None
    assert (await web.post("/admin/leave", data={"form_key": found[1]})).status_code == 303
    assert (await web.get("/admin")).status_code == 303


# --- what is done -------------------------------------------------------------------------------


async def test_the_policy_and_the_standing_of_a_bee(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await enter(running, web)
    bee = BEE.hex()
    assert (await act(web, "policy", policy="approval")).headers["location"] == "/admin?done=policy"
    other = "11" * 32
    assert (await web.post("/submit", json={"key": other})).json()["state"] == "pending"
    assert "Wait" in (await web.get(f"/bee/{other}")).text
    assert other[:6] in (await web.get("/admin/queue")).text
    assert (await act(web, "accept", bee=other)).headers["location"].endswith("done=accept")
    assert (await act(web, "accept", bee=other)).headers["location"].endswith("done=same")
    await act(web, "pause", bee=bee, reason="too fast")
    page = (await web.get(f"/bee/{bee}")).text
    assert "paused this bee" in page
    assert "too fast" in page
    await act(web, "accept", bee=bee)
    refused = await act(web, "refuse", bee=bee)
    assert refused.status_code == 400
    assert "Give a reason" in refused.text
    await act(web, "refuse", bee=bee, reason="all spam")
    assert (await web.get("/feed.json")).json()["items"] == []
    page = (await web.get(f"/bee/{bee}")).text
    assert "all spam" in page
    assert "Appeal this decision" in page
    assert (await web.get(f"/bee/{bee}/{KEY.decode()}")).status_code == 451
    again = await web.post("/submit", json={"key": bee})
    assert again.status_code == 403
    assert "all spam" in again.json()["error"]
    await act(web, "add", bee=bee)
    assert len((await web.get("/feed.json")).json()["items"]) == 2
    expected = ["policy", "accepted", "paused", "resumed", "refused", "accepted"]
    assert await actions(running) == expected
    assert "all spam" in (await web.get("/decisions")).text
    assert (await act(web, "bind", bee=bee)).headers["location"].endswith("done=bind")
    assert (await act(web, "bind", bee=bee)).headers["location"].endswith("done=same")
    assert (await act(web, "trust", bee=bee)).headers["location"].endswith("done=trust")
    assert (await actions(running))[-2:] == ["bound", "trusted"]
    unknown = await act(web, "explode", bee=bee)
    assert unknown.status_code == 400
    assert "There is no such action" in unknown.text


async def test_hide_and_unhide_with_the_reason_where_the_author_looks(
    running: Aggregator, web: httpx2.AsyncClient
) -> None:
    await enter(running, web)
    await act(web, "hide", bee=BEE.hex(), key=KEY.decode(), reason="off topic <b>")
    hidden = await web.get(f"/bee/{BEE.hex()}/{KEY.decode()}")
    assert hidden.status_code == 451
    for page in (
        hidden.text,
        (await web.get(f"/bee/{BEE.hex()}")).text,
        (await web.get("/admin/hidden")).text,
    ):
        assert "off topic &lt;b&gt;" in page
    await act(web, "unhide", bee=BEE.hex(), keyhex=KEY.hex())
    assert (await web.get(f"/bee/{BEE.hex()}/{KEY.decode()}")).status_code == 200


async def test_a_purge_asks_first_and_leaves_nothing_of_the_bee_here(tmp_path: Path) -> None:
    async with author() as (_, bee, address), aggregator(tmp_path) as running, client(running) as web:
        for n in range(3):
            await bee.put(f"post/{n:016x}", {"text": f"words {n}", "createdAt": "2026-01-01T00:00:00Z"})
        key = bee.core.key
        await running.database.write(policy.add, key, now_ms(), address)
        while running.ingest.records_read < 3:
            await running.contact.tick()
            await running.contact.outcome(key, 0.2)
        await enter(running, web)
        one = await act(
            web, "purge-record", bee=key.hex(), key=f"post/{1:016x}", reason="asked to", confirm="yes"
        )
        assert one.status_code == 303
        while await running.database.read(_purges):
            await running.standing.tick()
        core = running.ingest.followed[key].bee.core
        assert [core.has(seq) for seq in range(1, 4)] == [True, False, True]
        gone = await web.get(f"/bee/{key.hex()}/post/{1:016x}")
        assert gone.status_code == 451
        assert "purged" in (await web.get(f"/bee/{key.hex()}")).text
        asked = await act(web, "purge", bee=key.hex(), reason="gone wrong")
        assert asked.status_code == 400
        assert "tick the box" in asked.text
        assert (await act(web, "purge", bee=key.hex(), reason="gone wrong", confirm="yes")).status_code == 303
        while await running.database.read(_purges):
            await running.standing.tick()
        assert key not in running.ingest.followed
        assert running.peer.store.drop(key) == 0  # nothing was left to drop
        assert (await web.get("/feed.json")).json()["items"] == []
        # Accepted again, all of it is read anew.
        await running.database.write(policy.accept, key, now_ms())
        await running.database.write(sources.add, key, now_ms(), "command", address)
        while len((await web.get("/feed.json")).json()["items"]) < 2:
            await running.contact.tick()
            await running.contact.outcome(key, 0.2)


def _purges(connection: Any) -> int:
    from feedagg import purging

    return len(purging.pending(connection))


# --- reports and appeals ------------------------------------------------------------------------


def about(key: bytes = KEY) -> dict[str, str]:
    return {"bee": BEE.hex(), "keyhex": key.hex()}


async def test_a_report_waits_for_the_operator_and_ends_in_a_public_decision(
    running: Aggregator, web: httpx2.AsyncClient
) -> None:
    assert "/report?bee=" in (await web.get(f"/bee/{BEE.hex()}/{KEY.decode()}")).text
    assert "What is wrong" in (await web.get("/report", params=about())).text
    wrong = await web.post("/report", data=about() | {"reason": "other", "words": " "})
    assert wrong.status_code == 400
    assert "Say in a sentence" in wrong.text
    for _ in range(2):  # the same reader counts once
        sent = await web.post("/report", data=about() | {"reason": "spam", "words": "Buy <now>"})
        assert (sent.status_code, "sent=1" in sent.headers["location"]) == (303, True)
    assert "Thank you" in (await web.get(sent.headers["location"])).text
    assert await running.database.read(reports.waiting) == {"reports": 1, "appeals": 0}
    await enter(running, web)
    queue = (await web.get("/admin/queue")).text
    assert "1 × It is spam" in queue
    assert "Buy &lt;now&gt;" in queue
    await act(web, "dismiss", bee=BEE.hex(), keyhex=KEY.hex(), reason="It is not spam.")
    assert (await web.get(f"/bee/{BEE.hex()}/{KEY.decode()}")).status_code == 200
    assert "It is not spam." in (await web.get(f"/bee/{BEE.hex()}")).text
    assert await running.database.read(reports.waiting) == {"reports": 0, "appeals": 0}


async def test_a_hide_can_be_appealed_and_the_appeal_granted_or_denied(
    running: Aggregator, web: httpx2.AsyncClient
) -> None:
    assert (await web.get("/appeal", params=about())).status_code == 404
    await enter(running, web)
    await act(web, "hide", bee=BEE.hex(), keyhex=KEY.hex(), reason="spam")
    link = re.search(r'href="(/appeal[^"]+)"', (await web.get(f"/bee/{BEE.hex()}/{KEY.decode()}")).text)
    assert link is not None
    path = link[1].replace("&amp;", "&")
    assert "spam" in (await web.get(path)).text
    empty = await web.post("/appeal", data=about() | {"words": " "})
    assert empty.status_code == 400
    assert (await web.post("/appeal", data=about() | {"words": "It is a recipe."})).status_code == 303
    assert "It is a recipe." in (await web.get("/admin/queue")).text
    await act(web, "deny", bee=BEE.hex(), keyhex=KEY.hex(), reason="It sells something.")
    assert "Denied" in (await web.get(path)).text
    await web.post("/appeal", data=about() | {"words": "It sells nothing."})
    await act(web, "grant", bee=BEE.hex(), keyhex=KEY.hex())
    assert (await web.get(f"/bee/{BEE.hex()}/{KEY.decode()}")).status_code == 200
    assert "Granted" in (await web.get(path)).text
    assert (await actions(running))[-3:] == ["appeal-denied", "appeal-granted", "unhidden"]


@pytest.mark.parametrize("action", ["hide", "purge-record", "refuse", "purge"])
async def test_whatever_takes_a_record_off_the_pages_settles_its_reports_and_what_brings_it_back_its_appeal(
    running: Aggregator, web: httpx2.AsyncClient, action: str
) -> None:
    await web.post("/report", data=about() | {"reason": "spam"})
    await enter(running, web)
    is_whole = action in ("refuse", "purge")
    key = {} if is_whole else {"keyhex": KEY.hex()}
    await act(web, action, bee=BEE.hex(), reason="spam", confirm="yes", **key)
    assert await running.database.read(reports.waiting) == {"reports": 0, "appeals": 0}
    appealed = about(b"") if is_whole else about()
    assert (await web.post("/appeal", data=appealed | {"words": "No."})).status_code == 303
    assert await running.database.read(reports.waiting) == {"reports": 0, "appeals": 1}
    await act(web, "accept" if is_whole else "unhide", bee=BEE.hex(), **key)
    assert await running.database.read(reports.waiting) == {"reports": 0, "appeals": 0}


async def test_a_refused_bee_can_be_appealed_as_a_whole(running: Aggregator, web: httpx2.AsyncClient) -> None:
    await enter(running, web)
    await act(web, "refuse", bee=BEE.hex(), reason="a mistake?")
    whole = about(b"")
    assert "a mistake?" in (await web.get("/appeal", params=whole)).text
    assert (await web.post("/appeal", data=whole | {"words": "Yes, one."})).status_code == 303
    await act(web, "grant", bee=BEE.hex(), keyhex="", reason="Sorry.")
    source = await running.database.read(sources.get, BEE)
    assert source is not None
    assert source.state == sources.FOLLOWING
    assert len((await running.database.read(queries.feed)).items) == 2


async def test_reports_are_limited_for_each_address(tmp_path: Path) -> None:
    async with aggregator(tmp_path, report_burst=2, report_per_hour=1) as running, client(running) as web:
        await fill(running, sample())
        for _ in range(2):
            assert (await web.post("/report", data=about() | {"reason": "spam"})).status_code == 303
        limited = await web.post("/report", data=about() | {"reason": "spam"})
        assert limited.status_code == 429
        assert "Too many reports" in limited.text


@pytest.mark.parametrize("path", ["/report", "/appeal"])
@pytest.mark.parametrize("fields", [{}, {"bee": "zz"}, {"bee": BEE.hex(), "keyhex": "zz"}])
async def test_words_about_nothing_are_refused_with_a_sentence(
    web: httpx2.AsyncClient, path: str, fields: dict[str, str]
) -> None:
    if path == "/appeal" and fields.get("keyhex") is None and fields.get("bee") == BEE.hex():
        return
    for answer in (await web.get(path, params=fields), await web.post(path, data=fields)):
        assert answer.status_code == 400
        assert "names no record" in answer.text


async def test_a_hidden_record_that_is_written_anew_stays_hidden_and_the_queue_bears_odd_keys(
    running: Aggregator, web: httpx2.AsyncClient
) -> None:
    odd = "post/\x00~/../<x>"
    await fill(running, [put(9, odd, {"text": "odd", "createdAt": "2026-01-01T00:00:00Z"})], bytes([7]) * 32)
    key = {"bee": (bytes([7]) * 32).hex(), "keyhex": odd.encode().hex()}
    answer = await web.post("/report", data=key | {"reason": "spam"})
    await enter(running, web)
    assert (await web.get("/admin/queue")).status_code == 200
    assert answer.status_code in (303, 400)


def test_every_operation_says_what_it_did() -> None:
    for operation in OPERATIONS.values():
        assert operation.done.endswith(".")
        assert operation.summary
