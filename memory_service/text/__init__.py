"""Text as words: terms, language detection, passages, and messages that carry no information.

Imports: `core`.
Start reading: `terms`, which the inverted index and the ranking are built on.
"""
