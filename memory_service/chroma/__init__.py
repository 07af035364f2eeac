"""Vectors in Chroma, in a child process. The only import of chromadb outside the embedders.

Imports: `core`, `subprocesses`.
Start reading: `process` for the parent's side, `index` for what the child does.
"""
