"""The paper exchange: what happens to an order between the strategy and its report.

    orders ──> in flight ──(entry latency)──> acceptance ──> matching ──> account ──> reports ──(response latency)──>
                 FIFO                        checks, risk    take, rest,   ledger,
                                                             queues        risk

    exchange    the fold: which input does what, timers          acceptance  the checks that an order passes, and its fate
    matching    who trades with whom, at what price              queue       where a resting order stands at its level
    liquidity   what the account has already taken               orders      the table of open orders, price-time priority
    account     a fill's way into ledger and risk, halts         reports     what is told, and when it arrives
    latency, fees, params, state                                 one idea each

It knows neither strategy nor market: records come in, records go out. It does not move the market: the displayed book is
history, so what the account takes is remembered in `liquidity` and never taken again.
"""
