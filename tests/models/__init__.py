"""The protocols between a ring and a finished run, each searched through: every interleaving, a kill at every step.

    recovery   P2, P3   input rings -> journal -> two copies of a state -> output ring -> database, killed anywhere
    merge      P4       two stages that wait for each other under the simulated clock, and the two words between them
    credit     P5       rings that fill, and who waits for whom

P1, the ring itself, is searched in tests/ring/test_models.py, with the memories of tests/ring/machines.py. Here a slot is one
word, whole or not there: that the words of a record belong together is what P1's models show.

Each model is the code once more, one access to shared memory a step, and names the function that each part stands for. Each
rule of a protocol is a field of its `Rules`: left out, it must be missed.
"""
