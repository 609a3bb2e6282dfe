"""One picture of a running pipeline, for any size of terminal: a pure function of a View.

    READY  ACTIVE  RUNNING                the three words; the notes beneath say why
    notes                                 why it is not READY, ACTIVE, RUNNING; then what deserves a look
    market . account . latencies          what the run is for
    stages . rings                        who does it, and who waits for whom
    tape                                  newest orders, fills, answers; of a chaos scenario, what was done and what came of it

Invariant: exactly `height` lines of exactly `width` cells, whatever the View holds. What has too little room is shortened
at its end with … or left out by rank, never cut in the middle. Nothing is said by colour alone.

Which rows there are follows from the size and the number of stages, rings and hops only: the picture never jumps.
"""

import math
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from procs import figures as f
from procs.cells import UNICODE, Glyphs, Part, cell, clip, length, plain, wrap
from procs.notes import NEARLY_FULL, Grade, is_stale, notes
from ringsim.units import Instrument

if TYPE_CHECKING:
    from procs.readmodel import Line, RingView, StageView, View

MIN_WIDTH, MIN_HEIGHT = 60, 15
_TABLE_WIDTH = 76  # from here rings are a table with a heading, and stages say their generation and memory
_WIDE = 100  # from here stages say their inputs
_THREE_TAPES = 120  # from here fills and other answers have a column each
_TIMED_TAPE = 60  # a column of the tape that is so wide says the time of day instead of an age

GOOD, NOTE, BAD, DIM, HEAD = "green", "yellow", "bold red", "dim", "bold"
STYLES = {
    "READY": GOOD, "ACTIVE": GOOD, "RUNNING": GOOD, "DONE": GOOD, "WARM": GOOD, "FILL": GOOD, "BUY": "cyan", "SELL": "magenta",
    "INIT": NOTE, "WARMUP": NOTE, "REDUCING": NOTE, "PAUSED": NOTE, "STOPPING": NOTE, "STARTING": NOTE, "PROVISIONAL": NOTE,
    "DEGRADED": BAD, "HALTED": "bold white on red", "FAILED": BAD, "REJECTED": BAD, "REFUSED": NOTE, "CANCEL_REJECTED": NOTE,
    "STOPPED": DIM, "ABSENT": DIM, "NEW": "", "CANCEL": "", "CANCEL_ALL": "", "REPLACE": "", "ACCEPTED": "", "CANCELLED": "",
    "REPLACED": "",
}  # fmt: skip
_GRADES = {Grade.BAD: ("! ", BAD), Grade.LOOK: ("- ", NOTE), Grade.ASIDE: ("  ", DIM)}

_ORDERS = frozenset({"NEW", "CANCEL", "CANCEL_ALL", "REPLACE", "REFUSED"})
_FILLS_AND_REFUSALS = frozenset({"FILL", "REJECTED", "PROVISIONAL", "CANCEL_REJECTED", "HALTED"})
_SILENT = frozenset({"NOTED", "ACCOUNT", "FILL"})
_OUTPUTS = {"ingest": "market", "strategy": "orders", "execution": "reports"}  # the ring that a stage waits for room in

_FIRST_HOPS = ("tick_to_order", "tick_to_fill", "decision")
_HOP_FIGURES = (
    ("p50", "p90", "p95", "p99", "p99_9", "p99_99", "mean", "max"),
    ("p50", "p90", "p99", "p99_9", "max"),
    ("p50", "p99", "p99_9", "max"),
    ("p50", "p99", "max"),
)


class Frame:
    """Draws one View. A method named after a block returns its rows; `lines` puts them together."""

    def __init__(
        self, view: "View", instrument: Instrument, title: str, hint: str = "", glyphs: Glyphs = UNICODE
    ) -> None:
        self.view, self.instrument, self.glyphs = view, instrument, glyphs
        self.title, self.hint = plain(title), plain(hint)
        self.width = MIN_WIDTH

    def lines(self, width: int, height: int) -> list[Text]:
        """The picture. width, height: in cells, >= 1."""
        self.width = width
        rows = self._small(height) if width < MIN_WIDTH or height < MIN_HEIGHT else self._whole(height)
        return _filled(rows, height, self.row())

    # -- rows

    def row(self, *parts: Part) -> Text:
        """One line of exactly the frame's width."""
        line = Text(no_wrap=True, overflow="crop")
        for text, style in clip(parts, self.width, self.glyphs.cut):
            line.append(text, style)
        return line

    def best(self, *variants: list[Part]) -> Text:
        """The first variant that fits; else the last one, cut."""
        return self.row(*next((v for v in variants if length(v) <= self.width), variants[-1]))

    def spread(self, left: list[Part], *rights: list[Part]) -> Text:
        """`left`, and the first of `rights` that there is room for at the right edge."""
        for right in rights:
            if (gap := self.width - length(left) - length(right)) >= 2:
                return self.row(*left, (" " * gap, ""), *right)
        return self.row(*left)

    # -- the whole

    def _whole(self, height: int) -> list[Text]:
        v = self.view
        share = share_rows(height, self.width, len(v.stages), len(v.rings), len(v.hops), story=bool(v.story))
        blocks = [
            [self._top(), self._states()] if share["title"] else [self._words_and_title()],
            self._notes(share["notes"]),
            [self._market(), *self._account(share["account"])],
            self._hops(share["hops"]),
            self._stages(share["stages"]),
            self._rings(share["rings"], heading=share["ring_heading"] > 0),
            *([self._story(share["story"])] if share["story"] else []),
            self._tape(share["tape"]),
        ]
        rows: list[Text] = []
        for n, block in enumerate(blocks):
            rows += [self.row()] if share["breaks"] and n >= 2 else []
            rows += block
        return rows

    def _small(self, height: int) -> list[Text]:
        """What is most important, where the whole does not fit."""
        words = self._words()
        top = [self.row(*words)] if length(words) <= self.width else [self.row(w) for w in words if w[0].strip()]
        needs = f"the whole view needs {MIN_WIDTH}x{MIN_HEIGHT}"
        wants = self.best(
            [(f"{self.width}x{height}: {needs}", DIM)], [(needs, DIM)], [(f"needs {MIN_WIDTH}x{MIN_HEIGHT}", DIM)]
        )
        room = max(1, min(3, height - len(top) - 4))
        return [*top, wants, *self._notes(room), *self._account(1), *self._hops(1), self._market()]

    def _words(self) -> list[Part]:
        v = self.view
        return [_state(v.lifecycle), ("  ", ""), _state(v.trading), ("  ", ""), _state(v.run_state)]

    def _words_and_title(self) -> Text:
        return self.spread(self._words(), [(f"{self.title}  {self.hint}".strip(), DIM)], [(self.hint, DIM)])

    def _top(self) -> Text:
        run = plain(self.view.run_id)
        name = self.title if run in self.title else f"{self.title} {self.glyphs.dot} {run}"
        up = f"up {f.elapsed(self.view.uptime_s)}"
        return self.spread([(name, HEAD)], [(f"{up}  {self.hint}".strip(), DIM)], [(self.hint, DIM)])

    def _states(self) -> Text:
        v = self.view
        words: list[Part] = []
        for name, word in (("lifecycle ", v.lifecycle), ("  trading ", v.trading), ("  run ", v.run_state)):
            words += [(name, DIM), _state(word)]
        time = f.event_time(v.market.get("time_ns", 0))
        message, messages = v.feed.get("message", 0), v.feed.get("messages", 0)
        when: list[Part] = [("event time ", DIM), (f"{time} UTC", "")] if time else []
        if messages <= 0:
            return self.spread(words, when)
        counted = ("  message ", DIM), (f"{f.count(message)} of {f.count(messages)}", "")
        read = f"  {message / messages:.0%} read"
        return self.spread(words, [*when, *counted], [*when, (read, "")], [*when[1:], (read, "")], [(read, "")])

    # -- notes

    def _notes(self, rows: int) -> list[Text]:
        """Each note wrapped as far as there is room; those that have none are counted."""
        told = notes(self.view)
        out: list[Text] = [] if told else [self.row(("nothing to report", DIM))]
        for n, note in enumerate(told):
            later = len(told) - n - 1
            more = f" (+{later} more)" if later and len(out) + 1 >= rows else ""
            mark, style = _GRADES[note.grade]
            room = max(1, rows - len(out) - later)
            for k, line in enumerate(wrap(note.text, self.width - 2 - len(more), room, self.glyphs.cut)):
                out.append(self.row(("  " if k else mark, style), (line, style), (more, DIM)))
            if len(out) >= rows:
                break
        return _filled(out, rows, self.row())

    # -- market and account

    def _market(self) -> Text:
        m, i = self.view.market, self.instrument
        if not m:
            return self.row(("no market data yet", DIM))
        if not m.get("valid", 0):
            return self.row(("no valid book: waiting for a snapshot", NOTE))
        bid, bid_size = f.price(i, m.get("bid_ticks", 0)), f.quantity(i, m.get("bid_lots", 0))
        ask, ask_size = f.price(i, m.get("ask_ticks", 0)), f.quantity(i, m.get("ask_lots", 0))
        spread = f"{f.number(m.get('spread_mbps', 0) / 1e3, 3, 9)} bps"
        imbalance = f.number(m.get("imbalance_ppm", 0) / 1e6, 3, 8, sign=True)
        name: list[Part] = [(f"{plain(i.symbol)} ", HEAD), (f"{plain(i.market)}  ", DIM)]
        prices: list[Part] = [("bid ", DIM), (bid, HEAD), ("  ask ", DIM), (ask, HEAD)]
        sized: list[Part] = [*prices[:2], (f" x {bid_size}", ""), *prices[2:], (f" x {ask_size}", "")]
        long: list[Part] = [("  spread ", DIM), (spread, ""), ("  imbalance ", DIM), (imbalance, "")]
        short: list[Part] = [("  ", ""), (spread, ""), ("  imb ", DIM), (imbalance, "")]
        return self.best(
            name + sized + long, sized + long, sized + short, prices + long, prices + short, prices + short[:2], prices
        )

    def _account(self, rows: int) -> list[Text]:
        """One row says the most; a second one how it came about; a third one counts orders."""
        a, i = self.view.account, self.instrument
        if not a:
            return _filled([self.row(("no account yet", DIM))], rows, self.row())
        realized, unrealized, fees = a.get("realized", 0), a.get("unrealized", 0), a.get("fees", 0)
        total, won = realized + unrealized - fees, f.money(i, realized, sign=True)
        open_won, paid = f.money(i, unrealized, sign=True), f.money(i, fees)
        position: list[Part] = [("position ", DIM), (f.quantity(i, a.get("position_lots", 0), sign=True), HEAD)]
        equity: list[Part] = [("  equity ", DIM), (f.money(i, a.get("equity", 0)), HEAD)]
        result: list[Part] = [("P&L ", DIM), (f.money(i, total, sign=True), "bold green" if total >= 0 else BAD)]
        named = ((" = realised ", won), (" + unrealised ", open_won), (" - fees ", paid))
        parts = [part for name, value in named for part in ((name, DIM), (value, ""))]
        short = [(" real ", DIM), (won, ""), (" unreal ", DIM), (open_won, ""), (" fees ", DIM), (paid, "")]
        if rows < 2:
            most = [*position, *equity, ("  ", ""), *result]
            return [self.best([*most, *parts], most, [*result, *equity], result)]
        unit: list[Part] = [(f" {plain(i.quote)}" if i.quote else "", DIM)]
        mark: list[Part] = [("  mark ", DIM), (f.price(i, a.get("mark_ticks", 0)), "")]
        cash: list[Part] = [("  cash ", DIM), (f.money(i, a.get("cash", 0)), "")]
        out = [
            self.best(
                [*position, *mark, *equity, *unit, *cash], [*position, *equity, *cash], [*position, *equity], equity[1:]
            ),
            self.best([*result, *unit, *parts], [*result, *parts], [*result, *short], result),
        ]
        return [*out, self._counts()][:rows]

    def _counts(self) -> Text:
        a = self.view.account
        parts: list[Part] = [("orders", DIM)]
        for name in ("submitted", "accepted", "open_orders", "fills", "provisional", "adjusted"):
            n = a.get(name, 0)
            parts += [("  ", ""), (f.count(n, 7), NOTE if n and name == "provisional" else "")]
            parts += [(f" {name.removesuffix('_orders')}", DIM)]
        return self.best(parts, parts[:-3], parts[:-6])

    # -- latencies

    def _hops(self, rows: int) -> list[Text]:
        hops = self.view.hops
        names = [n for n in _FIRST_HOPS if n in hops] + [n for n in hops if n not in _FIRST_HOPS]
        out = [self._hop(name) for name in names] or [self.row(("no latencies yet", DIM))]
        return _filled(out[:rows], rows, self.row())

    def _hop(self, name: str) -> Text:
        hop = self.view.hops[name]
        n = hop.get("n", 0)
        keys = next((k for k in _HOP_FIGURES if 25 + sum(len(key) + 8 for key in k) <= self.width), _HOP_FIGURES[-1])
        parts: list[Part] = [(cell(plain(name), 16, cut=self.glyphs.cut), HEAD if name in _FIRST_HOPS else "")]
        for key in keys:
            value = f.micros(hop.get(key, 0.0)) if n else "-"
            parts += [(f" {key.replace('_', '.')} ", DIM), (f"{value:>6}", HEAD if key == "p99" else "")]
        return self.row(*parts, (" n ", DIM), (f.count(n, 6), ""))

    # -- stages

    def _stages(self, rows: int) -> list[Text]:
        """A heading and a row for each process."""
        table, wide = self.width >= _TABLE_WIDTH, self.width >= _WIDE
        columns = [("process", 11, False), ("pid", 7, True), ("state", 8, False)]
        columns += [("gen", 3, True)] if table else []
        columns += [("beat", 6, True), ("rate", 8, True)]
        columns += [("inputs", 14, True)] if wide else []
        columns += [("cpu", 5, True)]
        columns += [("memory", 7, True)] if table else []
        columns += [("waits for", self.width - sum(width + 1 for _, width, _ in columns), False)]
        heading = self.row((" ".join(cell(name, width, right=right) for name, width, right in columns), DIM))
        return self._listed([heading, *(self._stage(s, columns) for s in self.view.stages)], rows, "processes")

    def _stage(self, s: "StageView", columns: list[tuple[str, int, bool]]) -> Text:
        values: dict[str, Part] = {
            "process": (plain(s.name), HEAD),
            "pid": (str(s.pid), ""),
            "state": _state(s.state),
            "gen": (f.count(s.generation, 3), NOTE if s.generation > 1 else ""),
            "beat": (f.micros(s.heartbeat_ms * 1e3), BAD if is_stale(s) else ""),
            "rate": (f"{f.count(s.rate, 6)}/s", ""),
            "inputs": (f.count(s.inputs, 14), ""),
            "cpu": (f"{f.count(s.cpu_percent, 4)}%", ""),
            "memory": (f"{f.count(s.rss_mib, 4)}MiB", ""),
            "waits for": (self._waits(s, columns[-1][1]), NOTE if s.waits_for == "room" else DIM),
        }
        if not s.is_stage:
            values |= dict.fromkeys(("gen", "beat", "rate", "inputs"), ("-", DIM))
        if s.state == "ABSENT":
            values |= dict.fromkeys(("pid", "gen", "beat", "rate", "inputs", "cpu", "memory"), ("-", DIM))
        parts: list[Part] = []
        for name, width, right in columns:
            text, style = values[name]
            parts += [(" ", ""), (cell(text, width, right=right, cut=self.glyphs.cut), style)]
        return self.row(*parts[1:])

    def _waits(self, s: "StageView", room: int) -> str:
        """What it waits for; for room, also who has to read."""
        gates = next((r.gated_by for r in self.view.rings if r.name == _OUTPUTS.get(s.name)), None)
        whole = plain(f"{s.waits_for}, {gates}" if s.waits_for == "room" and gates else s.waits_for)
        return whole if cell_len(whole) <= room else plain(s.waits_for)

    # -- rings

    def _rings(self, rows: int, *, heading: bool) -> list[Text]:
        rings = self.view.rings
        if not heading:
            return self._listed([self._ring_line(r) for r in rings], rows, "rings")
        bar = min(24, max(8, self.width // 8 - 2))
        readers = min(60, self.width - (9 + bar + 8 + 2 + 7 + 2 + 11))
        left = cell("ring", 9) + cell("fill", bar + 8) + cell("lag of each reader", readers)
        out = [self.row((f"{left}  {'lost':>7}  gated by", DIM)), *(self._ring(r, bar, readers) for r in rings)]
        return self._listed(out, rows, "rings")

    def _ring(self, r: "RingView", bar: int, readers: int) -> Text:
        lost, cut = sum(r.lost.values()), self.glyphs.cut
        name, lags = cell(plain(r.name), 8, cut=cut), cell(self._readers(r, readers), readers, cut=cut)
        gate: Part = (cell(plain(r.gated_by), 11, cut=cut), _fill_style(r)) if r.gated_by else ("-", DIM)
        return self.row(
            (f"{name} ", HEAD), *self._bar(r, bar), (f"  {lags}  ", ""),
            (f"{f.count(lost, 7):>7}", BAD if lost else DIM), ("  ", ""), gate,
        )  # fmt: skip

    def _ring_line(self, r: "RingView") -> Text:
        """Without a heading: each figure with its name."""
        lag, lost, cut = max(r.lag.values(), default=0), sum(r.lost.values()), self.glyphs.cut
        bar = max(6, min(20, self.width - 53))
        return self.row(
            (cell(plain(r.name), 8, cut=cut), HEAD), *self._bar(r, bar), (" lag ", DIM), (f"{f.count(lag, 6):<6}", ""),
            (" lost ", DIM), (f"{f.count(lost, 6):<6}", BAD if lost else ""), (" by ", DIM),
            (cell(plain(r.gated_by or "-"), 11, cut=cut), ""),
        )  # fmt: skip

    def _readers(self, r: "RingView", room: int) -> str:
        """Each reader's lag, and what it lost where there is room to say it."""
        text = ""
        for width, gap, losses in ((14, "  ", True), (14, "  ", False), (6, " ", False)):
            said = []
            for name, lag in r.lag.items():
                lost = f" (lost {f.count(r.lost[name])})" if losses and r.lost.get(name, 0) else ""
                said.append(f"{plain(name)} {f.count(lag, width)}{lost}")
            text = gap.join(said)
            if cell_len(text) <= room:
                break
        return text

    def _bar(self, r: "RingView", width: int) -> list[Part]:
        fill = r.fill if r.capacity > 0 else 0.0
        full, style = max(0, min(width, math.ceil(fill * width))), _fill_style(r)
        shown, rest = self.glyphs.full * full, self.glyphs.empty * (width - full)
        return [(shown, style), (rest, DIM), (f" {fill * 100:3.0f} %", style)]

    def _listed(self, out: list[Text], rows: int, what: str) -> list[Text]:
        """`out` in `rows` rows; a last row counts those that have none."""
        if len(out) > rows > 0:
            out = [*out[: rows - 1], self.row((f"{self.glyphs.cut} {len(out) - rows + 1} more {what}", DIM))]
        return _filled(out, rows, self.row())

    # -- story

    def _story(self, rows: int) -> list[Text]:
        """A heading, then what happened, the newest last."""
        told = self.view.story[-(rows - 1) :] if rows > 1 else []
        out = [self.row(("what was done to the run, and what came of it", DIM))]
        for event in told:
            style = {Grade.BAD: BAD, Grade.LOOK: NOTE}.get(Grade(event.grade), GOOD)
            out.append(self.row((f"{f.number(event.at_s, 3, 9):>9} s  ", DIM), (plain(event.text), style)))
        return _filled(out, rows, self.row())

    # -- tape

    def _tape(self, rows: int) -> list[Text]:
        """A heading, and the newest on top."""
        v = self.view
        columns = [("newest orders", [o for o in v.orders if o.kind in _ORDERS])]
        if self.width >= _THREE_TAPES:
            columns += [("newest fills", [r for r in v.reports if r.kind == "FILL"])]
            columns += [("newest answers", [r for r in v.reports if r.kind not in _SILENT])]
        else:
            columns += [("newest fills and refusals", [r for r in v.reports if r.kind in _FILLS_AND_REFUSALS])]
        width = (self.width - 2 * (len(columns) - 1)) // len(columns)
        out = [self.row(("  ".join(cell(title, width) for title, _ in columns), DIM))]
        for k in range(rows - 1):
            parts: list[Part] = []
            for n, (_, lines) in enumerate(columns):
                parts += [("  ", "")] if n else []
                parts += self._line(lines[-1 - k], width) if k < len(lines) else [(" " * width, "")]
            out.append(self.row(*parts))
        return out[:rows]

    def _line(self, line: "Line", width: int) -> list[Part]:
        """What happened to how much at which price and why; when, or how long ago, if there is room for all of it."""
        i, kind = self.instrument, plain(line.kind)
        side = plain(line.side) if line.side != "NONE" else ""
        said: list[Part] = [(f"{kind:<8} ", STYLES.get(kind, BAD))]
        said += [(f"{side:<4} ", STYLES.get(side, ""))] if side or line.qty_lots else []
        size: list[Part] = [(f"{f.quantity(i, line.qty_lots)} ", "")] if line.qty_lots else []
        price: list[Part] = [(f"@ {f.price(i, line.px_ticks)} ", "")] if line.px_ticks else []
        why: list[Part] = [(f"{plain(line.reason)} ", NOTE)] if line.reason != "NONE" else []
        whole = said + size + price + why
        ago = f.age(self.view.account.get("time_ns", 0), line.time_ns)
        when = (f.event_time(line.time_ns) or ago) if width >= _TIMED_TAPE else ago
        if when and length(whole) + len(when) <= width:
            return [*clip(whole, width - len(when)), (when, DIM)]
        return clip(next((p for p in (whole, said + size + why, said + why) if length(p) <= width), said), width)


def share_rows(height: int, width: int, stages: int, rings: int, hops: int, *, story: bool = False) -> dict[str, int]:
    """How many rows each block gets: first what everybody needs, then, by rank, what there is room for.

    height: >= MIN_HEIGHT. stages, story and tape count their headings, rings theirs if there is a ring_heading; breaks: blank
    lines between blocks. story: there is one, and it takes the place of the latencies and, where it is narrow, of the tape.
    """
    share = {"title": 0, "notes": 1, "account": 1, "breaks": 0, "tape": 0, "ring_heading": 0, "story": 2 * story}
    share |= {"hops": 1 if story else max(1, min(3, hops)), "stages": 1 + min(4, stages), "rings": min(3, rings)}
    # Block, the rows that it wants at this rank, and the least that makes sense.
    ranks = [
        ("story", 4 * story, 1), ("title", 1, 1), ("account", 2, 1), ("story", 7 * story, 1),
        ("ring_heading", int(width >= _TABLE_WIDTH), 1), ("stages", 1 + stages, 1), ("story", 10 * story, 1),
        ("tape", 3, 3), ("account", 3, 1),
        ("notes", 2, 1), ("tape", 4, 1), ("rings", rings, 1), ("notes", 3, 1), ("tape", 6, 1),
        ("hops", hops, 1), ("breaks", 5 + story, 5 + story), ("tape", 12, 1), ("notes", 6, 1), ("tape", 65, 1),
    ]  # fmt: skip
    left = height - 2 - sum(share.values())  # 2: the words, the market
    for block, rows, least in ranks:
        if (more := min(rows - share[block], left)) >= least:
            share[block] += more
            left -= more
    share["rings"] += share["ring_heading"]
    return share


def _filled(rows: list[Text], height: int, blank: Text) -> list[Text]:
    return rows[:height] + [blank] * (height - len(rows))


def _state(word: str) -> Part:
    return plain(word), STYLES.get(word, BAD)


def _fill_style(r: "RingView") -> str:
    fill = r.fill if r.capacity > 0 else 0.0
    return BAD if fill > 0.9 else NOTE if fill > NEARLY_FULL else GOOD
