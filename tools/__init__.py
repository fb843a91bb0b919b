"""What the Makefile runs: the supervisor and the demonstration. Not part of the wheel."""
