"""Tuning of Python's garbage collector."""

from __future__ import annotations

import gc


def freeze_loaded_objects() -> None:
    """Exclude the objects that exist now from all later collections.

    Call it once, when the process is ready. The 200,000 objects that imports make exist
    until the process ends: examining them again and again stopped all threads for 0.1 s each time,
    and took 8 % of the time of an ingestion.
    """
    gc.collect()
    gc.freeze()
