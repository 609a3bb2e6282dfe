"""What makes a stage redoable and deterministic.

choose inputs -> journal them -> fold from the journal -> publish the outbox -> settle (release, watermarks)

outbox      what a fold emits, before anybody sees it
positions   how far a stage has come on each stream
journal     the inputs it took, in the order in which it took them, with the time it was told
intake      which input comes next: by arrival (realtime), by (key, stream, seq) with bounds (simulated)
"""
