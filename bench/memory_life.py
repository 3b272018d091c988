"""Parts of bench/memory: how items leave by themselves. Expiry, ten million times to live, a million that
end in one second, flush_all.

Each part is a pair: measure(bench) returns what JSON can hold, lines(bench, results) tells it.
"""
import time

from report import Series, table
from servers import Trouble, memory_kib, task_cpu_s  # before those below: it knows where they are

from memory_loads import evictions, expire, flush, items, keys, store
from support import Raw

POLL_S = 0.02
PATIENCE_S = 5  # how long what has not gone is waited for


def figures(runs, name):
    """A figure of all the runs that have it."""
    return Series(run[name] for run in runs if run.get(name) is not None)


def seconds_text(runs, name, digits=2):
    """Median and range, and how often it did not happen at all."""
    never = sum(run.get(name) is None for run in runs)
    if never == len(runs):
        return "not within %d s" % PATIENCE_S
    return figures(runs, name).range(digits) + (" (never in %d of %d)" % (never, len(runs)) if never else "")


def range_of(name, digits=0):
    return lambda runs: figures(runs, name).range(digits)


def seconds_of(name):
    return lambda runs: seconds_text(runs, name)


def mib_of(name, digits):
    """The median of what was measured in KiB."""
    return lambda runs: f"{figures(runs, name).median / 1024:.{digits}f}"


def server_table(results, columns):
    """A row for each server; columns: what a cell is called, and what makes it of the server's runs."""
    return table(["server", *columns], [[kind, *(cell(runs) for cell in columns.values())] for kind, runs in results.items()])


def reached(holds):
    return "reached" if holds else "**not reached**"


# ---- expiry ----

def expiry_run(bench, kind):
    curve = []
    with bench.server(kind, "96", ["-t", "2"]) as server:
        raw = Raw(server.address, 60)

        def watch(seconds):
            curve.append((round(seconds, 3), items(raw)))

        found = expire(raw, bench.scaled(20000), bench.scaled(400000), bench.scaled(20000), watch=watch)
        found["peak_kib"] = memory_kib(server.pid, "VmHWM")
        raw.close()
    found["curve"] = curve
    return found


def measure_expiry(bench):
    return bench.both(expiry_run)


def expiry_lines(bench, results):
    lasting, large = bench.scaled(20000), bench.scaled(20000)
    yield "## Expiry: what expired makes room untouched"
    yield ""
    yield f"{lasting:,} items without a TTL and {bench.scaled(400000):,} of 100 bytes with a TTL of 2 s at `-m 96`; 2.5 s after the last one's time {large:,}"
    yield "items of 3 KB. Estimate made first: Larder sweeps whole pages of expired items every second, so it holds"
    yield f"{lasting:,} and evicts nothing; memcached's crawler has not come round, and all {bench.scaled(400000):,} are held, as when this was first measured."
    yield ""
    yield from server_table(results, {
        "held 2.5 s after": range_of("left"), "evictions for the large": range_of("evictions"),
        f"of {lasting:,} lasting": range_of("lasting"), f"of {large:,} large": range_of("large"),
        "refused": range_of("refused_large"), "peak MiB": mib_of("peak_kib", 1)})
    ours = results["larder"]
    yield "Only the lasting ones are left and nothing is evicted: %s." % reached(
        all(run["left"] == lasting and run["evictions"] == 0 and run["large"] == large for run in ours))
    yield ""
    yield from bench.line_plot("expiry", f"Items held while {bench.scaled(400000):,} expire", ("seconds since the last was set, TTL 2 s", "curr_items"),
                               {kind: runs[-1]["curve"] for kind, runs in results.items()}, ["set yrange [0:*]"])


# ---- ten million times to live ----

SPREAD_ITEMS = 10_000_000
SPREAD_MEMORY = {"larder": "1024", "memcached": "2048"}
SPREAD_TTL_S = {"larder": (26, 34), "memcached": (40, 48)}  # filling takes 5 to 20 s of the first, memcached up to 30


def spread_run(bench, kind):
    """How a server waits for times to live that are spread out, and when all is gone."""
    low, high = (4, 8) if bench.quick else SPREAD_TTL_S[kind]
    for longer in (0, 25, 50):  # until filling leaves time to measure before the first is over
        with bench.server(kind, SPREAD_MEMORY[kind], ["-t", "2"]) as server:
            raw = Raw(server.address, 60)
            started = time.monotonic()
            bench.load(server, ["-c", "8", "-d", "32", "-k", str(bench.scaled(SPREAD_ITEMS)), "-K", "15", "-v", "50", "-t",
                                f"{low + longer}-{high + longer}", "--populate", "-n", "1"])
            store(raw, [b"marker"], b"m", high + longer)
            if time.monotonic() - started < low + longer - (2 if bench.quick else 8):
                return watch_spread(bench, server, raw, started, low + longer, high + longer)
    raise Trouble(f"filling {kind} takes longer than the items live")


def watch_spread(bench, server, raw, started, low, high):
    populated = time.monotonic()
    time.sleep(0.5 if bench.quick else 2)  # what is tidied up after filling is not what is measured
    found = {"populate_s": populated - started, "held": items(raw), "evictions": evictions(raw),
             "resident_kib": memory_kib(server.pid, "VmRSS")}
    found["rest_percent"] = rest_percent(server, started + low - 1 - time.monotonic())
    found["curve"], found["gone_s"], found["expiring_percent"] = watch_them_go(server, raw, started, started + low, populated + high)
    found["left"] = items(raw)
    raw.close()
    return found


def rest_percent(server, seconds):
    """CPU share of a core while nobody asks anything."""
    before = task_cpu_s(server.pid)
    time.sleep(max(0.5, seconds))
    return 100 * (task_cpu_s(server.pid) - before) / max(0.5, seconds)


def watch_them_go(server, raw, origin, first, last):
    """Items over time, now and then at first; the seconds from the end of the last time, seen by a get of
    what was set last, until no item is counted; the CPU share meanwhile."""
    curve, over = [], None
    time.sleep(max(0.0, first - time.monotonic()))
    began, before = time.monotonic(), task_cpu_s(server.pid)
    while True:
        now, held = time.monotonic(), items(raw)
        curve.append((round(now - origin, 3), held))
        if now > last - 1.5 and over is None and raw.ask(b"mg marker") == b"EN":
            over = time.monotonic()
            held = items(raw)
        if over is not None and (held == 0 or now > over + PATIENCE_S):
            break
        time.sleep(POLL_S if now > last - 1.5 else 0.25)
    percent = 100 * (task_cpu_s(server.pid) - before) / (time.monotonic() - began)
    return curve, max(0.0, time.monotonic() - over) if held == 0 else None, percent


def measure_spread(bench):
    """One run of memcached, beside the first of Larder."""
    tasks = [("memcached",)] + [("larder",)] * min(3, bench.options.runs)
    found = bench.together(spread_run, tasks, at_once=2)
    return {"larder": found[1:], "memcached": found[:1]}


def spread_lines(bench, results):
    count = bench.scaled(SPREAD_ITEMS)
    yield f"## {count:,} times to live"
    yield ""
    yield "Values of 50 bytes; " + "; ".join(
        f"{kind} `-m {SPREAD_MEMORY[kind]}`, TTLs from {low} to {high} s" for kind, (low, high) in SPREAD_TTL_S.items()) + ": all fit. At rest: from"
    yield "two seconds after the filling to a second before the first is over, nobody asking anything. The end of the last time is"
    yield "when a get of the item that was set last misses (where filling took too long, 25 s more for all). Three runs of Larder and one of memcached, since each takes a minute."
    yield "Estimate made first: at rest, Larder looks at each page's next expiry once a second: 4,000 pages of 256 KB, some 10 us of"
    yield "cold lines at 100 ns: below 0.1 % of a core; gone within a second, since every second is swept when it is over."
    yield ""
    yield from server_table(results, {
        "held": range_of("held"), "resident MiB": mib_of("resident_kib", 0), "CPU at rest, % of a core": range_of("rest_percent", 2),
        "CPU while they expire, %": range_of("expiring_percent", 1), "all gone after the last time, s": seconds_of("gone_s"),
        "held at the end": range_of("left")})
    ours = results["larder"]
    yield "What limits: an item that expires is taken out of its bucket and its page one at a time, 0.2 us of cold lines: 5 million a second of a core."
    yield ""
    yield "Below 1 %% of a core: %s; all gone within a second: %s." % (
        reached(all(run["rest_percent"] < 1 for run in ours)),
        reached(all(run["gone_s"] is not None and run["gone_s"] < 1 for run in ours)))
    yield ""
    yield from bench.line_plot("spread", f"Items held, {count:,} with TTLs spread over 8 s",
                               ("seconds since the first was set", "curr_items"),
                               {kind: runs[-1]["curve"] for kind, runs in results.items()}, ["set yrange [0:*]"])


# ---- a million in one second ----

BURST_ITEMS = 1_000_000
BURST_MIB = 256


def burst_run(bench, kind):
    """A million items with one absolute time; then values of 3 KB up to 85 % of the budget."""
    for seconds in (5, 10, 20):  # until filling takes less than the items live
        with bench.server(kind, str(BURST_MIB)) as server:
            raw = Raw(server.address, 60)
            over_at = int(time.time()) + seconds
            bench.load(server, ["-c", "8", "-d", "32", "-k", str(bench.scaled(BURST_ITEMS)), "-K", "15", "-v", "100", "-t", str(over_at),
                                "--populate", "-n", "1"])
            store(raw, [b"marker"], b"m", over_at)
            if time.time() < over_at - 1:
                return watch_burst(bench, server, raw)
    raise Trouble(f"filling {kind} takes longer than the items live")


def watch_burst(bench, server, raw):
    found = {"held": items(raw), "evictions_before": evictions(raw)}
    while raw.ask(b"mg marker") != b"EN":
        time.sleep(0.005)
    over, before = time.monotonic(), task_cpu_s(server.pid)
    while (held := items(raw)) and time.monotonic() < over + PATIENCE_S:
        time.sleep(0.005)
    found["gone_s"] = time.monotonic() - over if held == 0 else None
    found["cpu_s"] = task_cpu_s(server.pid) - before
    time.sleep(max(0.0, over + 2 - time.monotonic()))
    large = keys(b"x", int(bench.scaled(BURST_MIB * 0.85 * 2**20 / 3100)))
    found["refused"] = store(raw, large, b"w" * 3000)
    found["evictions"] = evictions(raw) - found["evictions_before"]
    found["large"], found["large_held"] = len(large), items(raw)
    raw.close()
    return found


def measure_burst(bench):
    return bench.both(burst_run, pinned=True)


def burst_lines(bench, results):
    yield f"## {bench.scaled(BURST_ITEMS):,} that end in the same second"
    yield ""
    yield f"Values of 100 bytes with one absolute time, `-m {BURST_MIB}`; when all are gone, but not before 2 s, values of 3 KB, 85 % of the budget."
    yield "The time is over when a get of one of them misses. Estimate made first: a sweep reads two cache lines of each item's and its"
    yield "bucket, some 0.2 us: 0.2 to 0.3 s for a million; asked are 2 s."
    yield ""
    yield from server_table(results, {
        "held before": range_of("held"), "all gone after, s": seconds_of("gone_s"), "CPU for it, s": range_of("cpu_s", 2),
        "values of 3 KB": lambda runs: "%d" % runs[0]["large"], "evictions for them": range_of("evictions"), "refused": range_of("refused")})
    ours = results["larder"]
    yield "All the memory is reusable within 2 s: %s." % reached(
        all(run["gone_s"] is not None and run["gone_s"] < 2 and run["evictions"] == 0 and run["refused"] == 0 for run in ours))
    yield ""


# ---- flush ----

def flush_run(bench, kind):
    with bench.server(kind, "64", ["-t", "2"]) as server:
        raw = Raw(server.address, 60)
        found = flush(raw, bench.scaled(300000), bench.scaled(15000), patience=PATIENCE_S)
        found["reply"] = found["reply"].decode()
        raw.close()
    return found


def measure_flushed(bench):
    return bench.both(flush_run)


def flushed_lines(bench, results):
    yield "## flush_all"
    yield ""
    yield f"{bench.scaled(300000):,} items of 100 bytes at `-m 64`, `flush_all`, then {bench.scaled(15000):,} values of 3 KB. Estimate made first: flushing is one"
    yield "increment, and a sweep of 300,000 items frees them within 0.1 s; memcached drops an item when it is touched, and its pages stay"
    yield "with their class."
    yield ""
    yield from server_table(results, {
        "no item counted after, s": seconds_of("seconds"), "evictions for the values": range_of("evictions"),
        f"of {bench.scaled(15000):,} values held": range_of("large")})


PARTS = {
    "expiry": (measure_expiry, expiry_lines),
    "spread": (measure_spread, spread_lines),
    "burst": (measure_burst, burst_lines),
    "flushed": (measure_flushed, flushed_lines),
}
