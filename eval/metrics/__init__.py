"""Metrics: of rankings, of the evidence in prompts, of short answers, and their intervals. Pure.

Imports: `datasets` and `errors`; nothing of the service.
Start reading: `ranking.py`, then `statistics.py`.
"""
