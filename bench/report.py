"""What the bench scripts' reports are made of: figures of several runs, tables, plots, the machine.

Two figures are said to differ only where their medians lie further apart than their runs are spread.
"""
import os
import re
import shutil
import statistics
import subprocess

from script import ROOT

# ---- figures ----


class Series:
    """The runs of one server in one row."""

    def __init__(self, values=()):
        self.values = list(values)

    def add(self, value):
        self.values.append(value)

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def spread(self):
        return max(self.values) - min(self.values)

    def text(self, digits):
        percent = 100 * self.spread / self.median if self.median else 0
        return f"{self.median:.{digits}f} (±{percent / 2:.0f} %)"

    def range(self, digits):
        """For counts and seconds that may be 0: median and, where the runs differ, lowest to highest."""
        if not self.values:
            return "-"
        text = f"{self.median:,.{digits}f}"
        low, high = min(self.values), max(self.values)
        return text if f"{low:.{digits}f}" == f"{high:.{digits}f}" else f"{text} ({low:,.{digits}f} to {high:,.{digits}f})"


def ratio(above, below):
    """above / below, or None where the runs are spread further than the medians differ."""
    if abs(above.median - below.median) <= max(above.spread, below.spread):
        return None
    return above.median / below.median


def ratio_text(above, below, goal=None, at_most=False):
    value = ratio(above, below)
    if value is None:
        return "no conclusion"
    text = f"{value:.2f}x"
    if goal is None:
        return text
    reached = value <= goal if at_most else value >= goal
    return f"{text} ({'' if reached else 'not '}{'within' if at_most else 'reaching'} {goal}x)"


# ---- text ----

def table(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def first_line(command):
    """Of what it prints; "unknown" where it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except OSError:
        return "unknown"
    return "unknown" if done.returncode else (done.stdout or done.stderr).strip().split("\n")[0]


def revision():
    return first_line(["git", "-C", ROOT, "describe", "--always", "--dirty"])


def machine_lines(options, redis=True):
    with open("/proc/cpuinfo") as info:
        model = re.search(r"model name\s*:\s*(.*)", info.read())
    with open("/proc/meminfo") as info:
        memory = int(re.search(r"MemTotal:\s+(\d+)", info.read())[1]) / 2**20
    others = f"; memcached: {first_line([options.memcached, '-V'])}"
    if redis:
        others += f"; redis: {first_line([options.redis, '--version'])}"
    yield f"- CPU: {model[1] if model else 'unknown'}, {os.cpu_count()} cores; memory {memory:.0f} GiB"
    yield f"- kernel: {os.uname().sysname} {os.uname().release} {os.uname().machine}"
    yield f"- larder: revision {revision()}{others}"
    yield f"- server pinned to core {options.server_cpu}, load on cores " \
          f"{', '.join(map(str, sorted(options.load_cpus)))}; load average before: {options.load_average:.2f}"


# ---- plots ----

def gnuplot(path, script):
    """Draws an SVG; False where there is no gnuplot."""
    if not shutil.which("gnuplot"):
        return False
    script = [f"set terminal svg size 1000,450 background rgb 'white'\nset output '{path}'\nset grid y", *script]
    done = subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, capture_output=True)
    return done.returncode == 0


def block(name, rows):
    text = "\n".join(" ".join(f'"{cell}"' if isinstance(cell, str) else f"{cell:g}" for cell in row) for row in rows)
    return f"${name} << EOD\n{text}\nEOD"


def plot_bars(path, lines, data):
    """Grouped bars of data, rows of cells."""
    return gnuplot(path, ["set style data histogram\nset style fill solid 0.8 border -1\n"
                          "set style histogram errorbars gap 2 lw 1\nset key top right\nset boxwidth 0.9",
                          block("data", data), *lines])


def plot_lines(path, title, axes, curves, more=()):
    """Curves, a dictionary of title to points (x, y), in one picture; axes is (x's label, y's)."""
    blocks = [block(f"c{i}", points) for i, points in enumerate(curves.values())]
    drawn = ", ".join(f"$c{i} using 1:2 with linespoints lw 2 pt 7 ps 0.4 title '{name}'" for i, name in enumerate(curves))
    return gnuplot(path, [f"set title '{title}'\nset xlabel '{axes[0]}'\nset ylabel '{axes[1]}'\nset key outside right",
                          *more, *blocks, f"plot {drawn}"])
