"""A row a decision: every record of the orders ring once, with the market and the account as they were known then."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ringsim.analysis.decisions import ACTIONS, COLUMNS, Decisions, Scales, action_word, text
from ringsim.market.capture import prepare
from ringsim.market.feed import fold_capture
from ringsim.records import OrderKind, Side
from ringsim.store.connection import connect_reading
from ringsim.units import Instrument, fixed, fraction
from tests.naive.analysis import naive_decisions
from tests.process.pipeline import backtest
from tests.sessions import session, write_capture
from tests.unit.analysis.sessions import with_predictions

TICK, LOT = Fraction(1, 100), Fraction(1, 100_000)
EAGER = {"strategy__params__min_confidence": 0, "strategy__params__imbalance_threshold": 0.05}
HALTING = {"sim__daily_loss_cap_pct": 0.0000001}  # the first fill costs more


def rows(database, events):
    connection = connect_reading(Path(database))
    try:
        found = Decisions(connection, Path(database), events)
        return found, list(found)
    finally:
        connection.close()


@pytest.mark.parametrize(("seed", "more"), [(1, {}), (2, HALTING), (3, {})])
def test_rows_are_those_of_a_naive_look_at_the_records(tmp_path, seed, more):
    capture = write_capture(tmp_path / "x.gz", session(seed, steps=150))
    run = backtest(tmp_path, run__source=f"replay:{capture}", **EAGER, **more)
    events, _ = fold_capture(prepare([capture]))
    if seed == 3:  # sequences move: what matters here is that the same market is asked
        events = with_predictions(events, seed)
    decisions, found = rows(run["database"], np.asarray(events))
    expected = naive_decisions(run["database"], events, TICK, LOT)
    assert len(found) == len(expected) == decisions.count > 20 and run["fills"] > 0
    for row, naive in zip(found, expected, strict=True):
        written = dict(zip(COLUMNS, text(row, decisions.places_of(row)), strict=True))
        for name in ("t", "halted", "action"):
            assert written[name] == str(naive[name])
        for name in ("market_px", "equity", "realized_pnl", "position"):
            assert written[name] == "" if naive[name] is None else Fraction(written[name]) == naive[name], name
        if naive["external_px"] is None:
            assert written["external_px"] == written["divergence"] == ""
            continue
        assert abs(Fraction(written["external_px"]) - naive["external_px"]) <= TICK / 2_000_000
        if naive["market_px"] is not None:
            external, mid = Fraction(written["external_px"]), Fraction(written["market_px"])
            assert abs(Fraction(written["divergence"]) - (external - mid) / mid) <= Fraction(1, 2 * 10**12)
    assert {"refused_buy", "hold"} if more else {"buy", "sell", "cancel", "hold"} <= {row.action for row in found}
    assert {row.halted for row in found} == ({0, 1} if more else {0})
    assert [r.t for r in found] == sorted(r.t for r in found)


def test_without_a_market_its_columns_are_empty_and_the_others_the_same(tmp_path):
    capture = write_capture(tmp_path / "x.gz", session(1, steps=80))
    run = backtest(tmp_path, run__source=f"replay:{capture}", **EAGER)
    events, _ = fold_capture(prepare([capture]))
    decisions, with_it = rows(run["database"], np.asarray(events))
    _, without = rows(run["database"], None)
    for a, b in zip(with_it, without, strict=True):
        one, other = (text(row, decisions.places_of(row)) for row in (a, b))
        assert one[0] == other[0] and one[4:] == other[4:] and other[1:4] == ["", "", ""]


def test_the_page_about_exports_has_every_column_and_word():
    said = (Path(__file__).parents[3] / "docs" / "export.md").read_text()
    first = [line.split("|")[1].strip() for line in said.splitlines() if line.startswith("| ")]
    assert tuple(first[1 : len(COLUMNS) + 1]) == COLUMNS and ",".join(COLUMNS) in said.splitlines()
    words = [word.strip() for cell in first[len(COLUMNS) + 2 :] for word in cell.split(",")]
    assert words[: len(ACTIONS)] == [
        *ACTIONS[:4],
        "cancel",
        "cancel_all",
        "replace",
        *ACTIONS[4:6],
        "signal_end",
        "hold",
    ]


def test_every_kind_of_record_has_a_word():
    for kind in OrderKind:
        for side in (Side.BUY, Side.SELL):
            assert action_word(kind, side) in ACTIONS
    assert len({action_word(OrderKind.NEW, s) for s in (1, 2)}) == 2
    assert action_word(99, 1) == "unknown_99_1" and action_word(OrderKind.NEW, 7) == "unknown_1_7"


@pytest.mark.parametrize("tick", ["0.01", "0.5", "2", "0.00025", "10"])
def test_prices_are_exact_on_any_grid(tick):
    scales = Scales.of(Instrument("X", tick, "0.001"))
    top = np.array(
        (101, 104, 3, 4, 0), [(n, "i8") for n in ("bid_ticks", "ask_ticks", "bid_lots", "ask_lots", "prediction_ticks")]
    )
    step = Fraction(tick)
    assert Fraction(fixed(scales.market(top), scales.places["market_px"])) == Fraction(205, 2) * step
    micro = Fraction(101 * 4 + 104 * 3, 7) * step
    assert abs(Fraction(fixed(scales.external(top), scales.places["external_px"])) - micro) <= step / 2_000_000
    top["prediction_ticks"] = 99
    assert Fraction(fixed(scales.external(top), scales.places["external_px"])) == 99 * step


@pytest.mark.parametrize(
    ("value", "places", "said"),
    [
        (0, 0, "0"),
        (0, 2, "0.00"),
        (-5, 2, "-0.05"),
        (-123, 2, "-1.23"),
        (10**30 + 1, 3, f"1{'0' * 27}.001"),
        (7, 1, "0.7"),
    ],
)
def test_fixed_decimals(value, places, said):
    assert fixed(value, places) == said and Fraction(said) == Fraction(value, 10**places)


def test_a_fraction_is_as_short_as_it_can_be():
    assert [fraction(t, "x") for t in ("0.010", "100", "0.25")] == [(1, 2), (100, 0), (25, 2)]
