"""The OpenAPI 3.1 document of the API, derived from its table."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from feedagg.rest.schemas import COMPONENTS, ref
from feedagg.rest.table import ENDPOINTS, PREFIX, Endpoint


def document(title: str, base: str) -> dict[str, Any]:
    """The document for a site of this name at this address."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(PREFIX + endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{title}: the API of a Meadow aggregator",
            "version": version("meadow-feed"),
            "description": "Reading needs nothing. What changes the site needs the operator's token.",
        },
        "servers": [{"url": base}],
        "tags": [
            {"name": "read", "description": "For everybody."},
            {"name": "operator", "description": "With the operator's token."},
        ],
        "paths": paths,
        "components": {
            "schemas": COMPONENTS,
            "securitySchemes": {"operator": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.about,
        "tags": [endpoint.group],
        "responses": {"200": _answer("Done as asked.", endpoint.answer)}
        | {str(status): _answer(meaning, "Problem") for status, meaning in endpoint.statuses.items()},
    }
    if endpoint.params:
        made["parameters"] = [
            {
                "name": each.name,
                "in": each.where,
                "required": each.required,
                "description": each.about,
                "schema": each.schema,
            }
            for each in endpoint.params
        ]
    if endpoint.takes is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": endpoint.takes}}}
    if endpoint.secured:
        made["security"] = [{"operator": []}]
    return made


def _answer(meaning: str, component: str) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": {"schema": ref(component)}}}
