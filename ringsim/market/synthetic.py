"""A generated market as a session: the walk and its ladder, prepared once and then replayed like a capture.

    market.walk    the prediction and the price that follows it      market.ladder    the book around it, as market events

The same parameters give the same bytes on any machine; the cache's key is of them and of the code that generates.
"""

import hashlib
from pathlib import Path

import msgspec

from ringsim.errors import BadInput
from ringsim.kernel import closure_key
from ringsim.limits import MESSAGE_EVENTS
from ringsim.market.capture import Capture
from ringsim.market.events import make_events
from ringsim.market.ladder import generate, new_generator
from ringsim.market.records import RecordWriter, keep_records
from ringsim.market.walk import SyntheticParams, prices_of
from ringsim.units import Instrument


def prepare_synthetic(params: SyntheticParams, instrument: Instrument) -> Capture:
    """The generated session, from the cache or generated now, about 20 M events a second.

    Raises BadInput, one line, for parameters that cannot be generated.
    """
    if problems := params.problems():
        raise BadInput("the synthetic market: " + "; ".join(problems))
    text = msgspec.json.encode([closure_key(Path(__file__)), params, instrument])
    return keep_records(hashlib.sha256(text).hexdigest()[:24], lambda writer: _write(writer, params, instrument))


def _write(writer: RecordWriter, params: SyntheticParams, instrument: Instrument) -> None:
    state, out = new_generator(params), make_events(8 * MESSAGE_EVENTS)
    predictions, _, times_ns, prices = prices_of(params)
    ended = False
    while not ended:
        out.count[0] = 0
        ended = bool(generate(state, predictions, times_ns, prices, out))
        writer.add(out.records[: out.count[0]])
    writer.finish(instrument, [])
