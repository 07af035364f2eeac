"""A child process that answers calls, and the pickles that the two exchange.

Imports: `core`.
Start reading: `child_process`.
"""
