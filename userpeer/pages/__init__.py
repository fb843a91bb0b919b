"""The handlers of the web page, one place a file. `routes.py` is the table of them all."""
