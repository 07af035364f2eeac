"""Repositories: for each noun the SQL statements on its tables, within a transaction.

Imports: `core`, `items`, the schema.
Start reading: `turns`; `statements` has what all of them share.
"""
