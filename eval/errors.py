"""The errors of the evaluation: each ends a command with one line and status 1."""

from __future__ import annotations


class EvaluationError(Exception):
    """Base class; the message says what is wrong and what to do."""


class DatasetError(EvaluationError):
    """A file does not follow the format of its data set; the message names the position."""


class MeasurementError(EvaluationError):
    """The service did not do what is measured; the message says what happened instead."""


class RunError(EvaluationError):
    """A folder is not a run, or cannot become one; the message says why."""


class FetchError(EvaluationError):
    """A data set could not be fetched; the message says why and what to do."""


class MissingPackageError(EvaluationError):
    """A package of the `eval` extra is not installed."""
