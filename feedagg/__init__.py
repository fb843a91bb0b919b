"""The aggregator: it follows many bees and answers one question, "what is new?".

    sources   which bees, where they were last found, when to try again      (sources.py, jobs.py)
    ingest    a bee's log, newest first, then forward from a cursor          (ingest.py, follow.py)
    decide    one stretch of a log in, rows out: pure                        (decide.py)
    store     rows and the cursor in one transaction                         (store.py, tables.py)
    pages     rows out as HTML, JSON Feed and live events                    (routes.py, pages/, live.py)

It reads bees and can never write to one: it holds no author's key, and every core it follows is opened by
public key. Everything in its database but the hide list and the list of sources can be made again from the
bees.
"""

from __future__ import annotations
