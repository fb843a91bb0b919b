"""What an aggregator says about one's bee: its signed receipt, asked for, checked, and laid beside one's own log."""

from .asking import Answer, Coverage
from .beside import Finding, Line, OwnLog, findings, lines
from .receipt import BadReceipt, Receipt, read_receipt

__all__ = [
    "Answer",
    "BadReceipt",
    "Coverage",
    "Finding",
    "Line",
    "OwnLog",
    "Receipt",
    "findings",
    "lines",
    "read_receipt",
]
