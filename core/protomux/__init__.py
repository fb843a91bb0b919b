"""Many named channels over one framed stream. No I/O."""

from .channel import Channel, MessageHandler
from .mux import Mux

__all__ = ["Channel", "MessageHandler", "Mux"]
