"""The JSON API: one table of endpoints (`table.py`), from which the routes, the OpenAPI document and the page `/api`
are made.
"""
