"""`make demo`: two invented people with a few hundred records, so that the feed is worth looking at.

`people/<name>/` holds what each of them brought along, `reviews.csv` in the form of a Letterboxd export, and
what they wrote here: `profile.json`, `posts.csv`, and `diary.csv` for the films since. The films are real; the
people and what they say about them are made up.
"""
