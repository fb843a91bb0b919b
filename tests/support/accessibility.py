"""What a screen reader is given of a page, and what is missing in it: Chromium's accessibility tree, judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.async_api import CDPSession, Page

LANDMARKS = ("main", "banner", "contentinfo")
NAMED = frozenset(
    {
        "button",
        "checkbox",
        "combobox",
        "dialog",
        "DisclosureTriangle",
        "heading",
        "image",
        "link",
        "navigation",
        "progressbar",
        "radio",
        "searchbox",
        "spinbutton",
        "textbox",
    }
)
"""Roles that say nothing without a name."""


async def accessibility_faults(session: CDPSession) -> list[str]:
    """Sentences about the page that is open in `session`; none when a screen reader finds its way: one of each
    landmark, one first heading, no jump in the levels of headings, a heading for each article, a name for every control
    and image.
    """
    nodes = [
        node
        for node in (await session.send("Accessibility.getFullAXTree"))["nodes"]
        if not node["ignored"] and node.get("role")
    ]
    roles = [node["role"]["value"] for node in nodes]
    faults = [
        f"{roles.count(landmark)} landmarks {landmark}"
        for landmark in LANDMARKS
        if roles.count(landmark) != 1
    ]
    levels = [_properties(node)["level"] for node in nodes if node["role"]["value"] == "heading"]
    if levels.count(1) != 1:
        faults.append(f"{levels.count(1)} headings of the first level")
    if levels and levels[0] != 1:
        faults.append(f"the first heading has the level {levels[0]}")
    faults += [
        f"a heading of level {one} is followed by one of level {next_one}"
        for one, next_one in zip(levels, levels[1:], strict=False)
        if next_one > one + 1
    ]
    if len([level for level in levels if level > 1]) < roles.count("article"):
        faults.append("an article without a heading")
    faults += [
        f"a {node['role']['value']} without a name"
        for node in nodes
        if node["role"]["value"] in NAMED and not str(node.get("name", {}).get("value", "")).strip()
    ]
    return faults


async def too_wide(page: Page) -> list[str]:
    """What stands over the right edge of the open page, with every fold opened; nothing when nothing does."""
    await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    found: list[str] = await page.evaluate(
        """() => {
            const width = window.innerWidth;
            if (document.documentElement.scrollWidth <= width) return [];
            return [...document.querySelectorAll('body *')]
                .filter(one => one.getBoundingClientRect().right > width)
                .map(one => one.outerHTML.slice(0, 120)).slice(-3).concat('the page scrolls sideways');
        }"""
    )
    return found


def _properties(node: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one["value"].get("value") for one in node.get("properties", [])}
