"""The client's rounds of hole punching: agree with the server, through relays, on who sends probes where.

    round 0   a probe that opens our side for the server's first one ("fast open"); then tell the server's relay what
              our NAT is like, and learn what the server's is like, and its token
    round 1   through our own relay, with tokens both ways: we punch now, do you too?

The tokens prove to each side that the other really is at the address it will send hundreds of probes to. Source:
hyperdht 6.34.0 `lib/connect.js` (`probeRound`, `roundPunch`).
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from ..errors import MeadowError, NotPunched
from .address import Address
from .commands import Socket
from .flow import Flow, Outcome
from .handshake import holepunch_secret
from .handshake_messages import RelayInfo
from .holepunch import Puncher
from .holepunch_messages import HolepunchPayload, PayloadBox
from .hyper_commands import ABORTED, NONE, RANDOM, TRY_LATER, UNKNOWN
from .outgoing import RequestGroup
from .router import HolepunchAnswer

if TYPE_CHECKING:
    from .connect import Answered, Connecting

SECOND_THOUGHT_SECONDS: Final = 1.0
TRY_LATER_SECONDS: Final = 10.0
"""At least; up to as much again at random."""


class ClientPunch:
    """Belongs to one `Connecting`, which it tells a path or a failure."""

    def __init__(self, connecting: Connecting, answered: Answered) -> None:
        self._connecting = connecting
        self._world = connecting.world
        self._answered = answered
        self._box = PayloadBox(holepunch_secret(answered.handshake_hash))
        self._round = 0
        self._group = RequestGroup()
        self._puncher: Puncher | None = None
        self._flow: Flow[None] | None = None
        self._stopped = False

    def owns(self, socket: Socket) -> bool:
        return self._puncher is not None and self._puncher.owns(socket)

    def start(self) -> None:
        self._flow = Flow(self._run())
        self._flow.result.when_done(self._ended)

    def stop(self) -> None:
        """A way was found, here or elsewhere, or nobody wants one."""
        self._stopped = True
        if self._puncher is not None:
            self._puncher.on_abort = _nothing
            self._puncher.destroy()
        if self._flow is not None:
            self._flow.cancel()
        self._group.cancel()

    def _ended(self, result: Outcome[None]) -> None:
        if result.error is not None:
            self._fail(result.error)

    def _fail(self, error: MeadowError) -> None:
        if not self._stopped:
            self.stop()
            self._connecting.punch_failed(error)

    async def _run(self) -> None:
        punch = self._answered.payload.holepunch
        if punch is None or not punch.relays:
            raise NotPunched("the peer is behind a NAT and does not punch holes")
        puncher = self._puncher = Puncher(
            self._world,
            is_initiator=True,
            remote_firewall=self._answered.payload.firewall,
            on_path=self._connecting.take_punched,
            on_abort=lambda: self._fail(NotPunched("no probe came through the two NATs")),
        )
        relay = next(
            (one for one in punch.relays if one.relay_address == self._answered.relay), punch.relays[0]
        )
        fast_open = self._connecting.options.fast_open
        token, peer = await self._probe_round(puncher, relay, self._answered.server if fast_open else None)
        server = self._answered.server
        if relay.relay_address == self._answered.relay and peer != server:
            # The server chose another socket meanwhile; our relay is the one that sees it there.
            server = peer
            puncher.probe(server, low_ttl=True)
        await self._punch_round(puncher, relay, server, token)

    # --- round 0 --------------------------------------------------------------------------------------

    async def _probe_round(
        self, puncher: Puncher, relay: RelayInfo, fast_open: Address | None
    ) -> tuple[bytes | None, Address]:
        """Returns the server's token, and the server's address as its relay sees it."""
        for attempt in range(2):
            if fast_open is not None:
                puncher.probe(fast_open, low_ttl=True)
            answer, payload = await self._say(
                puncher, relay.peer_address, relay.relay_address, remote_address=fast_open
            )
            puncher.nat.add(answer.to, answer.address)
            if puncher.remote_firewall == UNKNOWN:
                # It may still be finding out, or waits whether the first probe does it.
                await self._world.timers.sleep(SECOND_THOUGHT_SECONDS)
            again = puncher.remote_firewall == UNKNOWN or payload.token is None
            if not await puncher.analyze(allow_reopen=False) and await puncher.analyze(allow_reopen=True):
                again = True
            if not again or attempt:
                break
        if UNKNOWN in (puncher.remote_firewall, puncher.nat.firewall):
            await self._abort(puncher, relay)
            raise NotPunched("it could not be found out what kind of NAT is in between")
        if puncher.remote_firewall >= RANDOM and puncher.nat.firewall >= RANDOM:
            await self._abort(puncher, relay)
            raise NotPunched("both peers are behind NATs that change ports: only a relay can connect them")
        return payload.token, answer.peer_address

    # --- round 1 --------------------------------------------------------------------------------------

    async def _punch_round(
        self, puncher: Puncher, relay: RelayInfo, server: Address, remote_token: bytes | None
    ) -> None:
        puncher.nat.freeze()
        ours, token = self._answered.relay, self._box.token(server[0])
        is_random = puncher.remote_firewall >= RANDOM or puncher.nat.firewall >= RANDOM
        delayed = False
        while True:
            while is_random and not self._world.random_punches.allowed:
                if not delayed:
                    delayed = True
                    await self._say(puncher, server, ours, token=token, remote_token=remote_token)
                await self._later()
            if is_random:
                # Until its own probes count: nobody else may begin while we ask.
                self._world.random_punches.begin()
            try:
                # The server's relay was validated by the delayed round; ours may have forgotten it by now.
                to, through = (relay.peer_address, relay.relay_address) if delayed else (server, ours)
                _, payload = await self._say(
                    puncher,
                    to,
                    through,
                    punching=True,
                    token=None if delayed else token,
                    remote_token=remote_token,
                )
            finally:
                if is_random:
                    self._world.random_punches.withdraw()
            if payload.error != TRY_LATER:
                break
            delayed = True
            await self._later()
        if not puncher.remote_punching:
            raise NotPunched("the peer does not punch back")
        if not puncher.punch():
            raise NotPunched("these two NATs cannot be punched through")

    async def _later(self) -> None:
        if self._connecting.attempt.relay is None:
            raise NotPunched("another punch through a NAT that changes ports is under way; try again later")
        share = int.from_bytes(self._world.node.random(2), "little") / 65_535
        await self._world.timers.sleep(TRY_LATER_SECONDS * (1 + share))

    # --- talking --------------------------------------------------------------------------------------

    async def _say(
        self,
        puncher: Puncher,
        peer: Address,
        through: Address,
        *,
        punching: bool = False,
        remote_address: Address | None = None,
        token: bytes | None = None,
        remote_token: bytes | None = None,
    ) -> tuple[HolepunchAnswer, HolepunchPayload]:
        """Tell the server our state and take in its own. Raises `MeadowError` unless it wants to go on."""
        ours = HolepunchPayload(
            NONE,
            puncher.nat.firewall,
            self._round,
            False,
            punching,
            puncher.nat.addresses,
            remote_address,
            token,
            remote_token,
        )
        self._round += 1
        answer = await self._send(puncher, ours, peer, through)
        theirs = self._box.open(answer.payload)
        if theirs.error == TRY_LATER and punching and self._connecting.attempt.relay is not None:
            return answer, theirs
        if theirs.error != NONE:
            raise NotPunched(f"the peer gave up punching with error {theirs.error}")
        echoed = (
            token is not None
            and theirs.remote_token is not None
            and compare_digest(theirs.remote_token, token)
        )
        puncher.update_remote(
            punching=theirs.punching,
            firewall=theirs.firewall,
            addresses=theirs.addresses,
            verified=peer[0] if echoed else None,
        )
        return answer, theirs

    async def _send(
        self, puncher: Puncher, payload: HolepunchPayload, peer: Address, through: Address
    ) -> HolepunchAnswer:
        info = self._answered.payload.holepunch
        assert info is not None
        return await self._world.router.holepunch(
            self._connecting.target,
            info.id,
            self._box.seal(payload),
            peer,
            through,
            socket=puncher.socket,
            group=self._group,
        )

    async def _abort(self, puncher: Puncher, relay: RelayInfo) -> None:
        payload = HolepunchPayload(ABORTED, round=self._round)
        try:
            await self._send(puncher, payload, relay.peer_address, relay.relay_address)
        except MeadowError:
            pass  # it will find out by itself


def _nothing() -> None:
    pass
