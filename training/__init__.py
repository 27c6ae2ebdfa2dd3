"""Split, fit, evaluate, compare, and say which model is the champion.

Stands on `models`, `features` and `storage`; never imports `serving`.
"""
