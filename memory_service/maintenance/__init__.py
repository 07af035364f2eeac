"""Checks of a data folder: derives data again from the log and reports differences.

Imports: the packages up to `conversations`.
Start reading: `verify`.
"""
