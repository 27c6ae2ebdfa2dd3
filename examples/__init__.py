"""Real data to try the project with, and the demo that plays it.

Stands on everything but `serving`, which it meets over HTTP only.
"""
