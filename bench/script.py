"""How every bench script reads its command line, where its report goes, and how it ends: with 64 and one line
for a wrong command line, with 1 and one line for trouble with a server, a program or a file.
"""
import argparse
import datetime
import math
import os
import signal
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Trouble(Exception):
    """Ends a script with one line."""

    status = 1


class Misuse(Trouble):
    """The command line is wrong."""

    status = 64


def run(main):
    """main(), and the end of the process."""
    name = os.path.basename(sys.argv[0])

    def end(status, text):
        print(f"{name}: {text}", file=sys.stderr)
        sys.exit(status)

    signal.signal(signal.SIGTERM, lambda *_: end(1, "ended"))  # the servers end with it
    try:
        main()
    except Trouble as trouble:
        end(trouble.status, trouble)
    except OSError as trouble:
        end(1, trouble)
    except KeyboardInterrupt:
        end(1, "interrupted")


# ---- the command line ----

class Parser(argparse.ArgumentParser):
    """One line for what is wrong, where argparse prints the usage too and ends with 2."""

    def __init__(self, description, **more):
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter, **more)

    def error(self, message):
        raise Misuse(message.removeprefix("argument "))

    def add_build(self):
        self.add_argument("--build", default=os.path.join(ROOT, "build"), help="where the programs are (build)")

    def add_report(self):
        self.add_argument("--out", default=os.path.join(ROOT, "bench", "reports"), help="(bench/reports)")
        self.add_argument("--date", default=datetime.date.today().isoformat(), help="in the report's name (today)")


def number(kind, least, most=math.inf, above=False):
    """A type of argument: a number that is not below `least`, or above it, nor above `most`."""
    def read(text):
        value = kind(text)
        if not (value > least if above else value >= least) or not value <= most or not math.isfinite(value):
            bounds = f"a number above {least}" if above else f"at least {least}"
            raise argparse.ArgumentTypeError(f"{text}: must be {bounds}" + (f" and at most {most}" if most < math.inf else ""))
        return value

    read.__name__ = "number"  # argparse's word for what is none
    return read


COUNT = number(int, 1)
SECONDS = number(float, 0, above=True)
SHARE = number(float, 0, 1)


def shown_arguments(words):
    """A command line for a report, directories by their last part: where things lie is nobody's business."""
    def short(word):
        flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        return flag + equals + (os.path.basename(value.rstrip("/")) if "/" in value else value)

    return [short(word) for word in words]


# ---- the report ----

def report_folder(path):
    """Made before anything is measured, so that hours of figures are not lost to a wrong name."""
    os.makedirs(path, exist_ok=True)
    if not os.access(path, os.W_OK):
        raise Trouble(f"{path}: nothing can be written there")
