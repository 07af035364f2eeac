"""Systems that are compared: each finds turns for a question; one file a kind of system.

Imports: `datasets`, `metrics` and the packages above them; of the service what it measures.
Start reading: `system.py`, then `choice.py` for the systems by name.
"""
