"""Recommender code: a model is a function from a history to item scores, kept in a bundle of plain arrays.

Stands on `features` and `storage`. Trained artifacts live in MLflow and in the home folder, never here.
"""
