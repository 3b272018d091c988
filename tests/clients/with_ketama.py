#!/usr/bin/python3
"""Three servers under ketama hashing, through pylibmc: every key is on the server where the ring,
computed here, says, and losing a server moves only that server's keys. Wants three servers.
"""

import sys

sys.dont_write_bytecode = True

import pylibmc

from ketama import Ring
from support import Checks, Raw, free_port, parse_servers, wait_until

checks = Checks("ketama")
KEYS = ["user:%d:profile" % n for n in range(3000)]


def connect(servers, **behaviors):
    patience = {"connect_timeout": 30000, "_poll_timeout": 30000}
    return pylibmc.Client(["%s:%d" % server for server in servers], behaviors=dict(patience, ketama_weighted=True, **behaviors))


def held_by(raw, keys):
    """The keys that a server has, asked past the client."""
    held = set()
    for at in range(0, len(keys), 100):
        raw.send(b"get " + b" ".join(key.encode() for key in keys[at:at + 100]) + b"\r\n")
        while True:
            line = raw.line()
            if line == b"END":
                break
            raw.bytes(int(line.split()[3]) + 2)
            held.add(line.split()[1].decode())
    return held


def placement(servers, raws):
    mc = connect(servers)
    ring = Ring(servers)
    checks.equal(mc.set_multi({key: "value of " + key for key in KEYS}), [], "set_multi of %d" % len(KEYS))
    for index, raw in enumerate(raws):
        wanted = {key for key in KEYS if ring.owner(key) == index}
        held = held_by(raw, KEYS)
        checks.equal(len(held - wanted), 0, "server %d holds nothing that belongs elsewhere" % index)
        checks.equal(len(wanted - held), 0, "server %d holds all that belongs to it" % index)
        checks.ok(len(KEYS) * 0.2 < len(held) < len(KEYS) * 0.5, "server %d has its share" % index, str(len(held)))
    checks.equal(mc.get_multi(KEYS), {key: "value of " + key for key in KEYS}, "get_multi of all")
    for key in KEYS[:200]:
        checks.equal(mc.get(key), "value of " + key, "get of " + key)
    checks.equal(mc.delete_multi(KEYS[:1000]), True, "delete_multi")
    checks.equal(sum(len(held_by(raw, KEYS)) for raw in raws), len(KEYS) - 1000, "deletes reach the right servers")
    again = connect(list(reversed(servers)))
    checks.equal(len(again.get_multi(KEYS[1000:])), len(KEYS) - 1000, "the order of the servers does not matter")
    for key in KEYS[1000:1100]:
        mc.set(key, 1)
        checks.equal(again.incr(key), 2, "two clients agree on " + key)


def without_one(servers):
    all_three, two = Ring(servers), Ring(servers[:2])
    mc = connect(servers)
    mc.set_multi({key: "x" for key in KEYS})
    found = connect(servers[:2]).get_multi(KEYS)
    kept = [key for key in KEYS if all_three.owner(key) != 2]
    checks.equal(all(all_three.owner(key) == two.owner(key) for key in kept), True, "the ring keeps the others in place")
    checks.equal(set(found) >= set(kept), True, "without a server, all keys of the others are found")
    checks.ok(len(found) < len(KEYS) * 0.8, "the lost server's keys are lost", str(len(found)))


def dead_server(servers):
    """A dead server is ejected, and its keys go to the others."""
    dead = ("127.0.0.1", free_port())
    mc = connect(servers[:2] + [dead], auto_eject=True, failure_limit=1, retry_timeout=1, dead_timeout=60,
                 connect_timeout=500)

    def all_stored():
        try:
            return all(mc.set(key, "moved") for key in KEYS[:300])
        except pylibmc.Error:
            return False

    checks.ok(wait_until(all_stored, 10), "a dead server is left out")
    checks.equal(len(mc.get_multi(KEYS[:300])), 300, "its keys are served by the others")


def main():
    servers = parse_servers(__doc__)
    raws = [Raw(server) for server in servers]
    checks.section(placement, servers, raws)
    checks.section(without_one, servers)
    checks.section(dead_server, servers)
    checks.finish()


if __name__ == "__main__":
    main()
