"""Packages of the `eval` extra, imported on first use, so that other commands work without it."""

from __future__ import annotations

import importlib
from typing import Any

from eval.errors import MissingPackageError


def extra(module: str) -> Any:
    """Return a module of the `eval` extra.

    Raises MissingPackageError, whose message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"the package {error.name} is missing: pip install --editable '.[eval]'"
        ) from error
