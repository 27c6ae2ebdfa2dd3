"""The BentoML service: takes activity in, decides, presents.

Stands on `models`, `features` and `storage`; never imports `training`. The only package that knows HTTP.
"""
