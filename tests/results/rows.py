"""A sound row to start from, and strategies for others."""

from hypothesis import strategies as st

from bench.results.schema import COLUMNS, SCHEMA_VERSION

ROW = {
    "schema_version": SCHEMA_VERSION,
    "run_id": "20260101T000000Z-00000000",
    "case_id": "matmul-f32-0123456789",
    "started_at": "2026-01-01T00:00:00.000Z",
    "host": "node1",
    "config": "smoke",
    "config_sha256": "0" * 64,
    "harness_version": "0.1.0",
    "seed": 0,
    "backend": "cpu",
    "chip": "some chip",
    "device_name": "some chip",
    "device_index": 0,
    "python": "3.11.7",
    "simulated": False,
    "kernel": "matmul",
    "implementation": "torch",
    "dtype": "float32",
    "params": '{"k":4,"m":2,"n":3}',
    "m": 2,
    "n": 3,
    "k": 4,
    "flops": 48,
    "bytes": 104,
    "arithmetic_intensity": 48 / 104,
    "status": "ok",
    "verified": True,
    "rel_error": 1e-8,
    "tolerance": 1e-6,
    "time_median_s": 2e-6,
    "time_mean_s": 2e-6,
    "ci_low_s": 1.9e-6,
    "ci_high_s": 2.1e-6,
    "samples": 6,
    "loops": 100,
    "processes": 1,
    "timing": "host",
    "stop_reason": "precision",
    "achieved_tflops": 48 / 2e-6 / 1e12,
    "achieved_gbps": 104 / 2e-6 / 1e9,
}

CELLS = {
    "text": st.text(),
    "time": st.just("2026-01-01T00:00:00.000Z"),
    "json": st.just("{}"),
    "boolean": st.booleans(),
    "integer": st.integers(1, 2**63),
    "number": st.floats(min_value=5e-324, allow_infinity=False),
}


def cell(column):
    value = st.sampled_from(column.choices) if column.choices else CELLS[column.type]
    if column.name == "schema_version":
        return st.just(SCHEMA_VERSION)
    if column.required:
        return value.filter(lambda found: not isinstance(found, str) or found.split())
    return st.none() | value


any_row = st.fixed_dictionaries({column.name: cell(column) for column in COLUMNS})
