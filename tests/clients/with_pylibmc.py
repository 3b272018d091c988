#!/usr/bin/python3
"""pylibmc (libmemcached) in the text protocol: every method, under every behaviour that changes
what goes over the wire. Wants three servers; LARDER_TEST_UNIX and LARDER_TEST_IPV6 as for pymemcache.
"""

import os
import sys
import threading

sys.dont_write_bytecode = True

import pylibmc

from support import Checks, Raw, free_port, parse_servers, wait_until

checks = Checks("pylibmc")
BIG = bytes(range(256)) * 4090
TOO_BIG = os.urandom(1 << 20) + b"more"
FLAG_PICKLE, FLAG_INTEGER, FLAG_LONG, FLAG_ZLIB, FLAG_TEXT = 1, 2, 4, 8, 16


# A sanitizer's build on a busy machine can take longer than the library's own five seconds.
PATIENCE = {"connect_timeout": 30000, "_poll_timeout": 30000}


def connect(servers, **behaviors):
    return pylibmc.Client(["%s:%d" % server for server in servers], binary=False, behaviors=PATIENCE | behaviors)


def storage(mc, raw):
    checks.equal(mc.flush_all(), True, "flush_all")
    checks.equal(mc.get("absent"), None, "get of an absent key")
    checks.equal(mc.get("absent", "other"), "other", "get's default")
    checks.equal(mc.set("a", "1"), True, "set")
    checks.equal(mc.get("a"), "1", "get after set")
    checks.equal(mc.add("a", "2"), False, "add of a present key")
    checks.equal(mc.add("b", b"2"), True, "add of an absent key")
    checks.equal(mc.get("b"), b"2", "get after add")
    checks.equal(mc.replace("b", b"3"), True, "replace of a present key")
    checks.equal(mc.replace("c", b"3"), False, "replace of an absent key")
    checks.equal(mc.append("b", b"-after"), True, "append")
    checks.equal(mc.prepend("b", b"before-"), True, "prepend")
    checks.equal(mc.get("b"), b"before-3-after", "get after append and prepend")
    checks.equal(mc.append("c", b"x"), False, "append to an absent key")
    checks.equal(mc.prepend("c", b"x"), False, "prepend to an absent key")
    checks.equal(mc.delete("b"), True, "delete of a present key")
    checks.equal(mc.delete("b"), False, "delete of an absent key")
    mc["item"] = "subscript"
    checks.equal(mc["item"], "subscript", "subscript set and get")
    checks.equal("item" in mc, True, "in, present")
    del mc["item"]
    checks.equal("item" in mc, False, "in, absent")
    checks.raises(KeyError, "subscript of an absent key", lambda: mc["item"])
    checks.raises(KeyError, "subscript delete of an absent key", mc.__delitem__, "item")
    checks.equal(mc.set("empty", b""), True, "set of nothing")
    checks.equal(raw.value(b"empty"), b"", "an empty value is stored")


def types(mc, raw):
    for name, value, flags in (("text", "caf\u00e9 \u20ac", FLAG_TEXT), ("bytes", b"\0\r\n\xff", 0),
                               ("int", 42, FLAG_LONG), ("negative", -42, FLAG_LONG), ("large", 1 << 70, FLAG_LONG),
                               ("none", None, FLAG_PICKLE),
                               ("float", 0.5, FLAG_PICKLE), ("dict", {"a": [1, (2, 3)]}, FLAG_PICKLE)):
        checks.equal(mc.set("t-" + name, value), True, "set of " + name)
        checks.equal(mc.get("t-" + name, "missing"), value, "get of " + name)
        stored = int(raw.meta(b"t-" + name.encode(), b"f")["f"])
        checks.ok(stored & flags == flags, "flags of " + name, "got %d" % stored)
    for value in (True, False):
        mc.set("t-bool", value)
        checks.equal(bool(mc.get("t-bool")), value, "get of %s" % value)
    compressible = "abc" * 100000
    checks.equal(mc.set("zip", compressible, min_compress_len=1000), True, "set with compression")
    checks.equal(mc.get("zip"), compressible, "get with compression")
    meta = raw.meta(b"zip", b"f s")
    checks.ok(int(meta["f"]) & FLAG_ZLIB and int(meta["s"]) < 10000, "it was stored compressed", repr(meta))
    checks.equal(mc.set("zip9", compressible, min_compress_len=10, compress_level=9), True, "set with level 9")
    checks.equal(mc.get("zip9"), compressible, "get of level 9")


def values(mc, raw):
    for length in (1, 2, 511, 512, 1023, 1024, 2048, 8191, 8192, 16384, 66560, 100000, 300000, len(BIG)):
        checks.equal(mc.set("v", BIG[:length]), True, "set of %d bytes" % length)
        checks.equal(mc.get("v"), BIG[:length], "get of %d bytes" % length)
    checks.raises(pylibmc.TooBig, "set over the item limit", mc.set, "v", TOO_BIG)
    mc.set("small", b"kept")
    checks.raises(pylibmc.Error, "append past the item limit", mc.append, "small", TOO_BIG)
    mc.disconnect_all()
    checks.equal(mc.get("small"), b"kept", "a refused append keeps the value")


def numbers(mc, raw):
    mc.delete("n")
    checks.raises(pylibmc.NotFound, "incr of an absent key", mc.incr, "n")
    checks.raises(pylibmc.NotFound, "decr of an absent key", mc.decr, "n")
    mc.set("n", 10)
    checks.equal(mc.incr("n"), 11, "incr")
    checks.equal(mc.incr("n", 89), 100, "incr by 89")
    checks.equal(mc.decr("n"), 99, "decr")
    checks.equal(mc.decr("n", 49), 50, "decr by 49")
    checks.equal(mc.get("n"), 50, "get after decr")
    checks.equal(mc.decr("n", 500), 0, "decr stops at 0")
    for step in range(4):
        wide = mc.incr("n", 2**31 - 1)
    checks.equal(wide, 4 * (2**31 - 1), "incr over 32 bits")
    checks.equal(mc.get("n"), wide, "get over 32 bits")
    mc.set("w", "word")
    checks.raises(pylibmc.ClientError, "incr of a word", mc.incr, "w")
    checks.equal(mc.get("w"), "word", "a refused incr changes nothing")
    mc.set_multi({"i1": 1, "i2": 2, "i3": 3})
    mc.incr_multi(["i1", "i2", "i3"], delta=10)
    checks.equal(mc.get_multi(["i1", "i2", "i3"]), {"i1": 11, "i2": 12, "i3": 13}, "incr_multi")
    mc.set("pre-i1", 5)
    mc.incr_multi(["i1"], key_prefix="pre-", delta=3)
    checks.equal(mc.get("pre-i1"), 8, "incr_multi with a prefix")
    checks.raises(pylibmc.NotFound, "incr_multi with an absent key", mc.incr_multi, ["i1", "none"])


def many(mc, raw):
    data = {"m%d" % n: "value %d" % n for n in range(1000)}
    checks.equal(mc.set_multi(data), [], "set_multi of 1000")
    checks.equal(mc.get_multi(list(data)), data, "get_multi of 1000")
    checks.equal(mc.get_multi(["m1", "none", "m2"]), {"m1": "value 1", "m2": "value 2"}, "get_multi skips misses")
    checks.equal(mc.get_multi(["none"]), {}, "get_multi of misses alone")
    checks.equal(mc.get_multi([]), {}, "get_multi of nothing")
    failed = mc.add_multi({"m1": "x", "new1": "y", "new2": "z"})
    checks.equal(failed, ["m1"], "add_multi names what was present")
    checks.equal(mc.get_multi(["m1", "new1", "new2"]), {"m1": "value 1", "new1": "y", "new2": "z"}, "get after add_multi")
    checks.equal(mc.delete_multi(["m%d" % n for n in range(500)]), True, "delete_multi")
    checks.equal(mc.delete_multi(["m499", "m500"]), False, "delete_multi with an absent key")
    checks.equal(len(mc.get_multi(list(data))), 499, "get_multi after delete_multi")
    checks.equal(mc.set_multi({"1": "a", "2": "b"}, key_prefix="pre:", time=100), [], "set_multi with prefix and time")
    checks.equal(mc.get_multi(["1", "2", "3"], key_prefix="pre:"), {"1": "a", "2": "b"}, "get_multi with a prefix")
    checks.equal(raw.meta(b"pre:1", b"t")["t"] in ("99", "100"), True, "set_multi's time")
    checks.equal(mc.delete_multi(["1", "2"], key_prefix="pre:"), True, "delete_multi with a prefix")
    checks.equal(mc.add_multi({"1": "a"}, key_prefix="pre:", time=50), [], "add_multi with a prefix")
    checks.equal(mc.get("pre:1"), "a", "the prefix is part of the key")
    large = {"large%d" % n: bytes([65 + n]) * 300000 for n in range(20)}
    checks.equal(mc.set_multi(large), [], "set_multi of 20 values of 300 KB")
    checks.equal(mc.get_multi(list(large)), large, "get_multi of 20 values of 300 KB")
    checks.equal(mc.get_multi(("m600", "m601")), {"m600": "value 600", "m601": "value 601"}, "get_multi of a tuple")


def cas(servers, raw):
    mc = connect(servers[:1], cas=True)
    mc.set("c", "1")
    value, unique = mc.gets("c")
    checks.equal(value, "1", "gets' value")
    checks.ok(isinstance(unique, int) and unique > 0, "gets' unique", repr(unique))
    checks.equal(mc.cas("c", "2", unique), True, "cas with the right unique")
    checks.equal(mc.cas("c", "3", unique), False, "cas with an old unique")
    checks.equal(mc.get("c"), "2", "get after cas")
    checks.raises(pylibmc.NotFound, "cas of an absent key", mc.cas, "none", "1", unique)
    checks.equal(mc.gets("none"), (None, None), "gets of an absent key")
    value, unique = mc.gets("c")
    mc.append("c", "!")
    checks.equal(mc.cas("c", "4", unique), False, "append makes a new unique")
    unique = mc.gets("c")[1]
    mc.touch("c", 100)
    checks.equal(mc.cas("c", "5", unique, 1000), True, "touch keeps the unique")
    checks.equal(raw.meta(b"c", b"t")["t"] in ("999", "1000"), True, "cas sets the expiry")
    checks.equal(mc.get_multi(["c", "none"]), {"c": "5"}, "get_multi with cas on")
    mc.disconnect_all()


def expiry(mc, raw):
    mc.set("short", "1", time=1)
    mc.add("short-add", "1", time=1) or mc.set("short-add", "1", time=1)
    mc.set("short-touch", "1")
    mc.set("short-replace", "1")
    mc.replace("short-replace", "2", time=1)
    mc.set_multi({"short-m1": "1", "short-m2": "2"}, time=1)
    mc.set("kept", "1", time=1)
    checks.equal(mc.touch("kept", 500), True, "touch")
    checks.equal(mc.touch("short-touch", 1), True, "touch shortens")
    checks.equal(mc.touch("none", 1), False, "touch of an absent key")
    checks.equal(raw.meta(b"kept", b"t")["t"] in ("499", "500"), True, "touch's time is stored")
    short = ["short", "short-add", "short-touch", "short-replace", "short-m1", "short-m2"]
    checks.ok(wait_until(lambda: mc.get_multi(short) == {}, 4), "keys of one second expire within four")
    checks.equal(mc.add("short", "2"), True, "add after expiry")
    checks.equal(mc.replace("short-add", "2"), False, "replace after expiry")
    checks.equal(mc.delete("short-touch"), False, "delete after expiry")
    checks.equal(mc.get("kept"), "1", "the others stay")


def keys(mc, raw):
    for key in ("k" * 250, "caf\u00e9", "\u65e5\u672c", "a:b/c", "%20", "{}"):
        checks.equal(mc.set(key, "v"), True, "set of key %s" % ascii(key[:8]))
        checks.equal(mc.get(key), "v", "get of key %s" % ascii(key[:8]))
        checks.equal(mc.get_multi([key]), {key: "v"}, "get_multi of key %s" % ascii(key[:8]))
        checks.equal(mc.delete(key), True, "delete of key %s" % ascii(key[:8]))
    checks.equal(mc.set(b"bytes-key", "v"), True, "set with a key in bytes")
    checks.equal(mc.get(b"bytes-key"), "v", "get with a key in bytes")
    checks.raises(ValueError, "a key of 251 bytes", mc.set, "k" * 251, "v")
    checks.raises(ValueError, "get of a key of 251 bytes", mc.get, "k" * 251)
    mc.set("after", "1")
    checks.equal(mc.get("after"), "1", "the client goes on")


def information(mc, raw):
    (server, stats), = mc.get_stats()
    checks.ok(b"127.0.0.1" in server, "get_stats names the server", repr(server))
    text = lambda name: name.decode() if isinstance(name, bytes) else name
    stats = {text(name): value for name, value in stats.items()}
    for name in ("pid", "version", "curr_items", "cmd_get", "cmd_set", "limit_maxbytes", "threads", "uptime", "bytes"):
        checks.ok(name in stats, "get_stats has " + name)
    # With an argument the binding knows none of the names that come back; the framing still counts.
    for what in ("settings", "slabs", "items"):
        checks.equal(len(mc.get_stats(what)), 1, "get_stats(%s)" % what)
    behaviors = mc.behaviors
    checks.equal(behaviors["buffer_requests"], 0, "behaviours can be read")


def behaviours(servers, raws):
    """Each behaviour alone, and several together, over three servers."""
    sets = [{"tcp_nodelay": True}, {"no_block": True}, {"no_block": True, "tcp_nodelay": True}, {"ketama": True},
            {"ketama_weighted": True}, {"ketama_hash": "md5", "ketama": True}, {"verify_keys": True}, {"cas": True},
            {"tcp_keepalive": True}, {"buffer_requests": False, "connect_timeout": 2000}, {"num_replicas": 1},
            {"receive_timeout": 5000000, "send_timeout": 5000000}, {"_poll_timeout": 5000},
            {"remove_failed": 1, "retry_timeout": 1}, {"_sort_hosts": True}, {"_io_key_prefetch": 10},
            {"_socket_send_size": 65536, "_socket_recv_size": 65536}, {"pickle_protocol": 2},
            {"cas": True, "no_block": True, "tcp_nodelay": True, "ketama": True, "verify_keys": True}]
    sets += [{"hash": name} for name in ("default", "md5", "crc", "fnv1_32", "fnv1a_32", "fnv1_64", "fnv1a_64", "murmur")]
    sets += [{"distribution": name} for name in ("modula", "consistent")]
    for number, behavior in enumerate(sets):
        name = ",".join("%s=%s" % item for item in behavior.items())
        mc = connect(servers, **behavior)
        data = {"b%d-%d" % (number, n): "value %d" % n for n in range(60)}
        checks.equal(mc.set_multi(data), [], name + ": set_multi")
        checks.equal(mc.get_multi(list(data)), data, name + ": get_multi")
        first = "b%d-0" % number
        checks.equal(mc.append(first, "+"), True, name + ": append")
        checks.equal(mc.get(first), "value 0+", name + ": get")
        checks.equal(mc.set(first, BIG), True, name + ": set of 1 MB")
        checks.ok(mc.get(first) == BIG, name + ": get of 1 MB")
        checks.equal(mc.set(first, 1), True, name + ": set of a number")
        checks.equal(mc.incr(first, 6), 7, name + ": incr")
        checks.equal(mc.delete(first), True, name + ": delete")
        checks.equal(mc.get(first), None, name + ": get after delete")
        copies = sum(raw.value(b"b%d-7" % number) is not None for raw in raws)
        checks.equal(copies, 1, name + ": the key is on one server")  # replicas are for the binary protocol
        mc.disconnect_all()


def silent(servers, raw):
    mc = connect(servers[:1], _noreply=True)
    checks.equal(mc.set("q", "1"), True, "noreply: set")
    checks.equal(mc.get("q"), "1", "noreply: get")
    mc.add("q", "2")
    mc.replace("q", "3")
    mc.append("q", "4")
    mc.prepend("q", "2")
    checks.equal(mc.get("q"), "234", "noreply: add, replace, append, prepend")
    for n in range(300):
        mc.set("q%d" % n, "v%d" % n)
    checks.equal(mc.get_multi(["q%d" % n for n in range(300)]), {"q%d" % n: "v%d" % n for n in range(300)},
                 "noreply: 300 sets")
    mc.delete("q0")
    checks.equal(mc.get_multi(["q0", "q1"]), {"q1": "v1"}, "noreply: delete")
    mc.disconnect_all()


def later(function, *args):
    """pylibmc raises libmemcached's code 32, "buffered", when a command waits to be sent."""
    try:
        return function(*args)
    except pylibmc.Error as error:
        if "error 32" not in str(error):
            raise
        return True


def buffered(servers, raw):
    mc = connect(servers[:1], buffer_requests=True)
    for n in range(2000):
        later(mc.set, "buf%d" % n, "v%d" % n)
    checks.equal(mc.get("buf1999"), "v1999", "buffered: a get sends what waits")
    checks.equal(mc.get_multi(["buf%d" % n for n in range(2000)]), {"buf%d" % n: "v%d" % n for n in range(2000)},
                 "buffered: 2000 sets")
    for n in range(20):
        later(mc.set, "bufbig%d" % n, BIG[:200000 + n])
    checks.ok(all(len(mc.get("bufbig%d" % n)) == 200000 + n for n in range(20)), "buffered: 20 values of 200 KB")
    later(mc.append, "buf0", "+")
    later(mc.prepend, "buf0", "-")
    later(mc.delete, "buf1")
    later(mc.set_multi, {"buf2": "new"})
    checks.equal(mc.get_multi(["buf0", "buf1", "buf2", "buf3"]), {"buf0": "-v0+", "buf2": "new", "buf3": "v3"},
                 "buffered: append, prepend, delete, set_multi")
    mc.disconnect_all()


def pools(servers):
    master = connect(servers)
    for pool, name in ((pylibmc.ClientPool(master, 4), "ClientPool"), (pylibmc.ThreadMappedPool(master), "ThreadMappedPool")):
        wrong = []

        def work(thread):
            for n in range(100):
                with pool.reserve() as mc:
                    mc.set("pool%d-%d" % (thread, n), n * thread)
                    if mc.get("pool%d-%d" % (thread, n)) != n * thread:
                        wrong.append((thread, n))
            if name == "ThreadMappedPool":
                pool.relinquish()

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        checks.equal(wrong, [], name + ": 4 threads read what they wrote")
    clone = master.clone()
    clone.set("clone", "1")
    checks.equal(master.get("clone"), "1", "a clone sees the same servers")


def unreachable():
    mc = connect([("127.0.0.1", free_port())])
    checks.raises(pylibmc.Error, "no server: set", mc.set, "a", "1")


def main():
    servers = parse_servers(__doc__)
    raws = [Raw(server) for server in servers]
    mc, raw = connect(servers[:1]), raws[0]
    for group in (storage, types, values, numbers, many, keys, information, expiry):
        checks.section(group, mc, raw)
    checks.section(cas, servers, raw)
    checks.section(behaviours, servers, raws)
    checks.section(silent, servers, raw)
    checks.section(buffered, servers, raw)
    checks.section(pools, servers)
    checks.section(unreachable)
    for name, variable in (("unix socket", "LARDER_TEST_UNIX"), ("IPv6", "LARDER_TEST_IPV6")):
        if os.environ.get(variable):
            other = pylibmc.Client([os.environ[variable]], binary=False)
            checks.equal(other.set("u", "1"), True, name + ": set")
            checks.equal(other.get("u"), "1", name + ": get")
            checks.equal(other.set_multi({"u%d" % n: BIG[:n * 1000] for n in range(100)}), [], name + ": set_multi")
            checks.ok(other.get_multi(["u99"]) == {"u99": BIG[:99000]}, name + ": get_multi")
    checks.finish()


if __name__ == "__main__":
    main()
