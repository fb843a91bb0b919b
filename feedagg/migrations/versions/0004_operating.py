"""The standing and quota of each bee; decisions, reports, appeals, purges and the operator's choices."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0002"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    for column in _source_columns():
        op.add_column("sources", column)
    op.create_index("sources_state", "sources", ["state", "state_at"])
    op.create_index("sources_submitter", "sources", ["submitter"])
    op.execute("UPDATE sources SET trusted = (added_by = 'command')")
    op.create_table(
        "decisions",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.String(16), nullable=False),
        sa.Column("action", sa.String(24), nullable=False),
        sa.Column("bee", sa.LargeBinary(32)),
        sa.Column("key", sa.LargeBinary),
        sa.Column("reason", sa.Text),
        sa.Column("told", sa.BigInteger),
    )
    op.create_index("decisions_bee", "decisions", ["bee", "id"])
    _partial_index("decisions_untold", "decisions", ["id"], "told IS NULL")
    op.create_table(
        "choices",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("chosen_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "reports",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("bee", sa.LargeBinary(32), nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("reporter", sa.String(32), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("decision", sa.BigInteger),
    )
    _partial_index("reports_open", "reports", ["at", "id"], "state = 'open'")
    op.create_index("reports_record", "reports", ["bee", "key", "reporter"], unique=True)
    op.create_table(
        "appeals",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("bee", sa.LargeBinary(32), nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("decision", sa.BigInteger),
    )
    _partial_index("appeals_open", "appeals", ["at", "id"], "state = 'open'")
    op.create_index("appeals_record", "appeals", ["bee", "key"])
    op.create_table(
        "purges",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("bee", sa.LargeBinary(32), nullable=False),
        sa.Column("key", sa.LargeBinary),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for name in ("purges", "appeals", "reports", "choices", "decisions"):
        op.drop_table(name)
    op.drop_index("sources_state", "sources")
    op.drop_index("sources_submitter", "sources")
    for column in _source_columns():
        op.drop_column("sources", column.name)


def _source_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("state", sa.String(12), nullable=False, server_default="following"),
        sa.Column("state_at", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("state_reason", sa.Text),
        sa.Column("submitter", sa.String(32)),
        sa.Column("trusted", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("hour", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("hour_operations", sa.Integer, nullable=False, server_default="0"),
        sa.Column("day", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("day_operations", sa.Integer, nullable=False, server_default="0"),
        sa.Column("waits_until", sa.BigInteger),
    ]


def _partial_index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
