"""`ringsim`: mounts the commands and turns what goes wrong into one line and an exit code.

    RingsimError -> its line, its code      Ctrl-C, SIGTERM -> 130      closed pipe -> quiet, 1      a wrong option -> its line, 2
    a full disk, too few handles -> its line, 1
    anything else is a bug: one line, the traceback in a file of the user's state directory, 1

With --json an error, too, is the one JSON object on stdout: {"error", "exit_code"[, "problems"]}; the line is on stderr.
"""

import contextlib
import errno
import os
import platform
import re
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from procs.cli.output import BAD_INPUT, DONE, FAILURE, INTERRUPTED, Output, encode, say
from ringsim import __version__
from ringsim.errors import RingsimError

app = typer.Typer(
    name="ringsim",
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: ringsim run --clock simulated --json",
)

# Command file -> group, None where its commands stand by themselves; in the order of the help.
MOUNTED = {
    "run": None,
    "demo": None,
    "chaos": None,
    "control": None,
    "top": None,
    "runs": None,
    "analysis": None,
    "feed": "feed",
    "bench": "bench",
    "config": "config",
    "doctor": None,
}

# What the machine refuses, wherever it does: no bug of ours, and what to do about it.
_MACHINE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "choose a place that can be written",
    errno.ENOMEM: "free some memory",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "close some programs",
    errno.EAGAIN: "raise the limit of processes (ulimit -u), or close some",
}

for _name, _group in MOUNTED.items():
    if find_spec(f"procs.cli.{_name}"):
        app.add_typer(import_module(f"procs.cli.{_name}").app, name=_group)


def _version(asked: bool) -> None:
    if asked:
        print(f"ringsim {__version__}")
        raise typer.Exit(DONE)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A low-latency trading-infrastructure lab: shared-memory rings, one process a stage, exact replay.

    Simulation and paper trading only: for education and research, and it claims no profitability.
    """


def main() -> None:
    """The console command."""
    _fill_streams()
    sys.exit(run(sys.argv[1:]))


def _fill_streams() -> None:
    """Give closed standard streams (`>&-`) to /dev/null: else the next file opened would be written to as if it were stdout."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def run(arguments: list[str]) -> int:
    """Carry out one command line. Returns the exit code and lets no exception out."""
    stdout, json = sys.stdout, "--json" in arguments
    Output.delivered = False
    try:
        if platform.system() != "Linux":
            return _fail(
                stdout, json, f"runs on Linux only, not on {platform.system()}: it needs /dev/shm and pidfds", BAD_INPUT
            )
        try:
            with _interruptible():
                code = app(args=arguments, prog_name="ringsim", standalone_mode=False)
            stdout.flush()
            if code == INTERRUPTED and not Output.delivered:  # typer has made a code of the exception
                raise KeyboardInterrupt
            return code if isinstance(code, int) else DONE
        except RingsimError as error:
            return _fail(stdout, json, str(error), error.exit_code, getattr(error, "problems", None))
        except typer.TyperException as error:
            return _usage(stdout, json, error, arguments)
        except (KeyboardInterrupt, typer.Abort):
            return _fail(stdout, json, "interrupted", INTERRUPTED)
        except BrokenPipeError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EIO:  # the terminal is closed
                raise BrokenPipeError from None
            if isinstance(error, OSError) and error.errno in _MACHINE:
                return _fail(stdout, json, _machine(error), FAILURE)
            return _fail(stdout, json, _bug(error), FAILURE)
    except BrokenPipeError:
        _discard(stdout)
        return FAILURE
    finally:
        sys.stdout = stdout


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal are as good as Ctrl-C, unless the command knows better or they are ignored (nohup)."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _discard(stdout: Any) -> None:
    """Python flushes stdout once more when it exits: let that go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())


def _fail(stdout: Any, json: bool, line: str, code: int, problems: Any = None) -> int:
    with contextlib.suppress(OSError):  # nobody reads it any more
        say(f"ringsim: {line}")
    if json and not Output.delivered:
        more = {"problems": problems} if problems else {}
        try:
            stdout.write(encode({"error": line, "exit_code": code, **more}) + "\n")
            stdout.flush()
        except OSError as error:
            if error.errno not in _MACHINE:
                raise
            _discard(stdout)
    return code


def _machine(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{os.strerror(error.errno or 0)}; {_MACHINE[error.errno or 0]}"


def _usage(stdout: Any, json: bool, error: typer.TyperException, arguments: list[str]) -> int:
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":  # the help has been asked for by saying nothing
        say(message)
        return error.exit_code
    text = re.sub(r"\.? Did you mean", "; did you mean", message[:1].lower() + message[1:].rstrip("."))
    text = re.sub(r" \(Possible \w+: ([^)]*)\)", r"; did you mean \1?", text)
    return _fail(stdout, json, f"{text} (see `{_command(arguments)} --help`)", error.exit_code)


def _command(arguments: list[str]) -> str:
    """The command that a command line names, as far as there is one."""
    words = ["ringsim"]
    command: Any = typer.main.get_command(app)
    for word in arguments:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            break
        words.append(word)
    return " ".join(words)


def _bug(error: Exception) -> str:
    """Keep the traceback; one line that says where."""
    import traceback
    from datetime import UTC, datetime

    from procs.folders import state_root

    text = f"{type(error).__name__}: {error}".splitlines()[0]
    file = state_root() / "crashes" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.log"
    whole = "".join([f"ringsim {__version__}, {sys.argv}\n", *traceback.format_exception(error)])
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(whole)
    except OSError:
        say(whole)
        return f"this is a bug: {text}; its traceback is above"
    return f"this is a bug: {text}; its traceback is in {file}"


if __name__ == "__main__":
    main()
