"""scripts/setup.sh does its work once, again when something changed, and never twice at a time; with a stand-in for Python."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
TOOLS = ("bash", "cat", "cp", "dirname", "flock", "grep", "mkdir", "rm", "sha256sum")

# Notes each installation in $LOG; says what the test wants about its age and its abilities.
PYTHON = """#!/usr/bin/env bash
case "$*" in
    "-c import sys"*) exit "${TOO_OLD:-0}" ;;
    "-c import ensurepip, venv") exit "${NO_VENV:-0}" ;;
    --version) echo "Python 3.9.9" ;;
    "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; echo "VIRTUAL_ENV=$3" >"$3/bin/activate"; echo venv >>"$LOG" ;;
    "-m pip --version") ;;
    "-m pip install "*) echo "begin ${@: -1}" >>"$LOG"; cat "$GATE"; echo "end" >>"$LOG"; exit "${PIP_FAILS:-0}" ;;
esac
"""


class Checkout:
    """A made-up checkout in a folder with a space in its name, on a machine with few tools."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin, self.log = folder / "a checkout", folder / "bin", folder / "log"
        (self.root / "scripts").mkdir(parents=True)
        self.bin.mkdir()
        for name in ("setup.sh", "constraints.txt"):
            shutil.copy(SCRIPTS / name, self.root / "scripts")
        (self.root / "pyproject.toml").write_text("[project]\n")
        for tool in (*TOOLS, "env"):
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self.command("uname", "#!/usr/bin/env bash\necho Linux\n")
        self.command("python3", PYTHON)
        (folder / "open").touch()
        self.environment = {"PATH": str(self.bin), "LOG": str(self.log), "GATE": str(folder / "open")}

    def command(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def start(self, extra: str = "", **environment: str) -> subprocess.Popen[str]:
        script = f'set -euo pipefail; . scripts/setup.sh; ringsim_setup {extra}; echo "$root"'
        return subprocess.Popen(
            ["bash", "-c", script], cwd=self.root, env=self.environment | environment, stdout=-1, stderr=-1, text=True
        )  # fmt: skip

    def set_up(self, extra: str = "", **environment: str) -> tuple[int, str]:
        process = self.start(extra, **environment)
        out, err = process.communicate()
        assert out.strip() == (str(self.root) if process.returncode == 0 else "")
        return process.returncode, err

    def done(self) -> list[str]:
        """What has been done since the last question."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def test_the_second_time_there_is_nothing_to_do(checkout):
    code, said = checkout.set_up()
    assert code == 0 and "setting up .venv" in said
    assert checkout.done() == ["venv", "begin .", "end"]
    assert checkout.set_up() == (0, "") and checkout.done() == []


def test_the_tests_tools_come_when_asked_for_and_serve_a_run_too(checkout):
    checkout.set_up()
    checkout.done()
    checkout.set_up("test")
    assert checkout.done() == ["begin .[test]", "end"]
    assert checkout.set_up() == checkout.set_up("test") == (0, "") and checkout.done() == []


@pytest.mark.parametrize("name", ["pyproject.toml", "scripts/constraints.txt", "scripts/setup.sh"])
def test_a_change_of_what_is_installed_installs_again(checkout, name):
    checkout.set_up("test")
    checkout.done()
    with (checkout.root / name).open("a") as file:
        file.write("\n# changed\n")
    checkout.set_up()
    assert checkout.done() == ["begin .", "end"]


def test_a_failed_set_up_is_said_and_taken_up_again(checkout):
    code, said = checkout.set_up(PIP_FAILS="1")
    assert code == 1 and "could not be installed" in said
    checkout.done()
    assert checkout.set_up()[0] == 0
    assert checkout.done() == ["begin .", "end"]


def test_a_moved_or_broken_environment_is_made_anew(checkout, tmp_path):
    checkout.set_up()
    checkout.done()
    moved = tmp_path / "moved"
    checkout.root.rename(moved)
    checkout.root = moved
    checkout.set_up()
    assert checkout.done() == ["venv", "begin .", "end"]
    (moved / ".venv/bin/python").unlink()
    (moved / ".venv/.ringsim-run").unlink()
    checkout.set_up()
    assert checkout.done() == ["venv", "begin .", "end"]


def test_two_at_once_take_turns_and_the_second_finds_the_work_done(checkout, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    first = checkout.start(GATE=str(gate))
    with gate.open("w"):  # opens when the first one's installation reads it, and lets it go on when closed
        second = checkout.start()
        assert "waiting for another set-up" in str(second.stderr.readline())
        assert checkout.done() == ["venv", "begin ."]
    first.communicate()
    second.communicate()
    assert (first.returncode, second.returncode) == (0, 0)
    assert checkout.done() == ["end"]


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"TOO_OLD": "1"}, "needs Python 3.11 to 3.14 and found none (Python 3.9.9); install one, or name one in RINGSIM_PYTHON"),
        ({"NO_VENV": "1"}, "cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"),
    ],
)  # fmt: skip
def test_what_is_missing_is_one_line(checkout, environment, says):
    code, said = checkout.set_up(**environment)
    assert code == 1 and says in said and said.count("\n") == 1
    assert checkout.done() == []


def test_an_older_python3_is_passed_over_for_a_newer_one_and_one_can_be_named(checkout):
    checkout.command("python3.12", PYTHON)
    checkout.command("python3", "#!/usr/bin/env bash\nexit 1\n")
    assert checkout.set_up()[0] == 0
    shutil.rmtree(checkout.root / ".venv")
    (checkout.bin / "python3.12").rename(checkout.bin / "mine")
    assert checkout.set_up()[0] == 1
    assert checkout.set_up(RINGSIM_PYTHON="mine")[0] == 0


def test_not_linux_is_one_clear_sentence(checkout):
    checkout.command("uname", "#!/usr/bin/env bash\necho Darwin\n")
    code, said = checkout.set_up()
    assert code == 2 and said.startswith("ringsim: runs on Linux only") and said.count("\n") == 1
