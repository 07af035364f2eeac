"""Reports of runs: terminal tables, one HTML file, Markdown, plots, comparisons.

Imports: `runs`, `metrics`, `datasets`, `systems` and the packages above them.
Start reading: the file of a command: `report.py`, `compare.py`, `tables.py` or `plots.py`.
"""
