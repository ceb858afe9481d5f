"""What to know before quoting a row, and who published it."""

from __future__ import annotations

from bench.results.columns.column import DATE, Column, group

# How a published row came about: read off a device, computed from such a reading, or only stated.
EVIDENCE = ("measured", "derived", "claimed")

REMARKS = group(
    "remarks",
    Column("warnings", "text", "what to know before quoting the row; separated by `; `"),
)

PUBLICATION = group(
    "publication",
    Column("source", "text", "who published the row; empty if `bench run` measured it", late=True),
    Column("source_date", "text", "when, to the day, month or year", late=True, pattern=DATE),
    Column(
        "evidence",
        "text",
        "measured; derived from what was measured; or claimed without it",
        late=True,
        choices=EVIDENCE,
    ),
)
