"""Every address of the page, in one table. What changes something is a POST and answers 303."""

from __future__ import annotations

from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import templates

from .pages import home, network, record, self

ROUTES: list[Route | Mount] = [
    Route("/", home.home),
    Route("/posts", home.create_post, methods=["POST"]),
    Route("/movies", home.create_movie, methods=["POST"]),
    Route("/live/feed", home.feed_events),
    Route("/record", record.show),
    Route("/edit", record.edit),
    Route("/edit", record.save, methods=["POST"]),
    Route("/delete", record.confirm_delete),
    Route("/delete", record.delete, methods=["POST"]),
    Route("/restore", record.restore, methods=["POST"]),
    Route("/profile", self.profile),
    Route("/profile", self.save_profile, methods=["POST"]),
    Route("/key", self.key),
    Route("/peers", network.peers),
    Route("/live/peers", network.peer_events),
    Route("/aggregators", network.aggregators),
    Route("/aggregators", network.submit_key, methods=["POST"]),
    Route("/bee", network.entries),
    Route("/health", network.health),
    Mount("/static", StaticFiles(directory=templates.STATIC), name="static"),
]
