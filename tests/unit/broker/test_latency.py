"""Latencies: never below their lower bound, the same for the same record."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsim.broker.delays import delay_table, drawn_delays, no_delays, read_rows
from ringsim.broker.exchange import broker_init
from ringsim.broker.fees import fee_money
from ringsim.broker.latency import (
    ENTRY,
    LATENCY,
    RESPONSE,
    LatencyModel,
    latency_entry,
    latency_entry_min,
    latency_response,
    latency_response_min,
    session_ns,
)
from ringsim.broker.moves import MOVES, STEP_NS, STEPS, moves_cbps, moves_look
from ringsim.broker.params import DELAY_MAX_NS, BrokerParams
from ringsim.errors import BadInput
from ringsim.limits import LATENCY_FILE_BYTES, MAX_LATENCY_ROWS
from ringsim.records import NEVER_NS, ControlCode
from tests.naive.draws import random_word
from tests.naive.latency import Way, between
from tests.unit.broker.venue import BUY, MS, SELL, Venue

NAMES = ("model", "entry_ns", "response_ns", "entry_jitter_ns", "response_jitter_ns", "seed")
NONE = no_delays()[0]


def params(model, entry, response, entry_jitter=0, response_jitter=0, seed=0):
    p = np.zeros(1, LATENCY).view(np.recarray)[0]
    for name, value in zip(NAMES, (model, entry, response, entry_jitter, response_jitter, seed), strict=True):
        p[name] = value
    return p


def test_constant():
    p = params(LatencyModel.CONSTANT, 5, 7, 100, 100)
    assert {latency_entry(p, NONE, 0, 0, k) for k in range(50)} == {5} and {
        latency_response(p, NONE, 0, 0, k) for k in range(50)
    } == {7}


def test_jitter_fills_its_range_and_no_more_and_the_directions_differ():
    p = params(LatencyModel.JITTER, 5, 5, 3, 3, seed=11)
    entry, response = (
        [latency_entry(p, NONE, 0, 0, k) for k in range(400)],
        [latency_response(p, NONE, 0, 0, k) for k in range(400)],
    )
    assert set(entry) == set(response) == {5, 6, 7, 8}
    assert min(entry) == latency_entry_min(p) and min(response) == latency_response_min(p)
    assert entry != response
    assert entry == [latency_entry(p, NONE, 0, 0, k) for k in range(400)], "no hidden state"
    other = params(LatencyModel.JITTER, 5, 5, 3, 3, seed=12)
    assert entry != [latency_entry(other, NONE, 0, 0, k) for k in range(400)]
    counts = [entry.count(v) for v in (5, 6, 7, 8)]
    assert all(60 <= n <= 140 for n in counts), "uniform: 100 each, 4 standard deviations are 35"


def test_the_connection_is_first_in_first_out():
    v = Venue(latency_model=LatencyModel.JITTER, entry_jitter_ns=50 * MS, response_jitter_ns=50 * MS, seed=3)
    v.book(((90, 1),), ((110, 1),))
    sent = []
    for k in range(40):
        v.new(BUY, 40 + k, 1)
        sent.append(v.now)
        v.wait(MS)
    v.wait(200 * MS)
    accepted = [r for r in v.everything if r.get("order_id")]
    assert [r["order_id"] for r in accepted] == list(range(1, 41))
    assert all(r["acted_ns"] - at >= MS for r, at in zip(accepted, sent, strict=True))
    assert v.s.counters.forced_due > 0 and v.s.counters.forced_deliver > 0
    v.close()


@given(px=st.integers(1, 2**30), qty=st.integers(1, 2**19), cbps=st.integers(-10_000, 10_000))
def test_a_fee_is_the_nearest_unit_of_money(px, qty, cbps):
    exact_times_a_million = px * qty * cbps
    assert abs(fee_money(px, qty, cbps) * 1_000_000 - exact_times_a_million) <= 500_000


def test_fees_by_hand():
    assert fee_money(100_000, 10, 200) == 200  # 2 bps of a million
    assert fee_money(1, 2500, 200) == 1 and fee_money(1, 2499, 200) == 0  # a half goes up
    assert fee_money(1, 2500, -200) == 0 and fee_money(1, 2501, -200) == -1


# Measured rows


def looked_up(entry, response, times):
    """[(entry, response)] at times of the session, by the kernels."""
    p, table = params(LatencyModel.ROWS, 1, 1), delay_table(entry, response)[0]
    return [(latency_entry(p, table, 0, t, 0), latency_response(p, table, 0, t, 0)) for t in times]


def test_rows_just_before_at_between_and_after_by_hand():
    entry, response = [(100, 10), (200, 30), (300, 20)], [(110, 5), (230, 5)]
    found = looked_up(entry, response, [0, 99, 100, 101, 150, 199, 200, 201, 299, 300, 301, 10**18])
    assert [e for e, _ in found] == [10, 10, 10, 10, 20, 29, 30, 30, 21, 20, 20, 20]
    assert {r for _, r in found} == {5}


def test_of_rows_at_one_time_the_last_one_holds_from_there_on():
    assert looked_up([(10, 1), (20, 9), (20, 3), (30, 3)], [(0, 1)], [19, 20, 25]) == [(8, 1), (3, 1), (3, 1)]


ROWS = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(1, 60 * 10**9)), min_size=1, max_size=40
).map(lambda rows: sorted(rows, key=lambda row: row[0]))  # fmt: skip


@given(entry=ROWS, response=ROWS, times=st.lists(st.integers(0, 11 * 10**5), min_size=1, max_size=30))
def test_rows_are_what_their_twin_says_to_a_nanosecond_and_never_beyond_their_neighbours(entry, response, times):
    for t, both in zip(times, looked_up(entry, response, times), strict=True):
        for got, rows in zip(both, (entry, response), strict=True):
            assert abs(got - between(rows, t)) <= 1, "the kernel's line is drawn in floating point"
            assert min(ns for _, ns in rows) <= got <= max(ns for _, ns in rows)


def test_the_largest_table():
    rows = [(10 * k, 1 + k) for k in range(MAX_LATENCY_ROWS)]
    times = [0, 10 * (MAX_LATENCY_ROWS - 1) - 1, 10 * (MAX_LATENCY_ROWS - 1), 5_005]
    assert [e for e, _ in looked_up(rows, rows, times)] == [1, MAX_LATENCY_ROWS - 1, MAX_LATENCY_ROWS, 501]


def test_a_session_at_ten_times_the_speed_has_a_clock_of_its_own():
    p = params(LatencyModel.ROWS, 1, 1)
    p.first_ns, p.speed_num, p.speed_den = 5_000, 10, 1
    assert (
        session_ns(p, NEVER_NS, 123) == 5_000 and session_ns(p, 100, 100) == 5_000 and session_ns(p, 100, 107) == 5_070
    )
    p.first_ns, p.speed_num, p.speed_den = 0, 1, 1
    assert session_ns(p, 0, 123) == 123


def test_under_the_realtime_clock_rows_are_found_by_the_feeds_clock():
    rows = ([(1000 * MS, 3 * MS), (1001 * MS, 9 * MS)], [(0, MS)])
    v = Venue(rows, latency_model=LatencyModel.ROWS, response_ns=MS, realtime=True, first_ns=1000 * MS, speed=(2, 1))
    v.book(((90, 5),), ((110, 5),))
    v.control(ControlCode.CLOCK, v.now)
    for after, ns in ((0, 3 * MS), (MS // 4, 6 * MS), (MS, 9 * MS)):
        v.wait(after)
        v.new(BUY, 40, 1)
        sent = v.now
        (accepted,) = v.wait(20 * MS)
        assert accepted["acted_ns"] - sent == ns
        v.control(ControlCode.CLOCK, v.now)
    v.close()


def test_a_model_with_a_table_needs_one():
    with pytest.raises(BadInput, match="the latency model ROWS has no table"):
        broker_init(BrokerParams(latency_model=LatencyModel.ROWS))


HEAD = "request_ns,exchange_ns,response_ns\n"


def test_a_file_of_rows(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text(HEAD + "1000,1850,1900\n\n 2000 ,2001,60000002001\n2000,2500,2501\n")
    found = read_rows(file)
    assert (found.entry_ns, found.response_ns) == (1, 1) and found.size_bytes == file.stat().st_size
    entry, response = found.table[0].entry, found.table[0].response
    assert entry.count == response.count == 3
    assert entry.rows[:3].tolist() == [(1000, 850), (2000, 1), (2000, 500)]
    assert response.rows[:3].tolist() == [(1850, 50), (2001, 60_000_000_000), (2500, 1)]
    file.write_text("response_ns,request_ns,exchange_ns\n1900,1000,1850\n")  # the names decide
    assert read_rows(file).table[0].entry.rows[0].tolist() == (1000, 850)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (HEAD + "5,5,6\n", ": line 2: exchange_ns - request_ns is 0: a latency must be from 1 to 60000000000 ns"),
        (HEAD + "5,4,6\n", ": line 2: exchange_ns - request_ns is -1: a latency must be from 1 to 60000000000 ns"),
        (HEAD + "5,6,6\n", ": line 2: response_ns - exchange_ns is 0: a latency must be from 1 to 60000000000 ns"),
        (HEAD + "5,0,0\n", ": line 2: exchange_ns - request_ns is -5: a latency must be from 1 to 60000000000 ns"),
        (HEAD + "5,60000000006,60000000007\n", ": line 2: exchange_ns - request_ns is 60000000001: a latency must be"),
        (HEAD + "5,6,7\n4,7,8\n", ": line 3: lies before the row above: request_ns and exchange_ns must not decrease"),
        (HEAD + "5,8,9\n6,7,9\n", ": line 3: lies before the row above: request_ns and exchange_ns must not decrease"),
        (HEAD + "5,6\n", ": line 2: has 2 cells where 3 belong"),
        (HEAD + "5,6,1e9\n", ": line 2: response_ns '1e9' is no time in whole nanoseconds"),
        (HEAD + "-5,6,7\n", ": line 2: request_ns '-5' is no time in whole nanoseconds"),
        (HEAD + "5,6,9223372036854775807\n", ": line 2: response_ns '9223372036854775807' is no time in whole"),
        (HEAD + "5,6," + "7" * 90 + "\n", ": line 2: response_ns '7777777777777777777777777777777777777...' is no time"),
        (HEAD, " have no row"),
        ("", " have no row"),
        ("a,b\n", " must have the columns request_ns,exchange_ns,response_ns, not 'a,b'"),
        (HEAD + '5,"6,7\n', " are no CSV: line 2: "),
        (HEAD + "\xff", " cannot be read: it is not text in UTF-8"),
        (HEAD + "1,2,3\n" * (MAX_LATENCY_ROWS + 1), f" have more than {MAX_LATENCY_ROWS:,} rows"),
        (HEAD + " " * LATENCY_FILE_BYTES, f" are larger than {LATENCY_FILE_BYTES:,} bytes"),
    ],
    ids=lambda text: text[-12:].strip(),
)  # fmt: skip
def test_a_bad_file_of_rows_is_one_line(tmp_path, text, wrong):
    file = tmp_path / "rows.csv"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput) as refused:
        read_rows(file)
    assert str(refused.value).startswith(f"the latencies {file}{wrong}") and "\n" not in str(refused.value)


def test_as_many_rows_as_fit_and_no_file(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text(HEAD + "1,2,3\n" * MAX_LATENCY_ROWS)
    assert read_rows(file).table[0].response.count == MAX_LATENCY_ROWS
    with pytest.raises(BadInput, match="there is no file of latencies"):
        read_rows(tmp_path / "none.csv")
    with pytest.raises(BadInput, match="cannot be read: Is a directory"):
        read_rows(tmp_path)


# Distributions


def test_every_value_of_a_distribution_is_drawn_as_often_as_it_was_measured():
    table = delay_table([(0, 7), (1, 9), (4, 20)], [(0, 5)], (10, 3))[0]
    p = params(LatencyModel.MEASURED, 7, 5, seed=3)
    entry = [latency_entry(p, table, 0, 0, k) for k in range(4_000)]
    assert {latency_response(p, table, 0, 0, k) for k in range(50)} == {5}
    assert entry == [latency_entry(p, table, 0, 10**18, k) for k in range(4_000)], "no hidden state, and no time"
    for ns, share in ((7, 0.1), (9, 0.3), (20, 0.6)):
        assert abs(entry.count(ns) / 4_000 - share) < 4 * (share * (1 - share) / 4_000) ** 0.5
    assert set(entry) == {7, 9, 20} and min(entry) == latency_entry_min(p)


DISTRIBUTION = st.dictionaries(st.integers(0, 70 * 10**9), st.integers(1, 30), min_size=1, max_size=20).map(
    lambda counts: sorted(counts.items())
)


@given(entry=DISTRIBUTION, response=DISTRIBUTION, seed=st.integers(0, 2**63 - 1), seq=st.integers(0, 2**40))
def test_a_distribution_draws_what_its_twin_draws_and_never_below_its_bound(entry, response, seed, seq):
    found = drawn_delays(entry, response, "", 0, "")
    p = params(LatencyModel.MEASURED, found.entry_ns, found.response_ns, seed=seed)
    for buckets, direction, least, call in (
        (entry, ENTRY, found.entry_ns, latency_entry),
        (response, RESPONSE, found.response_ns, latency_response),
    ):
        every = [min(max(ns, 1), DELAY_MAX_NS) for ns, count in buckets for _ in range(count)]
        got = call(p, found.table[0], 0, 0, seq)
        assert got == every[random_word(seed, direction, seq) % len(every)] >= least == every[0] >= 1


def test_the_largest_distribution():
    buckets = [(k + 1, 1 << 40) for k in range(MAX_LATENCY_ROWS)]
    found = drawn_delays(buckets, buckets[-1:], "", 0, "")
    p = params(LatencyModel.MEASURED, 1, 1)
    drawn = [latency_entry(p, found.table[0], 0, 0, k) for k in range(200)]
    assert len(set(drawn)) > 150 and min(drawn) >= 1 and max(drawn) <= MAX_LATENCY_ROWS


# Coupled to the market's way


def looks(at, mids):
    """MOVES after looks at these times (in steps), each at its mid in ticks; 0: there was none."""
    m, due = np.zeros(1, MOVES).view(np.recarray)[0], 0
    for time, mid in zip(at, mids, strict=True):
        now = int(time * STEP_NS)
        if now >= due:
            due = moves_look(m, 2 * mid, due, now)
    return m


def test_the_way_of_the_mid_by_hand():
    assert moves_cbps(looks([1], [1000])) == 0, "one look is no way"
    assert moves_cbps(looks([1, 2], [1000, 1001])) == 999  # 1 of 1001, up
    assert moves_cbps(looks([1, 2, 3], [1000, 999, 1000])) == 2_000  # down and back: 20 bps
    assert moves_cbps(looks([1, 1.5, 2], [1000, 5000, 1000])) == 0, "only the looks count"
    assert moves_cbps(looks([1, 2, 3], [1000, 0, 1001])) == 999, "without a mid the last one stays"
    assert moves_cbps(looks([1, 2], [1 << 39, 1])) == 1_000_000, "the whole mid at most"


@pytest.mark.parametrize(("later", "cbps"), [(8.99, 999), (9, 999), (9.99, 999), (10, 0), (10**6, 0)])
def test_a_move_is_forgotten_after_eight_steps(later, cbps):
    assert moves_cbps(looks([1, 2, later], [1000, 1001, 1001])) == cbps
    one_by_one = [k for k in range(3, 11) if k <= later]
    assert moves_cbps(looks([1, 2, *one_by_one], [1000, *[1001] * (1 + len(one_by_one))])) == cbps


LOOKS = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 50)), max_size=40)


@given(LOOKS)
def test_the_way_is_its_twins(steps):
    at, mids, now = [], [], 0
    for gap, mid in steps:
        now += gap
        at.append(now / 32)
        mids.append(mid)
    way = Way()
    for time, mid in zip(at, mids, strict=True):
        way.look(2 * mid, int(time * STEP_NS))
    assert moves_cbps(looks(at, mids)) == way.cbps()


@pytest.mark.parametrize(
    ("cbps", "extra"), [(0, 0), (1, 30), (99, 2_970), (100, 3_000), (101, 3_000), (1_000_000, 3_000)]
)
def test_a_latency_grows_with_the_way_up_to_its_most(cbps, extra):
    p = params(LatencyModel.VOLATILITY, 5, 7)
    p.ns_per_bps, p.most_ns = 3_000, 3_000
    assert latency_entry(p, NONE, cbps, 0, 0) == 5 + extra >= latency_entry_min(p)
    assert latency_response(p, NONE, cbps, 0, 0) == 7 + extra >= latency_response_min(p)


def test_the_largest_values_of_the_coupled_latency():
    p = params(LatencyModel.VOLATILITY, DELAY_MAX_NS, DELAY_MAX_NS)
    p.ns_per_bps, p.most_ns = DELAY_MAX_NS, DELAY_MAX_NS
    assert latency_entry(p, NONE, 1_000_000, 0, 0) == 2 * DELAY_MAX_NS


def test_orders_are_late_after_the_market_moved_and_not_before():
    v = Venue(latency_model=LatencyModel.VOLATILITY, ns_per_bps=10_000, most_ns=4 * MS)
    v.book(((999, 5),), ((1001, 5),))

    def delay():
        v.new(BUY, 40, 1)
        sent = v.now
        (accepted,) = v.wait(20 * MS)
        return accepted["acted_ns"] - sent

    assert delay() == MS
    v.wait(STEP_NS // MS * MS)
    v.level(SELL, 1003, 5, last=False)
    v.level(SELL, 1001, 0)
    v.wait(STEP_NS)
    assert delay() == MS + 99_900  # a tick of 1001: 9.99 bps
    v.book(((1099, 5),), ((1101, 5),))
    v.wait(STEP_NS)
    assert delay() == 5 * MS, "the most"
    v.wait(STEPS * STEP_NS)
    assert delay() == MS
    v.close()
