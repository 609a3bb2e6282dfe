"""`ringsim bench`: what the pieces cost on this machine, each beside its floor from the same run."""

from typing import Annotated

import typer

from procs.cli.output import Json, Output

app = typer.Typer(
    help="Measure, beside a floor of the same run.", no_args_is_help=True, epilog="Example: ringsim bench ring"
)


@app.callback()
def _root() -> None:
    """Measure, beside a floor of the same run."""


@app.command(epilog="Example: ringsim bench ring --repeats 5 --json")
def ring(
    records: Annotated[int, typer.Option("--records", min=1, help="Of each throughput block.")] = 5_000_000,
    capacity: Annotated[int, typer.Option("--capacity", help="Slots, a power of two.")] = 1024,
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=1000, help="Rounds; the medians are shown.")] = 9,
    json: Json = False,
) -> None:
    """The ring between two processes: 64-byte records a second, and the hop beside a bare ping-pong of two words."""
    from procs.bench.ring import bench_ring

    out = Output(json)
    found = bench_ring(records, capacity, repeats)
    out.show(f"records a second   {found['records_per_s'] / 1e6:8.1f} M    announced one by one")
    out.show(
        f"                   {found['records_per_s_batched'] / 1e6:8.1f} M    announced {found['batch']} at a time"
    )
    floor = f"bare ping-pong {found['floor_hop_ns']:.1f} ns, ratio {found['hop_ratio']:.2f}"
    out.show(f"hop                {found['hop_ns']:8.1f} ns   {floor}")
    out.show(
        f"medians of {found['repeats']} rounds, {found['records']:,} records, ring of {found['capacity']:,}, "
        f"cores {found['cores']}, {found['steal_ratio']:.1%} of the time stolen by the host"
    )
    out.result(found)


@app.command(epilog="Example: ringsim bench recovery --repeats 9 --json")
def recovery(
    source: Annotated[str | None, typer.Option("--source", metavar="SRC", help="sample, or replay:FILE[,FILE...].")] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=1000, help="Rounds; the medians are shown.")] = 15,
    passes: Annotated[int, typer.Option("--passes", min=1, max=1000, help="Over the capture, in each block.")] = 3,
    json: Json = False,
) -> None:  # fmt: skip
    """What journal and commits cost each stage: its throughput with them, beside the same stage without them."""
    from procs.bench.recovery import bench_recovery

    out = Output(json)
    found = bench_recovery(source, repeats, passes)
    for name, share in found["share"].items():
        low, high = found["share_spread"][name]
        out.show(
            f"{name:<10} {share:7.1%} of its throughput ({low:.1%} to {high:.1%})   "
            f"{found['events_per_s'][name] / 1e6:6.2f} M events/s with, {found['events_per_s_without'][name] / 1e6:6.2f} without"
        )
    out.show(f"medians of {found['repeats']} rounds of {found['passes']} passes over {found['events']:,} events")
    out.result(found)


@app.command(epilog="Example: ringsim bench backtest --source replay:first.gz,second.gz --repeats 9 --json")
def backtest(
    source: Annotated[str, typer.Option("--source", metavar="SRC", help="As of `ringsim backtest`.")] = "sample",
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=1000, help="Rounds; the medians are shown.")] = 9,
    json: Json = False,
) -> None:
    """Events a second of broker and strategy together, in one process, beside hftbacktest on the same events if it is there."""
    from procs.bench.backtest import bench_backtest

    out = Output(json)
    found = bench_backtest(source, repeats)
    rows = (
        ("events_per_s", f"broker and strategy, all {found['events']:,} events"),
        ("shared_events_per_s", f"broker and strategy, {found['shared_events']:,} levels and trades"),
        ("hftbacktest_events_per_s", "hftbacktest on these, event by event"),
        ("hftbacktest_10ms_events_per_s", "hftbacktest on these, in steps of 10 ms"),
    )
    for name, what in rows:
        if found[name] is not None:
            low, high = found[f"{name}_spread"]
            out.show(f"{found[name] / 1e6:8.2f} M/s  ({low / 1e6:.2f} to {high / 1e6:.2f})  {what}")
    if found["ratio"] is not None:
        out.show(f"{found['ratio']:8.2f}      ours to its event by event, {found['ratio_10ms']:.2f} to its 10 ms steps")
    for note in found["notes"]:
        out.say(f"note: {note}")
    out.result(found)
