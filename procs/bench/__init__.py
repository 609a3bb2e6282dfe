"""What the pieces cost, each beside its floor from the same run, in alternating blocks: a ratio travels, a figure does not.

rounds     the kernels that the two processes of a measurement run
ring       the processes; bench_ring
bare       the stages without journal and commits
recovery   each stage with and without; bench_recovery
"""
