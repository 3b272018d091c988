#!/usr/bin/python3
"""twemproxy (nutcracker) with ketama hashing in front of two servers, through pymemcache and plain
bytes. Wants two servers.
"""

import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

from pymemcache.client.base import Client

from ketama import Ring
from support import Checks, Raw, free_port, parse_servers, wait_until

checks = Checks("twemproxy")
PROXY = shutil.which("nutcracker") or "/usr/sbin/nutcracker"
BIG = bytes(range(256)) * 4000

CONFIGURATION = """larder:
  listen: 127.0.0.1:%d
  hash: md5
  distribution: ketama
  timeout: 5000
  auto_eject_hosts: false
  preconnect: true
  servers:
%s"""


class Proxy:
    def __init__(self, servers, directory):
        self.port = free_port()
        path = os.path.join(directory, "nutcracker.yml")
        lines = "".join("   - %s:%d:1\n" % server for server in servers)
        with open(path, "w") as file:
            file.write(CONFIGURATION % (self.port, lines))
        self.log = os.path.join(directory, "nutcracker.log")
        self.process = subprocess.Popen([PROXY, "-c", path, "-o", self.log, "-p", os.path.join(directory, "pid"), "-a",
                                         "127.0.0.1", "-s", str(free_port()), "-v", "4"], stdin=subprocess.DEVNULL)

    def listening(self):
        try:
            Raw(("127.0.0.1", self.port)).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def commands(address):
    client = Client(address, default_noreply=False, timeout=10)
    checks.equal(client.get("absent"), None, "get of an absent key")
    checks.equal(client.set("a", b"5", flags=77), True, "set")
    checks.equal(client.get("a"), b"5", "get")
    checks.equal(client.add("a", b"2"), False, "add of a present key")
    checks.equal(client.add("b", b"2"), True, "add of an absent key")
    checks.equal(client.replace("b", b"3"), True, "replace")
    checks.equal(client.replace("none", b"3"), False, "replace of an absent key")
    checks.equal(client.append("a", b"6"), True, "append")
    checks.equal(client.prepend("a", b"4"), True, "prepend")
    checks.equal(client.incr("a", 4), 460, "incr")
    checks.equal(client.decr("a", 60), 400, "decr")
    value, unique = client.gets("a")
    checks.equal(value, b"400", "gets")
    checks.equal(client.cas("a", b"7", unique), True, "cas with the right unique")
    checks.equal(client.cas("a", b"8", unique), False, "cas with an old unique")
    checks.equal(client.cas("none", b"8", unique), None, "cas of an absent key")
    checks.equal(client.touch("a", 100), True, "touch")
    checks.equal(client.touch("none", 100), False, "touch of an absent key")
    checks.equal(client.delete("a"), True, "delete")
    checks.equal(client.delete("a"), False, "delete of an absent key")
    checks.equal(client.incr("none", 1), None, "incr of an absent key")
    for length in (0, 1, 2048, 16000, 16384, 70000, 300000, len(BIG)):
        checks.equal(client.set("v", BIG[:length]), True, "set of %d bytes" % length)
        checks.ok(client.get("v") == BIG[:length], "get of %d bytes" % length)
    client.quit()
    checks.equal(client.get("b"), b"3", "get after quit")
    client.close()


def many(address, servers):
    client = Client(address, default_noreply=False, timeout=20)
    data = {"t%d" % n: b"value %d" % n for n in range(1500)}
    checks.equal(client.set_many(data), [], "set_many of 1500")
    checks.equal(client.get_many(list(data)), data, "get_many of 1500")
    checks.equal({key: value for key, (value, _) in client.gets_many(list(data)).items()}, data, "gets_many of 1500")
    checks.equal(client.get_many(["t1", "none", "t2"]), {"t1": b"value 1", "t2": b"value 2"}, "get_many with a miss")
    ring = Ring(servers)
    for index, server in enumerate(servers):
        raw = Raw(server)
        placed = [(raw.value(key.encode()) is not None) == (ring.owner(key) == index) for key in data]
        checks.equal(placed.count(False), 0, "server %d has the keys that the ring gives it" % index)
        checks.ok(sum(ring.owner(key) == index for key in data) > 400, "server %d has its share" % index)
    large = {"large%d" % n: bytes([65 + n]) * 150000 for n in range(20)}
    checks.equal(client.set_many(large), [], "set_many of large values")
    checks.ok(client.get_many(list(large)) == large, "get_many of large values")
    checks.equal(client.delete_many(list(data)), True, "delete_many")
    checks.equal(client.get_many(list(data)), {}, "get_many after delete_many")
    client.close()


def pipelines(address):
    raw = Raw(address)
    count = 2000
    raw.send(b"".join(b"set p%d 3 0 5 noreply\r\n%05d\r\n" % (n, n) for n in range(count)))
    raw.send(b"".join(b"get p%d\r\n" % n for n in range(count)))
    right = 0
    for n in range(count):
        line = raw.line()
        if line == b"END":
            continue
        right += (line, raw.line(), raw.line()) == (b"VALUE p%d 3 5" % n, b"%05d" % n, b"END")
    checks.equal(right, count, "%d silent sets and gets in one pipeline" % count)
    raw.send(b"".join(b"incr c%d 1\r\nadd c%d 0 0 1\r\n1\r\nincr c%d 1\r\n" % (n, n, n) for n in range(500)))
    replies = [raw.line() for _ in range(1500)]
    checks.equal(replies, [b"NOT_FOUND", b"STORED", b"2"] * 500, "a pipeline of mixed commands keeps its order")
    raw.close()
    others = [Raw(address) for _ in range(50)]
    for number, other in enumerate(others):
        other.send(b"set o%d 0 0 2\r\n%02d\r\nget o%d\r\n" % (number, number, number))
    right = [(o.line(), o.line(), o.line(), o.line()) == (b"STORED", b"VALUE o%d 0 2" % n, b"%02d" % n, b"END")
             for n, o in enumerate(others)]
    checks.equal(right.count(True), 50, "50 connections")
    for other in others:
        other.close()


def main():
    servers = parse_servers(__doc__)[:2]
    with tempfile.TemporaryDirectory(prefix="larder-twemproxy-") as directory:
        proxy = Proxy(servers, directory)
        try:
            if checks.ok(wait_until(proxy.listening, 10), "the proxy listens"):
                address = ("127.0.0.1", proxy.port)
                checks.section(commands, address)
                checks.section(many, address, servers)
                checks.section(pipelines, address)
                checks.ok(proxy.process.poll() is None, "the proxy lives")
        finally:
            proxy.stop()
    checks.finish()


if __name__ == "__main__":
    main()
