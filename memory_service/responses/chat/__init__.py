"""Translation between responses and chat completions, both ways. Pure.

Imports: `core`, `items` and the events of `responses`.
Start reading: `request`, then `answer` for whole answers and `stream` for streamed ones.
"""
