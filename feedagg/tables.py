"""The tables. Two of them are decisions of people (`sources`, `hidden`); the rest can be made again from the
bees.

Keys of bees and of records are bytes, not text: a record's key may hold any byte, and bytes sort alike in
SQLite and in PostgreSQL, whatever its collation. Times are milliseconds since 1970. Whoever changes this file
adds a migration; a test compares the two.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    false,
    literal_column,
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
)
Index("sources_due", sources.c.next_at)
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
    Column("bee", LargeBinary(32), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
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
)
# Literals, not parameters: a planner uses a partial index only where it sees the condition itself.
LISTED = (records.c.status == literal_column(str(int(Status.SHOWN)))) & ~records.c.hidden
_order = (records.c.sort_at, records.c.bee, records.c.key)
IN_FEED = LISTED & records.c.in_feed
Index("records_feed", *_order, sqlite_where=IN_FEED, postgresql_where=IN_FEED)
Index(
    "records_bee",
    records.c.bee,
    records.c.sort_at,
    records.c.key,
    sqlite_where=LISTED,
    postgresql_where=LISTED,
)
ABOUT_FILM = LISTED & records.c.film.is_not(None)
Index("records_film", records.c.film, *_order, sqlite_where=ABOUT_FILM, postgresql_where=ABOUT_FILM)
Index("records_title", records.c.film_title, *_order, sqlite_where=ABOUT_FILM, postgresql_where=ABOUT_FILM)
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


def bucket_of(bee: bytes) -> int:
    """The bucket of a bee's 32-byte key."""
    return bee[0] % BUCKETS
