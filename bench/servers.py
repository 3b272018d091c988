"""Servers for one measurement, and loads against them: processes pinned to cores of their own.

What the bench scripts share; report.py has what becomes of the figures. A server listens on 127.0.0.1 on a
free port and is ended by its process id. `options` of these functions is a script's command line, of
which they use larder, memcached, redis, floor and load (programs), memory (-m), server_cpu, load_cpus.
"""
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

from script import ROOT, Trouble

sys.path.insert(0, os.path.join(ROOT, "tests", "clients"))

from support import Raw, as_user, free_port

KEY_BYTES, VALUE_BYTES = 15, 100  # of the loads where nothing else is said
ALLOWANCE_KIB = 4096  # what Larder may have resident above its -m


# ---- processes ----

def task_cpu_s(pid, task=None):
    """CPU seconds of all threads, or of one, from the scheduler's own account."""
    total_ns = 0
    for each in os.listdir(f"/proc/{pid}/task") if task is None else [task]:
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{each}/schedstat") as stat:
            total_ns += int(stat.read().split()[0])
    return total_ns / 1e9


def memory_kib(pid, field):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(rf"^{field}:\s+(\d+)", status.read(), re.M)[1])


class Server:
    """A server of one kind, pinned, until the end of the with block."""

    def __init__(self, kind, options, memory=None, directory=None, flags=(), cpus=None):
        self.kind, self.options, self.flags = kind, options, list(flags)
        self.cpus = cpus or {options.server_cpu}
        self.port = free_port()
        self.command = self.make_command(memory or options.memory, directory)
        self.ready_ms = None

    def make_command(self, memory, directory):
        port = str(self.port)
        caching = ["-c", "8192", "-m", memory, "-l", "127.0.0.1", "-p", port, *as_user(), *self.flags]
        threads = [] if "-t" in self.flags else ["-t", "1"]
        if self.kind == "larder":
            return [self.options.larder, *threads, *caching]
        if self.kind == "memcached":
            return [self.options.memcached, *threads, "-U", "0", *caching]
        if self.kind == "redis":
            return [self.options.redis, "--port", port, "--bind", "127.0.0.1", "--save", "",
                    "--appendonly", "no", "--dir", directory or "/tmp"]
        return [self.options.floor, "-p", port, "-k", str(KEY_BYTES), "-v", str(VALUE_BYTES)]

    def __enter__(self):
        started = time.monotonic()
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, self.cpus))
        while True:
            try:
                self.connect().close()
                break
            except ConnectionRefusedError:
                if self.process.poll() is not None:
                    raise Trouble(f"{shown(self.command)}: ended at once")
                if time.monotonic() - started > 10:
                    self.__exit__()
                    raise Trouble(f"{shown(self.command)}: does not listen")
                time.sleep(0.0002)
        self.ready_ms = (time.monotonic() - started) * 1e3
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    @property
    def pid(self):
        return self.process.pid

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def connect(self):
        return socket.create_connection(self.address, timeout=30)

    def stats(self, kind=b""):
        with contextlib.closing(Raw(self.address, 30)) as connection:
            try:
                return connection.stats(kind)
            except EOFError as end:
                raise Trouble(f"{shown(self.command)}: {end}") from end


def shown(command):
    """A command as a reader would type it: programs without their directories."""
    return " ".join([os.path.basename(command[0]), *(word if word else "''" for word in command[1:])])


def run_pinned(command, cpus, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          preexec_fn=lambda: os.sched_setaffinity(0, cpus), **more)
    if done.returncode != 0:
        raise Trouble(f"{shown(command)}: status {done.returncode}: {' '.join(done.stderr.split())}")
    return done.stdout


def larder_load(options, server, arguments, cpus=None):
    """larder-load with these arguments: its summary."""
    cpus = cpus or options.load_cpus
    return json.loads(run_pinned([options.load, "-s", f"127.0.0.1:{server.port}", "-p", str(server.pid), "-q",
                                  "--json", "-T", str(len(cpus)), *arguments], cpus))


# ---- cores and programs ----

def cpu_list(text):
    cpus = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus


def choose_cpus(options):
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise Trouble("the load needs a core of its own; this machine has one")
    options.server_cpu = cpus[-1] if options.server_cpu is None else options.server_cpu
    others = [cpu for cpu in cpus if cpu != options.server_cpu]
    options.load_cpus = options.load_cpus or set(others[:3])
    if not options.load_cpus <= set(cpus) or options.server_cpu not in cpus:
        raise Trouble(f"of the cores named not all may be used: there are {cpus}")


def demand_programs(programs, hint):
    for program in programs:
        if not shutil.which(program):
            raise Trouble(f"{program} is not there ({hint})")


def progress(text):
    """One line that the next replaces; nothing without a terminal."""
    if sys.stderr.isatty():
        print("\r%-78s" % text[:78], end="" if text else "\r", file=sys.stderr, flush=True)
