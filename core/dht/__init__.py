"""Whom to connect to: dht-rpc and HyperDHT as state machines that never touch a socket or a clock.

A `node.DhtNode` takes datagrams and the time, and gives datagrams and the time at which it wants to be woken.
`core.net` owns the sockets. The lower half (messages, routing table, queries, reachability) is dht-rpc 6.27.0; the
upper half (records, announcing, handshakes, hole punching) is hyperdht 6.34.0 and only uses the lower one.
"""
