"""What the client suites and the other tests in Python share.

Server runs one server on a free port and ends it; Checks counts checks and prints the failed
ones, run_checks runs functions that assert; Raw speaks to a server in plain bytes, to look behind a
client's back.
"""

import argparse
import os
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
import time

LOOPBACK = "127.0.0.1"


class Checks:
    """Counts checks. One line for a failed check, the totals at the end."""

    def __init__(self, suite):
        self.suite = suite
        self.passed = 0
        self.failed = 0

    def ok(self, condition, name, detail=""):
        if condition:
            self.passed += 1
            return True
        self.failed += 1
        print("FAIL %s: %s%s" % (self.suite, name, ": " + detail if detail else ""), flush=True)
        return False

    def equal(self, got, wanted, name):
        same = type(got) is type(wanted) and got == wanted
        return self.ok(same, name, "got %s, wanted %s" % (brief(got), brief(wanted)))

    def raises(self, exception, name, function, *args, **kwargs):
        try:
            got = function(*args, **kwargs)
        except exception:
            return self.ok(True, name)
        except Exception as other:  # the check is about which exception it is
            return self.ok(False, name, "raised %r" % other)
        return self.ok(False, name, "raised nothing, returned %s" % brief(got))

    def section(self, function, *args):
        """Runs a group of checks; what it raises is one failed check, and the others go on."""
        try:
            function(*args)
        except Exception as error:
            where = error.__traceback__.tb_next or error.__traceback__
            self.ok(False, function.__name__, "stopped at line %d by %r" % (where.tb_lineno, error))

    def finish(self):
        print("%d passed, %d failed" % (self.passed, self.failed), flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)


def run_checks(checks):
    """Runs functions that assert, each alone; what one raises is its failure. Then the totals, and the end."""
    passed = 0
    for check in checks:
        try:
            check()
            passed += 1
        except (Exception, SystemExit) as problem:
            print(f"{check.__name__}: {type(problem).__name__}: {problem}"[:2000])
    print(f"{passed} passed, {len(checks) - passed} failed")
    sys.exit(0 if passed == len(checks) > 0 else 1)


def checks_of(names, prefix="check_"):
    """The functions that are checks, of vars() or of an object, by name."""
    found = names if isinstance(names, dict) else {name: getattr(names, name) for name in dir(names)}
    return [found[name] for name in sorted(found) if name.startswith(prefix)]


def brief(value):
    text = repr(value)
    return text if len(text) <= 160 else text[:120] + "... (%d characters)" % len(text)


def wait_until(condition, timeout_s):
    """Asks until condition() holds; used where nothing announces the event, as with expiry."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def free_port(host=LOOPBACK):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def has_ipv6():
    try:
        free_port("::1")
        return True
    except OSError:
        return False


def split_address(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def parse_servers(description):
    """The command line of a suite: HOST:PORT[,HOST:PORT...]"""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("servers", help="HOST:PORT[,HOST:PORT...]")
    return [split_address(part) for part in parser.parse_args().servers.split(",")]


class Raw:
    """A connection in plain bytes."""

    def __init__(self, address, timeout_s=10):
        if isinstance(address, str):  # the path of a Unix socket
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout_s)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(address, timeout=timeout_s)
        self.buffer = b""

    def send(self, data):
        self.sock.sendall(data)

    def line(self):
        while b"\n" not in self.buffer:
            chunk = self.sock.recv(65536)
            if not chunk:
                raise EOFError("the server closed the connection")
            self.buffer += chunk
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def bytes(self, count):
        parts, have = [self.buffer], len(self.buffer)
        while have < count:
            chunk = self.sock.recv(min(1 << 20, count - have + 4096))
            if not chunk:
                raise EOFError("the server closed the connection")
            parts.append(chunk)
            have += len(chunk)
        everything = b"".join(parts)
        self.buffer = everything[count:]
        return everything[:count]

    def ask(self, command):
        """One line out, one line back."""
        self.send(command + b"\r\n")
        return self.line()

    def lines(self, command, last=(b"END", b"EN", b"ERROR")):
        self.send(command + b"\r\n")
        found = []
        while True:
            line = self.line()
            if line in last or line.startswith((b"CLIENT_ERROR", b"SERVER_ERROR")):
                return found
            found.append(line)

    def meta(self, key, flags):
        """mg without v: the returned flags as a dictionary by letter, None when it misses."""
        reply = self.ask(b"mg " + key + b" " + flags).split(b" ")
        if reply[0] == b"EN":
            return None
        return {token[:1].decode(): token[1:].decode("latin-1") for token in reply[1:]}

    def value(self, key):
        self.send(b"get " + key + b"\r\n")
        head = self.line()
        if head == b"END":
            return None
        length = int(head.split(b" ")[3])
        data = self.bytes(length + 2)[:-2]
        self.line()
        return data

    def stats(self, what=b""):
        found = {}
        for line in self.lines(b"stats" + (b" " + what if what else b"")):
            _, name, value = (line.split(b" ", 2) + [b""])[:3]
            found[name.decode()] = value.decode("latin-1")
        return found

    def close(self):
        self.sock.close()


class Server:
    """A server process: started on a free port, ended by its process id."""

    def __init__(self, program, flags=(), host=LOOPBACK, unix=None, env=None, port=None, listen_timeout_s=10):
        self.program = program
        self.flags = list(flags)
        self.host = host
        self.unix = unix
        self.env = env
        self.wanted_port = port
        self.listen_timeout_s = listen_timeout_s
        self.process = None
        self.log = tempfile.TemporaryFile()

    @property
    def address(self):
        return (self.host.split(",")[0], self.port)

    @property
    def name(self):
        return "%s:%d" % self.address

    def start(self):
        # A port that was free may be taken a moment later: then the server says so and ends.
        for _ in range(5):
            self.port = self.wanted_port or free_port(self.host.split(",")[0])
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=self.log,
                                            stderr=self.log, env=self.env)
            if self.wait_listening():
                return self
            if self.process.poll() is None:
                self.stop()
                break
        raise RuntimeError("%s does not listen: %s" % (" ".join(self.command()), self.output()[-500:]))

    def command(self):
        where = ["-s", self.unix] if self.unix else ["-l", self.host, "-p", str(self.port), "-U", "0"]
        return [self.program] + where + as_user() + self.flags

    def wait_listening(self):
        return wait_until(lambda: self.process.poll() is not None or self.answers(), self.listen_timeout_s) \
            and self.process.poll() is None

    def answers(self):
        try:
            if self.unix:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                    probe.connect(self.unix)
            else:
                socket.create_connection(self.address, timeout=1).close()
            return True
        except OSError:
            return False

    def output(self):
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace")

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def status_kib(self, field):
        """VmHWM or VmRSS, in KiB."""
        with open("/proc/%d/status" % self.process.pid) as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
        raise KeyError(field)

    def ask_to_stop(self, with_signal=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(with_signal)

    def stop(self, with_signal=signal.SIGTERM, timeout_s=10):
        """Ends the server; its exit status, or None if it had to be killed."""
        if self.process is None:
            return None
        self.ask_to_stop(with_signal)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        self.log.close()


def as_user():
    """Servers refuse to run as root unless they are told a user."""
    return ["-u", "nobody"] if os.geteuid() == 0 else []


def open_directory(prefix):
    """A temporary directory that the server's user may write to."""
    path = tempfile.mkdtemp(prefix=prefix)
    os.chmod(path, 0o777)
    if os.geteuid() == 0:
        os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
    return path


def sanitized(program):
    """Whether a build carries a sanitizer, whose own memory makes figures of memory worthless."""
    with open(program, "rb") as file:
        code = file.read()
    return any(mark in code for mark in (b"__asan_init", b"__tsan_init", b"__ubsan_handle"))


def find_larder():
    """build/larder, as make's tests or a user at the top of the tree would name it, or beside the tests."""
    tree = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    places = [os.environ.get("top_builddir"), os.path.join(os.getcwd(), "build"), os.getcwd(), os.path.join(tree, "build")]
    for place in places:
        if place and os.path.isfile(os.path.join(place, "larder")):
            return os.path.abspath(os.path.join(place, "larder"))
    return None


def add_server_options(parser):
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--server", metavar="PATH", help="the server to test; else build/larder")
    which.add_argument("--memcached", action="store_true", help="test the memcached found in PATH")


def chosen_server(options):
    """The program to test, or the end of this run with a reason."""
    if getattr(options, "memcached", False):
        return "memcached"
    program = options.server or find_larder()
    if not program or not os.access(program, os.X_OK):
        print("no server: build one, or name it with --server")
        print("0 passed, 1 failed")
        sys.exit(1)
    return os.path.abspath(program)
