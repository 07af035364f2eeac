"""One repository a noun: the statements on the tables of that noun, in a transaction.

Imports: `core`, `items`, the schema.
Start reading: `turns`; `statements` has what all of them share.
"""
