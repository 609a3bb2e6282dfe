"""The emitted code has the atomic loads, stores and fences, in their order; the same work without them fails the same checks."""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What must occur, in this order; other atomics may lie between. Names as in LLVM's IR, and as in the assembly of aarch64.
IN_IR = {
    "put": ["store monotonic", "fence release", "store monotonic", "store release"],
    "publish": ["store release"],
    "try_claim": ["load acquire"],
    "available": ["load acquire", "load acquire"],
    "release": ["store release"],
    "poll": ["load acquire", "load acquire", "load monotonic", "fence acquire", "load monotonic"],
}
ON_AARCH64 = {
    "put": ["dmb ish", "stlr"],
    "publish": ["stlr"],
    "try_claim": ["ldar"],
    "available": ["ldar", "ldar"],
    "release": ["stlr"],
    "poll": ["ldar", "ldar", "dmb ishld"],
}
VERBS = sorted(IN_IR)


@pytest.fixture(scope="module")
def emitted(tmp_path_factory):
    environment = {**os.environ, "RINGSIM_CACHE": str(tmp_path_factory.mktemp("cache"))}
    command = [sys.executable, "-m", "tests.ring.emitted"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def atomics_of_ir(text):
    found = re.findall(
        r"\b(load|store) atomic i64\b[^\n]* (monotonic|acquire|release)\b|\b(fence) (acquire|release)\b", text
    )
    return [f"{access or fence} {order or fence_order}" for access, order, fence, fence_order in found]


def atomics_of_aarch64(text):
    return [" ".join(found.split()) for found in re.findall(r"^\s+(ldap?r|stlr|dmb\s+\w+)\b", text, re.M)]


def has_in_order(wanted, found):
    rest = iter(found)
    return all(any(one == item for item in rest) for one in wanted)


@pytest.mark.parametrize("verb", VERBS)
def test_the_ir_orders_what_the_protocol_orders(emitted, verb):
    assert has_in_order(IN_IR[verb], atomics_of_ir(emitted["ring"][verb]["ir"]))


@pytest.mark.parametrize("verb", VERBS)
def test_aarch64_gets_acquire_loads_release_stores_and_barriers(emitted, verb):
    assert has_in_order(ON_AARCH64[verb], atomics_of_aarch64(emitted["ring"][verb]["aarch64"]))


@pytest.mark.parametrize("verb", VERBS)
def test_plain_loads_and_stores_fail_these_checks(emitted, verb):
    control = emitted["control"][verb]
    assert len(control["ir"]) > 300 and len(control["aarch64"]) > 100, "the control has no code"
    assert atomics_of_ir(control["ir"]) == [] == atomics_of_aarch64(control["aarch64"])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="looks at x86-64 assembly, this machine has another")
@pytest.mark.parametrize("verb", VERBS)
def test_x86_needs_no_locked_instruction_and_no_call(emitted, verb):
    code = emitted["ring"][verb]["host"]
    assert "movq" in code
    assert re.findall(r"\block\b|\bxchg\w*|\b[lms]fence\b|__atomic\w*|NRT_\w*", code) == []


@pytest.mark.parametrize("verb", ["put", "publish", "available", "release"])
def test_hot_verbs_call_nothing(emitted, verb):
    assert re.findall(r"^\s+(?:callq?|bl|blr)\s.*", emitted["ring"][verb]["host"], re.M) == []


def test_no_word_of_a_payload_is_written_before_the_slot_is_open(emitted):
    """A vectorised or merged store would leave fewer than seven, or move over the fence."""
    found = atomics_of_ir(emitted["ring"]["put"]["ir"])
    assert found[:2] == ["store monotonic", "fence release"] and found[-1] == "store release"
    assert found.count("fence release") == 1 == found.count("store release")
