"""How a check ends early."""

from __future__ import annotations


class Failed(Exception):
    """The backend breaks the contract; the text is what was seen."""


class NotApplicable(Exception):
    """The backend has nothing that the check could look at; the text says what is missing."""
