"""Time expressions in questions, and the turns that were said at the time they mean.

Imports: `core`, `text`.
Start reading: `expressions` for the public functions, `calendar_rules` and `expression_reader` for
the grammar, `timeline` for how turns are selected.
"""
