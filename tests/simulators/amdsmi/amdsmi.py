"""Stands in for ROCm's Python library amdsmi: its functions, keys, enums and exceptions, values played.

A test sets `played[function]` to a list of answers, of which the last stays; an answer that is an
exception is raised. What takes a kind is named with it, `clock_info.SYS`. What is not played is not
supported, as on a card that lacks it. Names and shapes are those of amdsmi 7.0.2
(py-interface/amdsmi_interface.py).
"""

from enum import IntEnum

BDF = "0000:0c:00.0"
NOT_FOUND, NOT_SUPPORTED, NOT_INIT = 31, 2, 32

played: dict[str, list] = {}
initialised = 0


class AmdSmiException(Exception):
    """The base of all."""


class AmdSmiLibraryException(AmdSmiException):
    """What the library beneath answered."""

    def __init__(self, err_code):
        super().__init__(err_code)
        self.err_code = err_code

    def __str__(self):
        return f"Error code:\n\t{self.err_code} | played"


class AmdSmiClkType(IntEnum):
    """Kinds of clocks; that of the shaders is the system's."""

    SYS, GFX, DF, DCEF, SOC, MEM = 0, 0, 1, 2, 3, 4


class AmdSmiTemperatureType(IntEnum):
    """Places of thermometers."""

    EDGE, HOTSPOT, VRAM = 0, 1, 2


class AmdSmiTemperatureMetric(IntEnum):
    """What is asked of a thermometer."""

    CURRENT = 0


def amdsmi_init(flag=2):
    """Count initialisations, as the library does."""
    global initialised
    if "init" in played:
        _answer("init")
    initialised += 1


def amdsmi_shut_down():
    """Undo one initialisation."""
    global initialised
    initialised -= 1


def amdsmi_get_processor_handle_from_bdf(bdf):
    """Return the handle of the only GPU there is."""
    if bdf != BDF:
        raise AmdSmiLibraryException(NOT_FOUND)
    return "handle"


def _answer(function):
    if not initialised and function != "init":
        raise AmdSmiLibraryException(NOT_INIT)
    answers = played.get(function)
    if not answers:
        raise AmdSmiLibraryException(NOT_SUPPORTED)
    answer = answers.pop(0) if len(answers) > 1 else answers[0]
    if isinstance(answer, Exception):
        raise answer
    return answer


def _function(name):
    def call(handle, *arguments):
        kinds = "".join(f".{argument.name}" for argument in arguments[:1])
        return _answer(name + kinds)

    return call


for _name in (
    "clock_info",
    "energy_count",
    "gpu_activity",
    "gpu_compute_partition",
    "gpu_driver_info",
    "gpu_memory_partition",
    "gpu_process_list",
    "gpu_total_ecc_count",
    "power_info",
    "temp_metric",
    "violation_status",
):
    globals()[f"amdsmi_get_{_name}"] = _function(_name)
