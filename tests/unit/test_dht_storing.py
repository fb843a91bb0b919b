"""What a storing node keeps, for how long, how it is renewed, and what it passes on for others."""

from __future__ import annotations

from random import Random

from core.crypto.hashing import hash32
from core.crypto.keys import KeyPair, key_pair, sign
from core.dht.address import Address
from core.dht.commands import SERVER
from core.dht.handshake_messages import HandshakeBody, Mode, decode_handshake, encode_handshake
from core.dht.hyper_commands import ANNOUNCE, FIND_PEER, LOOKUP, NS_ANNOUNCE, PEER_HANDSHAKE, UNANNOUNCE
from core.dht.messages import RequestMessage, ResponseMessage, decode_request, decode_response, encode_request
from core.dht.records import Announcement, PeerRecord, decode_lookup_reply, decode_peer, encode_announcement
from core.dht.signatures import announce_signable, sign_announcement, sign_unannouncement
from core.dht.storing import LOOKUP_RECORDS
from core.dht.topic_records import TopicRecords
from core.limits import MAX_RECORDS_PER_TOPIC
from tests.support.nat_internet import SERVER_PORT, Household, Internet

OWNER = key_pair(bytes(range(32)))
SELF = hash32(OWNER.public_key)
TOPIC = hash32(b"topic")
ASKER: Address = ("30.0.0.1", 999)


class Keeper:
    """A storing node by itself, and what it sends."""

    def __init__(self) -> None:
        self.internet = Internet(1)
        self.household: Household = self.internet.add("none")
        self.internet.run(3)
        assert self.household.node.id is not None
        self.id: bytes = self.household.node.id
        self.sent: list[tuple[bytes, Address]] = []
        self.internet.carry = lambda data, source, to, ttl: self.sent.append((data, to))  # type: ignore[method-assign]

    def arrive(self, command: int, source: Address = ASKER, **fields: object) -> None:
        self.sent.clear()
        data = encode_request(7, ("20.0.0.1", SERVER_PORT), command, **fields)  # type: ignore[arg-type]
        self.household.receive(data, source, SERVER)
        self.internet.run(0)

    def ask(self, command: int, source: Address = ASKER, **fields: object) -> ResponseMessage | None:
        """Its answer; None for silence."""
        self.arrive(command, source, **fields)
        answers = [data for data, to in self.sent if to == source and data[0] == 0x13]
        return decode_response(answers[0]) if answers else None

    def passed_on(self) -> list[tuple[RequestMessage, Address]]:
        return [(decode_request(data), to) for data, to in self.sent if data[0] == 0x03]

    def token(self, source: Address = ASKER) -> bytes:
        answer = self.ask(LOOKUP, source, target=bytes(32))
        assert answer is not None
        assert answer.token is not None
        return answer.token

    def announce(self, announcement: Announcement, target: bytes, source: Address = ASKER) -> bool:
        token = self.token(source)
        if announcement.peer is not None and announcement.signature is None:
            signable = announce_signable(
                NS_ANNOUNCE, target, self.id, token, announcement.peer, announcement.refresh
            )
            signature = sign(signable, OWNER.secret_key)
            announcement = Announcement(announcement.peer, announcement.refresh, signature, announcement.bump)
        value = encode_announcement(announcement)
        return self.ask(ANNOUNCE, source, target=target, token=token, value=value) is not None

    def keep(self, pair: KeyPair, target: bytes, source: Address = ASKER) -> None:
        token = self.token(source)
        value = encode_announcement(sign_announcement(pair, target, self.id, token))
        assert self.ask(ANNOUNCE, source, target=target, token=token, value=value) is not None

    def kept(self, target: bytes = TOPIC) -> tuple[set[bytes], int]:
        """Keys under `target`, and the bump."""
        answer = self.ask(LOOKUP, target=target)
        assert answer is not None
        if answer.value is None:
            return set(), 0
        peers, bump = decode_lookup_reply(answer.value)
        return {peer.public_key for peer in peers}, bump

    def later(self, minutes: float) -> None:
        self.internet.run(minutes * 60)


def test_a_record_lives_for_thirteen_to_twenty_seven_minutes_unless_renewed() -> None:
    keeper = Keeper()
    keeper.keep(OWNER, TOPIC)
    keeper.later(13)
    assert keeper.kept()[0] == {OWNER.public_key}
    keeper.keep(OWNER, TOPIC)
    keeper.later(13)
    assert keeper.kept()[0] == {OWNER.public_key}
    keeper.later(14)
    assert keeper.kept()[0] == set()
    keeper.keep(OWNER, SELF)
    assert keeper.household.world.router.relay_for(SELF) == ASKER
    keeper.later(27)
    assert keeper.household.world.router.relay_for(SELF) is None


def test_a_renewal_needs_no_signature_but_the_next_preimage_each_time() -> None:
    keeper = Keeper()
    last = b"r" * 32
    chain = [last]
    for _ in range(3):
        chain.append(hash32(chain[-1]))
    record = PeerRecord(OWNER.public_key)
    assert keeper.announce(Announcement(record, chain[3]), TOPIC)
    keeper.later(12)
    assert not keeper.announce(Announcement(None, chain[1]), TOPIC), "not the preimage of what was left"
    assert keeper.announce(Announcement(None, chain[2]), TOPIC)
    keeper.later(12)
    assert keeper.kept()[0] == {OWNER.public_key}
    assert not keeper.announce(Announcement(None, chain[2]), TOPIC), "each is good once"
    assert keeper.announce(Announcement(None, chain[1]), TOPIC)
    keeper.later(12)
    assert keeper.kept()[0] == {OWNER.public_key}


def test_a_servers_renewal_moves_the_way_to_it() -> None:
    keeper = Keeper()
    moved: Address = ("30.0.0.1", 1_000)
    secret = b"s" * 32
    assert keeper.announce(Announcement(PeerRecord(OWNER.public_key), hash32(secret)), SELF)
    assert keeper.announce(Announcement(None, secret), SELF, moved)
    assert keeper.household.world.router.relay_for(SELF) == moved


def test_a_bump_is_believed_when_it_is_newer_and_not_of_the_future() -> None:
    keeper = Keeper()
    now = 1_700_000_000
    keeper.household.world.storing._wall_clock = lambda: float(now)
    record = PeerRecord(OWNER.public_key)
    for bump, seen in (
        (now * 1000, now * 1000),
        (now * 1000 - 5, now * 1000),
        (now * 1000 + 60_000, now * 1000 + 60_000),
        (now * 1000 + 60_001, now * 1000 + 60_000),
    ):
        assert keeper.announce(Announcement(record, bump=bump), TOPIC)
        assert keeper.kept() == ({OWNER.public_key}, seen)


def test_only_three_relay_addresses_of_a_peer_are_kept() -> None:
    keeper = Keeper()
    relays = tuple((f"10.0.0.{number}", 1) for number in range(9))
    assert keeper.announce(Announcement(PeerRecord(OWNER.public_key, relays)), SELF)
    answer = keeper.ask(FIND_PEER, target=SELF)
    assert answer is not None
    assert answer.value is not None
    assert decode_peer(answer.value)[0].relay_addresses == relays[:3]


def test_a_crowded_topic_shows_twenty_and_drops_its_oldest() -> None:
    keeper = Keeper()
    for seed in range(30):
        keeper.keep(key_pair(bytes([seed]) * 32), TOPIC)
    shown = [keeper.kept()[0] for _ in range(30)]
    assert {len(keys) for keys in shown} == {LOOKUP_RECORDS}
    assert len(set().union(*shown)) == 30, "others each time"
    records = TopicRecords(100_000, 1200, lambda: 0.0, Random(1))
    for number in range(MAX_RECORDS_PER_TOPIC + 5):
        records.put(TOPIC, number.to_bytes(32, "big"), b"record")
    assert len(records.sample(TOPIC, 10**6)) == MAX_RECORDS_PER_TOPIC


def test_topics_together_are_bounded_and_what_is_taken_back_is_gone_from_both_generations() -> None:
    now = 0.0
    records = TopicRecords(40, 1200, lambda: now, Random(1))
    for number in range(1_000):
        records.put(number.to_bytes(32, "big"), OWNER.public_key, b"record")
    held = sum(bool(records.sample(number.to_bytes(32, "big"), 1)) for number in range(1_000))
    assert 20 <= held <= 40
    newest = (999).to_bytes(32, "big")
    now += 801  # that is an old one now
    assert records.sample(newest, 1)
    records.discard(newest, OWNER.public_key)
    assert records.sample(newest, 1) == []
    now += 3_000
    assert not any(records.sample(number.to_bytes(32, "big"), 1) for number in range(1_000))


def test_what_its_owner_takes_back_is_gone() -> None:
    keeper = Keeper()
    other = key_pair(bytes(32))
    for target in (TOPIC, SELF):
        keeper.keep(OWNER, target)
        keeper.keep(other, target)
        token = keeper.token()
        value = encode_announcement(sign_unannouncement(OWNER, target, keeper.id, token))
        answer = keeper.ask(UNANNOUNCE, target=target, token=token, value=value)
        assert answer is not None
        assert keeper.kept(target)[0] == {other.public_key}
    assert keeper.household.world.router.relay_for(SELF) is None


def test_a_handshake_is_passed_on_over_two_relays() -> None:
    """The first relay knows only the second, which knows the server; the server answers past both to the first."""
    keeper = Keeper()
    server: Address = ("50.0.0.5", 50)
    keeper.keep(OWNER, SELF, server)
    client: Address = ("60.0.0.6", 60)
    body = HandshakeBody(Mode.FROM_RELAY, b"noise", client)
    keeper.arrive(PEER_HANDSHAKE, target=SELF, value=encode_handshake(body))
    ((onward, to),) = keeper.passed_on()
    assert (to, onward.tid, onward.command, onward.target) == (server, 7, PEER_HANDSHAKE, SELF)
    assert onward.value is not None
    assert decode_handshake(onward.value) == HandshakeBody(Mode.FROM_SECOND_RELAY, b"noise", client, ASKER)
    # Without knowing the server, or whom it is for, it goes nowhere.
    keeper.arrive(PEER_HANDSHAKE, target=TOPIC, value=encode_handshake(body))
    assert keeper.sent == []
    keeper.arrive(
        PEER_HANDSHAKE, target=SELF, value=encode_handshake(HandshakeBody(Mode.FROM_RELAY, b"noise"))
    )
    assert keeper.sent == []
