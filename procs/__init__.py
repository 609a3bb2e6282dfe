"""Operating-system work: processes, wiring, supervision, faces. No trading rule lives here.

cli ──> supervisor (parent: lifecycle, restarts, commands, log sink)
             │  socket pair: start this stage / it has this pid / it ended so
        launcher (exec'd, single-threaded, kernels warmed) ──fork──> ingest, strategy, execution, persistence
"""
