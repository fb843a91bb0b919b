"""One person's peer: it writes to their bee and serves it.

Two doors, one service. `service.py` is the opened peer; `publishing.py` has every write, `reading.py` every read,
`drafts.py` what was typed and the value made of it, `submitting.py` the giving of the key to an aggregator.

* The command line: `cli.py` and `terminal.py`. `commands.py` is the table of what it can do, on the store itself or,
  through `client.py` and `control.py`, in the peer that runs.
* The page: `serve.py` runs it (`userpeer run`), `app.py` makes it, `routes.py` is the table of its addresses, `pages/`
  has the handlers, `views.py` what their templates are given, `live.py` the news, `security.py` who may ask.
* Many bees, for every program of this machine: `hyp/`. `sharing.py` is the whole of what is given to others.
"""
