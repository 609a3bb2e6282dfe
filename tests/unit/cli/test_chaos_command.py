"""`ringsim chaos` on the command line, as far as it needs no processes: names, options, runs that cannot be struck."""

import pytest

from procs.chaos.scenarios import SCENARIOS
from tests.sessions import session, write_capture


def refused(answer) -> str:
    """The one line that says why not."""
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), answer
    return answer.err.removeprefix("ringsim: ").rstrip("\n")


def test_the_list_names_every_row_and_what_it_does(ringsim):
    assert ringsim("chaos", "list", "--json").json == {row.name: row.what for row in SCENARIOS.values()}
    shown = ringsim("chaos", "list").out.splitlines()
    assert [line.split()[0] for line in shown] == list(SCENARIOS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["kill-everything"], "unknown scenario 'kill-everything'; there are "),
        (["random", "--stage", "broker"], "unknown stage 'broker'; there are ingest, "),
        (["pause-long", "--kills", "2"], "pause-long takes no --kills; "),
        (["kill-ingest", "--stage", "strategy"], "kill-ingest takes no --stage; "),
        (["random", "--kills", "0"], "invalid value for '--kills'"),
        (["random", "--seed", "x"], "invalid value for '--seed'"),
        (["kill-points", "--run", "latest"], "there is no run yet in "),
        (["kill-strategy", "--run", "nosuch"], "no run 'nosuch'; "),
        (["kill-strategy", "--run", "."], "holds no run"),
        (["all", "--run", "latest"], "--run takes one scenario at a time: kill-ingest, "),
        (
            ["kill-strategy", "--run", "latest", "--source", "sample"],
            "--run strikes a run as it is: it does not go with --source",
        ),
        (["kill-strategy", "--run", "latest", "--set", "run.seed=2"], "it does not go with --set run.seed=2"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_one_line_and_2(ringsim, arguments, said):
    assert said in refused(ringsim("chaos", *arguments))


def test_a_run_that_is_over_cannot_be_struck(ringsim, home):
    write_capture(home / "x", session(8))
    found = ringsim("backtest", "--source", "replay:x", "--json").json
    for name in ("latest", found["run_id"], found["out"]):
        assert refused(ringsim("chaos", "kill-strategy", "--run", name)) == f"no run is going on in {found['out']}"
    assert refused(ringsim("chaos", "kill-points", "--run", "latest")).startswith(
        "kill-points cannot be done to a run that"
    )


@pytest.mark.parametrize("name", ["all", "kill-strategy"])
def test_an_interruption_ends_it_and_is_no_failure(ringsim, monkeypatch, name):
    """Of the table the rest is left out: a second Ctrl-C for each row would be needed."""
    asked = []

    def interrupted(row, *rest, **more):
        asked.append(row.name)
        raise KeyboardInterrupt

    monkeypatch.setattr("procs.chaos.run.run_scenario", interrupted)
    answer = ringsim("chaos", name, "--json")
    assert answer.code == 130 and answer.json["verdict"] == "INTERRUPTED" and len(asked) == 1
    answer = ringsim("chaos", name)
    assert answer.code == 130 and answer.out.startswith(f"INTERRUPTED  {asked[0]}") and len(asked) == 2
