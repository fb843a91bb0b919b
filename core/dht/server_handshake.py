"""One client's handshake at a server: what it is answered, and how the server waits for it or goes towards it.

    the client is open, or spoke to us itself     connect to it at once
    we are open, or may not punch                 wait for its first packet
    both behind one NAT                           wait for its attempt over the local network, or to be asked to punch
    else                                          answer from a socket of its own, and wait to be asked to punch

Source: hyperdht 6.34.0 `lib/server.js` (`_addHandshake`, `_onpeerholepunch`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from ..crypto.keys import random_bytes
from ..errors import MeadowError
from ..limits import MAX_SERVER_PUNCHES
from ..udx.packet import SEQ_MASK
from .address import Address
from .attempt import Attempt
from .commands import Socket
from .flow import Flow
from .handshake import PeerHandshake, holepunch_secret
from .handshake_messages import (
    PAYLOAD_VERSION,
    HandshakeBody,
    HolepunchInfo,
    NoisePayload,
    RelayThrough,
    UdxInfo,
)
from .holepunch import Puncher
from .holepunch_messages import HolepunchBody, HolepunchPayload, PayloadBox
from .hyper_commands import (
    ABORTED,
    CONSISTENT,
    NONE,
    OPEN,
    RANDOM,
    TRY_LATER,
    UNKNOWN,
    VERSION_MISMATCH,
)
from .incoming import IncomingRequest
from .networks import is_private, match_address
from .timers import Timer

if TYPE_CHECKING:
    from .server import Server

KEPT_SECONDS: Final = 10.0
"""How long an answer is repeated after the handshake has led to something, or to nothing."""
WAIT_SECONDS: Final = 10.0
MAX_TALKS: Final = 4
"""Hole-punch messages of one client that may wait for our verdict at a time."""

Answer = Callable[[bytes, Socket | None], None]


class ServerHandshake:
    """`reply` is our Noise message, None for whom we do not answer; `answer_socket` where it must leave from."""

    def __init__(
        self, server: Server, id: int, key: bytes, body: HandshakeBody, request: IncomingRequest
    ) -> None:
        self.id = id
        self.key = key
        self.reply: bytes | None = None
        self.answer_socket: Socket | None = None
        self._server = server
        self._world = server.world
        self._noise = body.noise
        self._client = body.peer_address or request.address
        self._is_direct = body.peer_address is None
        self._request = request
        self._attempt: Attempt | None = None
        self._puncher: Puncher | None = None
        self._remote_firewall = UNKNOWN
        self._counts_as_punch = False
        self._box: PayloadBox | None = None
        self._round = 0
        self._talks: set[Flow[None]] = set()
        self._wait: Timer | None = None
        self._kept: Timer | None = None
        self._aborted = False

    def begin(self) -> None:
        """Read the client's message, write ours, and start on the way to it."""
        handshake = PeerHandshake(self._server.key_pair)
        try:
            payload = handshake.read(self._noise)
        except MeadowError:
            self._keep_a_while()
            return
        firewall = self._server.firewall
        if firewall is not None and firewall(handshake.remote_public_key, self._client):
            self._keep_a_while()
            return
        if payload.version != PAYLOAD_VERSION or payload.udx is None:
            error = VERSION_MISMATCH if payload.version != PAYLOAD_VERSION else ABORTED
            self.reply = handshake.write(NoisePayload(error, secret_stream=True, udx=UdxInfo(0)))
            self._keep_a_while()
            return
        attempt = self._attempt = Attempt(
            self._world, is_initiator=False, on_packet=self._on_packet, on_meeting=self._met
        )
        attempt.on_over = self._over
        chosen = self._server.relay_through() if self._server.relay_through is not None else None
        offered = RelayThrough(chosen, random_bytes(32)) if chosen is not None else None
        own = self._world.node.remote_address
        goes_first = payload.firewall == OPEN or self._is_direct
        will_punch = not goes_first and self._prepare_punch(payload, own)
        self.reply = handshake.write(self._payload(attempt, own, offered, will_punch or goes_first))
        result = handshake.result()
        attempt.agree(result, payload.udx.id & SEQ_MASK)
        self._box = PayloadBox(holepunch_secret(result.handshake_hash)) if will_punch else None
        if goes_first:
            socket = self._request.socket if self._is_direct else self._world.node.socket
            link = self._world.outside.link(socket)
            attempt.take(link, self._client, "lan" if is_private(self._client[0]) else "direct")
        else:
            self._wait_for_client(attempt, payload, offered)

    def _payload(
        self, attempt: Attempt, own: Address | None, offered: RelayThrough | None, may_punch: bool
    ) -> NoisePayload:
        announcer = self._server.announcer
        local = tuple(self._world.outside.local_addresses()) if self._server.share_local_addresses else ()
        return NoisePayload(
            NONE,
            OPEN if own is not None else UNKNOWN,
            HolepunchInfo(self.id, announcer.relays) if own is None and may_punch else None,
            addresses4=(own, *local) if own is not None else local,
            udx=UdxInfo(attempt.stream.local_id),
            secret_stream=True,
            relay_through=offered,
            relay_addresses=announcer.relay_addresses or None,
        )

    # --- the way to the client ------------------------------------------------------------------------

    def _prepare_punch(self, payload: NoisePayload, own: Address | None) -> bool:
        """Whether we may be asked to punch. The answer leaves from the socket for that, so that the relay's view of
        its address is what the client gets; not on a common local network, where our usual address is wanted and a
        socket is opened only when the client finds that it cannot reach that.
        """
        if not self._server.punch:
            return False
        self._remote_firewall = payload.firewall
        if self._is_near(payload):
            return True
        if own is not None or not self._open_puncher():
            return False
        assert self._puncher is not None
        self.answer_socket = self._puncher.socket
        return True

    def _open_puncher(self) -> bool:
        """False when strangers make us punch too many holes already, or there is no socket to be had."""
        if self._world.server_punches >= MAX_SERVER_PUNCHES:
            return False
        try:
            self._puncher = Puncher(
                self._world,
                is_initiator=False,
                remote_firewall=self._remote_firewall,
                on_path=_never,
                on_abort=self._gave_up,
            )
        except MeadowError:
            return False
        self._counts_as_punch = True
        self._world.server_punches += 1
        return True

    def _is_near(self, payload: NoisePayload) -> bool:
        """Whether the client is behind the same NAT, on a network that we share with it."""
        if not self._server.share_local_addresses or self._client[0] != self._request.to[0]:
            return False
        theirs = [address for address in payload.addresses4 if is_private(address[0])]
        return match_address(list(self._world.outside.local_addresses()), theirs) is not None

    def _wait_for_client(self, attempt: Attempt, payload: NoisePayload, offered: RelayThrough | None) -> None:
        relay = offered or payload.relay_through
        if relay is not None:
            attempt.go_through_relay(
                relay.public_key,
                relay.token,
                is_initiator=offered is not None,
                on_failed=lambda _: self._relay_failed(),
            )
        self._wait = self._world.timers.after(WAIT_SECONDS, self._waited_in_vain)

    def _on_packet(self, link: Hashable, address: Address) -> None:
        """The client found a way to us; it is ours too."""
        attempt = self._attempt
        if attempt is None:
            return
        socket = self._world.outside.socket_of(link)
        punched = self._puncher is not None and self._puncher.owns(socket)
        attempt.take(link, address, "punched" if punched else "lan" if is_private(address[0]) else "direct")
        if attempt.is_direct:
            self._stop_waiting()
            self._end_punch()
            self._keep_a_while()

    def _met(self, meeting: object) -> None:
        attempt = self._attempt
        assert attempt is not None
        assert attempt.meeting is not None
        self._stop_waiting()
        if attempt.is_direct:
            self._end_punch()
            self._keep_a_while()
        self._server.on_meeting(attempt.meeting)

    # --- hole punching --------------------------------------------------------------------------------

    def on_holepunch(self, body: HolepunchBody, request: IncomingRequest, answer: Answer) -> None:
        if body.peer_address is None or self._box is None or len(self._talks) >= MAX_TALKS:
            return
        try:
            payload = self._box.open(body.payload)
        except MeadowError:
            return
        came = self._attempt is not None and self._attempt.is_direct
        if self._puncher is None and not came and not self._aborted:
            self._open_puncher()
        if self._puncher is None or self._puncher.destroyed:
            self._abort(answer)
            return
        talk = Flow(self._talk(self._puncher, payload, body.peer_address, request, answer))
        self._talks.add(talk)
        talk.result.when_done(lambda _: self._talks.discard(talk))

    async def _talk(
        self,
        puncher: Puncher,
        payload: HolepunchPayload,
        peer: Address,
        request: IncomingRequest,
        answer: Answer,
    ) -> None:
        assert self._box is not None
        if payload.error != NONE:
            self._abort(answer)
            return
        through_our_relay = self._server.announcer.is_relay(request.address)
        token = self._box.token(peer[0])
        echoed = payload.remote_token is not None and compare_digest(token, payload.remote_token)
        if request.socket == puncher.socket:
            puncher.nat.add(request.to, request.address)
        if payload.round >= self._round:
            self._round = payload.round
            puncher.update_remote(
                punching=payload.punching,
                firewall=payload.firewall,
                addresses=payload.addresses,
                verified=peer[0] if through_our_relay and echoed else None,
            )
        stable = await puncher.analyze(allow_reopen=False)
        if not puncher.destroyed and not puncher.remote_punching and not stable:
            stable = await puncher.analyze(allow_reopen=True)
            if not stable and not puncher.destroyed:
                self._abort(answer)
        if puncher.destroyed:
            return
        ours = puncher.nat.firewall
        if ours in (OPEN, CONSISTENT) and payload.remote_address in (puncher.nat.addresses or ()):
            # It opened its side towards us already: one probe back may be all that is needed.
            puncher.probe(peer)
        if puncher.remote_punching and not self._punch(puncher, payload, token, through_our_relay, answer):
            return
        if puncher.nat.firewall != UNKNOWN:
            puncher.nat.freeze()
        self._answer(puncher, NONE, payload, token if through_our_relay else None, answer)

    def _punch(
        self,
        puncher: Puncher,
        payload: HolepunchPayload,
        token: bytes,
        through_our_relay: bool,
        answer: Answer,
    ) -> bool:
        """Start punching; False when something else was answered."""
        self._stop_waiting()
        is_random = puncher.remote_firewall >= RANDOM or puncher.nat.firewall >= RANDOM
        if is_random and not puncher.punching and not self._world.random_punches.allowed:
            if self._attempt is not None and self._attempt.relay is not None:
                self._answer(puncher, TRY_LATER, payload, token if through_our_relay else None, answer)
            else:
                self._abort(answer, TRY_LATER)
            return False
        if puncher.punch():
            return True
        self._abort(answer)
        return False

    def _answer(
        self, puncher: Puncher, error: int, payload: HolepunchPayload, token: bytes | None, answer: Answer
    ) -> None:
        assert self._box is not None
        reply = HolepunchPayload(
            error,
            puncher.nat.firewall,
            self._round,
            puncher.connected,
            puncher.punching,
            puncher.nat.addresses,
            None,
            token,
            payload.token,
        )
        answer(self._box.seal(reply), puncher.socket)

    def _abort(self, answer: Answer, error: int = ABORTED) -> None:
        assert self._box is not None
        answer(self._box.seal(HolepunchPayload(error, round=self._round)), self._world.node.socket)
        if self._puncher is not None:
            self._puncher.destroy()

    # --- the end --------------------------------------------------------------------------------------

    def _waited_in_vain(self) -> None:
        self._wait = None
        if self._puncher is not None and not self._puncher.destroyed:
            self._puncher.destroy()
        else:
            self._gave_up()

    def _gave_up(self) -> None:
        """No direct way. With a relay the client may still come, or has come already."""
        self._stop_waiting()
        self._aborted = True
        self._uncount_punch()
        attempt = self._attempt
        if attempt is not None and attempt.relay is None and not attempt.has_way:
            attempt.abandon()
        self._keep_a_while()

    def _relay_failed(self) -> None:
        attempt = self._attempt
        if attempt is not None and self._aborted and not attempt.has_way:
            attempt.abandon()

    def _over(self) -> None:
        self._end_punch()
        self._keep_a_while()

    def _end_punch(self) -> None:
        if self._puncher is not None:
            self._puncher.on_abort = _nothing
            self._puncher.destroy()
        self._uncount_punch()

    def _uncount_punch(self) -> None:
        if self._counts_as_punch:
            self._counts_as_punch = False
            self._world.server_punches -= 1

    def _stop_waiting(self) -> None:
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None

    def _keep_a_while(self) -> None:
        if self._kept is None:
            self._server.settled(self)
            self._kept = self._world.timers.after(KEPT_SECONDS, lambda: self._server.forget(self))

    def drop(self) -> None:
        """At once: the server is closed. A client that has come stays."""
        self._stop_waiting()
        if self._kept is not None:
            self._kept.cancel()
        self._end_punch()
        for talk in list(self._talks):
            talk.cancel()
        if self._attempt is not None and not self._attempt.has_way:
            self._attempt.abandon()


def _never(socket: Socket, address: Address) -> None:
    """Only the initiator of a punch takes a probe for a path."""


def _nothing() -> None:
    pass
