"""What holds for every command: exit codes, one line an error, one JSON object, quick to answer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import ringsim as package
from procs.cli import main
from procs.cli.output import Output
from ringsim.config import BadConfig, Problem
from ringsim.errors import BadInput, SegmentError

PYTHON = [sys.executable, "-m", "procs.cli.main"]


def commands():
    """Every command with its path, and the groups."""
    todo = [((), typer.main.get_command(main.app))]
    while todo:
        path, command = todo.pop()
        yield path, command
        todo += [((*path, name), sub) for name, sub in getattr(command, "commands", {}).items()]


@pytest.fixture
def raising(monkeypatch):
    """Make the program do as told instead of what its command line says."""

    def set_up(error):
        app = typer.Typer()

        @app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
        def command():
            raise error

        monkeypatch.setattr(main, "app", app)

    return set_up


def test_version(ringsim):
    assert ringsim("--version") == (0, f"ringsim {package.__version__}\n", "")


@pytest.mark.parametrize("path", [p for p, c in commands() if not hasattr(c, "commands")], ids=" ".join)
def test_every_command_has_json_and_help_with_an_example(ringsim, path):
    answer = ringsim(*path, "--help")
    assert answer.code == 0
    assert f"Example: ringsim {' '.join(path)}" in " ".join(answer.out.split()) and "--json" in answer.out


@pytest.mark.parametrize("path", [p for p, c in commands() if hasattr(c, "commands")], ids=" ".join)
def test_every_group_has_help_with_an_example(ringsim, path):
    answer = ringsim(*path, "--help")
    assert answer.code == 0 and f"Example: {' '.join(('ringsim', *path))} " in " ".join(answer.out.split())


def test_every_command_file_is_mounted():
    folder = Path(main.__file__).parent
    assert {file.stem for file in folder.glob("*.py") if "app = typer.Typer(" in file.read_text()} - {"main"} <= set(
        main.MOUNTED
    )


def test_the_command_line_starts_without_numba_and_numpy():
    probe = "import sys, procs.cli.main; print(sorted({'numba', 'numpy', 'llvmlite', 'rich'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["confg"], "no such command 'confg'; did you mean 'config'? (see `ringsim --help`)"),
        (["config", "show", "--sett", "x"], "no such option: --sett; did you mean --set? (see `ringsim config show --help`)"),
        (["config", "show", "x"], "got unexpected extra argument(s) (x) (see `ringsim config show --help`)"),
        (["config", "show", "--set"], "option '--set' requires an argument (see `ringsim config show --help`)"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_and_2(ringsim, arguments, line):
    assert ringsim(*arguments) == (2, "", f"ringsim: {line}\n")


def test_nothing_asked_shows_the_help_and_is_2(ringsim):
    answer = ringsim()
    assert answer.code == 2 and "Usage: ringsim" in answer.out + answer.err


def test_wrong_usage_with_json_is_one_object(ringsim):
    answer = ringsim("confg", "--json")
    assert answer.code == 2 and answer.json["exit_code"] == 2 and answer.json["error"] in answer.err


@pytest.mark.parametrize(("error", "code"), [(BadInput("no capture"), 2), (SegmentError("full"), 1)])
def test_an_error_meant_for_a_person_is_its_line_and_its_code(ringsim, raising, error, code):
    raising(error)
    assert ringsim() == (code, "", f"ringsim: {error}\n")
    answer = ringsim("--json")
    assert answer.json == {"error": str(error), "exit_code": code} and answer.err == f"ringsim: {error}\n"


def test_all_problems_of_a_configuration_are_in_the_object(ringsim, raising):
    found = [Problem("a.b", "x.toml", "bad"), Problem("c", "x.toml", "worse")]
    raising(BadConfig(found))
    answer = ringsim("--json")
    assert answer.code == 2 and [p["path"] for p in answer.json["problems"]] == ["a.b", "c"]


def test_an_interrupt_is_130(ringsim, raising):
    raising(KeyboardInterrupt())
    assert ringsim() == (130, "", "ringsim: interrupted\n")
    assert ringsim("--json").json == {"error": "interrupted", "exit_code": 130}


def test_a_command_that_summed_up_before_it_left_with_130_adds_nothing(ringsim, monkeypatch):
    app = typer.Typer()

    @app.command()
    def run(json: bool = False):
        Output(json).result({"exit_state": "interrupted"})
        raise typer.Exit(130)

    monkeypatch.setattr(main, "app", app)
    answer = ringsim("--json")
    assert (answer.code, answer.json, answer.err) == (130, {"exit_state": "interrupted"}, "")


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_commands_own_exit_code_is_kept(ringsim, raising, code):
    raising(typer.Exit(code))
    assert ringsim() == (code, "", "")


def test_a_bug_is_one_line_and_keeps_its_traceback(ringsim, raising, home):
    raising(RuntimeError("lost\ntrack"))
    answer = ringsim()
    (file,) = (home / ".local/state/ringsim/crashes").iterdir()
    assert answer == (1, "", f"ringsim: this is a bug: RuntimeError: lost; its traceback is in {file}\n")
    assert "Traceback" in file.read_text() and "in command" in file.read_text()


def test_a_bug_with_nowhere_to_write_shows_its_traceback(ringsim, raising, home, monkeypatch):
    (home / "file").touch()
    monkeypatch.setenv("RINGSIM_STATE", str(home / "file"))
    raising(RuntimeError("lost"))
    answer = ringsim("--json")
    assert (
        answer.code == 1
        and "Traceback" in answer.err
        and answer.json["error"].startswith("this is a bug: RuntimeError: lost")
    )


def test_not_linux_is_one_sentence_and_2(ringsim, monkeypatch):
    monkeypatch.setattr(main.platform, "system", lambda: "Darwin")
    assert ringsim("doctor") == (2, "", "ringsim: runs on Linux only, not on Darwin: it needs /dev/shm and pidfds\n")


@pytest.mark.parametrize("arguments", [["config", "show"], ["config", "show", "--json"], ["--help"]])
def test_a_closed_pipe_is_quiet(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*PYTHON, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
    assert done.returncode == 1


def test_the_console_command_gives_the_code_to_the_shell():
    done = subprocess.run([*PYTHON, "config", "check", "--set", "run.sed=1", "--json"], capture_output=True, text=True)
    assert done.returncode == 2 and json.loads(done.stdout)["problems"][0]["path"] == "run.sed"


_AT_ONCE = """
import sys
class Interrupts:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupts())
from procs.cli.entry import main
main()
"""


@pytest.mark.parametrize(("more", "out"), [([], ""), (["--json"], '{"error":"interrupted","exit_code":130}\n')])
def test_an_interrupt_while_the_program_is_still_being_loaded_is_one_line(more, out):
    done = subprocess.run([sys.executable, "-c", _AT_ONCE, "runs", *more], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, out, "ringsim: interrupted\n")
