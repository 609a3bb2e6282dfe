"""The generated market: its twin's events, a lag that is a lag, regimes, rates, a sound book, the same bytes anywhere."""

import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.book import BOOK, book_best, book_fold
from ringsim.errors import BadInput
from ringsim.market.feed import fold_capture
from ringsim.market.ladder import EPOCH_NS
from ringsim.market.synthetic import prepare_synthetic
from ringsim.market.walk import FINE, Regime, SyntheticParams, prices_of
from ringsim.records import EventFlag, EventKind
from ringsim.units import Instrument
from tests.naive.synthetic import Market, walk
from tests.unit.market.captures import ROOT

MS, S = 10**6, 10**9
COIN = Instrument("COIN", "0.01", "0.001", "synthetic")
QUIET = {"depth_hz": 0, "cancel_hz": 0, "trade_hz": 0}


def params(seconds=2.0, start=10_000, **given):
    return SyntheticParams(start_fine=start << FINE, duration_ns=int(seconds * S), **given)


def events_of(p):
    """Without the END_OF_FEED."""
    return fold_capture(prepare_synthetic(p, COIN))[0][:-1]


def tuples(events):
    last = (events.flag_bits & EventFlag.LAST) != 0
    names = ("exch_ns", "recv_ns", "kind", "side", "px_ticks", "qty_lots", "id")
    return list(zip(*(events[name].tolist() for name in names), last.astype(int).tolist(), strict=True))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_its_events_are_the_twins(data):
    draw = data.draw
    p = params(
        draw(st.sampled_from([0.05, 0.3, 1.001])),
        start=draw(st.integers(2_000, 50_000)),
        seed=draw(st.integers(0, 2**63 - 1)),
        step_ns=draw(st.sampled_from([1, 7, 50])) * MS,
        lag_ns=draw(st.sampled_from([0, 1, 49, 50, 120, 2000])) * MS,
        jitter_ns=draw(st.sampled_from([0, 30])) * MS,
        transport_jitter_ns=draw(st.sampled_from([0, 20 * MS])),
        regime=draw(st.sampled_from(list(Regime))),
        regime_steps=draw(st.sampled_from([1, 3, 100])),
        jump_ppb=draw(st.sampled_from([0, 3 * 10**8])),
        levels=draw(st.integers(1, 6)),
        spread_ticks=draw(st.integers(1, 7)),
        level_lots=draw(st.sampled_from([1, 2, 1000])),
        trade_lots=draw(st.sampled_from([1, 3, 5000])),
        depth_hz=draw(st.sampled_from([0, 100, 2500])),
        cancel_hz=draw(st.sampled_from([0, 100, 2500])),
        trade_hz=draw(st.sampled_from([0, 100, 2500])),
        noise=draw(st.sampled_from([0.0, 0.001])),
    )
    assert tuples(events_of(p)) == Market(p).events


def timeline(p):
    """(times in ms since the start, prediction, market's mid in ticks), a row a millisecond, as it stood at its end."""
    events = events_of(p)
    book, at = np.zeros(1, BOOK).view(np.recarray)[0], 0
    n = p.duration_ns // MS
    prediction, mid = np.zeros(n), np.zeros(n)
    seen = p.start_fine / 2**FINE
    for ms in range(n):
        while at < len(events) and events[at].exch_ns < EPOCH_NS + (ms + 1) * MS:
            book_fold(book, events[at])
            if events[at].kind == EventKind.PREDICTION:
                seen = int(events[at].px_ticks)
            at += 1
        prediction[ms], mid[ms] = seen, (book_best(book, 1) + book_best(book, 2)) / 2
    return prediction, mid


@pytest.mark.parametrize("lag_ms", [0, 1, 50, 99, 120, 333])
def test_a_lag_of_so_many_milliseconds_is_that_many(lag_ms):
    p = params(10, start=1_000_000, lag_ns=lag_ms * MS, **QUIET)
    prediction, mid = timeline(p)
    late = prediction[: len(prediction) - lag_ms] if lag_ms else prediction
    assert np.abs(mid[lag_ms:] - late).max() <= 1.0  # each is rounded to its own grid
    moved = set(np.flatnonzero(np.diff(mid)) + 1)
    assert moved == {t + lag_ms for t in np.flatnonzero(np.diff(prediction)) + 1 if t + lag_ms < len(mid)}


@pytest.mark.parametrize("lag_ms", [50, 99, 120])
def test_the_divergence_grows_with_the_lag_and_not_with_whole_steps_of_it(lag_ms):
    """Over time E[D**2] = sigma**2 x lag / step: 99 ms are 1.98 steps, neither one nor two."""
    p = params(3600, start=1 << 22, lag_ns=lag_ms * MS, sigma=0.0001, **QUIET)
    predictions, _, times_ns, prices = prices_of(p)
    at = np.arange(0, p.duration_ns, MS)
    now = predictions[at // p.step_ns]
    then = prices[np.maximum(np.searchsorted(times_ns, at, side="right") - 1, 0)]
    squares = ((now - then) / then) ** 2
    blocks = squares[10_000:].reshape(-1, 10_000 if len(squares) % 10_000 == 0 else 1000).mean(axis=1)
    error = blocks.std(ddof=1) / math.sqrt(len(blocks))
    assert abs(blocks.mean() - 0.0001**2 * lag_ms / 50) < 4 * error
    assert error < 0.0001**2 * 0.02, "or the law could not tell 99 ms from 100"


def steps_of(seconds=2000, **given):
    p = params(seconds, start=1 << 20, sigma=0.0002, **QUIET, **given)
    predictions, regimes, _, _ = prices_of(p)
    return p, np.diff(np.log(predictions.astype(float))) / p.sigma, regimes[1:]


def test_the_regimes_are_what_they_are_called():
    _, calm, _ = steps_of()
    n = len(calm)
    assert abs(calm.std() - 1) < 4 / math.sqrt(2 * n) and abs(calm.mean()) < 4 / math.sqrt(n)
    _, volatile, _ = steps_of(regime=Regime.VOLATILE)
    assert abs(volatile.std() - 3) < 12 / math.sqrt(2 * n)
    p, trend, _ = steps_of(regime=Regime.TREND)
    runs = trend[: n // p.regime_steps * p.regime_steps].reshape(-1, p.regime_steps).mean(axis=1)
    assert abs(np.abs(runs).mean() - 0.5) < 0.02 and 0 < (runs > 0).mean() < 1
    p, sideways, _ = steps_of(regime=Regime.SIDEWAYS, regime_steps=10**6)
    away = np.cumsum(sideways)
    assert abs(away.var() / (1 / (1 - 0.875**2)) - 1) < 0.1, "an AR(1) around where it began"
    _, mixed, regimes = steps_of(seconds=10_000, regime=Regime.MIXED)
    assert {*np.unique(regimes)} == {0, 1, 2, 3}
    assert (
        abs(mixed[regimes == Regime.VOLATILE].std() - 3) < 0.1 and abs(mixed[regimes == Regime.CALM].std() - 1) < 0.03
    )


def test_jumps_come_as_often_and_as_far_as_asked():
    _, plain, _ = steps_of(seconds=1000)
    _, jumping, _ = steps_of(seconds=1000, jump_ppb=10**7, jump_by=0.01)
    jumps = np.flatnonzero(np.abs(jumping - plain) > 10)
    share = len(jumps) / len(plain)
    assert abs(share - 0.01) < 4 * math.sqrt(0.01 / len(plain))
    far = (jumping - plain)[jumps] * 0.0002
    assert np.abs(np.abs(np.expm1(far)) - 0.01).max() < 0.001 and 0.3 < (far > 0).mean() < 0.7


def test_the_book_happens_as_often_and_is_as_deep_as_asked():
    p = params(60, sigma=1e-12, depth_hz=700, cancel_hz=0, trade_hz=130, level_lots=500, trade_lots=50, levels=5)
    events = events_of(p)
    trades = events[events.kind == EventKind.TRADE]
    assert abs(len(trades) - 130 * 60) < 4 * math.sqrt(130 * 60)
    assert abs(trades.qty_lots.mean() - 50) < 2  # a little less: no more than is there
    levels = events[(events.kind == EventKind.LEVEL)]
    assert abs(len(levels) - 10 - len(trades) - 700 * 60) < 4 * math.sqrt(700 * 60)
    others = levels[np.abs(levels.px_ticks - 10_000) > 2]  # redrawn, never traded
    assert abs(others.qty_lots.mean() - 500) < 4 * 500 / math.sqrt(3 * len(others))
    assert set(np.unique(trades.side)) == {1, 2}


@pytest.mark.parametrize("seed", range(3))
def test_no_message_leaves_a_crossed_or_one_sided_book(seed):
    p = params(
        20, seed=seed, regime=Regime.VOLATILE, levels=3, cancel_hz=900, trade_hz=500, trade_lots=10**6, depth_hz=50
    )
    book = np.zeros(1, BOOK).view(np.recarray)[0]
    acted = 0
    for event in events_of(p):
        if book_fold(book, event):
            acted += 1
            assert 0 < book_best(book, 1) < book_best(book, 2)
    assert acted > 5_000


def test_times_are_those_of_a_connection():
    events = events_of(params(5, transport_jitter_ns=30 * MS, jitter_ns=70 * MS, trade_hz=500))
    late = events.recv_ns - events.exch_ns
    assert (np.diff(events.exch_ns) >= 0).all() and (np.diff(events.recv_ns) >= 0).all() and late.min() >= MS
    assert late.max() > 20 * MS


SESSION = """SyntheticParams(start_fine=10_000 << 16, duration_ns=10**9, seed=5, regime=Regime.MIXED, regime_steps=3,
    jump_ppb=10**8, noise=.0005, jitter_ns=40_000_000, transport_jitter_ns=9_000_000, trade_hz=400)"""
PROGRAM = f"""
import hashlib
from ringsim.market.synthetic import *
from ringsim.market.walk import *
from ringsim.units import Instrument
capture = prepare_synthetic({SESSION}, Instrument("COIN", "0.01", "0.001", "synthetic"))
print(hashlib.sha256(capture.text.tobytes()).hexdigest())
"""
# Of that session, as it was generated when this was written: another machine, library or compiler must not change it.
BYTES = "a6d00c7ad42e99d0d3270ffa88fd6dc2217f8d408afb07686da45bbeb76b1a18"


def test_the_same_seed_gives_the_same_bytes_compiled_or_not(tmp_path):
    capture = prepare_synthetic(eval(SESSION), COIN)
    assert hashlib.sha256(capture.text.tobytes()).hexdigest() == BYTES
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "RINGSIM_CACHE": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == BYTES


def test_another_seed_gives_another_market_and_the_walk_is_the_twins():
    one, other = params(5, seed=1), params(5, seed=2)
    assert prices_of(one)[0].tolist() == [price for price, _ in walk(one)]
    assert prices_of(one)[0].tolist() != prices_of(other)[0].tolist()
    key = [hashlib.sha256(prepare_synthetic(p, COIN).text.tobytes()).digest() for p in (one, other, one)]
    assert key[0] == key[2] != key[1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"start": 500}, "choose another tick or price"),
        ({"start": 1 << 29}, "choose another tick or price"),
        ({"level_lots": 0}, "at least one lot"),
        ({"seconds": 10**6}, "more than 20,000,000"),
    ],
)
def test_what_cannot_be_generated_is_refused_in_a_line(given, said):
    with pytest.raises(BadInput, match=said) as refused:
        prepare_synthetic(params(**given), COIN)
    assert "\n" not in str(refused.value)
