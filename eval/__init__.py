"""The evaluation suite: measures what is recalled, how fast, and at what cost, from a checkout.

Imports: memory_service and ingest; its own packages in the order given in `test_architecture.py`.
Start reading: `__main__.py`, which names the file of each command.
"""
