"""The turn log: all SQL of the project. Everything else derives from it.

Imports: `core`, `items`.
Start reading: `schema` for the tables and their invariants, `log` for the transactions.
"""
