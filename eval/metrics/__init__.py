"""The metrics of a ranking, evidence in a prompt, intervals and comparisons."""
