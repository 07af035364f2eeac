"""Packages that only some commands need, opened when they are: the others work without them."""

from __future__ import annotations

import importlib
from typing import Any

from eval.runs.run_folder import RunError


class MissingExtraError(RunError):
    """A package of the `eval` extra is not installed."""


def extra(module: str) -> Any:
    """Return a module of the `eval` extra; raises MissingExtraError that says how to get it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the package {error.name} is missing: pip install --editable '.[eval]'"
        ) from error
