"""Strategies of texts for the tests of this package."""

# ruff: noqa: RUF001 - letters of other scripts are intended

from hypothesis import strategies as st

# Surrogates, unassigned code points and the signs that join identifiers included.
SIGNS = st.one_of(st.characters(), st.sampled_from(list("aB1.,_-/:@+#' \0’ー漢한ก\u0301\u200d")))
TEXTS = st.text(SIGNS, max_size=200)
