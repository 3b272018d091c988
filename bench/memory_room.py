"""Parts of bench/memory: who gets the room there is. Another size of value, every size, a limit that moves by
command and with the container.

Each part is a pair: measure(bench) returns what JSON can hold, lines(bench, results) tells it.
"""
import os
import random
import shutil
import time

from report import table
from servers import ALLOWANCE_KIB, memory_kib  # before those below: it knows where they are

from memory_life import PATIENCE_S, figures, range_of, reached, seconds_of, seconds_text, server_table
from memory_loads import every_size, evictions, items, keys, passes, store
from support import Raw, open_directory

MIB = 1 << 20
POLL_S = 0.01

# ---- shift ----

PASSES = 40
# name -> (idle items, bytes, working values, bytes, values that come anew in a pass; 0: all in the first)
SHIFTS = {
    "140 B to 2 KB": (600000, 140, 12000, 2048, 0),
    "140 B to 30 KB": (600000, 140, 1000, 30000, 0),
    "2 KB to 140 B": (40000, 2048, 60000, 140, 0),
    "140 B to 2 KB, slowly": (600000, 140, 12000, 2048, 600),
}
MAIN_SHIFT = "140 B to 2 KB"


def shift_run(bench, kind, name):
    """Misses by pass, less those of keys that were never asked for before; the evictions of all passes."""
    idle_count, idle_bytes, working_count, working_bytes, growth = SHIFTS[name]
    working = keys(b"w", bench.scaled(working_count))

    def working_of(number):
        return working[:growth * (number + 1)] if growth else working

    with bench.server(kind, "64", ["-t", "2"]) as server:
        raw = Raw(server.address, 60)
        store(raw, keys(b"i", idle_count), b"v" * idle_bytes)
        earlier = evictions(raw)
        found = list(passes(raw, 4 if bench.quick else PASSES, working_of, b"w" * working_bytes))
        again = [one["missed"] - one["new"] for one in found]
        gone = evictions(raw) - earlier
        peak_kib = memory_kib(server.pid, "VmHWM")
        raw.close()
    return {"missed": [one["missed"] for one in found], "again": again, "asked": [one["asked"] for one in found],
            "evictions": gone, "needless": sum(again), "worst_percent": worst_percent(again, found),
            "settled": settled_pass(again, found), "peak_kib": peak_kib}


def worst_percent(again, found):
    """The worst pass from the third on."""
    return max(100 * missed / one["asked"] for missed, one in list(zip(again, found))[2:])


def settled_pass(again, found):
    """The first pass from which on no more than 1 % miss; None: never."""
    late = [number for number, (missed, one) in enumerate(zip(again, found), 1) if missed > one["asked"] / 100]
    return None if late and late[-1] == len(found) else (late[-1] if late else 0) + 1


def measure_shift(bench):
    runs = min(3, bench.options.runs)
    tasks = [(kind, name) for _ in range(runs) for name in SHIFTS for kind in ("larder", "memcached")]
    results = {name: {"larder": [], "memcached": []} for name in SHIFTS}
    for (kind, name), found in zip(tasks, bench.together(shift_run, tasks, at_once=8)):
        results[name][kind].append(found)
    return results


def shift_lines(bench, results):
    yield "## Another size of value in a full cache"
    yield ""
    yield "`-m 64` full of idle items, then a pass a second over a working set (get; on a miss, set). Misses of keys that were set before"
    yield "are counted, not the first of each. Three runs, since each takes 40 s. Estimate made first: Larder takes the pages of idle"
    yield "items as fast as the sets want them, so the second pass already finds all; memcached moves a page a second at best: 24 MB of"
    yield "values are 24 pages and more, so some 30 s."
    yield ""
    rows = []
    for name, kinds in results.items():
        for kind, runs in kinds.items():
            settled = ["-" if run["settled"] is None else str(run["settled"]) for run in runs]
            rows.append([name, kind, " / ".join(dict.fromkeys(settled)), "%s %%" % figures(runs, "worst_percent").range(2),
                         figures(runs, "needless").range(0), figures(runs, "evictions").range(0),
                         "%.1f" % (max(run["peak_kib"] for run in runs) / 1024)])
    yield from table(["shift", "server", "settled in pass", "worst pass from the third on misses", "misses of what was set", "evictions",
                      "highest peak MiB"], rows)
    yield "\"Settled\": from this pass on at most 1 % miss, counted at 40 passes; -: not within them."
    yield ""
    yield "What limits: a page goes when the taker gains more than the giver loses, which ghosts tell only once keys come back; where a page"
    yield "of large values makes room for hundreds of small ones that takes some passes."
    yield ""
    yield "At most 1 %% from the third pass on: %s in the shift that was asked for, %s in the others." % (
        reached(at_most_one_percent(results[MAIN_SHIFT])),
        reached(all(at_most_one_percent(kinds) for name, kinds in results.items() if name != MAIN_SHIFT)))
    yield ""
    shares = {f"{kind}, {name}": [(number, 100 * missed / asked) for number, (missed, asked) in
                                  enumerate(zip(middle(runs)["again"], middle(runs)["asked"]), 1)]
              for name, kinds in results.items() for kind, runs in kinds.items()}
    main = {kind: [(number, missed) for number, missed in enumerate(middle(runs)["missed"], 1)]
            for kind, runs in results[MAIN_SHIFT].items()}
    yield from bench.line_plot("shift", f"Misses by pass of {SHIFTS[MAIN_SHIFT][2]:,} values, {MAIN_SHIFT}", ("pass, one a second", "misses"),
                               main, ["set yrange [0:*]"])
    yield from bench.line_plot("shifts", "Misses of what was set before, by pass", ("pass, one a second", "% of the gets"), shares,
                               ["set yrange [0:*]"])


def at_most_one_percent(kinds):
    return all(run["worst_percent"] <= 1 for run in kinds["larder"])


def middle(runs):
    return sorted(runs, key=lambda run: run["needless"])[len(runs) // 2]


# ---- every size ----

SIZES_MIB = (8, 64, 256)
MIXTURE_MEAN_BYTES = 5600  # of memory_loads.every_size


def sizes_run(bench, kind, megabytes, seed):
    with bench.server(kind, str(megabytes), ["-t", "2", "-I", "1m"]) as server:
        raw = Raw(server.address, 60)
        count = max(6000, 2 * megabytes * MIB // MIXTURE_MEAN_BYTES)
        refused = every_size(raw, random.Random(seed), bench.scaled(count), 20000 * max(1, megabytes // 64))
        found = {"refused": len(refused), "largest_refused": max(refused, default=0), "held": items(raw),
                 "over_mib": memory_kib(server.pid, "VmHWM") / 1024 - megabytes}
        raw.close()
    return found


def measure_sizes(bench):
    tasks = [(kind, size, run) for size in reversed(SIZES_MIB) for run in range(bench.options.runs) for kind in ("larder", "memcached")]
    results = {str(size): {"larder": [], "memcached": []} for size in SIZES_MIB}
    for (kind, size, _), found in zip(tasks, bench.together(sizes_run, tasks)):
        results[str(size)][kind].append(found)
    return results


def sizes_lines(bench, results):
    yield "## Every size"
    yield ""
    yield "One value of every size from 1 byte to 1 MB in steps of a fourteenth, then any mixture (all magnitudes alike up to 20 KB, one in"
    yield "twenty up to 1 MB; 6,000 values, or twice the budget), another sequence in each run. Estimate made first: no refusal and at most"
    yield "4 MiB above `-m` for Larder; memcached gives every class a page of 1 MB whatever `-m` says, some 38 MB of them, so it is far above"
    yield "8 MB, and refuses where a class has no page and no item to evict."
    yield ""
    rows = []
    for size, kinds in results.items():
        for kind, runs in kinds.items():
            rows.append([f"-m {size}", kind, figures(runs, "refused").range(0), figures(runs, "over_mib").range(1),
                         figures(runs, "held").range(0)])
    yield from table(["budget", "server", "refused", "VmHWM above -m, MiB", "items at the end"], rows)
    yield "No refusal and VmHWM within `-m` + 4 MiB: %s." % reached(all(
        run["refused"] == 0 and run["over_mib"] <= ALLOWANCE_KIB / 1024 for kinds in results.values() for run in kinds["larder"]))
    yield ""


# ---- a limit that moves ----

LIMIT_HIGH, LIMIT_LOW = 1024, 128
LIMIT_VALUE_BYTES = 900


def fill(bench, server, megabytes):
    count = bench.scaled(megabytes * MIB * 1.1 / (LIMIT_VALUE_BYTES + 50))
    bench.load(server, ["-c", "8", "-d", "32", "-k", str(count), "-K", "15", "-v", str(LIMIT_VALUE_BYTES), "--populate", "-n", "1"])


def seconds_until(condition, patience):
    """Seconds, or None."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > patience:
            return None
        time.sleep(POLL_S)
    return time.monotonic() - started


def within(server, megabytes):
    return memory_kib(server.pid, "VmRSS") <= megabytes * 1024 + ALLOWANCE_KIB


def limit_run(bench, kind):
    high, low = (LIMIT_HIGH // 4, LIMIT_LOW // 16) if bench.quick else (LIMIT_HIGH, LIMIT_LOW)
    with bench.server(kind, str(high)) as server:
        raw = Raw(server.address, 60)
        fill(bench, server, high)
        found = {"full_mib": memory_kib(server.pid, "VmRSS") / 1024}
        raw.ask(b"cache_memlimit %d" % low)
        found["seconds"] = seconds_until(lambda: within(server, low), PATIENCE_S)
        found["left_mib"] = memory_kib(server.pid, "VmRSS") / 1024
        found["left_items"] = items(raw)
        raw.ask(b"cache_memlimit %d" % high)
        fill(bench, server, high)
        found["again_mib"] = memory_kib(server.pid, "VmRSS") / 1024
        found["again_items"] = items(raw)
        found["over_mib"] = memory_kib(server.pid, "VmHWM") / 1024 - high
        raw.close()
    return found


def measure_limit(bench):
    return bench.both(limit_run, pinned=True)


def limit_lines(bench, results):
    yield "## The limit moves"
    yield ""
    yield f"`-m {LIMIT_HIGH}` full of values of {LIMIT_VALUE_BYTES} bytes, then `cache_memlimit {LIMIT_LOW}`: seconds until resident memory is at most {LIMIT_LOW} + 4 MiB, looked"
    yield f"at every 10 ms for {PATIENCE_S} s; then `cache_memlimit {LIMIT_HIGH}` and the same filling again. Estimate made first: 900,000 items are evicted"
    yield "at 0.3 us, and 3,600 pages of 256 KB given back at some 30 us: half a second. memcached gives pages back to its own pool, never"
    yield "to the system."
    yield ""
    yield from server_table(results, {
        "full, MiB": range_of("full_mib"), "under it after, s": seconds_of("seconds"), "then resident, MiB": range_of("left_mib"),
        "items left": range_of("left_items"), f"full again at {LIMIT_HIGH}, MiB": range_of("again_mib"), "items": range_of("again_items"),
        "peak above -m, MiB": range_of("over_mib", 1)})
    yield "What limits: pages are emptied item by item on one thread, and each waits until no worker can see it any more."
    yield ""
    yield "Given back within 2 s: %s." % reached(all(
        run["seconds"] is not None and run["seconds"] <= 2 for run in results["larder"]))
    yield ""


# ---- the container's limit ----

GRANTS_MIB = (1024, 384)


class Tree:
    """Files that look like a system with one control group, for --cgroup-root."""

    FILES = {
        "v1": ("2:memory:/shop\n", "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
               "sys/fs/cgroup/memory/shop/memory.limit_in_bytes"),
        "v2": ("0::/shop\n", "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "sys/fs/cgroup/shop/memory.max"),
    }

    def __init__(self, version):
        self.root = open_directory("larder-cgroup-")
        groups, mounts, self.limit = self.FILES[version]
        self.write("proc/meminfo", "MemTotal:       8388608 kB\n")
        self.write("proc/self/cgroup", groups)
        self.write("proc/self/mountinfo", mounts)

    def write(self, name, text):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + "~", "w") as file:
            file.write(text)
        os.rename(path + "~", path)

    def grant(self, megabytes):
        self.write(self.limit, "%d\n" % (megabytes * MIB))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root)


def container_run(bench, _, version, share):
    """Seconds until another limit of the container is the server's, and until the memory is back."""
    high, low = GRANTS_MIB
    with Tree(version) as tree:
        tree.grant(high)
        with bench.server("larder", share, ["--cgroup-root", tree.root]) as server:
            raw = Raw(server.address, 60)

            def limit():
                return int(raw.stats()["limit_maxbytes"])

            before = limit()
            fill(bench, server, before / MIB)
            full_kib = memory_kib(server.pid, "VmRSS")
            found = {"start_mib": before / MIB, "full_mib": full_kib / 1024}
            time.sleep(random.random() * 0.3)  # at no particular time of the server's looking
            tree.grant(low)
            started = time.monotonic()
            seconds_until(lambda: limit() < before, PATIENCE_S)
            after = limit()
            found["follow_s"] = time.monotonic() - started if after < before else None
            under = seconds_until(lambda: within(server, after / MIB), PATIENCE_S)
            found["under_s"] = None if under is None else time.monotonic() - started
            found["low_mib"] = after / MIB
            tree.grant(high)
            found["up_s"] = seconds_until(lambda: limit() == before, PATIENCE_S)
            raw.close()
    return found


def measure_container(bench):
    kinds = [("v2", "auto"), ("v1", "auto"), ("v2", "70%")]
    tasks = [("larder", *kind) for _ in range(bench.options.runs) for kind in kinds]
    results = {" ".join(kind): [] for kind in kinds}
    for task, found in zip(tasks, bench.together(container_run, tasks, pinned=True)):
        results[" ".join(task[1:])].append(found)
    return results


def container_lines(bench, results):
    yield "## The container's limit moves"
    yield ""
    yield f"A tree of files that look like a control group's (`--cgroup-root`), its limit lowered from {GRANTS_MIB[0]} to {GRANTS_MIB[1]} MB under a full cache, and raised"
    yield "again. Estimate made first: the server looks every 250 ms, so a change is followed after 0.13 s on average, and the memory is back"
    yield "some half a second later. memcached has nothing of the kind."
    yield ""
    rows = [[name.replace("v2 ", "version 2, -m ").replace("v1 ", "version 1, -m "), figures(runs, "start_mib").range(0),
             figures(runs, "low_mib").range(0), seconds_text(runs, "follow_s"), seconds_text(runs, "under_s"), seconds_text(runs, "up_s")]
            for name, runs in results.items()]
    yield from table(["control group", "budget, MiB", "after, MiB", "followed after, s", "resident under it + 4 MiB after, s", "raised again after, s"], rows)
    yield "Given back within 2 s of the change: %s." % reached(all(
        run["under_s"] is not None and run["under_s"] <= 2 for runs in results.values() for run in runs))
    yield ""


PARTS = {
    "shift": (measure_shift, shift_lines),
    "sizes": (measure_sizes, sizes_lines),
    "limit": (measure_limit, limit_lines),
    "container": (measure_container, container_lines),
}
