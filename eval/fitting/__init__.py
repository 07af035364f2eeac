"""Fitting: the weights of the ranking, and the factors of the offline token counter.

Imports: `datasets`, `metrics`, `systems` and the packages above them.
Start reading: `fit_ranking.py`, or `fit_token_factors.py`.
"""
