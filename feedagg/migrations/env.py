"""Alembic's entry: run by `database.py` on the connection it hands over, inside its transaction.

To write a new migration, from a checkout:
`alembic -x db=sqlite:///new.sqlite --config feedagg/migrations/alembic.ini revision -m "..."`.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine

from feedagg.tables import metadata

connection = context.config.attributes.get("connection")
if connection is not None:
    context.configure(connection=connection, target_metadata=metadata)
    context.run_migrations()
else:
    with create_engine(context.get_x_argument(as_dictionary=True)["db"]).begin() as connection:
        context.configure(connection=connection, target_metadata=metadata)
        context.run_migrations()
