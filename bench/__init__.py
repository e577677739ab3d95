"""Benchmarks: every figure with its machine, its command, and a peer or a limit beside it. `make bench` runs them."""
