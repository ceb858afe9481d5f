"""The columns: declared once, in the documented order, with a JSON schema that says the same."""

import dataclasses
import subprocess
import sys

import jsonschema
import pytest

from bench.backend import Telemetry
from bench.results.columns import BY_NAME, COLUMNS, NAMES, STATUSES
from bench.results.schema import results_schema

ORDER = """
    schema_version run_id case_id started_at host config config_sha256 git_commit harness_version seed
    backend chip device_name device_index driver runtime torch libraries python threads
    devices_together simulated
    kernel implementation model dtype params m n k batch layout hidden intermediate experts top_k
    shared_experts tokens expert_parallel expert_device device_load operation size_mib pass phase
    stage routing routing_sha256
    imbalance imbalance_cv experts_unused assignments_dropped
    flops bytes weight_bytes arithmetic_intensity inputs
    status error verified rel_error tolerance compared
    time_median_s time_mean_s time_stdev_s ci_low_s ci_high_s rounds round_medians_s reference_s
    samples loops processes warmups cache flush_bytes timing host_bound launch_overhead_s
    compile_s stop_reason drift
    achieved_tflops achieved_gbps weights_gbps tokens_per_s
    peak_tflops peak_gbps peak_source ceiling_tflops ceiling_gbps ceiling_source utilization
    utilization_of_ceiling roofline_bound roofline_fraction
    power_w energy_j clock_mhz memory_clock_mhz temperature_c busy memory_busy throttle
    memory_peak_bytes ecc_errors other_processes device_state
    warnings
    source source_date evidence
"""


def test_the_order_is_fixed():
    assert list(NAMES) == ORDER.split()


def test_every_column_is_described_and_consistent():
    for column in COLUMNS:
        assert column.meaning, column.name
        assert column.group, column.name
        assert column.minimum is None or column.above is None, column.name
        assert not column.measured or column.filled in ("if ok", "where known"), column.name
        numeric = column.type in ("integer", "number")
        assert numeric or (column.minimum, column.above) == (None, None), column.name
        for suffix, unit in (("_s", "s"), ("_tflops", "TFLOP/s"), ("_gbps", "GB/s"), ("_w", "W")):
            if column.name.endswith(suffix) and column.name != "tokens_per_s":
                assert column.unit == unit, column.name


def test_each_sensor_has_a_field_and_a_column():
    fields = {field.name for field in dataclasses.fields(Telemetry)} - {"remark"}
    columns = {column.name: column for column in COLUMNS if column.group == "telemetry"}
    assert fields == columns.keys()
    for column in columns.values():
        assert (column.type == "text") == (column.combine == "texts"), column.name
        assert column.type != "integer" or column.combine != "mean", column.name


@pytest.mark.parametrize(
    ("name", "values", "combined"),
    [
        ("power_w", [100.0, None, 300.0], 200.0),
        ("temperature_c", [50.0, 70.0, 60.0], 70.0),
        ("ecc_errors", [0, None, 2, 1], 3),
        ("throttle", ["power; heat", "", None, "heat; clock"], "power; heat; clock"),
        ("busy", [None, None], None),
    ],
)
def test_readings_of_several_visits_become_one(name, values, combined):
    assert BY_NAME[name].combined(values) == combined


def test_reading_and_writing_need_no_heavy_library():
    code = (
        "import sys, bench.results.writer, bench.results.reader; "
        "print(sorted({'pandas', 'torch', 'numpy', 'pydantic', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_json_schema_names_every_column_in_order():
    found = results_schema()
    assert list(found["properties"]) == ORDER.split()
    assert found["additionalProperties"] is False
    assert found["properties"]["schema_version"]["const"] == 1
    assert found["properties"]["flops"]["type"] == ["integer", "null"], (
        "unknown where a case was never described"
    )
    assert found["properties"]["m"]["type"] == ["integer", "null"]
    assert found["properties"]["status"]["enum"] == list(STATUSES)
    published, own = found["then"], found["else"]
    assert "seed" in own["required"]
    assert "seed" not in published["required"]
    for rows in (published, own):
        assert "time_median_s" in rows["then"]["required"]
        assert rows["else"]["properties"]["time_median_s"] == {"type": "null"}


def test_json_schema_accepts_sound_rows_and_no_others(ok, failed):
    validator = jsonschema.Draft202012Validator(results_schema())
    jsonschema.Draft202012Validator.check_schema(results_schema())
    validator.validate(ok())
    validator.validate({**dict.fromkeys(NAMES), **ok()})
    validator.validate(failed("timeout"))
    for wrong in (
        ok(time_median_s=None),
        ok(time_median_s=0),
        ok(verified=False),
        ok(status="fine"),
        ok(more=1),
        failed("timeout", time_median_s=1.0),
        failed("timeout", error=None),
    ):
        assert not validator.is_valid(wrong)
