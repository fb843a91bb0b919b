"""Connecting to a server by its key: find nodes that know it, shake hands through one of them, find a way.

    1  nodes      given, remembered from the last time, or found by FIND_PEER
    2  handshake  one Noise message, through two or three of them in parallel; the first good answer counts
    3  way        in this order, as far as both sides' networks allow: its address, the local network beside hole
                  punching (`client_punch.py`), and a blind relay beside all of these

Source: hyperdht 6.34.0 `lib/connect.js`. Done otherwise: an answer that does not authenticate, which any relay can
forge, is only skipped there if it came last; here always; so is one in which a relay on the Internet says that the
server is in a private network. And what usually needs no help gets a head start, where the
reference begins everything at once: remembered nodes before a walk, the local network before hole punching. That
saves some twenty datagrams and a socket a connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from ..crypto.hashing import hash32
from ..crypto.keys import KeyPair, random_bytes
from ..errors import MeadowError, PeerUnreachable
from ..udx.packet import SEQ_MASK
from .address import Address
from .asking import ping
from .attempt import Attempt
from .client_punch import ClientPunch
from .flow import Flow, Outcome
from .handshake import PeerHandshake
from .handshake_messages import PAYLOAD_VERSION, NoisePayload, RelayThrough, UdxInfo
from .hyper_commands import FIND_PEER, NONE, OPEN, UNKNOWN
from .networks import is_bogon, is_private, is_reserved, match_address
from .outgoing import Reply, RequestGroup
from .query import Query
from .router import HandshakeAnswer
from .timers import Timer
from .world import Meeting, OnFailure, OnMeeting, World

PARALLEL: Final = 2
PARALLEL_WITH_HINTS: Final = 3
FIND_RETRIES: Final = 3
PASSIVE_SECONDS: Final = 10.0
HINTS_HEAD_START_SECONDS: Final = 0.15
LOCAL_HEAD_START_SECONDS: Final = 0.05
MAX_CANDIDATES: Final = 64
"""Nodes that claim to know the server and are tried; some three to six really do."""


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """`relay_addresses`: nodes that may know the server. `relay_through`: the key of a blind relay to meet at."""

    relay_addresses: tuple[Address, ...] = ()
    relay_through: bytes | None = None
    local: bool = True
    fast_open: bool = True


@dataclass(frozen=True, slots=True)
class Answered:
    """The server's answer: through `relay`, which sees it at `server` and us at `client`."""

    relay: Address
    server: Address
    client: Address
    relayed: bool
    payload: NoisePayload
    handshake_hash: bytes


class Connecting:
    """One attempt: `on_meeting` or `on_failure` is called once, later, unless `cancel` comes first."""

    def __init__(
        self,
        world: World,
        key_pair: KeyPair,
        public_key: bytes,
        options: ConnectOptions,
        *,
        on_meeting: OnMeeting,
        on_failure: OnFailure,
    ) -> None:
        self.world = world
        self.public_key = public_key
        self.target = hash32(public_key)
        self.options = options
        self.attempt = Attempt(world, is_initiator=True, on_packet=self._on_packet, on_meeting=self._met)
        self.attempt.on_over = self._stop
        self.done = False
        self._on_meeting = on_meeting
        self._on_failure = on_failure
        self._handshake = PeerHandshake(key_pair, public_key)
        self._message: bytes | None = None
        self._firewall = UNKNOWN
        self._own_relay = (
            RelayThrough(options.relay_through, random_bytes(32))
            if options.relay_through is not None
            else None
        )
        self._answered: Answered | None = None
        self._early: tuple[Hashable, Address] | None = None
        self._group = RequestGroup()
        self._query: Query | None = None
        self._candidates: deque[Address] = deque()
        self._tried: dict[Address, None] = {}
        self._running = 0
        self._moved: Outcome[None] = Outcome()
        self._last_error: MeadowError | None = None
        self._passive: Timer | None = None
        self._head_start: Timer | None = None
        self._punch: ClientPunch | None = None
        self._flow: Flow[None] | None = None

    def start(self) -> None:
        self._flow = Flow(self._run())
        self._flow.result.when_done(self._ended)

    def cancel(self) -> None:
        """Nobody wants the connection any more; no callback follows."""
        if not self.done:
            self.done = True
            self._stop()
            self.attempt.abandon()

    async def _run(self) -> None:
        await self._find_and_shake_hands()
        answered = self._answered
        if answered is None:
            if self._tried:
                raise PeerUnreachable(
                    f"nodes know this key, but its peer did not answer ({self._last_error})"
                )
            raise PeerUnreachable("nobody in the DHT knows this key: its peer is not online")
        if not self.attempt.is_direct:
            self._find_way(answered)

    def _ended(self, result: Outcome[None]) -> None:
        if result.error is not None:
            self._fail(result.error)

    # --- nodes and handshakes -------------------------------------------------------------------------

    async def _find_and_shake_hands(self) -> None:
        known_here = self.world.router.relay_for(self.target) if self.world.node.id is not None else None
        hints = self.options.relay_addresses or self.world.relay_addresses.get(self.public_key)
        if known_here is not None:
            hints = (known_here,)
        hinted: Flow[None] | None = None
        if hints:
            self._running += 1
            hinted = Flow(self._through_all(hints[:MAX_CANDIDATES]))
            hinted.result.when_done(lambda _: self._one_ended())
            await self._give_hints_a_chance()
        limit = PARALLEL_WITH_HINTS if hints else PARALLEL
        for nodes in (hints, ()) if hints else ((),):
            if self.done or self._answered is not None:
                break
            await self._search(nodes, limit, skip=hints)
        while self._running and self._answered is None and not self.done:
            await self._wait()
        self._group.cancel()

    async def _search(self, nodes: Sequence[Address], limit: int, *, skip: Sequence[Address]) -> None:
        """Walk towards the server, and shake hands through whoever knows it while still walking."""
        walking = True

        def replied(reply: Reply) -> None:
            if reply.value is not None and reply.address not in skip and len(self._tried) < MAX_CANDIDATES:
                self._candidates.append(reply.address)
                self._notify()

        def walked(_: object) -> None:
            nonlocal walking
            walking = False
            self._notify()

        self._query = self.world.node.query(
            self.target, FIND_PEER, nodes=nodes, retries=FIND_RETRIES, on_reply=replied, on_done=walked
        )
        while not self.done and self._answered is None:
            while self._candidates and self._running < limit and self._answered is None:
                address = self._candidates.popleft()
                if address not in self._tried:
                    self._running += 1
                    Flow(self._through(address)).result.when_done(lambda _: self._one_ended())
            if not walking and not self._candidates and not (self._tried and self._running):
                break
            if self._answered is None:
                await self._wait()
        self._query.cancel()
        self._query = None
        self._candidates.clear()

    async def _give_hints_a_chance(self) -> None:
        """Until one has answered, all have failed, or it takes too long for a node that is well."""
        over: Outcome[None] = Outcome()
        timer = self._head_start = self.world.timers.after(HINTS_HEAD_START_SECONDS, lambda: over.set(None))
        over.when_done(lambda _: self._notify())
        while not over.done and self._running and self._answered is None and not self.done:
            await self._wait()
        timer.cancel()

    async def _wait(self) -> None:
        self._moved = Outcome()
        await self._moved

    def _notify(self) -> None:
        self._moved.set(None)

    def _one_ended(self) -> None:
        self._running -= 1
        self._notify()

    async def _through_all(self, addresses: Sequence[Address]) -> None:
        for address in addresses:
            if self.done or self._answered is not None:
                return
            await self._through(address)

    async def _through(self, address: Address) -> None:
        """One handshake through one node; what goes wrong is that node's failure only."""
        self._tried[address] = None
        try:
            answer = await self.world.router.handshake(
                self.target, self._first_message(), address, group=self._group
            )
            if not self.done and self._answered is None:
                self._read(address, answer)
        except MeadowError as error:
            self._last_error = error

    def _first_message(self) -> bytes:
        """Made once: the server gives identical answers to identical messages."""
        if self._message is not None:
            return self._message
        own = self.world.node.remote_address
        self._firewall = OPEN if own is not None else UNKNOWN
        local = tuple(self.world.outside.local_addresses()) if self.options.local else ()
        payload = NoisePayload(
            firewall=self._firewall,
            addresses4=(own, *local) if own is not None else local,
            udx=UdxInfo(self.attempt.stream.local_id),
            secret_stream=True,
            relay_through=self._own_relay,
        )
        self._message = self._handshake.write(payload)
        return self._message

    def _read(self, relay: Address, answer: HandshakeAnswer) -> None:
        host, port = answer.server_address
        if is_bogon(host) and not is_bogon(relay[0]):
            # Only the relay says so. Believed, it could aim our packets at what is beside us.
            raise PeerUnreachable(
                f"{relay[0]}:{relay[1]} says that the peer is at {host}:{port}, which it cannot see from where it is"
            )
        # On a copy: an answer that a relay made up must not spoil the state for the real one.
        handshake = self._handshake.copy()
        payload = handshake.read(answer.noise)
        if payload.version != PAYLOAD_VERSION:
            self._fail(PeerUnreachable("the peer speaks another version of the handshake"))
            return
        if payload.error != NONE:
            self._fail(PeerUnreachable(f"the peer refused the connection with error {payload.error}"))
            return
        if payload.udx is None:
            self._fail(PeerUnreachable("the peer answered, but offers no stream to connect to"))
            return
        result = handshake.result()
        self._answered = Answered(
            relay,
            answer.server_address,
            answer.client_address,
            answer.relayed,
            payload,
            result.handshake_hash,
        )
        self.attempt.agree(result, payload.udx.id & SEQ_MASK)
        self._meet_at_relay(payload)
        if self._early is not None:
            self._take(*self._early)
        elif not answer.relayed:
            self._take(self.world.outside.link(self.world.node.socket), relay)
        self._notify()

    def _meet_at_relay(self, payload: NoisePayload) -> None:
        """The server's choice of a relay comes before ours, in which case it is the one that initiates."""
        relay = payload.relay_through or self._own_relay
        if relay is not None:
            self.attempt.go_through_relay(
                relay.public_key,
                relay.token,
                is_initiator=payload.relay_through is None,
                on_failed=self._fail_unless_hoping,
            )

    # --- the way --------------------------------------------------------------------------------------

    def _find_way(self, answered: Answered) -> None:
        payload = answered.payload
        can_punch = payload.holepunch is not None and len(payload.holepunch.relays) > 0
        is_relayed = answered.server != answered.relay
        if payload.firewall == OPEN or (is_relayed and not can_punch):
            public = next((a for a in payload.addresses4 if not is_bogon(a[0])), answered.server)
            self._take(self.world.outside.link(self.world.node.socket), public)
            return
        if self._firewall == OPEN:
            # It knows where we are, and comes.
            self._passive = self.world.timers.after(PASSIVE_SECONDS, self._nobody_came)
            return
        self._punch = ClientPunch(self, answered)
        near = self.options.local and is_relayed and answered.client[0] == answered.server[0]
        if near and self._try_local(answered):
            self._head_start = self.world.timers.after(LOCAL_HEAD_START_SECONDS, self._punch.start)
        else:
            self._punch.start()

    def _try_local(self, answered: Answered) -> bool:
        """Both are behind one address, perhaps in one house: whoever answers a ping there is connected to. False
        when there is no address to try.
        """
        theirs = [address for address in answered.payload.addresses4 if not is_reserved(address[0])]
        if not theirs:
            return False
        own = list(self.world.outside.local_addresses())
        address = match_address(own, theirs) or theirs[0]

        def answered_ping(outcome: Outcome[Reply]) -> None:
            if outcome.error is None:
                self._take(self.world.outside.link("server"), address)

        ping(self.world.node, address, group=self._group).when_done(answered_ping)
        return True

    def _on_packet(self, link: Hashable, address: Address) -> None:
        """The server found a way to us."""
        if self._answered is None:
            self._early = (link, address)
        else:
            self._take(link, address)

    def take_punched(self, socket: str, address: Address) -> None:
        """A probe came through a hole."""
        self.attempt.take(self.world.outside.link(socket), address, "punched")
        self._after_taking()

    def _take(self, link: Hashable, address: Address) -> None:
        socket = self.world.outside.socket_of(link)
        if self._punch is not None and socket is not None and self._punch.owns(socket):
            self.attempt.take(link, address, "punched")
        else:
            self.attempt.take(link, address, "lan" if is_private(address[0]) else "direct")
        self._after_taking()

    def _after_taking(self) -> None:
        if self.attempt.is_direct:
            self._stop()

    def _met(self, meeting: Meeting) -> None:
        answered = self._answered
        if self.done or answered is None:
            return
        self.done = True
        relays = answered.payload.relay_addresses or tuple(self._tried)
        self.world.relay_addresses.put(self.public_key, relays)
        self._on_meeting(meeting)

    # --- failing --------------------------------------------------------------------------------------

    def _nobody_came(self) -> None:
        self._passive = None
        self.punch_failed(PeerUnreachable("the peer knew where we are and did not come"))

    def punch_failed(self, error: MeadowError) -> None:
        """No direct way. A relay may still bring us together, or has."""
        self._punch = None
        self._fail_unless_hoping(error)

    def _fail_unless_hoping(self, error: MeadowError) -> None:
        relay = self.attempt.relay
        hopes = (
            self.done
            or self._passive is not None
            or self._punch is not None
            or self._answered is None
            or (relay is not None and not relay.failed)
        )
        if not hopes:
            self._fail(error)

    def fail(self, error: MeadowError) -> None:
        """Break it off, and say why."""
        self._fail(error)

    def _fail(self, error: MeadowError) -> None:
        if self.done:
            return
        self.done = True
        self._stop()
        self.attempt.abandon()
        self._on_failure(error)

    def _stop(self) -> None:
        """Whatever is still being tried."""
        if self._query is not None:
            self._query.cancel()
        if self._passive is not None:
            self._passive.cancel()
            self._passive = None
        if self._head_start is not None:
            self._head_start.cancel()
            self._head_start = None
        punch, self._punch = self._punch, None
        if punch is not None:
            punch.stop()
        if self._flow is not None:
            self._flow.cancel()
        self._group.cancel()


Connect = Callable[[bytes, ConnectOptions], Connecting]
