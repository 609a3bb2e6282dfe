"""What a run leaves on disk.

    run's folder/
      <database>      orders, trades, signals, ... as tables and as records, to the byte     sqlite, rows, schema, connection
      events.jsonl    the event chain as JSON lines, for people and tools                    runlog
      manifest.json   what it was run with, and what came out                                manifest
    state folder/
      runs/<id>.json  where each run's folder is                                             runs

The database is the truth: the digest of a run (digest) is computed from it, and a restart goes on at its cursors. The log is
derived from the same records; the manifest says how to make them again.
"""
