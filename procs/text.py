"""The summary of a run as a person reads it."""

from typing import Any

from ringsim.store.compare import Comparison, Difference


def _count(n: int) -> str:
    return f"{n:,}"


def _reasons(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {_count(n)}" for name, n in counts.items()) or "none"


def summary_text(r: dict[str, Any]) -> str:
    """A dozen lines: what went in, what was traded, what it came to, how fast, how it ended, where it lies."""
    messages, orders = r["messages"], r["orders"]
    lines = [
        f"run {r['run_id']}  {r['exit_state']}  ({r['clock']} clock, {r['wall_s']:.1f} s)",
        f"  feed      {_count(sum(messages.values()))} messages of {r['symbol']}: "
        + ", ".join(f"{_count(n)} {kind}" for kind, n in messages.items() if n)
        + f"; gaps {r['feed']['gaps']}, bad {messages['bad']}",
        f"  market    {_count(r['events_published'])} events published, {_count(r['market_lost'])} lost by the strategy",
        f"  orders    {_count(orders['submitted'])} submitted, {_count(orders['accepted'])} accepted, "
        f"{_count(orders['provisional'])} provisional, {_count(orders['adjusted'])} adjusted, "
        f"{_count(orders['cancelled'])} cancelled, {_count(orders['filled'])} filled; from {_count(r['signals'])} signals",
        f"  refused   {_reasons(orders['rejected'])}",
        f"  account   {_count(r['fills'])} fills, position {r['position']:f}, equity {r['equity']:,.4f} "
        f"(realised {r['realized_pnl']:,.4f}, unrealised {r['unrealized_pnl']:,.4f}, fees {r['fees']:,.4f})",
    ]
    if r.get("halted"):
        lines.append(
            f"  halted    {r['halted']}: what was open is cancelled, all else refused until an operator rearms"
        )
    several = r.get("strategies", [])[1:]
    if r.get("strategy", "imbalance") != "imbalance" and not several:
        lines.append(f"  strategy  {r['strategy']}")
    lines += [_share_text(share) for share in r["strategies"]] if several else []
    if "exchange" in r:  # runs of before there was a choice have none
        lines.append("  exchange  " + "; ".join(f"{option} {model}" for option, model in r["exchange"].items()))
    latency = r["latency_us"]
    for name in ("tick_to_order", "tick_to_fill"):
        if latency.get(name, {}).get("n"):
            hop = latency[name]
            lines.append(
                f"  {name:<14}n {_count(int(hop['n']))}, p50 {hop['p50']:,.1f}, p99 {hop['p99']:,.1f}, max {hop['max']:,.1f} us"
            )
    if "events_per_s" in r:
        lines.append(f"  speed     {r['events_per_s'] / 1e6:.2f} M events/s")
    for _, state, reason in r["lifecycle"]:
        lines.append(f"  -> {state}: {reason}")
    scripted = r.get("strategy", "imbalance") != "imbalance"
    if not (r["signals"] or scripted) or not orders["submitted"] or not r["fills"]:
        lines.append("  nothing was traded: this run proves nothing about orders or fills")
    lines += [f"  note: {note}" for note in r["notes"]]
    if r.get("terminal"):
        lines.append(f"  how everything stood at the failure: {r['terminal']}")
    lines += [f"  digest    {r['digest'] or 'none: the database cannot be read'}", f"  in        {r['out']}"]
    return "\n".join(lines)


def _share_text(share: dict[str, Any]) -> str:
    """One of several strategies, a line; its money as if the capital were its own."""
    halted = f", halted {share['halted']}" if share["halted"] else ""
    return (
        f"  strategy  {share['strategy_id']} ({share['name']}): {_count(share['orders'])} orders, "
        f"{_count(share['fills'])} fills, position {share['position']:f}, equity {share['equity']:,.4f} "
        f"(realised {share['realized_pnl']:,.4f}, unrealised {share['unrealized_pnl']:,.4f}, fees {share['fees']:,.4f}){halted}"
    )


def difference_text(found: Comparison) -> str:
    """Where two runs part, a line a field; `<` the first run, `>` the second."""
    counts = ", ".join(f"{ring} {_count(a)} and {_count(b)}" for ring, (a, b) in found.records.items())
    if found.first is None:
        return f"no difference ({counts} records)"
    lines = [f"they part at {_place(found.first)}  (records: {counts})"]
    a, b = found.first.a, found.first.b
    if a is None or b is None:
        lines.append(f"  only the {'second' if a is None else 'first'} run has it:")
        lines += [f"    {name:<17} {value}" for name, value in (a or b or {}).items() if value]
    else:
        lines.append(f"  both have kind {a['kind']}" if a["kind"] == b["kind"] else "  of different kinds")
        for name in found.first.fields:
            lines.append(f"    {name:<17} < {a.get(name, '-')}   > {b.get(name, '-')}")
    if found.also is not None:
        lines.append(f"  and at {_place(found.also)}")
    return "\n".join(lines)


def _place(difference: Difference) -> str:
    return f"record {_count(difference.seq)} of {difference.ring}, {difference.time_ns} ns"
