"""Time expressions in questions, and the turns that were said at the time they mean.

Imports: `core`, `text`.
Start reading: `expressions` for the grammar, `timeline` for how its result selects turns.
"""
