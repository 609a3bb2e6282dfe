"""The demos: what a ring between two processes does when one is faster than the other, exact on every run.

    parent ──(step n is open, lifecycle)──> producer: publishes I records ──(published)──> consumer: polls P times ─┐
      └───────────────────────────────────────── figures of step n <────────────────────────────────────────────────┘

The ring and the processes are real; only time is replaced by steps, so that what a race would decide is decided by the
scenario. The consumer is a free reader: nobody waits for it, and it is told exactly what it lost.

    scenario  what is asked for, what the law predicts     (no numba: the command reads it before anything is loaded)
    lockstep  the page and the kernels of the three
    run       the processes; run_demo
"""
