#!/usr/bin/python3
"""pymemcache: every command of Client, PooledClient, HashClient and RetryingClient.

Wants three servers: HOST:PORT,HOST:PORT,HOST:PORT. The environment may name two more ways to
reach one: LARDER_TEST_UNIX (a socket's path) and LARDER_TEST_IPV6 ([::1]:PORT).
"""

import os
import sys

sys.dont_write_bytecode = True

from pymemcache.client.base import Client, PooledClient
from pymemcache.client.base import KeepaliveOpts
from pymemcache.client.hash import HashClient
from pymemcache.client.retrying import RetryingClient
from pymemcache.exceptions import (MemcacheClientError, MemcacheError, MemcacheIllegalInputError, MemcacheServerError,
                                   MemcacheUnknownCommandError)
from pymemcache.serde import PickleSerde, pickle_serde

from support import Checks, Raw, free_port, parse_servers, split_address, wait_until

checks = Checks("pymemcache")
BIG = bytes(range(256)) * 4090  # 1,047,040 bytes: near the limit, header included
TOO_BIG = b"x" * (1024 * 1024 + 1)


def storage(client, raw):
    client.flush_all()
    checks.equal(client.get("absent"), None, "get of an absent key")
    checks.equal(client.get("absent", "other"), "other", "get's default")
    checks.equal(client.set("a", b"1"), True, "set")
    checks.equal(client.get("a"), b"1", "get after set")
    checks.equal(client.set("a", "text"), True, "set of text over bytes")
    checks.equal(client.get("a"), b"text", "get returns what was set last")
    checks.equal(client.set(b"bytes-key", b"v"), True, "set with a key in bytes")
    checks.equal(client.get(b"bytes-key"), b"v", "get with a key in bytes")
    checks.equal(client.add("a", b"2"), False, "add of a present key")
    checks.equal(client.get("a"), b"text", "a refused add changes nothing")
    checks.equal(client.add("b", b"2"), True, "add of an absent key")
    checks.equal(client.get("b"), b"2", "get after add")
    checks.equal(client.replace("b", b"3"), True, "replace of a present key")
    checks.equal(client.get("b"), b"3", "get after replace")
    checks.equal(client.replace("c", b"3"), False, "replace of an absent key")
    checks.equal(client.get("c"), None, "a refused replace stores nothing")
    checks.equal(client.append("b", b"-after"), True, "append")
    checks.equal(client.prepend("b", b"before-"), True, "prepend")
    checks.equal(client.get("b"), b"before-3-after", "get after append and prepend")
    checks.equal(client.append("c", b"x"), False, "append to an absent key")
    checks.equal(client.prepend("c", b"x"), False, "prepend to an absent key")
    checks.equal(client.append("b", b""), True, "append of nothing")
    checks.equal(client.get("b"), b"before-3-after", "an empty append changes nothing")
    checks.equal(client.delete("b"), True, "delete of a present key")
    checks.equal(client.delete("b"), False, "delete of an absent key")
    checks.equal(client.get("b"), None, "get after delete")
    client["item"] = b"by subscript"
    checks.equal(client["item"], b"by subscript", "subscript set and get")
    del client["item"]
    checks.equal(client.get("item"), None, "subscript delete")
    checks.raises(KeyError, "subscript of an absent key", lambda: client["item"])


def values(client, raw):
    for length in (0, 1, 2, 7, 8, 100, 1023, 1024, 2047, 2048, 2049, 4096, 16383, 16384, 65535, 65536, 65537, 262144,
                   524288, len(BIG)):
        data = BIG[:length]
        checks.equal(client.set("v%d" % length, data), True, "set of %d bytes" % length)
        checks.equal(client.get("v%d" % length), data, "get of %d bytes" % length)
    for name, data in (("line ends", b"a\r\nEND\r\nVALUE x 0 1\r\n"), ("zeros", bytes(1000)), ("one CR", b"\r"),
                       ("one LF", b"\n"), ("every byte", bytes(range(256))), ("only a line end", b"\r\n"),
                       ("looks like a reply", b"STORED\r\n")):
        checks.equal(client.set("binary", data), True, "set, " + name)
        checks.equal(client.get("binary"), data, "get, " + name)
    checks.raises(MemcacheServerError, "set over the item limit", client.set, "v1", TOO_BIG)
    checks.equal(client.get("v1"), None, "set over the limit removes the old item")
    client.set("small", b"kept")
    checks.raises(MemcacheServerError, "append past the item limit", client.append, "small", TOO_BIG)
    checks.equal(client.get("small"), b"kept", "a refused append keeps the value")
    checks.raises(MemcacheServerError, "add over the item limit", client.add, "new", TOO_BIG)
    checks.raises(MemcacheServerError, "replace over the item limit", client.replace, "small", TOO_BIG)
    checks.equal(client.get("small"), b"kept", "a refused replace keeps the value")
    growing = b""
    client.set("grow", growing)
    for step in range(60):
        part = (b"%d," % step) * (step * 20)
        growing += part
        client.append("grow", part)
    checks.equal(client.get("grow"), growing, "60 appends through the size classes")


def flags(client, raw):
    for value in (0, 1, 255, 256, 65535, 65536, 2**31, 2**32 - 1):
        checks.equal(client.set("f", b"x", flags=value), True, "set with flags %d" % value)
        checks.equal(raw.meta(b"f", b"f"), {"f": str(value)}, "flags %d come back" % value)
    for name in ("add", "replace"):
        client.delete("f") if name == "add" else client.set("f", b"y")
        getattr(client, name)("f", b"x", flags=77)
        checks.equal(raw.meta(b"f", b"f"), {"f": "77"}, name + " sets the flags")
    client.append("f", b"y", flags=12)
    checks.equal(raw.meta(b"f", b"f s"), {"f": "77", "s": "2"}, "append keeps the flags")
    client.prepend("f", b"y", flags=12)
    checks.equal(raw.meta(b"f", b"f s"), {"f": "77", "s": "3"}, "prepend keeps the flags")
    _, unique = client.gets("f")
    client.cas("f", b"z", unique, flags=5)
    checks.equal(raw.meta(b"f", b"f"), {"f": "5"}, "cas sets the flags")


def cas(client, raw):
    client.set("c", b"1")
    value, unique = client.gets("c")
    checks.equal(value, b"1", "gets' value")
    checks.ok(unique.isdigit() and int(unique) > 0, "gets' unique is a number", repr(unique))
    checks.equal(client.gets("c")[1], unique, "reading does not change the unique")
    checks.equal(client.cas("c", b"2", unique), True, "cas with the right unique")
    checks.equal(client.get("c"), b"2", "get after cas")
    checks.equal(client.cas("c", b"3", unique), False, "cas with an old unique")
    checks.equal(client.get("c"), b"2", "a refused cas changes nothing")
    checks.equal(client.cas("absent", b"3", unique), None, "cas of an absent key")
    checks.equal(client.gets("absent"), (None, None), "gets of an absent key")
    checks.equal(client.gets("absent", default="d", cas_default="u"), ("d", "u"), "gets' defaults")
    seen = {client.gets("c")[1]}
    changes = (lambda: client.set("c", b"4"), lambda: client.replace("c", b"5"), lambda: client.append("c", b"6"),
               lambda: client.prepend("c", b"6"), lambda: client.incr("c", 1), lambda: client.decr("c", 1),
               lambda: client.cas("c", b"7", client.gets("c")[1]),
               lambda: (client.delete("c"), client.add("c", b"8")))
    for number, change in enumerate(changes):
        change()
        unique = client.gets("c")[1]
        checks.ok(unique not in seen, "change %d makes a new unique" % number)
        seen.add(unique)
    client.touch("c", 100)
    checks.equal(client.gets("c")[1], unique, "touch keeps the unique")
    checks.equal(client.cas("c", b"9", int(unique)), True, "cas with an integer")
    checks.equal(client.cas("c", b"9", client.gets("c")[1].decode()), True, "cas with a string")
    checks.equal(client.cas("c", b"10", client.gets("c")[1], noreply=True), True, "cas with noreply")
    checks.equal(client.get("c"), b"10", "cas with noreply took effect")
    checks.equal(client.cas("c", b"11", unique, noreply=True), True, "a losing cas with noreply")
    checks.equal(client.get("c"), b"10", "a losing cas with noreply changes nothing")
    checks.raises(MemcacheIllegalInputError, "cas with a unique that is no number", client.cas, "c", b"9", "abc")


def many(client, raw):
    data = {"m%d" % n: b"value %d" % n for n in range(500)}
    checks.equal(client.set_many(data), [], "set_many of 500")
    checks.equal(client.get_many(list(data)), data, "get_many of 500")
    checks.equal(client.get_multi(list(data)), data, "get_multi is get_many")
    checks.equal(client.get_many([]), {}, "get_many of nothing")
    checks.equal(client.get_many(["m1", "none", "m2"]), {"m1": b"value 1", "m2": b"value 2"}, "get_many skips misses")
    checks.equal(client.get_many(["none1", "none2"]), {}, "get_many of misses alone")
    found = client.gets_many(["m%d" % n for n in range(100)] + ["none"])
    checks.equal({key: value for key, (value, _) in found.items()}, {key: data[key] for key in found}, "gets_many")
    checks.equal(len(found), 100, "gets_many finds all")
    checks.equal(len({unique for _, unique in found.values()}), 100, "uniques of 100 keys differ")
    checks.equal(client.cas("m7", b"new", found["m7"][1]), True, "cas with a unique from gets_many")
    checks.equal(client.delete_many(["m%d" % n for n in range(100)]), True, "delete_many")
    checks.equal(client.get_many(["m%d" % n for n in range(101)]), {"m100": b"value 100"}, "get_many after delete_many")
    checks.equal(client.delete_multi(["m100", "none"]), True, "delete_multi with an absent key")
    checks.equal(client.set_multi({"x": b"1", "y": b"2"}, expire=100), [], "set_multi with an expiry")
    checks.equal(raw.meta(b"y", b"t")["t"] in ("99", "100"), True, "set_multi's expiry")
    large = {"big%d" % n: bytes([n]) * 200000 for n in range(20)}
    checks.equal(client.set_many(large), [], "set_many of 20 values of 200 KB")
    checks.equal(client.get_many(list(large)), large, "get_many of 20 values of 200 KB")
    keys = ["k%d-%s" % (n, "x" * 200) for n in range(3000)]
    client.set_many({key: key.encode() for key in keys}, noreply=True)
    checks.equal(client.get_many(keys), {key: key.encode() for key in keys}, "get_many with a line of 600 KB")


def numbers(client, raw):
    checks.equal(client.incr("n", 1), None, "incr of an absent key")
    checks.equal(client.decr("n", 1), None, "decr of an absent key")
    client.set("n", b"10")
    checks.equal(client.incr("n", 1), 11, "incr")
    checks.equal(client.incr("n", 0), 11, "incr by nothing")
    checks.equal(client.incr("n", 100), 111, "incr to more digits")
    checks.equal(client.decr("n", 1), 110, "decr")
    checks.equal(client.decr("n", 60), 50, "decr to fewer digits")
    checks.equal(client.get("n"), b"50 ", "a shorter number keeps the length, padded")
    checks.equal(client.decr("n", 100), 0, "decr stops at 0")
    checks.equal(client.incr("n", 2**64 - 1), 2**64 - 1, "incr to the largest")
    checks.equal(client.incr("n", 2), 1, "incr wraps at 64 bits")
    checks.equal(client.incr("n", 5, noreply=True), None, "incr with noreply")
    checks.equal(client.decr("n", 2, noreply=True), None, "decr with noreply")
    checks.equal(client.incr("n", 0), 4, "incr and decr with noreply took effect")
    client.set("n", b"99", flags=9)
    client.incr("n", 1)
    checks.equal(raw.meta(b"n", b"f s"), {"f": "9", "s": "3"}, "incr keeps the flags")
    client.set("word", b"abc")
    checks.raises(MemcacheClientError, "incr of a word", client.incr, "word", 1)
    checks.raises(MemcacheClientError, "decr of a word", client.decr, "word", 1)
    client.set("word", b"")
    checks.raises(MemcacheClientError, "incr of an empty value", client.incr, "word", 1)
    client.set("word", b"1" * 21)
    checks.raises(MemcacheClientError, "incr of 21 digits", client.incr, "word", 1)
    client.set("n", b"1")
    checks.raises(MemcacheClientError, "incr by a negative number", client.incr, "n", -1)
    checks.raises(MemcacheClientError, "incr by more than 64 bits", client.incr, "n", 2**64)
    checks.equal(client.get("n"), b"1", "a refused incr changes nothing")
    checks.raises(MemcacheIllegalInputError, "incr by a word", client.incr, "n", "x")


def expiry(client, raw):
    client.flush_all()
    client.set("short", b"1", expire=1)
    client.add("short-add", b"1", expire=1)
    client.set("short-replace", b"1")
    client.replace("short-replace", b"1", expire=1)
    client.set("short-touch", b"1")
    client.set("short-cas", b"1")
    client.cas("short-cas", b"2", client.gets("short-cas")[1], expire=1)
    client.set_many({"short-many1": b"1", "short-many2": b"2"}, expire=1)
    client.set("long", b"1", expire=1000)
    client.set("kept", b"1", expire=1)
    checks.equal(client.touch("kept", 1000), True, "touch")
    checks.equal(client.touch("short-touch", 1), True, "touch shortens")
    checks.equal(client.touch("absent", 1), False, "touch of an absent key")
    client.set("past", b"1", expire=-1)
    checks.equal(client.get("past"), None, "a negative expiry is past")
    client.set("date", b"1", expire=2**31 - 10)
    checks.equal(client.get("date"), b"1", "an expiry at a date far off")
    client.set("old", b"1", expire=60 * 60 * 24 * 30 + 1)
    checks.equal(client.get("old"), None, "an expiry at a date long ago")
    client.set("month", b"1", expire=60 * 60 * 24 * 30)
    checks.ok(int(raw.meta(b"month", b"t")["t"]) >= 60 * 60 * 24 * 30 - 2, "30 days is a length of time")
    checks.equal(raw.meta(b"long", b"t")["t"] in ("999", "1000"), True, "the time to live is as set")
    client.touch("long", 0)
    checks.equal(raw.meta(b"long", b"t"), {"t": "-1"}, "touch with 0: no expiry")
    short = ["short", "short-add", "short-replace", "short-touch", "short-cas", "short-many1", "short-many2"]
    checks.ok(wait_until(lambda: client.get_many(short) == {}, 4), "keys of one second expire within four",
              repr(client.get_many(short)))
    checks.equal(client.add("short", b"2"), True, "add after expiry")
    checks.equal(client.incr("short-add", 1), None, "incr after expiry")
    checks.equal(client.append("short-replace", b"1"), False, "append after expiry")
    checks.equal(client.touch("short-touch", 100), False, "touch after expiry")
    checks.equal(client.delete("short-cas"), False, "delete after expiry")
    checks.equal(client.get_many(["long", "kept", "date", "month"]),
                 {"long": b"1", "kept": b"1", "date": b"1", "month": b"1"}, "the others stay")
    client.touch("kept", -1)
    checks.equal(client.get("kept"), None, "touch with a negative expiry ends it")


def silent(client, raw):
    """Every command that has noreply; the next reply must be the next command's own."""
    client.flush_all()
    checks.equal(client.set("q", b"1", noreply=True), True, "set with noreply")
    checks.equal(client.get("q"), b"1", "set with noreply took effect")
    checks.equal(client.add("q", b"2", noreply=True), True, "refused add with noreply")
    checks.equal(client.get("q"), b"1", "refused add with noreply says nothing")
    checks.equal(client.replace("none", b"2", noreply=True), True, "refused replace with noreply")
    checks.equal(client.get("none"), None, "refused replace with noreply says nothing")
    client.append("q", b"2", noreply=True)
    client.prepend("q", b"0", noreply=True)
    client.append("none", b"2", noreply=True)
    checks.equal(client.get("q"), b"012", "append and prepend with noreply")
    checks.equal(client.touch("q", 100, noreply=True), True, "touch with noreply")
    client.touch("none", 100, noreply=True)
    checks.equal(client.delete("q", noreply=True), True, "delete with noreply")
    client.delete("none", noreply=True)
    checks.equal(client.get("q"), None, "delete with noreply took effect")
    checks.equal(client.set_many({"q%d" % n: b"%d" % n for n in range(1000)}, noreply=True), [], "1000 silent sets")
    checks.equal(len(client.get_many(["q%d" % n for n in range(1000)])), 1000, "1000 silent sets took effect")
    client.delete_many(["q%d" % n for n in range(999)], noreply=True)
    checks.equal(client.get_many(["q998", "q999"]), {"q999": b"999"}, "999 silent deletes")
    client.set("q999", b"word")
    client.incr("q999", 1, noreply=True)
    checks.equal(client.get("q999"), b"word", "an error with noreply says nothing")
    client.set("q999", TOO_BIG, noreply=True)
    checks.equal(client.get("q999"), None, "a value too large with noreply says nothing")
    checks.equal(client.flush_all(noreply=True), True, "flush_all with noreply")
    checks.equal(client.get("q999"), None, "flush_all with noreply took effect")


def keys(client, raw):
    longest = "k" * 250
    checks.equal(client.set(longest, b"long"), True, "set with a key of 250 bytes")
    checks.equal(client.get(longest), b"long", "get with a key of 250 bytes")
    checks.equal(client.get(longest[:-1]), None, "a key of 249 bytes is another")
    checks.equal(client.incr(longest, 0) if client.set(longest, b"1") else 0, 1, "incr with a key of 250 bytes")
    checks.equal(client.delete(longest), True, "delete with a key of 250 bytes")
    for bad in ("k" * 251, "a b", "a\tb", "a\r\nb", "a\0b", "\x7f" * 251):
        checks.raises(MemcacheIllegalInputError, "the client refuses key %s" % ascii(bad[:8]), client.set, bad, b"1")
    checks.raises(MemcacheIllegalInputError, "unicode keys need to be allowed", client.set, "caf\u00e9", b"1")
    # Behind the client's back: what it would refuse, the server stores.
    for key in (b"\x01\x02\x03", b"\x7f\x7f", b"\xff" * 250, "caf\u00e9".encode(), b"tab\tinside"):
        checks.equal(raw.ask(b"set " + key + b" 0 0 1\r\nb"), b"STORED", "raw set of key %s" % ascii(key[:8]))
        checks.equal(raw.value(key), b"b", "raw get of key %s" % ascii(key[:8]))
        checks.equal(raw.ask(b"delete " + key), b"DELETED", "raw delete of key %s" % ascii(key[:8]))
    checks.equal(raw.ask(b"delete " + b"k" * 251), b"CLIENT_ERROR bad command line format", "raw key of 251 bytes")
    odd = ["0", "-1", "a:b", "a/b", "{}", "\"", "'", "%20", "get", "noreply", "*", "!", "~" * 100]
    client.set_many({key: key.encode() for key in odd})
    checks.equal(client.get_many(odd), {key: key.encode() for key in odd}, "odd but plain keys")


def information(client, raw):
    version = client.version()
    checks.ok(version.startswith(b"1.6."), "version is 1.6.x", repr(version))
    stats = client.stats()
    for name in (b"pid", b"uptime", b"time", b"pointer_size", b"curr_connections", b"total_connections", b"cmd_get",
                 b"cmd_set", b"cmd_flush", b"cmd_touch", b"get_hits", b"get_misses", b"delete_hits", b"delete_misses",
                 b"incr_hits", b"incr_misses", b"decr_hits", b"decr_misses", b"cas_hits", b"cas_misses", b"cas_badval",
                 b"touch_hits", b"touch_misses", b"bytes", b"curr_items", b"total_items", b"limit_maxbytes",
                 b"bytes_read", b"bytes_written", b"threads", b"evictions", b"reclaimed"):
        checks.ok(isinstance(stats.get(name), int), "stats has %s, a number" % name.decode(), repr(stats.get(name)))
    checks.ok(isinstance(stats.get(b"rusage_user"), float), "rusage_user is a fraction", repr(stats.get(b"rusage_user")))
    checks.ok(isinstance(stats.get(b"rusage_system"), float), "rusage_system is a fraction")
    checks.ok(stats.get(b"version", b"").startswith(b"1.6."), "stats has the version")
    checks.equal(stats.get(b"pointer_size"), 64, "pointers have 64 bits")
    before = client.stats()
    client.set("stat", b"12345")
    client.get("stat")
    client.get("no-such-key")
    client.delete("stat")
    client.delete("stat")
    client.touch("no-such-key", 1)
    client.incr("no-such-key", 1)
    after = client.stats()
    for name, change in ((b"cmd_get", 2), (b"get_hits", 1), (b"get_misses", 1), (b"cmd_set", 1), (b"total_items", 1),
                         (b"delete_hits", 1), (b"delete_misses", 1), (b"touch_misses", 1), (b"cmd_touch", 1),
                         (b"incr_misses", 1), (b"curr_items", 0)):
        checks.equal(after[name] - before[name], change, "%s counts" % name.decode())
    client.set("stat", b"12345")
    items = client.stats("items")
    checks.ok(any(name.startswith(b"items:") and name.endswith(b":number") for name in items), "stats items")
    slabs = client.stats("slabs")
    checks.ok(b"active_slabs" in slabs and b"total_malloced" in slabs, "stats slabs has the totals")
    checks.ok(any(name.endswith(b":chunk_size") for name in slabs), "stats slabs has chunk sizes")
    settings = client.stats("settings")
    checks.equal(settings.get(b"maxconns"), 1024, "stats settings: maxconns")
    checks.equal(settings.get(b"evictions"), b"on", "stats settings: evictions on")
    checks.equal(settings.get(b"cas_enabled"), b"yes", "stats settings: cas on")
    checks.equal(settings.get(b"item_size_max"), 1048576, "stats settings: item_size_max")
    checks.ok(isinstance(settings.get(b"growth_factor"), float), "stats settings: growth_factor is a fraction")
    checks.ok(len(client.stats("conns")) >= 2, "stats conns")
    checks.ok(isinstance(client.stats("sizes"), dict), "stats sizes")
    client.get("stat")
    checks.equal(client.cache_memlimit(100), True, "cache_memlimit")
    checks.equal(client.stats()[b"limit_maxbytes"], 100 << 20, "cache_memlimit took effect")
    checks.equal(client.cache_memlimit(64), True, "cache_memlimit back")


def flushing(client, raw):
    client.set_many({"fl%d" % n: b"x" for n in range(100)})
    checks.equal(client.flush_all(), True, "flush_all")
    checks.equal(client.get_many(["fl%d" % n for n in range(100)]), {}, "flush_all empties")
    checks.equal(client.add("fl1", b"new"), True, "add after flush_all")
    checks.equal(client.get("fl1"), b"new", "what is stored after flush_all stays")
    checks.equal(client.flush_all(delay=2), True, "flush_all with a delay")
    checks.equal(client.get("fl1"), b"new", "flush_all with a delay waits")
    checks.ok(wait_until(lambda: client.get("fl1") is None, 5), "flush_all with a delay takes effect")
    # The flush of a whole second may catch what is stored in it.
    checks.ok(wait_until(lambda: client.set("fl1", b"2") and client.get("fl1") == b"2", 4), "storing works again")


def errors(client, raw):
    checks.raises(MemcacheUnknownCommandError, "an unknown command", client._misc_cmd, [b"bogus\r\n"], b"bogus", False)
    checks.equal(client.set("after", b"1"), True, "the client goes on after an error")
    # "ERROR: shutdown not enabled" in older releases of memcached, a SERVER_ERROR in newer: refused either way.
    checks.raises(MemcacheError, "shutdown without -A", client.shutdown)
    checks.raises(MemcacheError, "graceful shutdown without -A", client.shutdown, graceful=True)
    checks.raises(MemcacheClientError, "too few words", client._misc_cmd, [b"incr x\r\n"], b"incr", False)
    checks.raises(MemcacheIllegalInputError, "an expiry that is no integer", client.set, "a", b"1", expire="x")
    checks.raises(MemcacheIllegalInputError, "a value that is not ASCII", client.set, "a", "caf\u00e9")
    # Several commands in one send, an error among them: each has its reply.
    replies = client._misc_cmd([b"delete e1\r\n", b"touch e1 1\r\n", b"verbosity 0\r\n"], b"delete", False)
    checks.equal(replies, [b"NOT_FOUND", b"NOT_FOUND", b"OK"], "three commands in one send")
    client.quit()
    checks.equal(client.get("after"), b"1", "the client connects again after quit")
    client.close()
    checks.equal(client.get("after"), b"1", "the client connects again after close")
    client.disconnect_all()
    checks.equal(client.get("after"), b"1", "the client connects again after disconnect_all")


def meta(client, raw):
    """Meta commands of one line each, through the client's own framing."""
    one = lambda line: client._misc_cmd([line + b"\r\n"], b"meta", False)[0]
    checks.equal(one(b"mn"), b"MN", "mn")
    checks.equal(one(b"ms meta 2 T100 F7\r\nhi"), b"HD", "ms")
    checks.equal(one(b"mg meta f s t"), b"HD f7 s2 t100" if one(b"mg meta t") == b"HD t100" else b"HD f7 s2 t99", "mg")
    checks.equal(one(b"ms meta 1 MA\r\n!"), b"HD", "ms append")
    checks.equal(client.get("meta"), b"hi!", "get after ms append")
    checks.equal(one(b"ms meta 1 ME\r\n!"), b"NS", "ms add of a present key")
    checks.equal(one(b"ms other 1 MR\r\n!"), b"NS", "ms replace of an absent key")
    checks.equal(one(b"md meta q\r\nmn"), b"MN", "md with q")
    checks.equal(one(b"mg meta v"), b"EN", "mg of an absent key")
    checks.equal(one(b"ma counter N0 J13 O77 k"), b"HD O77 kcounter", "ma creates")
    checks.equal(one(b"ma counter D5"), b"HD", "ma adds")
    checks.equal(client.get("counter"), b"18", "get after ma")
    checks.equal(one(b"md counter"), b"HD", "md")
    checks.equal(one(b"md counter"), b"NF", "md of an absent key")
    checks.raises(MemcacheClientError, "a bad meta flag", one, b"mg meta !")


def serializers(client_class, address, raw):
    class Thing:
        def __eq__(self, other):
            return type(self) is type(other) and vars(self) == vars(other)

    objects = {"text": "caf\u00e9 \u20ac \U0001F600", "bytes": b"\0\xff", "int": 12345678901234567890, "negative": -5,
               "float": 2.5, "none": None, "list": [1, "two", [3.0]], "dict": {"a": (1, 2)}, "true": True,
               "large": list(range(50000))}
    for name, serde in (("pickle_serde", pickle_serde), ("PickleSerde(0)", PickleSerde(pickle_version=0))):
        client = client_class(address, serde=serde, default_noreply=False, timeout=10)
        checks.equal(client.set_many(objects), [], "%s: set_many of objects" % name)
        for key, value in objects.items():
            checks.equal(client.get(key), value, "%s: %s" % (name, key))
        checks.equal(client.get_many(list(objects)), objects, "%s: get_many of objects" % name)
        checks.equal(client.gets("dict")[0], objects["dict"], "%s: gets" % name)
        checks.equal(client.incr("int", 1), 12345678901234567891, "%s: incr of an integer" % name)
        checks.equal(client.get("int"), 12345678901234567891, "%s: get after incr keeps the type" % name)
        client.close()
    checks.equal(raw.meta(b"text", b"f"), {"f": "16"}, "the serializer's flags are stored")


def options(address, raw):
    client = Client(address, allow_unicode_keys=True, encoding="utf-8", default_noreply=False, timeout=10)
    for key in ("caf\u00e9", "\u65e5\u672c\u8a9e", "\U0001F600" * 60):
        checks.equal(client.set(key, "v\u00e9"), True, "set of unicode key %s" % ascii(key[:4]))
        checks.equal(client.get(key), "v\u00e9".encode(), "get of unicode key %s" % ascii(key[:4]))
    checks.equal(client.get_many(["caf\u00e9", "\u65e5\u672c\u8a9e"]),
                 {"caf\u00e9": b"v\xc3\xa9", "\u65e5\u672c\u8a9e": b"v\xc3\xa9"}, "get_many of unicode keys")
    checks.equal(client.delete("caf\u00e9"), True, "delete of a unicode key")
    client.close()
    client = Client(address, key_prefix=b"prefix:", default_noreply=False, no_delay=True, timeout=10, connect_timeout=5,
                    socket_keepalive=KeepaliveOpts(idle=10))
    client.set("a", b"prefixed")
    checks.equal(client.get_many(["a"]), {"a": b"prefixed"}, "get_many with a prefix")
    checks.equal(raw.value(b"prefix:a"), b"prefixed", "the prefix is in the key")
    client.close()
    client = Client(address, timeout=10)
    checks.equal(client.set("d", b"1"), True, "the client's default is noreply")
    checks.equal(client.add("d", b"2"), True, "a refused add without a reply")
    checks.equal(client.get("d"), b"1", "get after silent commands")
    client.close()
    client = Client(("127.0.0.1", free_port()), ignore_exc=True, timeout=1)
    checks.equal(client.get("x", "default"), "default", "ignore_exc without a server")
    retrying = RetryingClient(Client(address, default_noreply=False), attempts=3, retry_delay=0.01,
                              retry_for=[MemcacheServerError])
    checks.equal(retrying.set("r", b"1"), True, "RetryingClient: set")
    checks.equal(retrying.get("r"), b"1", "RetryingClient: get")
    checks.raises(MemcacheServerError, "RetryingClient: gives up", retrying.set, "r", TOO_BIG)
    retrying.close()


def every_command(client, name):
    """The commands that all client classes share, once each."""
    client.set("p", b"1")
    checks.equal(client.get("p"), b"1", name + ": set and get")
    checks.equal(client.add("p", b"2"), False, name + ": add")
    checks.equal(client.replace("p", b"5"), True, name + ": replace")
    checks.equal(client.append("p", b"6"), True, name + ": append")
    checks.equal(client.prepend("p", b"4"), True, name + ": prepend")
    checks.equal(client.incr("p", 4), 460, name + ": incr")
    checks.equal(client.decr("p", 60), 400, name + ": decr")
    value, unique = client.gets("p")
    checks.equal(value, b"400", name + ": gets")
    checks.equal(client.cas("p", b"7", unique), True, name + ": cas")
    checks.equal(client.cas("p", b"8", unique), False, name + ": cas with an old unique")
    checks.equal(client.touch("p", 100), True, name + ": touch")
    data = {"p%d" % n: b"%d" % n for n in range(200)}
    checks.equal(client.set_many(data), [], name + ": set_many")
    checks.equal(client.get_many(list(data)), data, name + ": get_many")
    checks.equal({k: v[0] for k, v in client.gets_many(list(data)).items()}, data, name + ": gets_many")
    checks.equal(client.delete("p"), True, name + ": delete")
    checks.equal(client.delete_many(list(data)), True, name + ": delete_many")
    checks.equal(client.get_many(list(data)), {}, name + ": get_many after delete_many")
    client.set("p", BIG)
    checks.equal(client.get("p"), BIG, name + ": a value near the limit")
    client.flush_all()
    checks.equal(client.get("p"), None, name + ": flush_all")
    client.quit()
    checks.equal(client.get("p"), None, name + ": get after quit")
    client.close()


def hashed(servers, raws):
    client = HashClient(servers, default_noreply=False, timeout=10)
    data = {"h%d" % n: b"value %d" % n for n in range(900)}
    checks.equal(client.set_many(data), [], "HashClient: set_many of 900")
    checks.equal(client.get_many(list(data)), data, "HashClient: get_many of 900")
    held = [[key for key in data if raw.value(key.encode()) is not None] for raw in raws]
    checks.equal(sorted(sum(held, [])), sorted(data), "HashClient: each key is on one server")
    checks.ok(all(len(keys) > 150 for keys in held), "HashClient: every server has its share",
              repr([len(keys) for keys in held]))
    client.close()
    client = HashClient(servers + [("127.0.0.1", free_port())], default_noreply=False, timeout=2, connect_timeout=2,
                        ignore_exc=True, retry_attempts=0, dead_timeout=60)
    for key in data:
        client.set(key, b"again")
    found = [client.get(key) for key in data]
    checks.ok(found.count(b"again") > 600, "HashClient: goes on without a dead server", str(found.count(b"again")))
    client.close()


def main():
    servers = parse_servers(__doc__)
    raws = [Raw(server) for server in servers]
    address, raw = servers[0], raws[0]
    client = Client(address, default_noreply=False, timeout=20)
    for group in (storage, values, flags, cas, many, numbers, silent, keys, information, errors, meta, expiry,
                  flushing):
        checks.section(group, client, raw)
    checks.section(serializers, Client, address, raw)
    checks.section(options, address, raw)
    pooled = PooledClient(address, max_pool_size=4, default_noreply=False, timeout=10)
    checks.section(every_command, pooled, "PooledClient")
    checks.section(serializers, PooledClient, address, raw)
    checks.section(every_command, HashClient(servers, default_noreply=False, timeout=10), "HashClient")
    checks.section(every_command, HashClient(servers, default_noreply=False, use_pooling=True, max_pool_size=3,
                                             timeout=10), "HashClient with pools")
    checks.section(hashed, servers, raws)
    if os.environ.get("LARDER_TEST_UNIX"):
        checks.section(every_command, Client(os.environ["LARDER_TEST_UNIX"], default_noreply=False, timeout=10),
                       "unix socket")
    if os.environ.get("LARDER_TEST_IPV6"):
        ipv6 = split_address(os.environ["LARDER_TEST_IPV6"])
        checks.section(every_command, Client(ipv6, default_noreply=False, timeout=10), "IPv6")
    checks.finish()


if __name__ == "__main__":
    main()
