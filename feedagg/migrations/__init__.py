"""The history of the schema (Alembic). `database.py` runs it at the start; nothing is to be done by hand."""
