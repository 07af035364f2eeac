"""Builds a prompt that fits a token budget: system, summary, recent, recalled, input.

Imports: the packages up to `recall` and `summaries`.
Start reading: `builder`.
"""
