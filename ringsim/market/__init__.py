"""The feed: from a recorded file to market events.

    file(s) ──lines──> judged, indexed, mapped ──feed_step──> MARKET_EVENTs ──> the market ring (the worker publishes)
              capture  (once; then from the cache)   │  parse: binance, jsontext, scan
                                                     │  own book: to see a crossed state, to repeat a snapshot

    instruments  what lies on which grid        capture  prepare, open_capture       feed   the ingest fold
    source       "sample", "replay:F,F"         check    what a capture is worth     sample/ the minute that ships

Market meets strategy and broker in `ringsim.records` only.
"""
