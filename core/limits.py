"""Every bound on what a stranger or a person can make this process hold: name, value, why.

A limit is a promise in two directions: nothing larger is accepted, and nothing smaller is refused.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# Integers on the wire stop where JavaScript's exact integers do (compact-encoding 3.5.2, `uint`).
MAX_SAFE_INTEGER: Final = 2**53 - 1

# compact-encoding 3.5.2 refuses longer arrays, so nobody honest sends one.
MAX_ARRAY_ITEMS: Final = 0x100000

# secret-stream frames carry a u24 length (@hyperswarm/secret-stream 6.9.2).
MAX_FRAME_BODY: Final = 2**24 - 1

# A stranger who opens a TCP connection must prove a key within this time.
HANDSHAKE_TIMEOUT_SECONDS: Final = 10.0

# Where a batch of ours is split. protomux 3.12.1 does it at 8 MiB; at this size sealing is as fast, and the other
# side can begin earlier and holds less of a partial frame.
MAX_BATCH_BYTES: Final = 256 * KIB

# Channels one stranger may hold open on a connection (one per core): far above any honest use.
MAX_CHANNELS: Final = 16_384

# hypercore 11.37.1 refuses to append larger encoded blocks (15 MiB).
MAX_BLOCK_BYTES: Final = 15 * MIB

# Requests of one peer that we hold unanswered; hypercore 11.37.1 asks at most 512 at a time.
MAX_PENDING_REQUESTS: Final = 4_096

# Answers of one peer for one log that nobody checked yet, because the nodes they need come with an answer it has not
# given. Requests in flight are counted by the size of the author's blocks, and a liar's answers may be of any size.
MAX_PARKED_BYTES: Final = 32 * MIB

# Wants: unit and count of hypercore 11.37.1 (`lib/wants.js`).
WANT_UNIT_BLOCKS: Final = 2**21
MAX_WANTS: Final = 512

# Unsent bytes of one connection above which we stop answering its requests until it drains.
MAX_SEND_BUFFER: Final = 4 * MIB

# Unsent bytes of one connection above which it is closed. What waits for room stays far below: somebody sends what
# makes us answer in any case, and does not read the answers.
MAX_UNSENT_BYTES: Final = 32 * MIB

# Official peers write an empty message after 5 s of silence (@hyperswarm/secret-stream 6.9.2 as hypercore uses it).
KEEP_ALIVE_SECONDS: Final = 5.0

# A link on which what we wrote is not acknowledged for this long is dead (TCP_USER_TIMEOUT; UDX: 13-18 s).
DEAD_LINK_SECONDS: Final = 20.0

# Connections one process accepts; each costs some 300 KiB at worst before it has proved a key.
MAX_CONNECTIONS: Final = 1_024

# Nodes one walk through the DHT may visit; honest walks visit 30 to 100. Whoever invents nodes is not followed further.
MAX_QUERY_VISITS: Final = 1_024

# Requests of ours under way or waiting for the rate window; every one has a transaction id of 16 bits.
MAX_DHT_REQUESTS: Final = 16_384

# Delayed pings held at a time; each is a few hundred bytes for at most ten seconds (dht-rpc 6.27.0 has no bound).
MAX_DELAYED_PINGS: Final = 1_024

# Records of one lookup reply: storing nodes send 20, and no more than some 40 fit a datagram (hyperdht 6.34.0).
MAX_LOOKUP_RECORDS: Final = 64

# What a storing node keeps of strangers' records, in all (hyperdht 6.34.0 `defaultCacheOpts`), and of one topic: a
# lookup gets 20 of them at random.
MAX_STORED_RECORDS: Final = 65_536
MAX_STORED_VALUES: Final = 32_768
MAX_RECORDS_PER_TOPIC: Final = 1_024

# A value somebody stores with us. Official nodes read datagrams of at most 2048 bytes, so nobody honest sends more.
MAX_STORED_VALUE_BYTES: Final = 2_048

# Keys the swarm remembers beyond its connections; a few hundred bytes each. Found ones above it are found again later.
MAX_KNOWN_PEERS: Final = 16_384

# Peers one lookup may bring: its twenty closest nodes give at most twenty each, the others on the way rarely any.
MAX_PEERS_PER_LOOKUP: Final = 512

# Servers whose relay addresses are remembered for the next connect (hyperdht 6.34.0 `relayAddresses`).
MAX_RELAY_CACHE: Final = 512

# Hole punches under way because strangers asked for them; each holds a UDP socket for at most some ten seconds.
MAX_SERVER_PUNCHES: Final = 64

# UDP sockets beside the two of the node. Guessing through a random NAT takes 256 of them (hyperdht 6.34.0).
MAX_PUNCH_SOCKETS: Final = 512

# Handshakes of strangers a server keeps the answer of, for ten seconds after their end; and those whose client has not
# come yet, each of which holds a stream. The oldest give way: an honest client comes within a second or two.
MAX_SERVER_HANDSHAKES: Final = 8_192
MAX_WAITING_HANDSHAKES: Final = 1_024

# New handshakes a server computes in a second, on average and at once; one costs a third of a millisecond.
MAX_HANDSHAKES_PER_SECOND: Final = 500
MAX_HANDSHAKE_BURST: Final = 1_000

# A client's first Noise message: some 250 bytes today, and it came in one datagram.
MAX_HANDSHAKE_NOISE_BYTES: Final = 2_048

# The name of an extension is kept for each channel, because an empty one means "the same again".
MAX_EXTENSION_NAME: Final = 256

# A proof file: a lookup in a bee of 2^40 keys takes 23 blocks; a record's block is what makes a file large.
MAX_EVIDENCE_BYTES: Final = 16 * MIB
MAX_EVIDENCE_MESSAGES: Final = 1_024
