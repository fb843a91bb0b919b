"""What convinces somebody who was not there: a file that proves something about a log to whoever knows its key.

file.py   the file: what is claimed, and the messages that prove it, as bytes; no judgement
check.py  from a stranger's file to a `Finding`, or an error that says what does not hold: pure
make.py   from a log that is stored here to a file

A proof file is a replication stream written down: the `data` messages a peer would send to somebody who holds nothing
but the key. So the official packages check it with the code they check their peers with. `docs/proof-file.md` is its
definition.
"""
