"""What can be said of a run after it: from its stored records, and the market events that it saw.

    database ── orders ring ──┐
             ── reports ring ─┼─> decisions: a row each, with the account as it was known then ──> export
    market events ── tops ────┘   markouts: what the mid did after each fill                   ──> report

Invariant: everything here only reads. Prices, quantities and money stay integers, with the number of decimals beside them,
until they are written; a figure with a fraction (the microprice, the divergence) is rounded once, by a stated rule.
"""
