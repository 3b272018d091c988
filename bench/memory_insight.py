"""Parts of bench/memory: how far what the server says of its memory is true, and what saying it costs. The
miss-ratio curves of `stats mrc` and the profile of `stats prefixes`, `largest` and `hottest`.

Each part is a pair: measure(bench) returns what JSON can hold, lines(bench, results) tells it.
"""
import bisect
import contextlib
import csv
import itertools
import json
import os
import random
import re
import statistics
import subprocess
import tempfile
import time
import urllib.parse

from report import Series, table
from servers import KEY_BYTES, VALUE_BYTES, run_pinned, task_cpu_s  # before those below: it knows where they are

from memory_life import figures, reached
from memory_loads import items, keys, store
from support import Raw

NO_TRACES = "Left out: no access traces were given (`--traces DIR`)."
FACTORS = ("1/8", "1/4", "1/2", "1", "2", "4")


def factor(text):
    above, _, below = text.partition("/")
    return int(above) / int(below or 1)


def trace_name(path):
    return os.path.basename(path).split(".")[0]


def traces_of(bench):
    folder = bench.options.traces
    if not folder:
        return []
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if re.search(r"\.(txt|trace|zst)$", name)]


# ---- the curves, without a server ----

CURVE_BUDGETS = "5%,10%,20%"
CURVE_GOAL, CURVE_KEYS = 0.01, 12000
SHOWN = ("scarab_recs", "arc_p3_ext")


def parse_curves(text):
    """What larder-sim --curve prints: a list of curves with their points."""
    curves = []
    for line in text.split("\n"):
        head = re.match(r"(\S+): (\d+) requests, (\d+) keys, budget (\d+); rate \S+, (\d+) keys sampled", line)
        point = re.match(r"\s+(\S+)\s+(\d(?:/\d)?)\s+(\d+)\s+(\d\.\d+)\s+(\d\.\d+)\s+[-+]\d", line)
        if head:
            curves.append({"trace": head[1], "requests": int(head[2]), "keys": int(head[3]), "budget": int(head[4]),
                           "sampled": int(head[5]), "points": []})
        elif point:
            curves[-1]["points"].append({"policy": point[1], "factor": point[2], "size": int(point[3]), "exact": float(point[4]),
                                         "learned": float(point[5])})
    return curves


def curve_error(curve, policy=None):
    return statistics.mean(abs(point["learned"] - point["exact"]) for point in curve["points"] if policy in (None, point["policy"]))


def measure_curves(bench):
    curves = []
    for path in traces_of(bench)[:2 if bench.quick else None]:
        bench.progress(trace_name(path))
        done = subprocess.run([bench.options.sim, "--curve", "-s", CURVE_BUDGETS, path], stdout=subprocess.PIPE, text=True, check=True)
        curves += parse_curves(done.stdout)
    return curves


def curves_lines(bench, curves):
    yield "## Miss-ratio curves over traces"
    yield ""
    if not curves:
        yield NO_TRACES
        yield ""
        return
    bench.note("larder-sim", "--curve", "-s", CURVE_BUDGETS, "TRACE...")
    yield f"`larder-sim --curve`: the code that runs in the server learns each curve from a sample of 12,500 keys (all, where there are fewer), beside"
    yield "full simulations of the same 16 points (1/8 to 4 times the budget under S3-FIFO and strict LRU, the other policies at it). The budget"
    yield f"is {CURVE_BUDGETS.replace(',', ', ')} of the keys. One run: the same every time. Estimate made first: a ratio of 0.3 read off 12,500 keys of a skewed load has a"
    yield "standard error of 0.004, if no key has more than a thousandth of the requests; asked are 0.01."
    yield ""
    budgets = CURVE_BUDGETS.split(",")
    by_trace = {name: list(group) for name, group in itertools.groupby(curves, key=lambda curve: curve["trace"])}
    rows = []
    for name, group in by_trace.items():
        enough = group[0]["sampled"] > CURVE_KEYS
        rows.append([name, f"{group[0]['requests']:,}", f"{group[0]['keys']:,}", f"{group[0]['sampled']:,}",
                     *["%.4f" % curve_error(curve) for curve in group], "%.4f" % curve_error(group[len(group) // 2], "lru"),
                     "" if not enough else reached(all(curve_error(curve) <= CURVE_GOAL for curve in group))])
    yield from table(["trace", "requests", "keys", "sampled", *[f"error at {budget}" for budget in budgets],
                      f"LRU's points alone, {budgets[len(budgets) // 2]}", f"at most {CURVE_GOAL}"], rows)
    enough = [curve for curve in curves if curve["sampled"] > CURVE_KEYS]
    if enough:
        errors = [curve_error(curve) for curve in enough]
        worst = max(enough, key=curve_error)
        yield (f"Mean absolute error with more than {CURVE_KEYS:,} keys sampled: mean {statistics.mean(errors):.4f}, worst {max(errors):.4f}"
               f" ({worst['trace']}, budget {worst['budget']:,}).")
        yield ""
    shown = [name for name in SHOWN if name in by_trace] or list(by_trace)[:2]
    for name in shown:
        curve = by_trace[name][len(budgets) // 2]
        yield from bench.line_plot(f"curve-{name}", f"{name}: learned from {curve['sampled']:,} of {curve['keys']:,} keys, and true",
                                   ("keys", "miss ratio"), pairs_of(curve), ["set logscale x 2", "set yrange [0:*]"])


def pairs_of(curve):
    drawn = {}
    for policy in ("s3fifo", "lru"):
        points = [point for point in curve["points"] if point["policy"] == policy]
        for what in ("exact", "learned"):
            drawn[f"{policy}, {'true' if what == 'exact' else what}"] = [(point["size"], point[what]) for point in points]
    return drawn


# ---- the curves of a server ----

LIVE_MIB, LIVE_VALUE_BYTES = 64, 300
LIVE_POLICIES = ("s3fifo", "lru")


def figures_of(said, name):
    """A statistic as it was read several times."""
    return Series(float(one[name]) for one in said)


def replay(bench, server, path):
    text = run_pinned([bench.options.replay, "-q", "-j", "-v", str(LIVE_VALUE_BYTES), "-s", "%s:%d" % server.address, "-p", str(server.pid), path],
                      bench.load_cpus)
    return json.loads(text)[0]


def live_run(bench, path, policy, text, learns):
    """A server of so many times the budget: what it misses and holds; or what one at the budget says of all of them."""
    megabytes = int(LIVE_MIB * factor(text))
    with bench.server("larder", str(megabytes), ["--eviction", policy]) as server:
        played = replay(bench, server, path)
        raw = Raw(server.address, 60)
        found = {"policy": policy, "factor": text, "misses": played["misses"] / played["requests"], "held": items(raw)}
        if learns:
            time.sleep(1.5)  # the last second's sample is told with the next
            found = raw.stats(b"mrc")
        raw.close()
    return found


def measure_live(bench):
    paths = [path for path in traces_of(bench) if trace_name(path) == bench.options.live]
    if not paths:
        return None
    own = [(paths[0], policy, text, False) for policy in LIVE_POLICIES for text in FACTORS]
    learning = [(paths[0], "s3fifo", "1", True)] * bench.options.runs  # each server samples other keys
    done = bench.together(live_run, own + learning)
    servers = done[:len(own)]
    return {"trace": trace_name(paths[0]), "servers": servers, "learned": done[len(own):], "simulated": simulate(bench, paths[0], servers)}


def simulate(bench, path, servers):
    """The full simulation of caches of as many items as each server held at the end."""
    simulated = []
    with tempfile.TemporaryDirectory(prefix="larder-memory-") as folder:
        for policy in LIVE_POLICIES:
            own = [one for one in servers if one["policy"] == policy]
            file = os.path.join(folder, policy + ".csv")
            subprocess.run([bench.options.sim, "-q", "-p", policy, "-s", ",".join(str(one["held"]) for one in own), "--csv", file, path],
                           stdout=subprocess.DEVNULL, check=True)
            with open(file) as table_file:
                simulated += [{"policy": policy, "factor": one["factor"], "misses": int(row[policy]) / int(row["requests"])}
                              for one, row in zip(own, csv.DictReader(table_file))]
    return simulated


def live_lines(bench, results):
    yield "## What an operator sees: `stats mrc` of a live server"
    yield ""
    if not results:
        yield NO_TRACES if not bench.options.traces else f"Left out: {bench.options.live} is not among the traces."
        yield ""
        return
    bench.note("larder-replay", "-v", str(LIVE_VALUE_BYTES), f"{results['trace']}.txt.zst")
    learned = results["learned"]
    yield f"`{results['trace']}` with values of {LIVE_VALUE_BYTES} bytes played once into `-m {LIVE_MIB}` ({figures_of(learned, 'mrc:keys').range(0)} keys sampled, rate {learned[0]['mrc:rate']}), `stats mrc` read"
    yield f"at the end, {len(learned)} times, since each server samples other keys; beside it, what servers of those sizes missed of the same trace, and"
    yield "full simulations (`larder-sim`) of caches of as many items as those servers held at the end. Estimate made first: 1,000"
    yield "sampled keys, so an error of some 0.007 on average, most at an eighth, where the sample is 100 keys."
    yield ""
    rows, errors, biases, drawn = [], [], [], {}
    for one, whole in zip(results["servers"], results["simulated"]):
        said = figures_of(learned, f"mrc:{one['policy']}:{one['factor']}:miss_ratio")
        off = Series(abs(value - one["misses"]) for value in said.values)
        errors += off.values
        biases.append(said.median - one["misses"])
        rows.append([one["policy"], one["factor"], "%d" % (LIVE_MIB * factor(one["factor"])), said.range(4), "%.4f" % one["misses"],
                     "%+.4f" % biases[-1], "%.4f" % max(off.values), f"{one['held']:,}", "%.4f" % whole["misses"]])
        for what, value in (("stats mrc", said.median), ("servers of their own", one["misses"])):
            drawn.setdefault(f"{one['policy']}, {what}", []).append((LIVE_MIB * factor(one["factor"]), value))
    yield from table(["policy", "times", "MB", "stats mrc", "a server of its own", "median off by", "worst off by", "items it held", "full simulation"], rows)
    yield "Mean absolute difference %.4f of all runs and points, worst %.4f; of the medians %.4f. Advice of the servers: %s." % (
        statistics.mean(errors), max(errors), statistics.mean(map(abs, biases)), ", ".join(sorted({one["mrc:advice"] for one in learned})))
    yield ""
    yield from bench.line_plot("live", f"{results['trace']} into -m {LIVE_MIB}: what the server says, and what servers of those sizes missed",
                               ("-m, MB", "miss ratio"), drawn, ["set logscale x 2", "set yrange [0:*]"])


# ---- what the curves cost ----

# name -> -m; 29 MB is the least budget that has curves. The first two differ in nothing: what chance makes of it.
COST_SERVERS = {"none": "27", "without": "28", "with": "29", "large": "1024"}
COST_TEXT = {"none": "no curves", "without": "no curves", "with": "curves", "large": "curves, huge pages"}
COST_ROUNDS, COST_SECONDS, COST_GOAL_PERCENT = 11, 0.6, 2


def measure_cost(bench):
    """CPU of a get at depth 100 with curves and without, in turns, and that of the main thread, which learns them."""
    load = ["-c", "32", "-k", "100000", "-K", str(KEY_BYTES), "-v", str(VALUE_BYTES)]
    results = {name: [] for name in COST_SERVERS}
    names = list(COST_SERVERS)
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(bench.server("larder", memory)) for name, memory in COST_SERVERS.items()}
        for server in servers.values():
            bench.load(server, [*load, "--populate", "-n", "1000"])
        time.sleep(1)
        for run in range(2 if bench.quick else COST_ROUNDS):
            for turn in range(len(names)):
                name = names[(turn + run) % len(names)]
                bench.progress("round %d" % (run + 1))
                results[name].append(cost_run(bench, servers[name], load))
        states = {}
        for name, server in servers.items():
            raw = Raw(server.address, 60)
            said = raw.stats(b"mrc")
            states[name] = {key: said[key] for key in ("mrc:state", "mrc:rate", "mrc:keys", "mrc:dropped") if key in said}
            raw.close()
    return {"runs": results, "states": states}


def cost_run(bench, server, load):
    before = task_cpu_s(server.pid, server.pid)
    result = bench.load(server, [*load, "-d", "100", "-w", "0.1", "-D", str(COST_SECONDS)])
    main_s = task_cpu_s(server.pid, server.pid) - before
    gets = result["operations_per_s"] * (COST_SECONDS + 0.1)
    return {"get_us": result["server_cpu_us_per_operation"], "rate": result["operations_per_s"], "main_ns": 1e9 * main_s / gets}


def by_rounds(results, name, base):
    """Percent that a get costs more, by rounds: median and quartiles."""
    shares = [100 * (one["get_us"] / other["get_us"] - 1) for one, other in zip(results[name], results[base])]
    quarters = statistics.quantiles(shares, n=4)
    return statistics.median(shares), "%+.1f %% (quartiles %+.1f to %+.1f)" % (statistics.median(shares), quarters[0], quarters[2])


def cost_lines(bench, results):
    runs, states = results["runs"], results["states"]
    bench.note("larder-load", "-c", "32", "-k", "100000", "-d", "100", "-w", "0.1", "-D", str(COST_SECONDS))
    yield "## What the curves cost"
    yield ""
    yield "There is no switch; a budget below 29 MB has no curves. So four servers take turns, of which the first two differ in nothing: 100,000"
    yield f"keys that fit in all, uniform gets at depth 100, {len(runs['with'])} rounds of {COST_SECONDS} s. CPU of all threads for a get, and of it the main thread's, which"
    yield "simulates. Estimate made first: 0.7 us for one in 256 gets of 0.115 us is 2.4 %, or 0.6 % at one in 1,024, and 0.5 to 1 ns for those"
    yield "that are not sampled."
    yield ""
    rows = []
    for name, memory in COST_SERVERS.items():
        state = states[name]
        rows.append([f"-m {memory}", COST_TEXT[name], state["mrc:state"], state.get("mrc:rate", ""), state.get("mrc:keys", ""), state.get("mrc:dropped", ""),
                     Series(run["get_us"] for run in runs[name]).text(4), figures(runs[name], "main_ns").range(2),
                     f"{figures(runs[name], 'rate').median / 1e6:.2f}"])
    yield from table(["server", "", "stats mrc", "rate", "keys sampled", "dropped", "CPU for a get, us", "of it the main thread, ns", "million gets/s"], rows)
    (_, chance), (median, text) = by_rounds(runs, "without", "none"), by_rounds(runs, "with", "without")
    main = figures(runs["large"], "main_ns").median - figures(runs["none"], "main_ns").median
    percent = 100 * main / 1e3 / figures(runs["large"], "get_us").median
    yield f"By rounds, a get with curves (-m {COST_SERVERS['with']}) costs {text} more than without (-m {COST_SERVERS['without']}); two without differ by {chance}."
    yield (f"The simulation alone, main thread, at the rate of -m {COST_SERVERS['large']}: {main:.2f} ns of a get, {percent:.1f} %."
           f" At most {COST_GOAL_PERCENT} %: {reached(median <= COST_GOAL_PERCENT and percent <= COST_GOAL_PERCENT)}.")
    yield ""


# ---- the profile ----

PROFILE_ITEMS, PROFILE_PREFIXES, PROFILE_LARGE = 1_000_000, 1000, 200
PROBE_SECONDS = 1.2
PROFILE_COMMANDS = (b"stats prefixes", b"stats largest 100", b"stats hottest 100", b"lru_crawler metadump all")


def prefix_counts(count):
    """Items of each prefix: popular ones many, by Zipf's law."""
    weights = [1 / (rank + 1) ** 0.9 for rank in range(PROFILE_PREFIXES)]
    return [max(1, int(count * weight / sum(weights))) for weight in weights]


def fill_profile(raw, count, mixed=True):
    """Items by prefix, in any order or one prefix after the other, and large ones: what is true of them."""
    counts = prefix_counts(count)
    names = [name for number, each in enumerate(counts) for name in keys(b"p%03d" % number, each)]
    if mixed:
        random.Random(1).shuffle(names)
    store(raw, names, b"v" * 100)
    large = {b"large:%03d" % i: 5000 + 37 * i for i in range(PROFILE_LARGE)}
    for name, size in large.items():
        store(raw, [name], b"w" * size)
    return counts, large


def dump_reply(raw, command):
    """All lines up to the end of one answer."""
    raw.send(command + b"\r\n")
    lines = []
    while (line := raw.line()) != b"END":
        if line.startswith((b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR")):
            return None
        lines.append(line)
    return lines


def probe(bench, server, meanwhile):
    """The longest wait of a get, one at a time, while meanwhile() runs again and again: milliseconds, and what
    meanwhile took. The connection is served by the same worker."""
    arguments = [bench.options.load, "-s", "%s:%d" % server.address, "-p", str(server.pid), "-q", "--json", "-T", "1", "-c", "1", "-d", "1", "-k", "1000",
                 "-w", "0.2", "-D", str(PROBE_SECONDS)]
    took, started = [], time.monotonic()
    load = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True,
                            preexec_fn=lambda: os.sched_setaffinity(0, {max(bench.load_cpus)}))
    try:
        time.sleep(0.4)
        while time.monotonic() < started + PROBE_SECONDS:
            began = time.monotonic()
            if meanwhile is None or not meanwhile():
                break
            took.append(time.monotonic() - began)
        waits = json.loads(load.communicate()[0])["latency_us"]["all"]
    finally:
        load.kill()
        load.wait()
    return {"stall_ms": waits["max"] / 1e3, "p999_us": waits["p99.9"], "seconds": statistics.median(took) if took else None, "asked": len(took)}


def measure_profile(bench):
    results = {"costs": {}, "exact": {}}
    for kind in ("larder", "memcached"):
        with bench.server(kind, "512") as server:
            raw = Raw(server.address, 60)
            truth = fill_profile(raw, bench.scaled(PROFILE_ITEMS))
            if kind == "larder":
                results["exact"]["mixed"] = compare_profile(raw, *truth)
            bench.load(server, ["-k", "1000", "--populate", "-n", "1000"])
            time.sleep(1)
            commands = [None] + [command for command in PROFILE_COMMANDS if dump_reply(raw, command) is not None]
            for run in range(bench.options.runs):
                for command in commands:
                    bench.progress("%s, run %d" % (kind, run + 1))
                    found = probe(bench, server, command and (lambda: dump_reply(raw, command)))
                    results["costs"].setdefault(command.decode() if command else "nothing", {}).setdefault(kind, []).append(found)
            raw.close()
    with bench.server("larder", "512") as server:
        raw = Raw(server.address, 60)
        results["exact"]["one prefix after the other"] = compare_profile(raw, *fill_profile(raw, bench.scaled(PROFILE_ITEMS), mixed=False))
        raw.close()
    return results


def compare_profile(raw, counts, large):
    """What stats prefixes and largest say beside what was stored."""
    prefixes = raw.stats(b"prefixes")
    said = {name.rpartition(":")[0]: int(value) for name, value in prefixes.items() if name.endswith(":items")}
    true = {"p%03d" % number: count for number, count in enumerate(counts)}
    true["large"] = len(large)
    listed = [name for name in said if name in true]
    largest = raw.stats(b"largest 100")
    names = [urllib.parse.unquote(largest[f"{i}:key"]).encode() for i in range(1, 101) if f"{i}:key" in largest]
    return {
        "listed": len(listed), "right": sum(said[name] == true[name] for name in listed), "of": len(true),
        "items": sum(said.values()), "stored": sum(true.values()),
        "top": sum(name in said for name in sorted(true, key=true.get, reverse=True)[:100]),
        "largest": len(set(names) & set(sorted(large, key=large.get, reverse=True)[:100])),
        "in_order": names == sorted(names, key=lambda name: (-large.get(name, 0), name)),
    }


def profile_lines(bench, results):
    yield "## What the profile costs and how exact it is"
    yield ""
    yield f"{bench.scaled(PROFILE_ITEMS):,} items of 100 bytes under {PROFILE_PREFIXES:,} prefixes and {PROFILE_LARGE} larger ones, one worker. Seconds until the whole answer is there, asked again and again for"
    yield f"{PROBE_SECONDS - 0.4:g} s, and the longest wait of a get meanwhile, one at a time on a connection of the same worker. memcached has none of them; the nearest"
    yield "is a dump of all keys, to be counted by the client, which both have. Estimate made first: walking a million items reads a line of each at 100 ns and"
    yield "hashes the prefix: 0.15 s for one walk, and with more than 256 prefixes two; a slice of 4,096 items is 0.5 ms, and that is the stall."
    yield ""
    rows = []
    for command, kinds in results["costs"].items():
        for kind, runs in kinds.items():
            rows.append([command, kind, figures(runs, "seconds").range(3), figures(runs, "stall_ms").range(2), figures(runs, "p999_us").range(0)])
    yield from table(["meanwhile", "server", "answered after, s", "longest wait of a get, ms", "p99.9, us"], rows)
    yield "Beside what was stored, in any order, and one prefix after the other, the largest first, which is the worst for a sketch that forgets what is small:"
    yield ""
    rows = [[order, f"{found['listed']} of {found['of']:,}", f"{found['right']} of {found['listed']}", f"{found['top']} of 100",
             f"{found['items']:,} of {found['stored']:,}", f"{found['largest']} of 100{', in order' if found['in_order'] else ''}"]
            for order, found in results["exact"].items()]
    yield from table(["stored", "prefixes listed", "counts that are right", "of the 100 with most items listed", "all counts together, of all items",
                      "true 100 in `stats largest 100`"], rows)


# ---- the hottest keys ----

HOT_KEYS, HOT_REQUESTS = 1_000_000, 2_000_000
HOT_THETAS = (0.8, 0.99, 1.2)


def zipf_trace(path, theta, seed, requests):
    """Writes a trace; how often each key is asked for. The numbers of keys say nothing of their rank."""
    chance = random.Random(seed)
    cumulative = list(itertools.accumulate(1 / (rank + 1) ** theta for rank in range(HOT_KEYS)))
    stride, total = 611953, cumulative[-1]  # prime, so that ranks are spread over the numbers
    counts = {}
    with open(path, "w") as out:
        for _ in range(requests):
            key = bisect.bisect(cumulative, chance.random() * total) * stride % HOT_KEYS
            counts[key] = counts.get(key, 0) + 1
            out.write("%d 0\n" % key)
    return counts


def hottest_run(bench, theta, seed):
    requests = bench.scaled(HOT_REQUESTS)
    with tempfile.TemporaryDirectory(prefix="larder-memory-") as folder, bench.server("larder", "512") as server:
        path = os.path.join(folder, "zipf.txt")
        counts = zipf_trace(path, theta, seed, requests)
        replay(bench, server, path)
        raw = Raw(server.address, 60)
        said = raw.stats(b"hottest 100")
        raw.close()
    listed = [int(urllib.parse.unquote(said[f"{i}:key"])[1:], 16) for i in range(1, 101) if f"{i}:key" in said]
    true = sorted(counts, key=counts.get, reverse=True)[:100]
    wrong = [abs(float(said[f"{listed.index(key) + 1}:share"]) / (counts[key] / requests) - 1) for key in true[:10] if key in listed]
    return {"samples": int(said["samples"]), "ten_in_ten": len(set(true[:10]) & set(listed[:10])), "ten_in_hundred": len(set(true[:10]) & set(listed)),
            "hundred": len(set(true) & set(listed)), "listed": len(listed),
            "share_percent": 100 * statistics.median(wrong) if wrong else None, "hottest_percent": 100 * counts[true[0]] / requests,
            "hundredth_percent": 100 * counts[true[-1]] / requests}


def measure_hottest(bench):
    tasks = [(theta, seed) for seed in range(1, bench.options.runs + 1) for theta in HOT_THETAS]
    results = {str(theta): [] for theta in HOT_THETAS}
    for (theta, _), found in zip(tasks, bench.together(hottest_run, tasks)):
        results[str(theta)].append(found)
    return results


def hottest_lines(bench, results):
    yield "## The hottest keys"
    yield ""
    yield f"`stats hottest 100` after {bench.scaled(HOT_REQUESTS):,} gets of {HOT_KEYS:,} keys by Zipf's law, played once into one worker, another sequence in each run; beside how often"
    yield "each key was really asked for. Estimate made first: 15,600 samples; a key of 7 % has 1,100 of them, one of 0.07 % has 11: so nearly all of the top"
    yield "ten, and of the top hundred what 128 entries hold against the crowd, half perhaps; with little skew hardly any."
    yield ""
    rows = [[theta, figures(runs, "samples").range(0), "%.2f %%, %.3f %%" % (figures(runs, "hottest_percent").median, figures(runs, "hundredth_percent").median),
             figures(runs, "ten_in_ten").range(0), figures(runs, "ten_in_hundred").range(0), figures(runs, "hundred").range(0),
             "%s %%" % figures(runs, "share_percent").range(0)] for theta, runs in results.items()]
    yield from table(["Zipf exponent", "samples", "share of the hottest, of the 100th", "true 10 in the first 10", "true 10 in the 100 listed", "true 100 in the 100 listed",
                      "share of the top ten wrong by"], rows)
    yield "What limits: 128 entries for each worker; a key with less than a 128th of the samples stays only as far as the crowd leaves it, and its"
    yield "share is a lower bound. Longer runs do not help where the hottest key is below that."
    yield ""


PARTS = {
    "curves": (measure_curves, curves_lines),
    "live": (measure_live, live_lines),
    "cost": (measure_cost, cost_lines),
    "profile": (measure_profile, profile_lines),
    "hottest": (measure_hottest, hottest_lines),
}
