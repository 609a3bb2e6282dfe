"""The demos are exact on every run, stand still when a process does, and leave nothing behind however they end."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from procs.cli.main import run
from procs.demo import lockstep
from procs.demo.lockstep import COUNT_WORDS, PAGE_WORDS, RECORD, SEEN, Seen
from procs.demo.scenario import SCENARIOS, Scenario, check, first_overrun_step, named
from ringsim.errors import BadInput
from ringsim.limits import DEMO_RATE, DEMO_STEPS
from ringsim.ring import RingSegment
from ringsim.shm import FOLDER, segment_name
from tests.naive.demo import naive_demo

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = ("producer", "consumer")


class Driver:
    """A process without threads that runs demos, and stops in chosen steps until it is told to go on."""

    def __init__(self, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.demo_driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment},
        )
        self.pid = self.heard()["pid"]

    def heard(self):
        line = self.process.stdout.readline()
        assert line, f"the driver ended with {self.process.wait()}"
        answer = json.loads(line)
        self.busy = "held" in answer
        return answer

    def silent_for(self, seconds):
        return not select.select([self.process.stdout], [], [], seconds)[0]

    def tell(self, line):
        print(line, file=self.process.stdin, flush=True)

    def begin(self, scenario, *, hold=()):
        self.busy = True
        self.tell(json.dumps({"scenario": msgspec.to_builtins(scenario), "hold": list(hold)}))
        return self.heard()

    def resume(self):
        self.tell("resume")

    def demo(self, scenario):
        """The result of a whole demo, after which neither process nor segment is left."""
        answer = self.begin(scenario)
        assert "result" in answer, answer
        self.nothing_is_left()
        return answer["result"]

    def children(self):
        """The demo's processes by what they are, once they say so."""
        found = {}
        while set(found) != set(PROCESSES):
            found = demo_processes(self.pid)
        return found

    def nothing_is_left(self):
        assert psutil.Process(self.pid).children() == []
        assert segments_of(self.pid) == []

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def demo_processes(parent):
    """Children that have taken their names so far."""
    named_so = {}
    for child in psutil.Process(parent).children():
        words = Path(f"/proc/{child.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().split()
        if words[:2] == ["ringsim", "demo"]:
            named_so[words[2]] = child
    return named_so


def segments_of(pid):
    return list(FOLDER.glob(f"ringsim-demo.{pid}.*"))


@pytest.fixture(scope="module")
def kept_driver():
    kept = [Driver()]
    yield kept
    kept[0].close()


@pytest.fixture
def driver(kept_driver):
    """One for all tests, until one leaves it in the middle of a demo."""
    yield kept_driver[0]
    if kept_driver[0].busy:
        kept_driver[0].close()
        kept_driver[0] = Driver()


@pytest.fixture
def own_driver():
    """For a test that kills it."""
    driver = Driver()
    yield driver
    driver.close()


def simulated(scenario):
    return naive_demo(
        scenario.ingest,
        scenario.polls,
        capacity=scenario.capacity,
        steps=scenario.steps,
        resync=scenario.resync,
        fails_at=scenario.fails_at,
        heals_at=scenario.heals_at,
    )


def figures(result):
    """What of a result the simulation knows."""
    unknown = {"scenario", "producer_pid", "consumer_pid", "predicted_first_overrun_step"}
    return {key: value for key, value in result.items() if key not in unknown}


# What is demonstrated

# name, resync; first overrun, published, acked, executed, lost, pending, laps, empty polls
TABLE = [
    ("balanced",         None,     None, 250, 250, 200,   0,  0,  0,   0),
    ("producer-heavy",   None,       12, 400, 150, 120, 189, 61, 38,   0),
    ("producer-heavy",   "newest",   12, 400, 144, 114, 201, 55,  3,   6),
    ("consumer-heavy",   None,     None, 150, 150, 120,   0,  0,  0, 250),
    ("failure-recovery", None,     None, 250, 250, 100,   0,  0,  0,   0),
]  # fmt: skip
IN_THE_TABLE = ["first_overrun_step", "published", "acked", "executed", "lost", "pending", "laps", "empty_polls"]


@pytest.mark.parametrize(("name", "resync", "known"), [(name, resync, known) for name, resync, *known in TABLE])
def test_the_scenarios_give_the_known_figures(driver, name, resync, known):
    result = driver.demo(named(name, resync=resync))
    assert [result[key] for key in IN_THE_TABLE] == known
    assert result["provisional"] == result["acked"] - result["executed"]
    assert result["predicted_first_overrun_step"] == result["first_overrun_step"]
    assert (result["scenario"], result["ring_capacity"], result["steps"]) == (name, 64, 50)
    assert result["final_state"] == "READY"
    failure = [[20, "DEGRADED"], [40, "READY"]] if name == "failure-recovery" else []
    assert result["lifecycle"] == [[0, "WARMUP"], [10, "READY"], *failure]
    assert figures(result) == simulated(named(name, resync=resync))


rates = st.integers(1, 40)
scenarios = st.builds(
    lambda name, ingest, polls, bits, steps, resync: named(
        name, ingest=ingest, polls=polls, capacity=1 << bits, steps=steps, resync=resync
    ),
    st.sampled_from(list(SCENARIOS)), rates, rates, st.integers(1, 7), st.integers(1, 60), st.sampled_from(["oldest", "newest"]),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(scenario=scenarios)
@example(named("custom", ingest=DEMO_RATE, polls=1, capacity=2, steps=2))
@example(named("custom", ingest=1, polls=1, capacity=2, steps=1))
def test_whatever_the_rates_the_processes_do_what_one_loop_does(kept_driver, scenario):
    driver = kept_driver[0]
    result = driver.demo(scenario)
    assert figures(result) == simulated(scenario)
    assert len({driver.pid, result["producer_pid"], result["consumer_pid"]}) == 3


def test_plain_bodies_and_compiled_ones_give_the_same():
    plain = Driver(NUMBA_DISABLE_JIT="1")
    try:
        for name in SCENARIOS:
            assert figures(plain.demo(named(name))) == simulated(named(name))
    finally:
        plain.close()


def test_a_thousand_steps_are_as_exact_as_fifty(driver):
    scenario = named("custom", ingest=17, polls=16, capacity=256, steps=1000)
    assert figures(driver.demo(scenario)) == simulated(scenario)


# The law


@given(ingest=rates, polls=rates, capacity=st.integers(1, 7).map(lambda bits: 1 << bits))
def test_the_overrun_law_is_what_the_simulation_finds(ingest, polls, capacity):
    predicted = first_overrun_step(ingest, polls, capacity)
    assert naive_demo(ingest, polls, capacity=capacity, steps=140)["first_overrun_step"] == predicted
    if predicted:
        assert naive_demo(ingest, polls, capacity=capacity, steps=predicted)["first_overrun_step"] is None


@pytest.mark.parametrize(
    ("ingest", "polls", "capacity", "step"),
    [(8, 3, 64, 12), (16, 11, 64, 10), (5, 4, 32, 28), (8, 3, 8, 1), (5, 5, 64, None), (65, 65, 64, 0), (64, 64, 64, None)],
)  # fmt: skip
def test_the_law_at_known_places(ingest, polls, capacity, step):
    assert first_overrun_step(ingest, polls, capacity) == step


def test_a_demo_that_ends_before_its_overrun_says_what_is_predicted_and_that_it_was_not_seen(driver):
    result = driver.demo(named("custom", ingest=16, polls=11, steps=10))
    assert (result["predicted_first_overrun_step"], result["first_overrun_step"]) == (10, None)


# What is refused


@pytest.mark.parametrize(
    ("given_values", "said"),
    [
        ({"ingest": 0}, f"ingest 0 is outside 1..{DEMO_RATE}"),
        ({"polls": DEMO_RATE + 1}, f"outside 1..{DEMO_RATE}"),
        ({"steps": 0}, f"steps 0 is outside 1..{DEMO_STEPS}"),
        ({"capacity": 1}, "capacity 1 is outside 2.."),
        ({"capacity": 65}, "capacity 65 is no power of two; the next one is 128"),
        ({"resync": "middle"}, "resync 'middle' is neither oldest nor newest"),
    ],
)
def test_values_out_of_range_are_refused_with_the_range(given_values, said):
    with pytest.raises(BadInput) as refused:
        named("custom", **given_values)
    assert said in str(refused.value)


def test_all_problems_are_told_at_once_and_bounds_themselves_pass():
    with pytest.raises(BadInput, match=r"ingest 0 .*; polls -1 .*; steps 0 .*; capacity 3 "):
        named("custom", ingest=0, polls=-1, steps=0, capacity=3)
    check(Scenario("custom", DEMO_RATE, 1, capacity=2, steps=DEMO_STEPS, resync="newest"))


def test_an_unknown_scenario_is_told_which_there_are():
    with pytest.raises(BadInput, match="balanced, producer-heavy, consumer-heavy, failure-recovery, custom"):
        named("balance")


def test_the_parent_changes_the_lifecycle_only_along_its_table(driver):
    answer = driver.begin(Scenario("healing nothing", 5, 5, heals_at=20))
    assert answer["error"] == "InvalidTransition" and "READY" in answer["message"]
    driver.nothing_is_left()


# What the consumer sees


@pytest.fixture
def one_process():
    """Ring, page and the handles on them, all in this process."""
    name = segment_name(f"demotest.{os.getpid()}", "ring")
    with RingSegment.create(name, RECORD, 8, [("consumer", "free")]) as ring:
        yield ring, np.zeros(PAGE_WORDS, np.int64), ring.producer(), ring.consumer("consumer"), np.zeros(8, np.int64)


def test_a_word_that_is_not_of_its_sequence_is_noticed(one_process):
    ring, page, producer, consumer, record = one_process
    assert lockstep.produce(page, producer, record, 8, 0)
    ring.ring.words[3 * 8 + 5] ^= 1 << 40
    lockstep.consume(page, consumer, record, np.zeros(COUNT_WORDS, np.int64), 8, 0)
    seen = Seen(*page[SEEN : SEEN + len(Seen._fields)])
    assert (seen.acked, seen.mismatched) == (8, 1)


def test_what_the_consumer_counts_as_lost_is_the_gap_in_what_it_got(one_process):
    ring, page, producer, consumer, record = one_process
    counts = np.zeros(COUNT_WORDS, np.int64)
    for step, (ingest, polls) in enumerate([(5, 2), (10, 3), (20, 8)]):
        lockstep.produce(page, producer, record, ingest, step)
        lockstep.consume(page, consumer, record, counts, polls, step)
        seen = Seen(*page[SEEN : SEEN + len(Seen._fields)])
        assert seen.lost == ring.lost()["consumer"]
        assert seen.acked + seen.lost + ring.lag()["consumer"] == ring.published()
    assert (seen.lost, seen.laps) == (22, 2)


# Real processes


def test_both_map_one_ring_that_has_no_name_any_more(driver):
    driver.begin(named("balanced"), hold=[3])
    maps = []
    for child in driver.children().values():
        lines = Path(f"/proc/{child.pid}/maps").read_text().splitlines()
        maps.append(
            {line.split()[4] for line in lines if f"ringsim-demo.{driver.pid}." in line and "(deleted)" in line}
        )
    assert maps[0] == maps[1] and len(maps[0]) == 2  # inodes of ring and page
    assert segments_of(driver.pid) == []
    driver.resume()
    assert figures(driver.heard()["result"]) == simulated(named("balanced"))


@pytest.mark.parametrize("which", PROCESSES)
def test_while_a_process_is_stopped_the_demo_does_not_go_on(driver, which):
    scenario = named("producer-heavy")
    assert driver.begin(scenario, hold=[7, 8]) == {"held": 7}
    child = driver.children()[which]
    child.suspend()
    while child.status() != psutil.STATUS_STOPPED:
        pass
    driver.resume()
    assert driver.silent_for(0.25)
    child.resume()
    assert driver.heard() == {"held": 8}
    driver.resume()
    assert figures(driver.heard()["result"]) == simulated(scenario)
    driver.nothing_is_left()


@pytest.mark.parametrize("which", PROCESSES)
def test_a_killed_process_ends_the_demo_with_its_name(driver, which):
    driver.begin(named("balanced"), hold=[7])
    child = driver.children()[which]
    child.kill()
    driver.resume()
    answer = driver.heard()
    assert answer["error"] == "DemoFailed"
    assert answer["message"] == f"the {which} (pid {child.pid}) was killed by SIGKILL in step 8: the demo ends here"
    driver.nothing_is_left()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_gives_the_figures_of_the_finished_steps(driver, signum):
    driver.begin(named("producer-heavy"), hold=[22])
    os.kill(driver.pid, signum)
    driver.resume()
    answer = driver.heard()
    assert answer["error"] == "DemoInterrupted"
    driver.nothing_is_left()
    # The signal may be seen a step or two late, never in the middle of one.
    assert 23 <= answer["result"]["steps"] <= 24
    expected = simulated(named("producer-heavy", steps=answer["result"]["steps"]))
    assert figures(answer["result"]) == expected


def test_a_signal_that_was_ignored_stays_ignored(own_driver):
    """As under nohup."""
    own_driver.tell("ignore SIGHUP")
    own_driver.begin(named("balanced"), hold=[7])
    os.kill(own_driver.pid, signal.SIGHUP)
    own_driver.resume()
    assert figures(own_driver.heard()["result"]) == simulated(named("balanced"))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_obeyed_while_a_process_is_stopped(driver, signum):
    driver.begin(named("balanced"), hold=[7])
    child = driver.children()["consumer"]
    child.suspend()
    driver.resume()
    assert driver.silent_for(0.05)
    os.kill(driver.pid, signum)
    answer = driver.heard()
    assert (answer["error"], answer["result"]["steps"]) == ("DemoInterrupted", 8)
    driver.nothing_is_left()


def test_children_die_with_a_parent_that_is_killed(own_driver):
    own_driver.begin(named("balanced"), hold=[7])
    children = list(own_driver.children().values())
    own_driver.process.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    assert segments_of(own_driver.pid) == []


# The command

KEYS = [
    "scenario", "ring_capacity", "steps", "ingest_per_step", "polls_per_step", "producer_pid", "consumer_pid",
    "payload_checksum", "lifecycle", "predicted_first_overrun_step", "first_overrun_step", "published", "acked", "executed",
    "provisional", "lost", "pending", "laps", "empty_polls", "final_state",
]  # fmt: skip
COMMAND = [sys.executable, "-m", "procs.cli.main", "demo"]
# As from a terminal: whoever runs the tests in the background may have had SIGINT ignored, which is inherited.
FROM_A_TERMINAL = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from procs.cli.main import main
main()
"""


def command(line):
    return subprocess.run([*COMMAND, *line.split()], cwd=ROOT, capture_output=True, text=True, timeout=100)


def test_json_has_exactly_the_promised_keys():
    done = command("failure-recovery --json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    result = json.loads(done.stdout)
    assert list(result) == KEYS
    assert figures(result) == simulated(named("failure-recovery"))


def test_text_shows_predicted_and_observed_within_80_columns_without_colours():
    done = command("producer-heavy")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    words = done.stdout.split()
    assert "predicted" in words and "observed" in words
    row = next(line for line in done.stdout.splitlines() if line.startswith("8/3"))
    assert row.split() == ["8/3", "12", "12", "400", "150", "120", "READY"]
    assert "published 400 = acked 150 + lost 189 + pending 61" in done.stdout
    picture = [line for line in done.stdout.splitlines() if "lost |" in line]
    assert picture == [" lost |" + 12 * " " + 38 * "x"]


def test_many_steps_and_long_figures_fit_80_columns_too():
    done = command("failure-recovery --ingest 100000 --polls 99999 --capacity 131072 --steps 60")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_custom_takes_all_options():
    done = command("custom --ingest 16 --polls 11 --capacity 32 --steps 30 --resync newest --json")
    scenario = named("custom", ingest=16, polls=11, capacity=32, steps=30, resync="newest")
    assert figures(json.loads(done.stdout)) == simulated(scenario)


@pytest.mark.parametrize(
    "arguments", ["custom --ingest 0", "nothing", "custom --capacity 48", "balanced --resync both"]
)
def test_bad_values_are_one_line_and_exit_code_2(arguments, capsys):
    assert run(["demo", *arguments.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


LONG = f"custom --ingest {DEMO_RATE} --polls {DEMO_RATE} --steps {DEMO_STEPS} --json".split()


@pytest.fixture
def long_demo():
    """The command at work on far more than a test waits for, in a session of its own; and its processes by name."""
    process = subprocess.Popen(
        [sys.executable, "-c", FROM_A_TERMINAL, "demo", *LONG],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    children = {}
    while set(children) != set(PROCESSES):
        assert process.poll() is None, process.communicate()
        children = demo_processes(process.pid)
    yield process, children
    process.kill()
    process.communicate()


def test_ctrl_c_ends_the_command_with_its_figures_and_130(long_demo):
    process, children = long_demo
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate()
    assert (process.returncode, err.count("\n")) == (130, 1)
    result = json.loads(out)
    assert list(result) == KEYS
    assert result["steps"] < DEMO_STEPS
    assert result["published"] == DEMO_RATE * result["steps"] == result["acked"] + result["lost"] + result["pending"]
    assert not any(child.is_running() for child in children.values())


@pytest.mark.parametrize("which", PROCESSES)
def test_a_killed_process_is_one_line_and_exit_code_1(long_demo, which):
    process, children = long_demo
    children[which].kill()
    out, err = process.communicate()
    assert (process.returncode, err.count("\n")) == (1, 1)
    assert f"the {which} (pid {children[which].pid}) was killed by SIGKILL" in err
    assert json.loads(out)["exit_code"] == 1
    assert not any(child.is_running() for child in children.values())
