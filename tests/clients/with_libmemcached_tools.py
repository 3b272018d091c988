#!/usr/bin/python3
"""libmemcached's command-line tools, each as a user would call it. Wants two servers: memccapable,
which empties its server, has the second.
"""

import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

from support import Checks, Raw, free_port, parse_servers, wait_until

checks = Checks("libmemcached-tools")
TOOLS = ("memccapable", "memccp", "memccat", "memcrm", "memctouch", "memcexist", "memcdump", "memcflush", "memcstat",
         "memcping", "memcslap", "memcaslap", "memcerror")
CAPABLE_TESTS = 27


class Tools:
    def __init__(self, address, directory):
        self.server = "%s:%d" % address
        self.directory = directory

    def run(self, tool, *arguments, server=None):
        """(exit status, output): some tools answer on standard error."""
        done = subprocess.run([tool, "-s", server or self.server] + list(arguments), cwd=self.directory, timeout=20,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def write(self, name, data):
        with open(os.path.join(self.directory, name), "wb") as file:
            file.write(data)

    def read(self, name):
        with open(os.path.join(self.directory, name), "rb") as file:
            return file.read()


def capable(address):
    host, port = address
    done = subprocess.run(["memccapable", "-h", host, "-p", str(port), "-a"], timeout=30, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = [line.decode() for line in done.stdout.splitlines() if line.startswith(b"ascii ")]
    for line in lines:
        checks.ok(line.endswith("[pass]"), "memccapable", line)
    checks.equal(len(lines), CAPABLE_TESTS, "memccapable ran every test")
    checks.equal(done.returncode, 0, "memccapable's exit status")


def copies(tools, raw):
    big = os.urandom(1000000)
    for name, data in (("small", b"hello world"), ("empty", b""), ("middle", os.urandom(300000)), ("big", big)):
        tools.write(name, data)
        checks.equal(tools.run("memccp", "--set", "--flags=7", "--expire=100", name)[0], 0, "memccp of " + name)
        checks.ok(raw.value(name.encode()) == data, "memccp stored " + name)
        checks.equal(raw.meta(name.encode(), b"f t")["f"], "7", "memccp stored the flags of " + name)
        tools.run("memccat", "--file=copy", name)
        checks.ok(tools.read("copy") == data, "memccat brings back " + name)
    checks.equal(raw.meta(b"small", b"t")["t"] in ("98", "99", "100"), True, "memccp stored the expiry")
    checks.equal(tools.run("memccp", "--add", "small")[0], 1, "memccp --add of a present key")
    tools.write("small", b"replaced")
    checks.equal(tools.run("memccp", "--replace", "small")[0], 0, "memccp --replace of a present key")
    checks.equal(raw.value(b"small"), b"replaced", "memccp --replace stored")
    tools.write("new", b"new")
    checks.equal(tools.run("memccp", "--replace", "new")[0], 1, "memccp --replace of an absent key")
    checks.equal(tools.run("memccp", "--add", "new")[0], 0, "memccp --add of an absent key")
    for name, options in (("buffer", ["--buffer"]), ("non-blocking", ["--non-blocking"]), ("nodelay", ["--tcp-nodelay"])):
        tools.write("opt", name.encode() * 1000)
        checks.equal(tools.run("memccp", *options, "opt")[0], 0, "memccp, " + name)
        checks.equal(raw.value(b"opt"), name.encode() * 1000, "memccp stored, " + name)
        checks.equal(tools.run("memccat", *options, "opt"), (0, name.encode() * 1000 + b"\n"), "memccat, " + name)
    checks.equal(tools.run("memccp", "small", "new", "opt")[0], 0, "memccp of three files")
    checks.equal(tools.run("memccat", "small", "new"), (0, b"replaced\nnew\n"), "memccat of two keys")
    checks.equal(tools.run("memccat", "absent")[0], 1, "memccat of an absent key")
    tools.run("memccp", "--flags=9", "small")
    checks.equal(tools.run("memccat", "--flags", "small"), (0, b"9\nreplaced\n"), "memccat shows the flags")
    tools.write("toobig", bytes(1 << 20) + b"more")
    checks.ok(tools.run("memccp", "toobig")[0] != 0, "memccp over the item limit")


def keys(tools, raw):
    raw.ask(b"set k1 0 0 1\r\nx")
    checks.equal(tools.run("memcexist", "k1")[0], 0, "memcexist of a present key")
    checks.equal(tools.run("memcexist", "none")[0], 1, "memcexist of an absent key")
    checks.equal(tools.run("memcexist", "k1", "none")[0], 1, "memcexist of two keys, one absent")
    checks.equal(raw.value(b"none"), None, "memcexist leaves nothing behind")
    checks.equal(tools.run("memctouch", "--expire=500", "k1")[0], 0, "memctouch of a present key")
    checks.equal(raw.meta(b"k1", b"t")["t"] in ("499", "500"), True, "memctouch set the expiry")
    checks.equal(tools.run("memctouch", "--expire=500", "none")[0], 1, "memctouch of an absent key")
    checks.equal(tools.run("memcrm", "k1")[0], 0, "memcrm of a present key")
    checks.equal(raw.value(b"k1"), None, "memcrm removed it")
    checks.equal(tools.run("memcrm", "k1")[0], 1, "memcrm of an absent key")


def dumps(tools, raw):
    checks.equal(tools.run("memcflush")[0], 0, "memcflush")
    checks.equal(tools.run("memcdump"), (0, b""), "memcdump of an empty server")
    wanted = set()
    for number in range(300):
        key = b"dump%d" % number
        raw.ask(b"set " + key + b" 0 0 %d\r\n" % number + b"x" * number)
        wanted.add(key)
    status, output = tools.run("memcdump")
    checks.equal(status, 0, "memcdump's exit status")
    named = output.split()
    checks.equal(len(named), len(set(named)), "memcdump names no key twice")
    checks.equal(set(named) - wanted, set(), "memcdump names nothing else")
    # memcached dumps one of its three lists only, where what was just stored is not yet.
    if b"larder" in raw.ask(b"version"):
        checks.equal(set(named), wanted, "memcdump names every key")
    checks.equal(tools.run("memcflush", "--expire=2")[0], 0, "memcflush with a time")
    checks.equal(raw.value(b"dump7"), b"x" * 7, "memcflush with a time waits")
    checks.ok(wait_until(lambda: raw.value(b"dump7") is None, 5), "memcflush with a time takes effect")
    wait_until(lambda: raw.ask(b"set dump 0 0 1\r\nx") == b"STORED" and raw.value(b"dump") is not None, 5)


def information(tools):
    checks.equal(tools.run("memcping")[0], 0, "memcping")
    checks.equal(tools.run("memcping", server="127.0.0.1:%d" % free_port())[0], 1, "memcping without a server")
    for what, wanted in (((), b"curr_items:"), (("settings",), b"maxbytes:"), (("slabs",), b"chunk_size:"),
                         (("items",), b"number:")):
        status, output = tools.run("memcstat", *what)
        name = " ".join(("memcstat",) + what)
        checks.equal(status, 0, name + "'s exit status")
        checks.ok(output.startswith(b"Server: 127.0.0.1"), name + " names the server")
        checks.ok(wanted in output, "%s has %s" % (name, wanted.decode()), repr(output[:200]))
    status, output = tools.run("memcstat", "--server-version")
    checks.equal(status, 0, "memcstat --server-version")
    checks.ok(b" 1.6." in output, "memcstat's version is 1.6.x", repr(output))
    status, output = tools.run("memcstat", "--analyze")
    checks.equal(status, 0, "memcstat --analyze")
    checks.ok(b"Average Item Size" in output, "memcstat --analyze reports")
    checks.equal(subprocess.run(["memcerror", "0"], stdout=subprocess.PIPE).stdout, b"SUCCESS\n", "memcerror")


def loads(tools):
    for arguments in (("--test=set",), ("--test=get",), ("--test=mget",), ("--test=set", "--noreply"),
                      ("--test=get", "--non-blocking"), ("--test=get", "--tcp-nodelay")):
        status, output = tools.run("memcslap", "--concurrency=4", "--execute-number=500", *arguments)
        name = " ".join(("memcslap",) + arguments)
        checks.equal(status, 0, name)
        checks.ok(b"2000 keys by    4 threads" in output, name + " did its work", repr(output[-300:]))
    status, output = tools.run("memcaslap", "-T", "2", "-c", "8", "-x", "20000")
    checks.equal(status, 0, "memcaslap")
    figures = dict(line.split(b": ", 1) for line in output.splitlines() if b": " in line)
    checks.equal(figures.get(b"get_misses"), b"0", "memcaslap: no misses")
    checks.ok(int(figures.get(b"cmd_get", 0)) > 10000, "memcaslap got")
    status, output = tools.run("memcaslap", "-T", "2", "-c", "4", "-x", "20000", "-v", "0.5", "-X", "2000", "-d", "10")
    checks.equal(status, 0, "memcaslap with checked values")
    figures = dict(line.split(b": ", 1) for line in output.splitlines() if b": " in line)
    checks.equal(figures.get(b"verify_failed"), b"0", "memcaslap: every value as it was set")


def main():
    servers = parse_servers(__doc__)
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    checks.equal(missing, [], "the tools are there")
    raw = Raw(servers[0])
    with tempfile.TemporaryDirectory(prefix="larder-tools-") as directory:
        tools = Tools(servers[0], directory)
        checks.section(capable, servers[1])
        checks.section(copies, tools, raw)
        checks.section(keys, tools, raw)
        checks.section(dumps, tools, raw)
        checks.section(information, tools)
        checks.section(loads, tools)
    checks.finish()


if __name__ == "__main__":
    main()
