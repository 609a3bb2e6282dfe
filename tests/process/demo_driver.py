"""Runs demos for the tests in a process that has no threads, which a test's worker may have: run_demo forks.

stdin   {"scenario": {...}, "hold": [steps]}  ("resume" lets it go on from a hold)
stdout  {"held": step} in a hold, in the end {"result": {...}} or {"error", "message"[, "result"]}
"""

import json
import os
import signal
import sys

import msgspec

from procs.demo.run import DemoInterrupted, run_demo
from procs.demo.scenario import Scenario


def say(message):
    print(msgspec.json.encode(message).decode(), flush=True)


def main():
    # Whoever runs the tests in the background may have had these ignored, and what is ignored stays so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    say({"pid": os.getpid()})
    for line in sys.stdin:
        if line.startswith("ignore "):
            signal.signal(signal.Signals[line.split()[1]], signal.SIG_IGN)
            continue
        order = json.loads(line)
        hold = set(order["hold"])

        def watch(moment, hold=hold):
            if moment.step in hold:
                say({"held": moment.step})
                sys.stdin.readline()

        try:
            say({"result": run_demo(Scenario(**order["scenario"]), watch)})
        except DemoInterrupted as interrupted:
            say({"error": "DemoInterrupted", "message": str(interrupted), "result": interrupted.result})
        except Exception as error:
            say({"error": type(error).__name__, "message": str(error)})


if __name__ == "__main__":
    main()
