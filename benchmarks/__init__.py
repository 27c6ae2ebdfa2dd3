"""Figures beside a named peer, or after faults, in one run: `python -m benchmarks.NAME [--json FILE]`."""
