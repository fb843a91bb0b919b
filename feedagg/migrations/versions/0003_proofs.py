"""What the aggregator's own bees are to get (readings, changes of the feed), and evidence against forked keys.

Changes of the merged feed are noted by triggers, so that nothing that touches `records` (reading, hiding, a
truncation, a purge) can forget to: the bee follows whatever the rows say.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0004"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _listed(row: str) -> str:
    return f"({row}.status = 0 AND {row}.in_feed AND NOT {row}.hidden)"


_OLD, _NEW = _listed("old"), _listed("new")
_NOTE = 'INSERT INTO feed_changes (bee, "key", was_at) VALUES'
_NEW_ROW = f'{_NOTE} (new.bee, new."key", NULL)'
_OLD_ROW = f'{_NOTE} (old.bee, old."key", old.sort_at)'
_CHANGED_ROW = f'{_NOTE} (new.bee, new."key", CASE WHEN {_OLD} THEN old.sort_at END)'
_COLUMNS = "seq, status, in_feed, hidden, sort_at"

SQLITE = (
    f"CREATE TRIGGER records_feed_new AFTER INSERT ON records WHEN {_NEW} BEGIN {_NEW_ROW}; END",
    f"CREATE TRIGGER records_feed_gone AFTER DELETE ON records WHEN {_OLD} BEGIN {_OLD_ROW}; END",
    f"CREATE TRIGGER records_feed_changed AFTER UPDATE OF {_COLUMNS} ON records WHEN {_OLD} OR {_NEW} "
    f"BEGIN {_CHANGED_ROW}; END",
)
POSTGRES = (
    f"""CREATE FUNCTION feed_follow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN {_NEW_ROW};
        ELSIF TG_OP = 'DELETE' THEN {_OLD_ROW};
        ELSE {_CHANGED_ROW};
        END IF;
        RETURN NULL;
    END
    $$""",
    f"CREATE TRIGGER records_feed_new AFTER INSERT ON records FOR EACH ROW WHEN {_NEW} EXECUTE FUNCTION feed_follow()",
    f"CREATE TRIGGER records_feed_gone AFTER DELETE ON records FOR EACH ROW WHEN {_OLD} EXECUTE FUNCTION feed_follow()",
    f"CREATE TRIGGER records_feed_changed AFTER UPDATE OF {_COLUMNS} ON records FOR EACH ROW "
    f"WHEN ({_OLD} OR {_NEW}) EXECUTE FUNCTION feed_follow()",
)


def upgrade() -> None:
    op.create_table(
        "readings",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("bee", sa.LargeBinary(32), nullable=False),
        sa.Column("told", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "feed_changes",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("bee", sa.LargeBinary(32), nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("was_at", sa.BigInteger),
    )
    op.create_table(
        "own_bees",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("bee", sa.LargeBinary(32), nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("tree", sa.LargeBinary(32)),
    )
    op.create_table(
        "alarms",
        sa.Column("bee", sa.LargeBinary(32), primary_key=True),
        sa.Column("found_at", sa.BigInteger, nullable=False),
        sa.Column("fork", sa.BigInteger, nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("file", sa.LargeBinary, nullable=False),
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in SQLITE if is_sqlite else POSTGRES:
        op.execute(statement)
    op.execute(
        'INSERT INTO feed_changes (bee, "key") SELECT bee, "key" FROM records '  # noqa: S608
        f"WHERE {_listed('records')} ORDER BY id"
    )


def downgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for name in ("new", "gone", "changed"):
        op.execute(f"DROP TRIGGER records_feed_{name}" + ("" if is_sqlite else " ON records"))
    if not is_sqlite:
        op.execute("DROP FUNCTION feed_follow")
    for name in ("alarms", "own_bees", "feed_changes", "readings"):
        op.drop_table(name)
