"""A store on a connection: the logs it shares there.

Source: corestore 7.12.5 (`replicate`). Two things attach a log to a connection: somebody here reads it, or
the remote opens its channel and thereby shows that it knows the discovery key. What the store does not hold
is rejected, which tells the remote nothing else.
"""

from __future__ import annotations

from .hypercore.demand import Replicator
from .hypercore.log import Log
from .hypercore.registry import LogRegistry
from .protomux import Mux
from .replication.messages import PROTOCOL, PROTOCOL_ALIASES
from .replication.replicator import Replicator as NetworkReplicator


def replicator_for(log: Log) -> Replicator:
    """The replicator of a log whose store has connections."""
    return NetworkReplicator(log)


class StoreReplication:
    """Made by `Corestore.replicate`; enters itself into `among`, the replications of the store."""

    __slots__ = ("_among", "_registry", "mux")

    def __init__(self, registry: LogRegistry, mux: Mux, among: set[StoreReplication]) -> None:
        self._registry = registry
        self._among = among
        self.mux = mux
        among.add(self)
        for protocol in (PROTOCOL, *PROTOCOL_ALIASES):
            mux.pair(protocol, self._asked_for)

    def attach(self, log: Log) -> None:
        """Share `log` here, if it is not shared already."""
        log.demand.attach(self.mux)

    def close(self) -> None:
        """End all channels of logs on this connection; the connection itself stays."""
        if self not in self._among:
            return
        self._among.remove(self)
        for protocol in (PROTOCOL, *PROTOCOL_ALIASES):
            self.mux.unpair(protocol)
        for log in self._registry.open_logs:
            if log.replicator is not None:
                log.replicator.detach(self.mux)
                log.release_if_unused()

    def _asked_for(self, id: bytes | None) -> None:
        log = None if id is None else self._registry.find(id)
        if log is not None:
            self.attach(log)
            log.release_if_unused()
