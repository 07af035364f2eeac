"""The commands that measure retrieval: `run`, `recall` and `prompts`.

Imports: `datasets`, `metrics`, `systems`, `runs`, `reports` and the packages above them.
Start reading: `run.py`.
"""
