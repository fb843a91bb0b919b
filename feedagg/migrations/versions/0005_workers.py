"""Processes that share a database: who they are, and what they tell each other's open pages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("owner", sa.String(64), primary_key=True),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("bees", sa.Integer, nullable=False),
    )
    op.create_table(
        "live_events",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("change", sa.Text, nullable=False),
    )
    op.create_index("live_events_at", "live_events", ["at"])
    op.create_index("sources_lease", "sources", ["lease_owner"])


def downgrade() -> None:
    op.drop_index("sources_lease", "sources")
    op.drop_table("live_events")
    op.drop_table("workers")
