"""`python -m feedagg`."""

from feedagg.cli import main

main()
