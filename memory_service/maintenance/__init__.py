"""Checks of a data folder: derives again what can be derived and reports what differs.

Imports: the packages up to `conversations`.
Start reading: `verify`.
"""
