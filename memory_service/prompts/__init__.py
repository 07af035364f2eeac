"""Prompts that fit a token budget: system, summaries, recent turns, recalled turns, input.

Imports: the packages up to `recall` and `summaries`.
Start reading: `builder`, which lists the stages.
"""
