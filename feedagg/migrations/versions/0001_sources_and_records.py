"""Sources and how far each is read; the records of their bees; what is hidden."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sources",
        sa.Column("bucket", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("bee", sa.LargeBinary(32), primary_key=True),
        sa.Column("added_at", sa.BigInteger, nullable=False),
        sa.Column("added_by", sa.String(16), nullable=False),
        sa.Column("fork", sa.BigInteger, nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("cursor", sa.BigInteger, nullable=False),
        sa.Column("tail", sa.BigInteger, nullable=False),
        sa.Column("connected", sa.Boolean, nullable=False),
        sa.Column("first_contact", sa.BigInteger),
        sa.Column("last_contact", sa.BigInteger),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("next_at", sa.BigInteger, nullable=False),
        sa.Column("lease_owner", sa.String(64)),
        sa.Column("lease_until", sa.BigInteger),
    )
    op.create_index("sources_due", "sources", ["next_at"])
    op.create_index("sources_by_bee", "sources", ["bee"], unique=True)
    op.create_table(
        "hints",
        sa.Column("bee", sa.LargeBinary(32), primary_key=True),
        sa.Column("address", sa.String(300), primary_key=True),
        sa.Column("trusted", sa.Boolean, nullable=False),
        sa.Column("added_at", sa.BigInteger, nullable=False),
        sa.Column("last_ok", sa.BigInteger),
    )
    op.create_table(
        "records",
        sa.Column("bee", sa.LargeBinary(32), primary_key=True),
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("kind", sa.String(16)),
        sa.Column("reason", sa.String(32)),
        sa.Column("value", sa.LargeBinary),
        sa.Column("first_seen", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger),
        sa.Column("sort_at", sa.BigInteger, nullable=False),
        sa.Column("date_flag", sa.String(24)),
        sa.Column("in_feed", sa.Boolean, nullable=False),
        sa.Column("film", sa.Text),
        sa.Column("film_title", sa.Text),
        sa.Column("rating", sa.SmallInteger),
        sa.Column("hidden", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    order = ["sort_at", "bee", "key"]
    listed = sa.column("status") == sa.literal_column("0")
    listed &= ~sa.column("hidden", sa.Boolean)
    _index("records_feed", order, listed & sa.column("in_feed", sa.Boolean))
    _index("records_bee", ["bee", "sort_at", "key"], listed)
    about_film = listed & sa.column("film").is_not(None)
    _index("records_film", ["film", *order], about_film)
    _index("records_title", ["film_title", *order], about_film)
    _index("records_skipped", ["bee", "reason"], sa.column("status") == sa.literal_column("2"))
    op.create_table(
        "hidden",
        sa.Column("bee", sa.LargeBinary(32), primary_key=True),
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("hidden_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for name in ("hidden", "records", "hints", "sources"):
        op.drop_table(name)


def _index(name: str, columns: list[str], where: sa.ColumnElement[bool]) -> None:
    """An index of the records for which `where` holds."""
    op.create_index(name, "records", columns, sqlite_where=where, postgresql_where=where)
