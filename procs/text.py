"""The summary of a run as a person reads it."""

from typing import Any


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
    if not r["signals"] or not orders["submitted"] or not r["fills"]:
        lines.append("  nothing was traded: this run proves nothing about orders or fills")
    lines += [f"  note: {note}" for note in r["notes"]]
    lines += [f"  digest    {r['digest']}", f"  in        {r['out']}"]
    return "\n".join(lines)
