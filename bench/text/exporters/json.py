"""Writes the data of a document as JSON (RFC 8259)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TextIO

from bench.text.document import Document


def write(document: Document, stream: TextIO) -> None:
    """Write the data; JSON has neither infinity nor NaN, so both become null.

    Other characters than ASCII are escaped for a stream that might not encode them.
    """
    is_unicode = (stream.encoding or "utf-8").lower().startswith("utf")
    encoder = json.JSONEncoder(indent=2, allow_nan=False, ensure_ascii=not is_unicode)
    stream.writelines(encoder.iterencode(_plain(document.data())))
    stream.write("\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    value = value.item() if hasattr(value, "item") else value  # a scalar of NumPy
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) else None
