"""Every address of the site, in one table."""

from __future__ import annotations

from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import templates
from feedagg import api
from feedagg.admin.pages import ROUTES as ADMIN
from feedagg.pages import (
    about,
    bee,
    bees,
    decision_feeds,
    decisions,
    feed,
    film,
    film_proof,
    image,
    mutes,
    network,
    oembed,
    proof,
    prove,
    record,
    report,
    search,
    signed_receipt,
    stream,
    submit,
    syndication,
    tag,
    thread,
)
from feedagg.rest.serve import ROUTES as API

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
    Route("/proofs/film/{name:path}", film_proof.show, name="film proofs"),
    Route("/receipt/{bee}", signed_receipt.show, name="signed receipt"),
    Route("/prove", prove.show, methods=["GET"], name="prove"),
    Route("/prove", prove.run, methods=["POST"]),
    Route("/prove.json", prove.document, name="prove.json"),
    Route("/report", report.show, methods=["GET"], name="report"),
    Route("/report", report.send, methods=["POST"]),
    Route("/appeal", report.show_appeal, methods=["GET"], name="appeal"),
    Route("/appeal", report.send_appeal, methods=["POST"]),
    Route("/about", about.show, name="about"),
    Route("/network", network.show, name="network"),
    Route("/network.json", network.document, name="network.json"),
    Route("/live", stream.show, name="live"),
    Route("/tag/{tag:path}", tag.show, name="tag"),
    Route("/thread/{bee}", thread.show, name="thread by query"),
    Route("/thread/{bee}/{key:path}", thread.show, name="thread"),
    Route("/mutes", mutes.show, name="mutes"),
    Route("/portrait/{bee}", image.portrait, name="portrait"),
    Route("/image/{bee}/{number:int}/{width:int}/{key:path}", image.show, name="image"),
    Route("/search", search.show, name="search"),
    # The lists for feed readers, at the addresses of their pages
    Route("/feed.{format}", syndication.feed, name="feed document"),
    Route("/feeds/{format}/bee/{bee}", syndication.bee),
    Route("/feeds/{format}/tag/{tag:path}", syndication.tag),
    Route("/feeds/{format}/film/{name:path}", syndication.film),
    Route("/feeds/{format}/thread/{bee}", syndication.thread),
    Route("/feeds/{format}/thread/{bee}/{key:path}", syndication.thread),
    Route("/feeds/{format}/search", syndication.search),
    Route("/feeds/{format}/decisions", decision_feeds.show),
    Route("/bees.opml", syndication.subscriptions),
    Route("/oembed", oembed.show, name="oembed"),
    Route("/limits.json", api.limits_document, name="limits.json"),
    Route("/health", api.health, name="health"),
    Route("/health/ready", api.health),
    Route("/health/live", api.alive),
    Route("/metrics", api.metrics),
    *ADMIN,
    *API,
    Mount("/static", StaticFiles(directory=templates.STATIC), name="static"),
]
