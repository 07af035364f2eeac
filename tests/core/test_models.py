"""The package of models exports all of them."""

from __future__ import annotations

import inspect
from importlib import import_module
from pkgutil import iter_modules

from memory_service.core import models


def test_all_public_classes_are_exported() -> None:
    defined = {
        name
        for module in iter_modules(models.__path__, f"{models.__name__}.")
        for name, value in inspect.getmembers(import_module(module.name), inspect.isclass)
        if value.__module__ == module.name
    }
    assert defined <= set(models.__all__)
