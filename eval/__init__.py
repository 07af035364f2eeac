"""The evaluation suite: what is recalled, how fast, at what cost. Run from a checkout."""
