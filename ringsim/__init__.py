"""ringsim: a low-latency trading-infrastructure lab. Simulation and paper trading only."""

__version__ = "0.1.0"
