"""The command line: one file a command group, mounted in main.py.

    main     errors -> one line and an exit code      output   the one way to print       options  shared by commands

Exit codes: 0 done, 1 failure, 2 usage or bad input, 3 finished but DEGRADED, HALTED or inconclusive, 130 interrupted.

No module here imports numba, numpy or anything that does, at its top: `ringsim --help` answers at once. What a command
needs it imports inside the command.
"""
