"""Who may ask for a page, who may post to it, and what every answer carries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.support.userpeer import running, skip_if_nobody_is_somebody_else
from userpeer.security import COOKIE, MAX_BODY_BYTES, Guard, header_names, load_token
from userpeer.settings import Address

LOOPBACK = Address("127.0.0.1", 8641)
OPEN = Address("0.0.0.0", 8641)
TOKEN = "s3cret-token"


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.method} {request.url.query}")


def client(
    web: Address = LOOPBACK, token: str | None = None, base: str = "http://127.0.0.1:8641"
) -> TestClient:
    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"])])
    return TestClient(Guard(app, web=web, token=token), base_url=base, follow_redirects=False)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8641", "localhost:8641", "[::1]:8641", "LOCALHOST", "localhost."]
)
def test_this_machine_by_its_names(host: str) -> None:
    assert client().get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "[", "localhost@evil.example"]
)
def test_another_name_for_this_machine_is_rebinding(host: str) -> None:
    answer = client().get("/", headers={"host": host})
    assert answer.status_code == 421
    assert "Open it by its own address" in answer.text


def test_a_form_of_this_page() -> None:
    headers = {"origin": "http://127.0.0.1:8641", "sec-fetch-site": "same-origin"}
    assert client().post("/", headers=headers).status_code == 200
    assert client().post("/").status_code == 200  # curl sends neither


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": "file://127.0.0.1:8641"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:8641"},
    ],
)
def test_a_form_of_another_site(headers: dict[str, str]) -> None:
    answer = client().post("/", headers=headers)
    assert answer.status_code == 403
    assert "nothing was done" in answer.text
    assert client().get("/", headers=headers).status_code == 200


def test_every_answer_is_dressed() -> None:
    for answer in (
        client().get("/"),
        client().get("/", headers={"host": "evil.example"}),
        client().get("/no"),
    ):
        for name in header_names():
            assert name in answer.headers
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"


def test_a_large_form_is_refused_before_it_is_read() -> None:
    answer = client().post("/", content=b"x", headers={"content-length": str(MAX_BODY_BYTES + 1)})
    assert answer.status_code == 413


def test_an_open_address_asks_for_its_token() -> None:
    asked = client(OPEN, TOKEN, "http://192.0.2.7:8641")
    assert asked.get("/").status_code == 401
    assert asked.get("/?token=wrong").status_code == 401
    assert asked.post(f"/?token={TOKEN}").status_code == 401
    answer = asked.get(f"/?kind=post&token={TOKEN}")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?kind=post"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert asked.get("/").status_code == 200
    assert asked.post("/").status_code == 200
    assert asked.post("/", headers={"origin": "http://evil.example"}).status_code == 403


def test_a_token_never_leads_to_another_site() -> None:
    answer = client(OPEN, TOKEN).get(f"//evil.example/?token={TOKEN}")
    assert answer.headers.get("location", "/").startswith("/")
    assert not answer.headers.get("location", "/").startswith("//")


def test_a_wrong_cookie_is_no_token() -> None:
    assert (
        client(OPEN, TOKEN).get("/", headers={"cookie": f"{COOKIE}=ü".encode("latin-1")}).status_code == 401
    )


def test_the_token_file(tmp_path: Path) -> None:
    path = tmp_path / "web-token"
    token = load_token(path)
    assert len(token) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_token(path) == token


def test_another_user_of_the_machine_gets_neither_page_nor_key(tmp_path: Path) -> None:
    """The files are closed to them, and so must be what a page on loopback would read out of them."""
    skip_if_nobody_is_somebody_else()
    with running(tmp_path / "peer") as (_, ready):
        url = ready["web"]
        backup = ["-d", "passphrase=long-enough-for-all&again=long-enough-for-all", f"{url}backup"]
        asked = [[url], [f"{url}export"], [f"{url}?token=guess"], backup]
        for arguments in asked:
            status, said = fetched(*arguments, user=65534)
            assert status == 401, arguments
            assert "web-token" in said
            if "token" not in arguments[0]:
                assert fetched(*arguments)[0] == 200
        token = load_token(tmp_path / "peer" / "web-token")
        assert fetched("-H", f"Cookie: {COOKIE}={token}", url, user=65534)[0] == 200


def fetched(*arguments: str, user: int | None = None) -> tuple[int, str]:
    code = (
        "import encodings.idna, http.client, os, sys, urllib.parse\n"
        "user, *options, url = sys.argv[1:]\n"
        "if user: os.setuid(int(user))\n"
        "given = dict(zip(options[::2], options[1::2]))\n"
        "parts = urllib.parse.urlsplit(url)\n"
        "line = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)\n"
        "headers = dict([given['-H'].split(': ')]) if '-H' in given else {}\n"
        "if '-d' in given: headers['Content-Type'] = 'application/x-www-form-urlencoded'\n"
        "line.request('POST' if '-d' in given else 'GET', f'{parts.path}?{parts.query}', given.get('-d'), headers)\n"
        "answer = line.getresponse()\n"
        "print(answer.status, answer.read()[:500].decode(errors='replace'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(user or ""), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    status, _, said = done.stdout.partition(" ")
    return int(status), said
