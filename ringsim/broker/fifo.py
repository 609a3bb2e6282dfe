"""FIFO: what stands ahead of a resting order where the data name the orders. Nothing is estimated.

    number   of an order, given by the venue as it is entered (MARKET_EVENT.id); a queue stands in the order of numbers
    F        lots at the level that belong to numbers up to `newest_id`, the highest one displayed when our order joined

                     joined here
    front  3  5  5  8   |   9  12   back          F = what 3, 5, 5, 8 have left

On joining all that is displayed is ahead. From then on each change of the level is one order's: of a number up to newest_id
it changes F by as much, of a later one it does not. So F grows, too, when an order comes that was entered before ours and not
displayed (entered before the open, say): it keeps the place of its number. Trades change nothing: the level that they leave does.

An execution that went to somebody behind us, with nothing ahead of us, would have been ours. One behind us although F > 0 jumped
the queue: it would have jumped over us as well. A hidden order stands behind all that are displayed at its price (HIDDEN_ORDER).

Pure functions of numbers, whole ones below 2**53. Twin: tests/naive/queue.py; tests/unit/broker/test_fifo.py has lists of orders.
"""

from ringsim.kernel import kernel


@kernel
def fifo_front(front_lots, newest_id, order_id, before_lots, after_lots):
    """Quantity ahead after an order changed the level, lots, float64, 0..after_lots.

    front_lots: F before, lots. newest_id: highest number displayed when our order joined. order_id: whose change it is;
    UNNAMED_ORDER is ahead of everybody. before_lots, after_lots: the level's quantity before and after, lots.
    """
    after = float(after_lots)
    if order_id > newest_id:
        return min(front_lots, after)
    return max(0.0, min(front_lots + after - float(before_lots), after))


@kernel
def fifo_executable(front_lots, newest_id, order_id, qty):
    """Lots of a trade at our price that reach our order: all or none.

    front_lots, newest_id: as above. order_id: who was executed; HIDDEN_ORDER is behind everybody. qty: of the trade, lots.
    """
    return qty if order_id > newest_id and front_lots <= 0.0 else 0
