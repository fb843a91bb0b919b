"""What people see: the templates of both applications and the static files they share.

`environment()` makes the one Jinja2 environment an application needs. In its templates `ui` holds the macros
of `shared/macros.html` (no import needed, so a block can be rendered alone); `static("meadow.css")` is a URL
that changes when the file does. `render_page` renders a whole page, `render_block` one named block of the
same template: that is all an htmx request needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .filters import FILTERS

DIRECTORY = Path(__file__).parent
STATIC = DIRECTORY / "static"

# Every page works under this: no inline script, no inline style, nothing from another host.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@cache
def static_url(name: str) -> str:
    """The URL of a static file; its `v` is a hash of the content, so it may be cached for ever."""
    digest = hashlib.blake2b((STATIC / name).read_bytes(), digest_size=6).hexdigest()
    return f"/static/{name}?v={digest}"


def environment(**variables: Any) -> Environment:
    """The environment of one application; `variables` are seen by every template and macro."""
    env = Environment(
        loader=FileSystemLoader(DIRECTORY),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(FILTERS)
    env.globals.update(variables)
    env.globals["static"] = static_url
    env.globals["ui"] = env.get_template("shared/macros.html").module
    return env


def render_page(env: Environment, name: str, context: Mapping[str, Any]) -> str:
    """The whole page `name`, for example `"feedagg/feed.html"`."""
    return env.get_template(name).render(context)


def render_block(env: Environment, name: str, block: str, context: Mapping[str, Any]) -> str:
    """One block of the page `name`, as a fragment. Raises KeyError when the page itself has no such block."""
    template = env.get_template(name)
    return "".join(template.blocks[block](template.new_context(dict(context))))
