"""Runs on disk: the files that `python -m eval run` writes, and the metrics computed from them.

Imports: `datasets`, `metrics`, `systems` and the packages above them.
Start reading: `run_folder.py` for the files, then `records.py` and `summary.py` for their lines.
"""
