"""Ranks by the variables that launchers really set."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.measure.launcher import LAUNCHERS, Rank, device_of, find_rank, path_of

# `srun -N1 -n4 env`, as shown in TheHPXProject/hpx issue 692.
SRUN = {
    "SLURM_GTIDS": "0,1,2,3",
    "SLURM_JOBID": "901593",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "0",
    "SLURM_NPROCS": "4",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "1",
    "SLURM_STEPID": "0",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "4",
}
TORCHRUN = {"RANK": "9", "LOCAL_RANK": "1", "WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "8"}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "5",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "8",
}
# Eight ranks on a node of IBM's, as jsrun (LSF) starts them: Open MPI's variables too.
JSRUN = {
    "JSM_NAMESPACE_RANK": "9",
    "JSM_NAMESPACE_LOCAL_RANK": "3",
    "JSM_NAMESPACE_SIZE": "12",
    "OMPI_COMM_WORLD_RANK": "9",
    "OMPI_COMM_WORLD_LOCAL_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "12",
}
FLUX = {
    "FLUX_TASK_RANK": "5",
    "FLUX_TASK_LOCAL_ID": "1",
    "FLUX_JOB_SIZE": "8",
    "FLUX_JOB_NNODES": "2",
    "PMI_RANK": "5",
    "PMI_SIZE": "8",
}
PALS = {"PALS_RANKID": "5", "PALS_LOCAL_RANKID": "1", "PMI_RANK": "5", "PMI_SIZE": "8"}
# Intel MPI whose Hydra has started its proxies by srun: one Slurm task per node.
INTEL_IN_SLURM = {
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "2",
    "PMI_RANK": "6",
    "PMI_SIZE": "8",
    "MPI_LOCALRANKID": "2",
    "MPI_LOCALNRANKS": "4",
    "I_MPI_HYDRA_BOOTSTRAP": "slurm",
}
HYDRA = {"PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        (SRUN, Rank("Slurm", 1, 1, 4)),
        (TORCHRUN, Rank("torchrun", 9, 1, 16)),
        (OPEN_MPI, Rank("Open MPI", 5, 1, 8)),
        (HYDRA, Rank("MPICH", 3, 1, 4)),
        (
            {
                "MV2_COMM_WORLD_RANK": "2",
                "MV2_COMM_WORLD_LOCAL_RANK": "0",
                "MV2_COMM_WORLD_SIZE": "4",
            },
            Rank("MVAPICH", 2, 0, 4),
        ),
        ({"JOB_COMPLETION_INDEX": "3"}, Rank("Kubernetes", 3, 0, None, own_devices=True)),
        (JSRUN, Rank("jsrun", 9, 3, 12)),
        (FLUX, Rank("Flux", 5, 1, 8)),
        (PALS, Rank("PALS", 5, 1, 8)),
        (INTEL_IN_SLURM, Rank("MPICH", 6, 2, 8)),
        ({**SRUN, **TORCHRUN}, Rank("torchrun", 9, 1, 16)),
        # srun --mpi=pmi2 sets PMI's variables too, but no local rank of theirs
        ({**SRUN, "PMI_RANK": "1", "PMI_SIZE": "4"}, Rank("Slurm", 1, 1, 4)),
        ({**SRUN, "SLURM_GPUS_PER_TASK": "1"}, Rank("Slurm", 1, 1, 4, own_devices=True)),
        # a step that is smaller than its job
        ({**SRUN, "SLURM_NTASKS": "64"}, Rank("Slurm", 1, 1, 4)),
    ],
)
def test_find_rank(environment, expected):
    assert find_rank(environment) == expected


@pytest.mark.parametrize(
    ("variables", "own"),
    [
        ({"SLURM_TRES_PER_TASK": "cpu=4"}, False),
        ({"SLURM_TRES_PER_TASK": "cpu:4", "SLURM_CPUS_PER_TASK": "4"}, False),
        ({"SLURM_TRES_PER_TASK": "cpu=4,mem=8G,license/gpu=1"}, False),
        ({"SLURM_TRES_PER_TASK": "gres/shard=1"}, False),
        ({"SLURM_TRES_PER_TASK": "gres/gpumem=4"}, False),
        ({"SLURM_TRES_PER_TASK": "gres/gpu=0"}, False),
        ({"SLURM_TRES_PER_TASK": ""}, False),
        ({"SLURM_TRES_PER_TASK": "gres/gpu:1"}, True),
        ({"SLURM_TRES_PER_TASK": "cpu=8,gres/gpu=1"}, True),
        ({"SLURM_TRES_PER_TASK": "gres:gpu:a100:2"}, True),
        ({"SLURM_TRES_PER_TASK": "gres/gpu:a100=10"}, True),
        ({"SLURM_TRES_PER_TASK": "gres/npu:1"}, True),
        ({"SLURM_GPUS_PER_TASK": "0"}, False),
        ({"SLURM_GPUS_PER_TASK": "a100:0"}, False),
        ({"SLURM_GPUS_PER_TASK": "a100:1"}, True),
        ({"SLURM_GPUS_PER_TASK": "1", "SLURM_GPU_BIND": "none"}, False),
        ({"SLURM_GPU_BIND": "closest"}, False),
        ({"SLURM_GPU_BIND": "verbose,single:1"}, True),
        ({"SLURM_GPU_BIND": "single:2"}, False),
        ({"SLURM_GPU_BIND": "map_gpu:0,1,2,3"}, True),
        ({"SLURM_NTASKS_PER_GPU": "1"}, True),
        ({"SLURM_NTASKS_PER_GPU": "2"}, False),
        ({"SLURM_GPUS_ON_NODE": "4", "SLURM_JOB_GPUS": "0,1,2,3"}, False),
    ],
)
def test_only_devices_per_task_are_devices_of_its_own(variables, own):
    rank = find_rank({**SRUN, **variables})
    assert device_of(rank, [0, 1, 2, 3]) == ("0" if own else "1")


def test_a_batch_script_is_no_rank():
    """It has SLURM_PROCID=0 and the job's SLURM_NTASKS, though it runs once."""
    batch = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "7"}
    assert find_rank(batch) is None


@pytest.mark.parametrize("name", ["SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS"])
@pytest.mark.parametrize("value", ["", "-1", "x", "1.5", "1" * 5000])
def test_a_variable_that_is_no_number(name, value):
    with pytest.raises(UsageError, match=f"{name}=.*expected a whole number"):
        find_rank({**SRUN, name: value})


def test_variables_that_contradict_each_other():
    with pytest.raises(UsageError, match=r"SLURM_PROCID=1 .* SLURM_STEP_NUM_TASKS=1"):
        find_rank({**SRUN, "SLURM_STEP_NUM_TASKS": "1"})


def test_each_rank_has_a_device():
    assert device_of(Rank("Slurm", 9, 1, 16), [0, 1, 2, 3]) == "1"
    assert device_of(Rank("Slurm", 9, 1, 16), [4, 6]) == "6"
    assert device_of(Rank("Slurm", 9, 5, 16, own_devices=True), [0]) == "0"
    with pytest.raises(UsageError, match=r"number 4 on this node, counted from 0, .* 4 devices"):
        device_of(Rank("Slurm", 4, 4, 8), [0, 1, 2, 3])


def test_a_file_a_rank():
    path = path_of(Rank("Slurm", 12, 4, 16), Path("out/moe.v1.csv"), "node-1.cluster")
    assert path == Path("out/moe.v1-node-1.cluster-12.csv")
    assert path_of(Rank("Slurm", 0, 0, 2), Path("a.csv"), "../x").parent == Path()


names = sorted(
    {
        name
        for launcher in LAUNCHERS
        for name in (launcher.number, launcher.local, *launcher.sizes, *launcher.required)
        if name
    }
)


binding = ["SLURM_GPU_BIND", "SLURM_NTASKS_PER_GPU", "SLURM_GPUS_PER_TASK", "SLURM_TRES_PER_TASK"]


@given(
    st.dictionaries(
        st.sampled_from([*names, *binding]), st.text(max_size=4) | st.sampled_from("0123")
    )
)
def test_any_environment_is_a_rank_or_a_sentence(environment):
    try:
        rank = find_rank(environment)
    except UsageError as error:
        assert "in the environment" in str(error)
    else:
        assert rank is None or (rank.number >= 0 and rank.local >= 0)
