"""Activity becomes a sparse consumer-item matrix.

Stands on `storage` alone.
"""
