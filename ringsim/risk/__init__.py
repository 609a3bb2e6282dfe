"""Risk: what may go out, how large, and when trading stops.

limits   the numbers, as a person or a configuration gives them
gate     the verdict on one order, the token bucket, the loss cap, the kill switch; called by strategy and broker alike
"""
