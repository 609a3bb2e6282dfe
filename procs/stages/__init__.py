"""The stages: what each process folds, and with which rings.

every stage is a `StageProgram`: do some work and say how much; how to wait is the wait strategy's business, when to
stop is the worker's.
"""
