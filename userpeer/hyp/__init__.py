"""The workshop's tool: many bees in one store, for every program of this machine, by the words of `hyp`.

`bees.py` holds the open bees of a peer and says which are announced; `finding.py` brings other people's up to date,
`traffic.py` counts what was taken. `commands.py` is the table of what can be asked of them, over the control socket
that `userpeer` has already; `entries.py` has those about entries. `cli.py` and `cli_bee.py` are the command line,
`daemon.py` is the process in the background and `spawn.py` starts it. `client.py` is for other programs; docs/hyp.md
tells them how.
"""
