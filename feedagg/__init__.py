"""The aggregator: it follows many bees and answers one question, "what is new?".

    sources   which bees, where they were last found, when to try again      (sources.py, jobs.py)
    ingest    a bee's log, newest first, then forward from a cursor          (ingest.py, follow.py)
    decide    one stretch of a log in, rows out: pure                        (decide.py)
    store     rows and the cursor in one transaction                         (store.py, tables.py)
    publish   decisions, readings and the feed, in own bees              (publisher.py, transparency.py, feed_bee.py)
    proofs    files that show a record to whoever knows the bee's key        (proofs.py, marks.py; core/evidence)
    pages     rows out as HTML, JSON Feed and live events                    (routes.py, pages/, live.py)
    operator  who is followed, what is hidden, and why; for programs too     (policy.py, admin/, rest/)
    upkeep    rows beside blocks, copies out and in                          (rebuild.py, backup.py, commands/)

It reads bees and can never write to one: it holds no author's key, and every core it follows is opened by
public key. Everything in its database but what people decided and said (tables.py) can be made again from
the bees.
"""

from __future__ import annotations
