"""The columns: documented, in one place, in an order that does not move by accident."""

import hashlib
from pathlib import Path

from bench.measure.protocol import STATUSES
from bench.measure.row import PARAMETER_COLUMNS
from bench.results.schema import (
    BY_NAME,
    COLUMNS,
    NAMES,
    SCHEMA_VERSION,
    columns_as_markdown,
    results_schema,
)

DOCS = Path(__file__).parents[2] / "docs" / "results.md"


def test_the_documentation_has_the_columns_as_they_are():
    assert columns_as_markdown() in DOCS.read_text()


def test_a_change_of_columns_needs_a_new_version():
    """Older files have to stay readable: raise SCHEMA_VERSION and migrate them in the reader."""
    digest = hashlib.sha256(",".join(NAMES).encode()).hexdigest()
    assert (SCHEMA_VERSION, digest[:16]) == (1, "1db23bc5036b5062")


def test_names_are_unique_and_carry_their_units():
    assert len(set(NAMES)) == len(NAMES)
    for column in COLUMNS:
        if column.name.startswith(("time_", "ci_")):
            assert column.name.endswith("_s")
        if column.name.startswith(("peak_", "ceiling_", "achieved_")):
            assert column.name.endswith(("_tflops", "_gbps", "_source"))


def test_every_parameter_column_exists():
    assert set(PARAMETER_COLUMNS) <= set(BY_NAME)


def test_the_json_schema_says_what_may_be_missing():
    schema = results_schema()
    assert set(schema["required"]) == {column.name for column in COLUMNS if column.required}
    assert schema["properties"]["status"]["enum"] == list(STATUSES)
    assert schema["properties"]["power_w"]["type"] == ["number", "null"]
