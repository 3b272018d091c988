"""Loads that move a cache's memory: what tests/memory-run judges and bench/memory measures.

Each is given a fresh server's connection (support.Raw), waits as long as it must, and returns what was
found; whether that is right is the caller's.
"""

import time

from support import wait_until

BATCH = 2000


def keys(prefix, count, first=0):
    return [b"%s:%08d" % (prefix, i) for i in range(first, first + count)]


def store(raw, names, value, ttl=0):
    """Sets all of them; how many were not stored."""
    refused = 0
    for at in range(0, len(names), BATCH):
        part = names[at:at + BATCH]
        raw.send(b"".join(b"set %s 0 %d %d\r\n%b\r\n" % (name, ttl, len(value), value) for name in part))
        refused += sum(raw.line() != b"STORED" for _ in part)
    return refused


def present(raw, names):
    """Which of them are there; each that is counts as read."""
    found = set()
    for at in range(0, len(names), BATCH):
        raw.send(b"".join(b"mg %s k q\r\n" % name for name in names[at:at + BATCH]) + b"mn\r\n")
        while (line := raw.line()) != b"MN":
            found.add(line.split(b" ")[1][1:])
    return found


def items(raw):
    return int(raw.stats()["curr_items"])


def evictions(raw):
    return int(raw.stats()["evictions"])


def expire(raw, lasting_count=20000, passing_count=400000, large_count=20000, ttl=2, rest=2.5, watch=None):
    """Items with and without a TTL; so long after their time, what is left, and whether large values fit.
    watch(seconds since the last was set) is called all the while."""
    lasting, passing, large = keys(b"l", lasting_count), keys(b"p", passing_count), keys(b"x", large_count)
    refused = store(raw, lasting, b"v" * 100) + store(raw, passing, b"v" * 100, ttl)
    ended = time.monotonic()
    found = {"refused": refused, "before": items(raw)}
    while (left := ended + ttl + rest - time.monotonic()) > 0:
        if watch:
            watch(time.monotonic() - ended)
        time.sleep(min(left, 0.05) if watch else left)
    found["left"] = items(raw)
    found["evictions_before"] = evictions(raw)
    found["refused_large"] = store(raw, large, b"w" * 3000)
    found["evictions"] = evictions(raw) - found["evictions_before"]
    found["lasting"] = len(present(raw, lasting))
    found["large"] = len(present(raw, large))
    return found


def flush(raw, count=300000, large_count=15000, patience=1.5):
    """Everything flushed: seconds until no item is counted (None: not within patience), and whether large values fit."""
    found = {"refused": store(raw, keys(b"f", count), b"v" * 100), "reply": raw.ask(b"flush_all")}
    started = time.monotonic()
    freed = wait_until(lambda: items(raw) == 0, patience)
    found["seconds"] = time.monotonic() - started if freed else None
    large = keys(b"g", large_count)
    found["evictions_before"] = evictions(raw)
    found["refused_large"] = store(raw, large, b"w" * 3000)
    found["evictions"] = evictions(raw) - found["evictions_before"]
    found["large"] = len(present(raw, large))
    return found


def passes(raw, count, working_of, value, period=1.0):
    """Reads the keys of working_of(number) once a period, and sets those that missed: for each pass how
    many were asked for, how many of them for the first time, and how many missed."""
    asked = set()
    for number in range(count):
        started = time.monotonic()
        working = working_of(number)
        there = present(raw, working)
        absent = [name for name in working if name not in there]
        store(raw, absent, value)
        new = sum(name not in asked for name in working)
        asked.update(working)
        yield {"asked": len(working), "new": new, "missed": len(absent)}
        time.sleep(max(0.0, started + period - time.monotonic()))


def every_size(raw, chance, mixture_count=6000, key_count=20000, largest=1000000):
    """One value of every size, then any mixture: the sizes that were refused."""
    refused, size = [], 1
    while size < largest:
        if store(raw, [b"s%d" % size], b"s" * size):
            refused.append(size)
        size += max(8, size // 14)
    for i in range(mixture_count):
        size = int(10 ** chance.uniform(0, 5.99 if i % 20 == 0 else 4.3))
        if store(raw, [b"m%d" % chance.randrange(key_count)], b"m" * size):
            refused.append(size)
    return refused
