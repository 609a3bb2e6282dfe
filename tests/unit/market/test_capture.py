"""Preparing a capture: what is read is whole and exact, what cannot be used is said in one line, the cache never lies."""

import gzip
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

import ringsim.market.capture as capture_module
from ringsim.errors import BadInput, RingsimError
from ringsim.limits import CACHED_CAPTURES, CAPTURE_WARNINGS
from ringsim.market.binance import MessageKind
from ringsim.market.capture import open_capture, prepare
from ringsim.market.feed import fold_capture
from ringsim.market.source import open_source, sample_path
from ringsim.records import EventKind
from ringsim.units import Instrument
from tests.sessions import SPOT, USDM, Market, session, write_capture
from tests.unit.market.captures import KERNELS, ROOT, tuples


def refusal(*files):
    """The one line with which `files` are refused."""
    with pytest.raises(BadInput) as refused:
        prepare(list(files))
    line = str(refused.value)
    assert "\n" not in line and refused.value.exit_code == 2
    return line


# --- what is known of it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("market", [SPOT, USDM])
@pytest.mark.parametrize("unit_ns", [1, 1000])
@pytest.mark.parametrize("name", ["a.gz", "a.txt"])
def test_times_units_kinds_and_skew(tmp_path, market, unit_ns, name):
    messages = session(3, market)
    capture = prepare([write_capture(tmp_path / name, messages, unit_ns)])
    meta, index = capture.meta, capture.index
    assert (meta.market, meta.symbol, meta.instrument_known) == (market, "BTCUSDT", True)
    assert index.recv_ns.tolist() == [m.recv_ns // unit_ns * unit_ns for m in messages]
    assert index.exch_ns.tolist() == [m.body.get("E", 0) * 10**6 for m in messages]
    assert meta.skew_ns == min(int(r) - int(e) for r, e in zip(index.recv_ns, index.exch_ns, strict=True) if e)
    assert meta.span_s == (index.recv_ns[-1] - index.recv_ns[0]) / 1e9
    kinds = [m.kind for m in messages]
    assert meta.counts == {k: kinds.count(k) for k in ("depth", "trade", "bookTicker", "snapshot", "other", "bad")}
    for entry, m in zip(index, messages, strict=True):
        raw = capture.text[entry.offset : entry.offset + entry.length].tobytes()
        assert raw == m.line().partition(b" ")[2].rstrip()
    assert not capture.text.flags.writeable and not index.flags.writeable
    assert not meta.notes and not meta.warnings


def test_a_session_in_two_files_is_the_session(tmp_path):
    """Split anywhere, in ns then us, gzip then plain, in two gzip members: the same messages, the same events."""
    messages = [m._replace(recv_ns=m.recv_ns // 1000 * 1000) for m in session(9, USDM)]
    whole = prepare([write_capture(tmp_path / "whole", messages)])
    expected = tuples(fold_capture(whole)[0])
    lines = [m.line() for m in messages]
    for split in (1, 7, len(lines) // 2, len(lines) - 1):
        first = write_capture(tmp_path / f"{split}.gz", messages[:split])
        second = write_capture(tmp_path / f"{split}.us", messages[split:], unit_ns=1000)
        assert tuples(fold_capture(prepare([first, second]))[0]) == expected
    members = tmp_path / "members.gz"
    members.write_bytes(gzip.compress(b"".join(lines[:9])) + gzip.compress(b"".join(lines[9:])) + bytes(16))
    assert tuples(fold_capture(prepare([members]))[0]) == expected


def test_coin_margined_contracts_are_recognised_and_their_grid_is_taken_from_the_snapshot(tmp_path):
    messages = session(1, USDM)
    lines = [m.line().replace(b'"BTCUSDT"', b'"BTCUSD_PERP","ps":"BTCUSD"') for m in messages]
    meta = prepare([write_capture(tmp_path / "a", lines)]).meta
    assert (meta.market, meta.symbol, meta.instrument_known) == ("coinm", "BTCUSD_PERP", False)
    assert (meta.instrument.tick, meta.instrument.lot, meta.instrument.quote) == ("0.1", "0.001", "USD")
    assert "tick 0.1 and lot 0.001 were taken from the capture" in meta.notes[0]


def test_a_configured_instrument_decides_and_is_part_of_the_key(tmp_path):
    path = write_capture(tmp_path / "a", session(1, SPOT))
    plain = prepare([path])
    finer = prepare([path], [Instrument("BTCUSDT", "0.001", "0.000001")])
    assert finer.folder != plain.folder and finer.meta.instrument.tick == "0.001"
    coarse = prepare([path], [Instrument("BTCUSDT", "0.05", "0.00001")])
    assert coarse.meta.counts["bad"] > 0 and "off the instrument's grid" in coarse.meta.warnings[0]


def test_quantities_finer_than_a_lot_are_whole_lots_and_said(tmp_path):
    messages = session(2, SPOT)
    k = next(k for k, m in enumerate(messages) if m.kind == "depth" and m.body["b"])
    messages[k].body["b"][0][1] = "25.42618900"
    meta = prepare([write_capture(tmp_path / "a", messages)]).meta
    assert meta.cut_lots == 1 and meta.counts["bad"] == 0 and "quantities finer than a lot" in meta.notes[0]


# --- bad lines -------------------------------------------------------------------------------------------------------


def test_bad_lines_are_counted_named_and_skipped(tmp_path):
    lines = [m.line() for m in session(6, SPOT)]
    lines[20:20] = [b"1700000000000001 {}\n"]  # microseconds, in a file of ns
    lines[10:10] = [b"nonsense\n", lines[10][:40] + b"\n", b"\n"]
    meta = prepare([write_capture(tmp_path / "a.gz", lines[:12]), write_capture(tmp_path / "b.gz", lines[12:])]).meta
    assert meta.counts["bad"] == 3 and len(meta.warnings) == 3
    assert meta.warnings[0].startswith("a.gz line 11: ") and meta.warnings[1].startswith("a.gz line 12: is no JSON")
    assert meta.warnings[2].startswith("b.gz line 12: ") and "receive time" in meta.warnings[2]
    assert "3 bad lines" in meta.notes[0]


def test_a_damaged_first_line_does_not_decide_the_unit(tmp_path):
    messages = session(6, SPOT)
    capture = prepare([write_capture(tmp_path / "a", [b"1700000000000001 {\n", *[m.line() for m in messages]])])
    assert capture.meta.counts["bad"] == 1 and capture.index.recv_ns.tolist()[1:] == [m.recv_ns for m in messages]
    assert capture.meta.span_s == (messages[-1].recv_ns - messages[0].recv_ns) / 1e9


def test_the_list_of_warnings_is_bounded(tmp_path):
    lines = [m.line() for m in session(6, SPOT)]
    lines += [b"%d {\n" % (1_800_000_000_000_000_000 + k) for k in range(3 * CAPTURE_WARNINGS)]
    meta = prepare([write_capture(tmp_path / "a", lines)]).meta
    assert meta.counts["bad"] == 3 * CAPTURE_WARNINGS and len(meta.warnings) == CAPTURE_WARNINGS


def test_a_price_off_the_grid_makes_its_message_bad_and_so_a_gap(tmp_path):
    messages = session(12, SPOT, steps=60, snapshots=(3, 40))
    k = [k for k, m in enumerate(messages) if m.kind == "depth" and m.body["b"]][15]
    messages[k].body["b"][0][0] = "60000.005"
    capture = prepare([write_capture(tmp_path / "a", messages)])
    assert capture.index.kind[k] == MessageKind.BAD
    assert capture.meta.warnings == [f"a line {k + 1}: has a price off the instrument's grid"]
    events, state = fold_capture(capture)
    assert state[0].counts.bad == state[0].counts.gaps == 1 and (events.kind == EventKind.GAP).sum() == 1


def test_a_last_line_cut_off_is_bad_and_no_more(tmp_path):
    lines = [m.line() for m in session(6, SPOT)]
    lines[-1] = lines[-1][:50]
    meta = prepare([write_capture(tmp_path / "a", lines)]).meta
    assert meta.counts["bad"] == 1 and f"line {len(lines)}" in meta.warnings[0]


# --- files that are refused ------------------------------------------------------------------------------------------


def test_missing_empty_and_no_file(tmp_path):
    assert "No such file" in refusal(tmp_path / "none.gz")
    assert "is no file" in refusal(tmp_path)
    (tmp_path / "empty").touch()
    assert "is empty" in refusal(tmp_path / "empty")
    (tmp_path / "empty.gz").write_bytes(gzip.compress(b""))
    assert "is empty" in refusal(tmp_path / "empty.gz")
    assert "no capture file" in refusal()


def test_a_truncated_gzip_says_after_which_line_and_nothing_of_it_is_used(tmp_path, cache):
    path = write_capture(tmp_path / "a.gz", session(1))
    path.write_bytes(path.read_bytes()[:-300])
    before = sorted((cache / "feeds").iterdir()) if (cache / "feeds").exists() else []
    line = refusal(path)
    lines = int(line.partition("after line ")[2].partition(";")[0])
    assert "ends early" in line and 0 < lines < len(session(1))
    assert sorted((cache / "feeds").iterdir()) == before


def test_a_damaged_gzip(tmp_path):
    path = write_capture(tmp_path / "a.gz", session(1))
    data = bytearray(path.read_bytes())
    data[-5] ^= 0xFF  # the length at its end
    path.write_bytes(data)
    assert "is damaged" in refusal(path)


@pytest.mark.parametrize(
    "data",
    [
        b"what a file\nwith some text\n" * 400,
        bytes(range(256)) * 4000,
        b"x" * 9_000_000,
        b'{"u":1}\n',
        b'1633998512.06: {"u":1,"b":"1","B":"1","a":"1","A":"1"}\n',  # seconds: another recorder's format
        b"1700000000000000000 17\n",
    ],
)
def test_what_is_no_capture_is_refused_and_says_what_one_is(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    assert "a capture has lines '<receive time in ns or us> <JSON message>'" in refusal(tmp_path / "a")


def test_a_capture_of_other_streams_names_no_symbol(tmp_path):
    (tmp_path / "a").write_bytes(b'1700000000000000000 {"result":null,"id":1}\n' * 3)
    assert "no message names a symbol" in refusal(tmp_path / "a")


def test_several_symbols_are_named(tmp_path):
    other = Market(1, SPOT, "ETHUSDT")
    other.change()
    line = refusal(
        write_capture(tmp_path / "a", session(1) + [m._replace(recv_ns=m.recv_ns + 10**10) for m in other.said])
    )
    assert "2 symbols (BTCUSDT, ETHUSDT)" in line


def test_files_in_the_wrong_order_or_twice(tmp_path):
    messages = session(1)
    first = write_capture(tmp_path / "first", messages[:20])
    second = write_capture(tmp_path / "second", messages[20:])
    assert f"{first}: begins before {second}" in refusal(second, first)
    assert "in order of time" in refusal(first, first)


def test_an_unreadable_file(tmp_path):
    path = write_capture(tmp_path / "a", session(1))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert "Permission denied" in refusal(path)


# --- the cache -------------------------------------------------------------------------------------------------------


def test_the_second_time_nothing_is_read(tmp_path, monkeypatch):
    path = write_capture(tmp_path / "a", session(1))
    first = prepare([path])
    monkeypatch.setattr(capture_module, "judge", None)
    again = prepare([path])
    assert again.folder == first.folder and again.meta == first.meta
    assert open_capture(first.folder).meta == first.meta
    assert not [p for p in first.folder.parent.iterdir() if p.name.startswith(".")]


def test_a_changed_file_is_prepared_again(tmp_path):
    path = write_capture(tmp_path / "a", session(1))
    first = prepare([path])
    os.utime(path, ns=(1, 1))
    assert prepare([path]).folder != first.folder


@pytest.mark.parametrize("name", ["text.bin", "index.npy", "meta.json"])
def test_a_damaged_entry_is_made_anew(tmp_path, name):
    path = write_capture(tmp_path / "a", session(1))
    first = prepare([path])
    events = tuples(fold_capture(first)[0])
    damaged = first.folder / name
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    with pytest.raises(BadInput, match="no prepared capture"):
        open_capture(first.folder)
    assert tuples(fold_capture(prepare([path]))[0]) == events


def test_a_cache_that_cannot_be_written_costs_a_preparation_and_not_the_run(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(
        "RINGSIM_CACHE", str(tmp_path / "file")
    )  # a file where a folder is wanted fails as a read-only one
    monkeypatch.setattr(capture_module.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    capture = prepare([write_capture(tmp_path / "a", session(1))])
    assert capture.folder.is_relative_to(tmp_path / "tmp")
    monkeypatch.setattr(capture_module.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    with pytest.raises(RingsimError, match="set RINGSIM_CACHE to a folder with room"):
        prepare([write_capture(tmp_path / "b", session(2))])


def test_only_so_many_captures_are_kept_and_what_the_dead_left_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("RINGSIM_CACHE", str(tmp_path / "cache"))
    feeds = tmp_path / "cache" / "feeds"
    (feeds / f".{2**22 + 1}-left").mkdir(parents=True)
    (feeds / f".{os.getpid()}-mine").mkdir()
    short = session(1)[:20]
    folders = []
    for k in range(CACHED_CAPTURES + 3):
        folders.append(prepare([write_capture(tmp_path / f"{k}", short)]).folder)
        os.utime(folders[-1], ns=(k, k))
    kept = {p.name for p in feeds.iterdir()}
    assert kept == {f.name for f in folders[-CACHED_CAPTURES:]} | {f".{os.getpid()}-mine"}


def test_a_capture_that_somebody_has_open_stays(tmp_path, monkeypatch):
    """A run opens its capture again for each new ingest, whatever others have prepared meanwhile."""
    monkeypatch.setenv("RINGSIM_CACHE", str(tmp_path / "cache"))
    short = session(1)[:20]
    mine = prepare([write_capture(tmp_path / "mine", short)])
    other = prepare([write_capture(tmp_path / "other", short)]).folder  # and nobody has it open
    for k in range(CACHED_CAPTURES + 3):
        prepare([write_capture(tmp_path / f"{k}", short)])
        for folder in (mine.folder, other):
            if folder.exists():
                os.utime(folder, ns=(1, 1))
    assert mine.folder.exists() and not other.exists()
    assert len(open_capture(mine.folder).index) == len(mine.index)
    folder = mine.folder
    del mine
    os.utime(folder, ns=(1, 1))
    prepare([write_capture(tmp_path / "one more", short)])
    assert not folder.exists()


def test_several_processes_may_prepare_the_same_at_once(tmp_path):
    path = write_capture(tmp_path / "a.gz", session(1))
    program = "import sys; from ringsim.market.capture import *; print(prepare([Path(sys.argv[1])]).folder)"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    (tmp_path / "ringsim").mkdir()
    (tmp_path / "ringsim" / "kernels").symlink_to(KERNELS)  # compiled already
    environment.pop("RINGSIM_CACHE", None)
    command = [sys.executable, "-c", program, path]
    running = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    folders = {process.communicate()[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert [str(p) for p in (tmp_path / "ringsim" / "feeds").iterdir()] == [*folders]


# --- sources and the sample ------------------------------------------------------------------------------------------


def test_sources_by_name():
    assert open_source("sample") == [sample_path()]
    assert open_source("replay:a.gz, b.gz") == [Path("a.gz"), Path("b.gz")]
    for wrong in ("", "replay:", "replay: ,", "sampel", "live:BTCUSDT"):
        with pytest.raises(BadInput, match="replay:FILE"):
            open_source(wrong)


def test_the_sample_is_what_its_readme_says():
    path = sample_path()
    lines = gzip.decompress(path.read_bytes()).splitlines()
    assert len(lines) == 7342 and path.stat().st_size <= 1_000_000
    assert path.read_bytes()[4:8] == bytes(4), "no time in the gzip header"
    capture = prepare([path])
    assert (capture.meta.market, capture.meta.symbol) == ("spot", "BTCUSDT")
    assert capture.meta.counts == {"depth": 600, "trade": 1381, "bookTicker": 5360, "snapshot": 1, "other": 0, "bad": 0}
    assert "hftbacktest" in (path.parent / "README.md").read_text()


def test_the_script_cuts_the_same_sample_again(tmp_path):
    """From the sample itself: nothing is lost or changed on the way."""
    out = tmp_path / "again.gz"
    subprocess.run(
        [sys.executable, ROOT / "scripts" / "cut_sample.py", sample_path(), "--out", out],
        check=True,
        capture_output=True,
    )
    assert gzip.decompress(out.read_bytes()) == gzip.decompress(sample_path().read_bytes())


@pytest.mark.slow
def test_the_wheel_has_the_sample(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "ringsim/market/sample/spot_btcusdt_60s.gz" in names and "ringsim/market/sample/README.md" in names


def test_meta_survives_its_file(tmp_path):
    capture = prepare([write_capture(tmp_path / "a", session(1))])
    assert msgspec.json.decode(msgspec.json.encode(capture.meta), type=type(capture.meta)) == capture.meta
    assert capture.place(4) == "a line 5"
    assert np.array_equal(np.unique(capture.index.file), [0])
