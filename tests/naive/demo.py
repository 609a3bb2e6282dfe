"""A demo in one loop over a list: the plain twin of procs.demo, which plays it with two processes on a real ring."""

SPREAD, CHECKSUM_BITS, PAYLOAD_WORDS = 2_654_435_761, 52, 7


def naive_demo(ingest, polls, *, capacity=64, steps=50, resync="oldest", warmup_steps=10, fails_at=None, heals_at=None):
    """Every figure of a demo, under the names of DemoResult; `delivered` are the sequences in the order they were got."""
    ring = [None] * capacity
    published = wanted = lost = laps = empty_polls = executed = provisional = 0
    first_overrun, state, lifecycle, delivered = None, "INIT", [], []
    begins = {0: "WARMUP", warmup_steps: "READY", fails_at: "DEGRADED", heals_at: "READY"}
    for step in range(steps):
        if step in begins:
            state = begins[step]
            lifecycle.append([step, state])
        for _ in range(ingest):
            ring[published % capacity] = published
            published += 1
        for _ in range(polls):
            if wanted == published:
                empty_polls += 1
                continue
            if ring[wanted % capacity] != wanted:
                laps += 1
                if first_overrun is None:
                    first_overrun = step
                there = min(ring) if resync == "oldest" else max(ring)
                lost += there - wanted
                wanted = there
            delivered.append(wanted)
            wanted += 1
            if state == "READY":
                executed += 1
            else:
                provisional += 1
    return {
        "ring_capacity": capacity,
        "steps": steps,
        "ingest_per_step": ingest,
        "polls_per_step": polls,
        "payload_checksum": checksum(delivered),
        "lifecycle": lifecycle,
        "first_overrun_step": first_overrun,
        "published": published,
        "acked": len(delivered),
        "executed": executed,
        "provisional": provisional,
        "lost": lost,
        "pending": published - wanted,
        "laps": laps,
        "empty_polls": empty_polls,
        "final_state": state,
    }


def checksum(sequences):
    """Over the payload words of these records, in this order."""
    total = 0
    for seq in sequences:
        for k in range(1, PAYLOAD_WORDS + 1):
            total = (31 * total + SPREAD * seq + k) % 2**CHECKSUM_BITS
    return total
