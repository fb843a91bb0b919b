"""How a node learns where it stands: bootstrap, the firewall check, and becoming a persistent node.

Source: dht-rpc 6.27.0 `_bootstrap`, `_updateNetworkState`, `_checkIfFirewalled`.

The first walk goes towards our own (random) id. A node that assumes a firewall asks the first who answers to answer
once more, to the server socket. If that answer arrives before the walk ends (which waits a quarter of a second for it:
in a small network the walk is over at once, and in the reference it is chance who wins), the firewall check is made:
five nodes are asked from the client socket to answer to the server socket; at least three such answers must arrive,
from hosts that see us at the same host as ever and at the very port the server socket is bound to. Then we are open.
Whoever is open and wants to be persistent takes the hash of its address as its id, and walks again to be known.

What others say about our address is taken from answers to our own requests only. (The reference also believes what a
stranger writes into a request, and so anybody could make a node think that it moved.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .address import Address
from .commands import MORE_STABLE_TICKS, PING_NAT, SERVER, STABLE_TICKS, Socket
from .events import Event
from .outgoing import Reply
from .peer_id import peer_id
from .sampler import NatSampler

if TYPE_CHECKING:
    from .node import DhtNode

ASKED_FOR_PROOF: Final = 5
PROOFS_OF_FIVE: Final = 3
PROOFS_OF_FEWER: Final = 1
ROUNDS: Final = 2
FIRST_PROOF_SECONDS: Final = 0.25


class Reachability:
    """Belongs to one node; `sampler` holds how others see it."""

    def __init__(
        self, node: DhtNode, force_persistent: bool, quick_firewall: bool, known_address: Address | None
    ) -> None:
        self.sampler = NatSampler()
        self._node = node
        self._force_persistent = force_persistent
        self._ask_first = node.firewalled and quick_firewall and not force_persistent
        self._test_firewall = False
        self._proof_is_out = False
        self._after_proof: Callable[[], None] = _nothing
        self._strangers: set[Address] = set()
        self._arrived: set[str] | None = None
        self._stable_ticks = STABLE_TICKS
        self._checked_host: str | None = None
        self.own_address: Address | None = None
        if known_address is not None:
            self.sampler.add(*known_address)

    # --- samples ------------------------------------------------------------------------------

    def sample(self, to: Address) -> None:
        before = self._node.public_address
        self.sampler.add(*to)
        self._tell_if_changed(before)

    def sample_stranger(self, address: Address, to: Address) -> None:
        """A responder without an id (a bootstrap node, mostly): only as many count as there are bootstrap nodes."""
        if len(self._strangers) < max(1, len(self._node.bootstrap)) and address not in self._strangers:
            self._strangers.add(address)
            self.sample(to)

    def _tell_if_changed(self, before: Address | None) -> None:
        if before != self._node.public_address:
            self._node.tell(Event.NAT_CHANGED)

    # --- bootstrap ----------------------------------------------------------------------------

    def bootstrap(self) -> None:
        if not self._node.closed and not self._node.suspended:
            self._round(1)

    def _round(self, number: int) -> None:
        node = self._node

        def walked(_: object) -> None:
            if self._proof_is_out:
                self._after_proof = judge
            else:
                judge()

        def judge() -> None:
            if node.suspended or node.bootstrapped or not (self._test_firewall or self._force_persistent):
                self._bootstrapped()
            else:
                self.update(checked, only_firewall=not self._force_persistent)

        def checked(changed: bool) -> None:
            if changed and number < ROUNDS and not node.closed and not node.suspended:
                self._round(number + 1)
            else:
                self._bootstrapped()

        node.background_query(node.table.id, self._first_reply, walked)

    def _first_reply(self, reply: Reply) -> None:
        if not self._ask_first:
            return
        self._ask_first = False

        self._proof_is_out = True

        def over(proven: bool) -> None:
            self._test_firewall = self._test_firewall or proven
            self._proof_is_out = False
            after, self._after_proof = self._after_proof, _nothing
            after()

        self._node.request(
            reply.address,
            PING_NAT,
            internal=True,
            value=self._server_port(),
            timeout=FIRST_PROOF_SECONDS,
            on_slow=lambda: over(False),
            on_reply=lambda _: over(True),
            on_error=lambda _: over(False),
        )

    def _bootstrapped(self) -> None:
        if not self._node.bootstrapped and not self._node.closed:
            self._node.bootstrapped = True
            self._node.tell(Event.BOOTSTRAPPED)

    # --- open, persistent ---------------------------------------------------------------------

    def tick(self) -> None:
        """An adaptive node that was quiet for long enough tries to become persistent."""
        node = self._node
        if not (node.adaptive and node.ephemeral):
            return
        self._stable_ticks -= 1
        if self._stable_ticks > 0:
            return
        if self._checked_host == self.sampler.host:
            self._stable_ticks = MORE_STABLE_TICKS
        else:
            self.update(lambda _: None)

    def woke_up(self) -> None:
        """After sleep nothing is known about the network; an adaptive node is ephemeral again."""
        self._stable_ticks = MORE_STABLE_TICKS
        self._checked_host = None
        if self._node.adaptive and not self._node.ephemeral:
            self._node.ephemeral = True
            self._node.tell(Event.EPHEMERAL)

    def update(self, done: Callable[[bool], None], *, only_firewall: bool = False) -> None:
        """Check for a firewall, then become open and, unless `only_firewall`, persistent. `done(changed)`."""
        node = self._node
        if node.closed or node.suspended or not node.ephemeral or (only_firewall and not node.firewalled):
            done(False)
            return
        host, port = self.sampler.host, self.sampler.port
        if not only_firewall:
            self._stable_ticks = MORE_STABLE_TICKS
            self._checked_host = host
        if host is None or port == 0:
            done(False)
            return
        if not node.firewalled:
            done(self._accept(self.sampler, (host, port), only_firewall))
            return

        def checked(sampler: NatSampler | None) -> None:
            done(sampler is not None and self._accept(sampler, (host, port), only_firewall))

        self._check_firewall(checked)

    def _accept(self, sampler: NatSampler, before: Address, only_firewall: bool) -> bool:
        """We are open. False if what we knew changed while it was being checked."""
        node = self._node
        if node.closed or node.suspended:
            return False
        if node.firewalled:
            node.firewalled = False
            node.tell(Event.OPEN)
        if not node.ephemeral or before != (self.sampler.host, self.sampler.port):
            return False
        if sampler.host != before[0] or sampler.port == 0:
            return False
        if not only_firewall:
            node.ephemeral = False
        seen_as = node.public_address
        if sampler is not self.sampler:
            self._strangers.clear()
            self.sampler = sampler
        self.own_address = (before[0], sampler.port)
        node.upkeep.move_to(peer_id(self.own_address))
        self._tell_if_changed(seen_as)
        if not node.ephemeral:
            node.tell(Event.PERSISTENT)
        return True

    def arrived(self, address: Address, socket: Socket) -> None:
        """An answer came in; during a check those on the server socket are what is being waited for."""
        if self._arrived is not None and socket == SERVER:
            self._arrived.add(address[0])

    def _check_firewall(self, done: Callable[[NatSampler | None], None]) -> None:
        """`done` gets what the answers say about the server socket, or None for a firewall."""
        node = self._node
        if self._arrived is not None:  # such a check is under way
            done(None)
            return
        asked = node.known_nodes(ASKED_FOR_PROOF)
        if len(asked) < ASKED_FOR_PROOF:
            asked += node.bootstrap.addresses()
        if not asked:
            done(None)
            return
        self._arrived = set()
        replies: list[Reply] = []
        missing = len(asked)

        def ended() -> None:
            nonlocal missing
            missing -= 1
            if missing == 0:
                done(self._judge(replies, len(asked)))

        def replied(reply: Reply) -> None:
            replies.append(reply)
            ended()

        for address in asked:
            node.request(
                address,
                PING_NAT,
                internal=True,
                value=self._server_port(),
                on_reply=replied,
                on_error=lambda _: ended(),
            )

    def _judge(self, replies: list[Reply], asked: int) -> NatSampler | None:
        arrived, self._arrived = self._arrived or set(), None
        sampler = NatSampler()
        count = 0
        for reply in replies:
            if reply.address[0] in arrived:
                count += 1
                sampler.add(*reply.to)
        if count < (PROOFS_OF_FIVE if asked >= ASKED_FOR_PROOF else PROOFS_OF_FEWER):
            return None
        if sampler.host is None or sampler.host != self.sampler.host:
            return None
        # A port that is remapped for everybody alike could be used too; the reference does not trust it, nor do we.
        return sampler if sampler.port == self._node.server_port else None

    def _server_port(self) -> bytes:
        return self._node.server_port.to_bytes(2, "little")


def _nothing() -> None:
    pass
