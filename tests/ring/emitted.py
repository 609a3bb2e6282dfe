"""What the compiler made of the ring's verbs, on this machine and for aarch64: IR and assembly, as JSON.

    python -m tests.ring.emitted          (test_emitted.py runs it with an empty kernel cache: cached code has no IR to show)

x86 orders nearly everything by itself, so no run there can miss a fence: only the emitted code can. The controls do the same
work by plain loads and stores, and must fail the same checks. LLVM aborts the process where an x86 intrinsic meets another
target, hence a program of its own.
"""

import json
import re
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba import typeof

from ringsim.kernel import kernel
from ringsim.ring import available, layout, poll, publish, put, release, try_claim
from ringsim.ring.ring import P_GATE, P_NEXT, R_NEXT
from tests.ring.rings import WIDTH, ring_of

AARCH64 = "aarch64-unknown-linux-gnu"


@kernel
def plain_put(producer, seq, source, start):
    """Control."""
    ring = producer.ring
    base = (seq & ring.mask) * ring.width
    ring.words[base] = 0
    for k in range(1, ring.width):
        ring.words[base + k] = source[start + k]
    ring.words[base] = seq + 1


@kernel
def plain_publish(producer, n):
    """Control."""
    producer.at[P_NEXT] += n
    producer.ring.header[layout.W_PUBLISHED] = producer.at[P_NEXT]


@kernel
def plain_try_claim(producer, n):
    """Control."""
    if producer.at[P_NEXT] + n - producer.at[P_GATE] > producer.ring.mask + 1:
        producer.at[P_GATE] = producer.ring.header[layout.W_CONSUMER_0 + layout.C_RELEASED]
    return producer.at[P_NEXT]


@kernel
def plain_available(consumer):
    """Control."""
    return consumer.ring.header[layout.W_PUBLISHED] - consumer.at[R_NEXT]


@kernel
def plain_release(consumer, n):
    """Control."""
    consumer.at[R_NEXT] += n
    consumer.ring.header[consumer.line + layout.C_RELEASED] = consumer.at[R_NEXT]


@kernel
def plain_poll(consumer, into, start):
    """Control."""
    ring, seq = consumer.ring, consumer.at[R_NEXT]
    base = (seq & ring.mask) * ring.width
    if ring.words[base] != seq + 1:
        return ring.header[layout.W_PUBLISHED]
    for k in range(ring.width):
        into[start + k] = ring.words[base + k]
    return ring.words[base]


def compiled_ir(verb, *arguments) -> str:
    """IR of the machine code that runs: optimised, everything inlined."""
    verb.compile(tuple(typeof(argument) for argument in arguments))
    return verb.inspect_llvm(verb.signatures[0])


_WRAPPER = re.compile(r"_ZN7cpython|cfunc|NRT_|numba_")  # what makes a kernel callable from Python and C


def own_functions(ir: str) -> str:
    """IR of the verb and of what it calls, without wrappers."""
    functions = re.findall(r"^define [^\n]*@\"?([\w.]+)([^\n]*\n.*?^}$)", ir, re.M | re.S)
    return "\n".join(body for name, body in functions if not _WRAPPER.match(name))


def assembly(ir: str, triple: str, cpu: str = "generic") -> str:
    """Of the whole module, for another machine."""
    text = re.sub(r"^target (triple|datalayout) = .*$", "", ir, flags=re.M)
    text = re.sub(r'"(target-cpu|target-features|tune-cpu)"="[^"]*"', "", text)
    if foreign := sorted(set(re.findall(r"@(llvm\.x86[\w.]*)", text))):
        raise SystemExit(f"cannot leave x86: {foreign}")
    module = llvm.parse_assembly(text)
    module.triple = triple
    target = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3, reloc="pic")
    module.data_layout = str(target.target_data)
    module.verify()
    return target.emit_assembly(module)


def own_code(text: str) -> str:
    """Assembly of the same functions: each from its label to its end."""
    functions = re.findall(r"^\"?(\w[\w.$]*)[^\n]*:[^\n]*\n(.*?)^\.Lfunc_end\d+:", text, re.M | re.S)
    return "\n".join(body for name, body in functions if not _WRAPPER.match(name))


def main() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    with ring_of(4, [("gate", "gating")]) as ring:
        producer, consumer, words = ring.producer(), ring.consumer("gate"), np.zeros(WIDTH, np.int64)
    arguments = {
        "put": (producer, 1, words, 0),
        "publish": (producer, 1),
        "try_claim": (producer, 1),
        "available": (consumer,),
        "release": (consumer, 1),
        "poll": (consumer, words, 0),
    }
    verbs: dict[str, tuple[Any, ...]] = {"ring": (put, publish, try_claim, available, release, poll)}
    verbs["control"] = (plain_put, plain_publish, plain_try_claim, plain_available, plain_release, plain_poll)
    emitted: dict[str, dict[str, dict[str, str]]] = {}
    for kind, kernels in verbs.items():
        for (name, values), verb in zip(arguments.items(), kernels, strict=True):
            ir = compiled_ir(verb, *values)
            host = own_code(verb.inspect_asm(verb.signatures[0]))
            arm = own_code(assembly(ir, AARCH64))
            emitted.setdefault(kind, {})[name] = {"ir": own_functions(ir), "host": host, "aarch64": arm}
    print(json.dumps(emitted))


if __name__ == "__main__":
    main()
