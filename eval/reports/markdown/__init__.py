"""Runs as Markdown tables, for the documentation. Pure, except that runs are read.

Imports: `runs`, `metrics`, `datasets`, `systems` and the packages above them.
Start reading: `document.py`, which lists the sections.
"""
