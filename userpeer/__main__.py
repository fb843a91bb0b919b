"""`python -m userpeer`."""

from __future__ import annotations

from .cli import main

main()
