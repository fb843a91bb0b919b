"""The commands of `feedagg` beside `serve`, by what they are about."""
