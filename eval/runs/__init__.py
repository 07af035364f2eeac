"""Runs: systems side by side on a set, and the files that a run leaves."""
