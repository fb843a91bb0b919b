"""Every address of the site, in one table."""

from __future__ import annotations

from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import templates
from feedagg import api
from feedagg.pages import about, bee, bees, decisions, feed, film, proof, record, stream, submit

ROUTES = [
    Route("/", feed.show, name="feed"),
    Route("/bees", bees.show, name="bees"),
    Route("/bee/{bee}", bee.show, name="bee"),
    Route("/bee/{bee}/{key:path}", record.show, name="record"),
    Route("/film/{name:path}", film.show, name="film"),
    Route("/submit", submit.show, methods=["GET"], name="submit"),
    Route("/submit", submit.send, methods=["POST"]),
    Route("/decisions", decisions.show, name="decisions"),
    Route("/proof", proof.show, name="proof"),
    Route("/proof/{name}", proof.file, name="proof file"),
    Route("/about", about.show, name="about"),
    Route("/live", stream.show, name="live"),
    Route("/feed.json", api.feed, name="feed.json"),
    Route("/limits.json", api.limits_document, name="limits.json"),
    Route("/health", api.health, name="health"),
    Mount("/static", StaticFiles(directory=templates.STATIC), name="static"),
]
