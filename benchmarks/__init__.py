"""Figures side by side with a named peer, measured in one run: `python -m benchmarks.NAME [--json FILE]`."""
