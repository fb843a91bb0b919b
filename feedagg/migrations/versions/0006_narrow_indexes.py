"""Smaller indexes: on PostgreSQL the two that held whole keys, and that of films without those known by title alone.

`feedagg/naming.py` says what the two functions stand for; its `name_of` is `feed_name` in Python.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NAMES = (
    "CREATE FUNCTION feed_name(bee bytea, key bytea) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS "
    "$$ SELECT encode(substr(sha256(bee || key), 1, 16), 'hex')::uuid $$",
    "CREATE FUNCTION feed_bee(bee bytea) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS "
    "$$ SELECT ('x' || encode(substr(bee, 1, 8), 'hex'))::bit(64)::bigint $$",
    "CREATE UNIQUE INDEX records_name ON records (feed_name(bee, key))",
    "CREATE INDEX records_author ON records (feed_bee(bee), sort_at, id)",
    "DROP INDEX records_key",
    "DROP INDEX records_bee",
)


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    is_shown = "status = 0 AND hidden = 0" if is_sqlite else "status = 0 AND NOT hidden"
    named = f"{is_shown} AND film IS NOT NULL AND film <> film_title"
    op.execute("DROP INDEX records_film")
    # SQLite uses a partial index only where a query says the same in the same words.
    said = named.replace("<>", "!=") if is_sqlite else named
    op.execute(f"CREATE INDEX records_film ON records (film, sort_at, id) WHERE {said}")
    if not is_sqlite:
        for statement in NAMES:
            op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("The larger indexes are not made again: restore a backup of the older program.")
