"""`python -m eval answers`: a model answers from the prompts, and a model judges the answers.

Imports: `datasets`, `metrics`, `systems`, `runs` and the packages above them.
Start reading: `answers.py`, then `judging.py` for the prompts.
"""
