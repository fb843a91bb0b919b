"""Taking one's records out, and bringing them in: from one's own export, or from Letterboxd's.

a zip ──> letterboxd.py or own.py (pure: files in, wanted records and what was not understood out)
      ──> arrivals.py (what of it is new, in batches, with progress and a report; safe to run twice)
the bee ──> exporting.py (records as JSON Lines, posts as Markdown, films as CSV, media)
"""
