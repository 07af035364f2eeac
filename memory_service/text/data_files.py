"""Read the data files that packages of this project ship: word lists and rules, in TOML.

A data file lies in the folder `data` of its package and says in a comment where its content is
from. It is read through importlib.resources, which also works for read-only and zipped
installations.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any


def read_toml(package: str, name: str) -> dict[str, Any]:
    """Return the content of a package's data file; tables and arrays keep the file's order."""
    return tomllib.loads(files(package).joinpath("data", name).read_text("utf-8"))
