"""Every address of the page, in one table. What changes something is a POST and answers 303."""

from __future__ import annotations

from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import templates

from .pages import conversation, diary, drafts, films, home, media, network, people, record, self, timeline

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
    Route("/draft", drafts.keep, methods=["POST"]),
    Route("/drafts", drafts.drafts),
    Route("/drafts/discard", drafts.discard, methods=["POST"]),
    Route("/waiting/undo", drafts.undo, methods=["POST"]),
    Route("/waiting/sign", drafts.sign, methods=["POST"]),
    Route("/waiting/dismiss", drafts.dismiss, methods=["POST"]),
    Route("/timeline", timeline.timeline),
    Route("/live/timeline", timeline.timeline_events),
    Route("/search", timeline.search),
    Route("/following", people.following),
    Route("/live/following", people.following_events),
    Route("/follow", people.follow, methods=["POST"]),
    Route("/unfollow", people.unfollow, methods=["POST"]),
    Route("/b/{key}", people.person),
    Route("/live/b/{key}", people.person_events),
    Route("/b/{key}/older", people.older, methods=["POST"]),
    Route("/thread", conversation.thread),
    Route("/live/thread", conversation.thread_events),
    Route("/answer", conversation.answer, methods=["POST"]),
    Route("/react", conversation.react, methods=["POST"]),
    Route("/diary", diary.diary),
    Route("/diary/undated", diary.undated),
    Route("/diary/{year:int}", diary.year),
    Route("/watchlist", films.watchlist),
    Route("/watchlist", films.add_to_watchlist, methods=["POST"]),
    Route("/films/remove", films.remove, methods=["POST"]),
    Route("/lists", films.lists),
    Route("/lists", films.make_list, methods=["POST"]),
    Route("/lists/{id}", films.show_list),
    Route("/lists/{id}", films.add_to_list, methods=["POST"]),
    Route("/lists/{id}/move", films.move, methods=["POST"]),
    Route("/lists/{id}/delete", films.delete_list, methods=["POST"]),
    Route("/media/{bee}/{block:int}/{blocks:int}/{byte:int}/{bytes:int}", media.image),
    Route("/profile", self.profile),
    Route("/profile", self.save_profile, methods=["POST"]),
    Route("/key", self.key),
    Route("/backup", self.backup, methods=["POST"]),
    Route("/restoring/nobody-has-it", self.nobody_has_it, methods=["POST"]),
    Route("/network", network.network),
    Route("/live/network", network.network_events),
    Route("/aggregators", network.aggregators),
    Route("/aggregators", network.submit_key, methods=["POST"]),
    Route("/bee", network.entries),
    Route("/health", network.health),
    Mount("/static", StaticFiles(directory=templates.STATIC), name="static"),
]
