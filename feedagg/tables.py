"""The tables. `records` can be made again from the bees; the others hold what people decided, said and gave
(`sources`, `hints`, `hidden`, `choices`, `decisions`, `reports`, `appeals`) and what is still to do (`purges`).

Keys of bees and of records are bytes, not text: a record's key may hold any byte, and bytes sort alike in
SQLite and in PostgreSQL, whatever its collation. Times are milliseconds since 1970. Whoever changes this file
adds a migration; a test compares the two. What has no common form is made by migrations alone: the index of words
(0002: FTS5's table `words` and its triggers, or PostgreSQL's GIN index `records_words`), and the indexes that find the
row of a record and the rows of a bee (0006: `records_key` and `records_bee` of SQLite, `records_name` and
`records_author` of PostgreSQL; `naming.py` says which).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    false,
    literal_column,
    text,
)

from feedagg.decide import Status

metadata = MetaData()

BUCKETS: Final = 64
"""Sources are spread over this many buckets by their key; the bucket leads the primary key of what workers
claim.
"""


sources = Table(
    "sources",
    metadata,
    Column("bucket", SmallInteger, primary_key=True, autoincrement=False),
    Column("bee", LargeBinary(32), primary_key=True),
    Column("added_at", BigInteger, nullable=False),
    Column("added_by", String(16), nullable=False),  # 'web' or 'command'
    # How far its log is read. [tail, cursor) is indexed; 0, 0 = never seen. Block 0 is the bee's header.
    Column("fork", BigInteger, nullable=False, default=0),
    Column("length", BigInteger, nullable=False, default=0),
    Column("cursor", BigInteger, nullable=False, default=0),
    Column("tail", BigInteger, nullable=False, default=0),
    # Contact
    Column("connected", Boolean, nullable=False, default=False),
    Column("first_contact", BigInteger),
    Column("last_contact", BigInteger),
    Column("attempts", BigInteger, nullable=False, default=0),  # failures since the last contact
    Column("error", Text),  # a sentence for people, None after a contact
    # The claim: due rows are leased by one worker, never locked for long
    Column("next_at", BigInteger, nullable=False),
    Column("lease_owner", String(64)),
    Column("lease_until", BigInteger),
    # Standing: 'following', 'pending' (waits for approval), 'paused', 'refused'; since when, and why
    Column("state", String(12), nullable=False, server_default="following"),
    Column("state_at", BigInteger, nullable=False, server_default="0"),
    Column("state_reason", Text),
    Column("submitter", String(32)),  # who gave it, as a keyed hash of their address; None for the operator
    # The quota (quotas.py): what was read of it in the running hour and day, and until when the rest waits
    Column("trusted", Boolean, nullable=False, default=False, server_default=false()),  # no quota
    Column("hour", BigInteger, nullable=False, default=0, server_default="0"),
    Column("hour_operations", Integer, nullable=False, default=0, server_default="0"),
    Column("day", BigInteger, nullable=False, default=0, server_default="0"),
    Column("day_operations", Integer, nullable=False, default=0, server_default="0"),
    Column("waits_until", BigInteger),
)
Index("sources_due", sources.c.next_at)
Index("sources_lease", sources.c.lease_owner)
Index("sources_state", sources.c.state, sources.c.state_at)
Index("sources_submitter", sources.c.submitter)
Index("sources_by_bee", sources.c.bee, unique=True)

hints = Table(
    "hints",
    metadata,
    Column("bee", LargeBinary(32), primary_key=True),
    Column("address", String(300), primary_key=True),  # host:port
    Column(
        "trusted", Boolean, nullable=False, default=False
    ),  # given by the operator, so any address is allowed
    Column("added_at", BigInteger, nullable=False),
    Column("last_ok", BigInteger),
)

records = Table(
    "records",
    metadata,
    # The order of arrival here, and the name under which the indexes know a record.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("bee", LargeBinary(32), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column(
        "seq", BigInteger, nullable=False
    ),  # block number of the operation this row comes from; the greatest wins
    Column("status", SmallInteger, nullable=False),
    Column("kind", String(16)),
    Column("reason", String(32)),
    Column("value", LargeBinary),  # as it stood in the block
    Column("first_seen", BigInteger, nullable=False),
    Column("created_at", BigInteger),  # the author's claim, None if it cannot be read
    Column("sort_at", BigInteger, nullable=False),
    Column("date_flag", String(24)),
    Column("in_feed", Boolean, nullable=False),  # False: only on the author's page (an undated import)
    Column("film", Text),  # the strongest name of the film it is about
    Column("film_title", Text),  # t:<slug>:<year>, where films without ids meet
    Column("rating", SmallInteger),
    Column("hidden", Boolean, nullable=False, default=False, server_default=false()),
    Column(
        "target", LargeBinary(16)
    ),  # the root that a reply answers, or what a reaction is to (decide.target_of)
    Column("label", String(32)),  # the reaction
)
# Literals, not parameters: a planner uses a partial index only where it sees the condition itself.
LISTED = (records.c.status == literal_column(str(int(Status.SHOWN)))) & ~records.c.hidden
_order = (records.c.sort_at, records.c.id)
IN_FEED = LISTED & records.c.in_feed
Index("records_feed", *_order, sqlite_where=IN_FEED, postgresql_where=IN_FEED)
Index("records_arrival", records.c.id, sqlite_where=IN_FEED, postgresql_where=IN_FEED)
ABOUT_FILM = LISTED & records.c.film.is_not(None)
# A film of which only title and year are known is found by `records_title`.
ABOUT_NAMED_FILM = ABOUT_FILM & (records.c.film != records.c.film_title)
Index(
    "records_film",
    records.c.film,
    *_order,
    sqlite_where=ABOUT_NAMED_FILM,
    postgresql_where=ABOUT_NAMED_FILM,
)
Index("records_title", records.c.film_title, *_order, sqlite_where=ABOUT_FILM, postgresql_where=ABOUT_FILM)
AIMED = (
    (records.c.status < literal_column("2")) & ~records.c.hidden & records.c.target.is_not(None)
)  # replies and reactions
Index(
    "records_target", records.c.target, records.c.label, *_order, sqlite_where=AIMED, postgresql_where=AIMED
)
SKIPPED = records.c.status == literal_column(str(int(Status.SKIPPED)))
Index("records_skipped", records.c.bee, records.c.reason, sqlite_where=SKIPPED, postgresql_where=SKIPPED)

hidden = Table(
    "hidden",
    metadata,
    Column("bee", LargeBinary(32), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("hidden_at", BigInteger, nullable=False),
)

# --- what people decide and say -----------------------------------------------------------------

_number = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself only in an INTEGER

decisions = Table(
    "decisions",
    metadata,
    Column("id", _number, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("by", String(16), nullable=False),  # 'operator' or 'rule'
    Column("action", String(24), nullable=False),  # decisions.Action
    Column("bee", LargeBinary(32)),
    Column("key", LargeBinary),
    Column("reason", Text),
    Column("told", BigInteger),  # its block in the aggregator's own log, None until it is there
)
Index("decisions_bee", decisions.c.bee, decisions.c.id)
UNTOLD = decisions.c.told.is_(None)
Index("decisions_untold", decisions.c.id, sqlite_where=UNTOLD, postgresql_where=UNTOLD)

choices = Table(  # what the operator chose while it runs: the policy
    "choices",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", Text, nullable=False),
    Column("chosen_at", BigInteger, nullable=False),
)

reports = Table(
    "reports",
    metadata,
    Column("id", _number, primary_key=True, autoincrement=True),
    Column("bee", LargeBinary(32), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("reason", String(16), nullable=False),  # reports.REASONS
    Column("words", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("reporter", String(32), nullable=False),  # a keyed hash of an address: one report of a record each
    Column("state", String(12), nullable=False),  # 'open', 'upheld', 'dismissed'
    Column("decision", BigInteger),
)
_OPEN = text("state = 'open'")
Index("reports_open", reports.c.at, reports.c.id, sqlite_where=_OPEN, postgresql_where=_OPEN)
Index("reports_record", reports.c.bee, reports.c.key, reports.c.reporter, unique=True)

appeals = Table(
    "appeals",
    metadata,
    Column("id", _number, primary_key=True, autoincrement=True),
    Column("bee", LargeBinary(32), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("words", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),  # 'open', 'granted', 'denied'
    Column("decision", BigInteger),
)
Index("appeals_open", appeals.c.at, appeals.c.id, sqlite_where=_OPEN, postgresql_where=_OPEN)
Index("appeals_record", appeals.c.bee, appeals.c.key)

purges = Table(  # copies to drop: the rows are gone already, the blocks go when the store is open
    "purges",
    metadata,
    Column("id", _number, primary_key=True, autoincrement=True),
    Column("bee", LargeBinary(32), nullable=False),
    Column("key", LargeBinary),  # None: the whole bee
    Column("asked_at", BigInteger, nullable=False),
)

# --- what is published in the aggregator's own bees, and what speaks against an author -----------

readings = Table(  # stretches of bees that were read, until the public log has them
    "readings",
    metadata,
    Column("id", _number, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("bee", LargeBinary(32), nullable=False),
    Column("told", LargeBinary, nullable=False),  # the entry as the log gets it
)

feed_changes = Table(  # records that entered, left or moved in the merged feed, until the feed's bee has them
    "feed_changes",
    metadata,
    Column("id", _number, primary_key=True, autoincrement=True),
    Column("bee", LargeBinary(32), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("was_at", BigInteger),  # `sort_at` until this change, None if it was not in the feed
)

own_bees = Table(  # which store publishes for this database: the first that did
    "own_bees",
    metadata,
    Column("name", String(16), primary_key=True),  # 'log' or 'feed'
    Column("bee", LargeBinary(32), nullable=False),
    Column(
        "length", BigInteger, nullable=False, default=0, server_default="0"
    ),  # its head, when last written
    Column("tree", LargeBinary(32)),  # the hash of its tree of that length
)

alarms = Table(  # keys that signed two trees of one length, with the evidence
    "alarms",
    metadata,
    Column("bee", LargeBinary(32), primary_key=True),
    Column("found_at", BigInteger, nullable=False),
    Column("fork", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("file", LargeBinary, nullable=False),  # a proof file
)


def bucket_of(bee: bytes) -> int:
    """The bucket of a bee's 32-byte key."""
    return bee[0] % BUCKETS


workers = Table(  # the processes that share this database
    "workers",
    metadata,
    Column("owner", String(64), primary_key=True),
    Column("role", String(8), nullable=False),  # workers.ROLES
    Column("url", Text),
    Column("started_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("bees", Integer, nullable=False),
)

live_events = Table(  # what their open pages are told; kept for some minutes
    "live_events",
    metadata,
    Column("id", _number, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("change", Text, nullable=False),
)
Index("live_events_at", live_events.c.at)
