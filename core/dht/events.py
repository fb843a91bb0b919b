"""What a node tells those who watch it; the details are the node's attributes."""

from __future__ import annotations

from enum import Enum


class Event(Enum):
    BOOTSTRAPPED = "bootstrapped"
    PERSISTENT = "persistent"
    EPHEMERAL = "ephemeral again"
    OPEN = "not behind a firewall"
    NAT_CHANGED = "seen at another address"
    HEALTH_CHANGED = "online, degraded or offline"
    WOKE_UP = "woke up"
