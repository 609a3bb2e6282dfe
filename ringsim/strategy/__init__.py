"""From the market to orders.

market event -> book -> features -> decide -> intents -> sizing, risk gate -> orders ring
                                      ^                         |
report -> own orders, ledger, account ┘<──────── reports ───────┘

fold        the stage: one state, its inputs, in their order; the only file that knows all the others
state       that state                           protocol   what a strategy is to the stage: one kernel, its intents
foreign     a user's kernel, called       user       its file, read and compiled
orders      what goes out, is at work, is held back
features    book and time window in figures      imbalance  the default strategy
logarithm   the same bits on every machine       sizing     how large an entry is
params      what can be set
"""
