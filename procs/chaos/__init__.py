"""Faults on purpose, from outside: signals, words of the control page, what a run reads; and what must hold afterwards.

    scenarios   the table: what is done to the run, and what it must end like
    deaths      rows: what is killed, stopped, made to hang
    inputs      rows: a feed with gaps, with garbage, in bursts     captures, storm: how such a feed is made
    machine     rows: code that raises, a damaged ledger, a wrong clock, no processor     starve: how it is taken away
    storage     rows: a disk or memory that is slow, full, locked, damaged
    inject      when to strike: after so much progress of a stage, seeded
    disk        the same for what the storage rows do
    laws        what must be true of a run beside its digest
    verdict     PASS, FAIL, or INCONCLUSIVE for a fault that could not be injected

Nothing imports this package but its command. It knows no trading rule: the law is that the digest of the run is the twin's.
"""
