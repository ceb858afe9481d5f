"""Traces: what is read from CSV and npz files, and what is refused."""

import os
import re
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.config.cases import Case
from bench.kernels.moe import traces
from bench.kernels.moe.layer import MoeLayer

CHOSEN = np.array([[0, 1], [3, 2], [0, 3]])


def layer(path, **more):
    shape = {"dtype": "float32", "hidden": 8, "intermediate": 8, "experts": 4, "top_k": 2}
    return MoeLayer(**{**shape, "tokens": 3, "routing": "trace", "trace": str(path), **more})


@pytest.fixture
def csv_trace(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("first,second\n0,1\n3,2\n\n0,3\n")
    return path


def test_a_csv_and_an_npz_say_the_same(csv_trace, tmp_path):
    npz = tmp_path / "t.npz"
    np.savez(npz, chosen=CHOSEN)
    for path in (csv_trace, npz):
        case = layer(path)
        assert case.chosen(0).tolist() == np.sort(CHOSEN, axis=1).tolist()
        assert case.chosen(0).tolist() == case.chosen(1).tolist(), "a trace has no seed"
        load = case.work(0).load
        assert (load.imbalance, load.experts_unused) == (4 / 3, 0)


def test_a_heading_and_a_byte_order_mark_are_no_tokens(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbf0,1\r\n3,2\r\n0,3\r\n")
    assert layer(path).chosen(0).shape == (3, 2)


@pytest.mark.parametrize(
    "heading", ["expert_0,expert_1", '"Expert 1","Expert 2"', "e0, e1", "top1,top2"]
)
def test_headings_that_name_the_experts_of_a_token(tmp_path, heading):
    path = tmp_path / "t.csv"
    path.write_text(f"{heading}\n0,1\n3,2\n0,3\n")
    assert layer(path).chosen(0).tolist() == np.sort(CHOSEN, axis=1).tolist()


def test_the_first_tokens_are_taken(csv_trace):
    assert layer(csv_trace, tokens=1).chosen(0).tolist() == [[0, 1]]


def test_a_case_is_known_by_its_content_and_not_by_its_path(csv_trace, tmp_path):
    copy = tmp_path / "elsewhere" / "other.csv"
    copy.parent.mkdir()
    copy.write_bytes(csv_trace.read_bytes())
    other = tmp_path / "u.csv"
    other.write_text("0,1\n3,2\n1,3\n")
    ids = [Case(layer(path)).case_id for path in (csv_trace, copy, other)]
    assert ids[0] == ids[1] != ids[2]
    again = MoeLayer(**layer(csv_trace).parameters())
    assert again == layer(csv_trace)


@pytest.mark.parametrize(
    ("content", "change", "message"),
    [
        ("0,1\n2,4\n0,3\n", {}, "names expert 4; there are 0 to 3"),
        ("0,1\n-2,1\n0,3\n", {}, "names expert -2"),
        ("0,1\n2,2\n0,3\n", {}, "sends token 1 to the same expert twice"),
        ("0,1\n2,3\n", {}, "tokens: 3 is more than the 2 tokens in"),
        ("0,1,2\n1,2,3\n0,1,3\n", {}, "top_k: "),
        ("0,1\n2\n0,3\n", {}, "line 2: 1 experts; earlier lines have 2"),
        ("0,1\n2,x\n0,3\n", {}, "line 2: expected integers separated by commas, got '2,x'"),
        ("0,1\n2,1.5\n0,3\n", {}, "line 2: expected integers"),
        ("", {}, "expected integers"),
        ("a,b\n", {}, "expected integers"),
        (
            "0,1\n2,3\n0,3\n",
            {"groups": 2, "topk_groups": 1},
            "a token with experts in 2 groups; topk_groups is 1",
        ),
        ("0,1\n2,3\n0,99999999999\n", {}, "need more than 32 bits"),
        (f"0,1\n2,3\n0,{'9' * 26}\n", {}, "line 3: expected integers"),
        ("0,1\n1_0,3\n0,3\n", {}, "line 2: expected integers"),
        ("0,1\n+2,3\n0,3\n", {}, "line 2: expected integers"),
        ("0,1\n٢,3\n0,3\n", {}, "line 2: expected integers"),
        ("layer,expert\n0,1\n2,3\n0,3\n", {}, "the heading 'layer,expert' names columns"),
        ("expert,count\n0,1\n2,3\n0,3\n", {}, "the heading 'expert,count' names columns"),
        ("layer_0,layer_1\n0,1\n2,3\n0,3\n", {}, "the heading 'layer_0,layer_1' names"),
        ("token,expert_0\n0,1\n2,3\n0,3\n", {}, "the heading 'token,expert_0' names"),
    ],
)
def test_traces_that_do_not_fit_are_refused(tmp_path, content, change, message):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(ValidationError, match=re.escape(message)):
        layer(path, **change)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"\xff\xfe0", "is not UTF-8 text"),
        ("t.npz", b"0,1\n", "is not an npz file"),
        ("missing.csv", None, "No such file"),
    ],
)
def test_files_that_are_no_traces(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValidationError, match=message):
        layer(path)


def test_an_npz_without_the_array_says_what_it_has(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, other=CHOSEN, more=CHOSEN)
    with pytest.raises(ValidationError, match="no array `chosen`; its arrays: other, more"):
        layer(path)
    np.savez(path, chosen=CHOSEN.astype(float))
    with pytest.raises(ValidationError, match="expected integers"):
        layer(path)


def npz_with_header(path, header, data=b""):
    """An npz whose array `chosen` says of itself what `header` says."""
    text = f"{header}\n".encode()
    array = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("chosen.npy", array)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ("(1000000000000, 2)", "<i8", "has 1000000000000 tokens; at most 67108864 are read"),
        ("(1000000, 8)", "<i8", "8 experts per token, not 2"),
        (f"({'9' * 400}, 2)", "<i8", "tokens; at most 67108864 are read"),
        ("(-3, 2)", "<i8", "expected integers"),
        ("(3,)", "<i8", "expected integers"),
        ("(3, 2)", "|O", "expected integers"),
        ("(3, 2)", "<i8", "cannot be read"),  # and no data
        ("(3, 2", "<i8", "cannot be read"),
    ],
)
def test_an_npz_is_refused_by_its_header(tmp_path, shape, dtype, message):
    path = tmp_path / "t.npz"
    npz_with_header(path, f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}")
    with pytest.raises(ValidationError, match=message):
        layer(path)


def test_a_fifo_is_no_trace(tmp_path):
    path = tmp_path / "t.csv"
    os.mkfifo(path)
    with pytest.raises(ValidationError, match="is not a regular file"):
        layer(path)


@given(data=st.data())
def test_a_damaged_npz_is_refused_in_a_sentence(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("npz") / "t.npz"
    np.savez_compressed(path, chosen=CHOSEN)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        layer(path)
    except ValidationError as error:
        assert "trace: " in str(error) or "top_k: " in str(error) or "tokens: " in str(error)


def test_devices_read_their_tokens_from_one_trace(tmp_path):
    """Experts 0 and 1 are on the first device, 2 and 3 on the second, which is the hottest."""
    path = tmp_path / "t.csv"
    path.write_text("2,3\n0,2\n2,3\n1,3\n")
    case = layer(path, tokens=2, expert_parallel=2, device="hottest")
    assert case.chosen(0).tolist() == [[2, 3], [1, 3]]
    assigned = case.assignments(0)
    assert assigned.expert.tolist() == [0, 1, 0, 0, 1, 1]
    assert assigned.token.tolist() == [0, 0, 0, 1, 1, 1]
    assert case.work(0).load.device_load == 1.5
    with pytest.raises(ValidationError, match="tokens: 3 on each of 2 devices is more than the 4"):
        layer(path, tokens=3, expert_parallel=2)


def test_a_trace_that_changes_between_config_and_case_is_noticed(csv_trace):
    parameters = layer(csv_trace).parameters()
    csv_trace.write_text("0,1\n3,1\n0,3\n")
    traces._load.cache_clear()  # as in a process that has not read it yet
    with pytest.raises(ValidationError, match="has changed since the case was created"):
        MoeLayer(**parameters)


def test_a_trace_needs_its_routing_and_the_routing_a_trace(csv_trace):
    with pytest.raises(ValidationError, match="give both or neither"):
        layer(csv_trace, routing="uniform")
    with pytest.raises(ValidationError, match="give both or neither"):
        layer(csv_trace, trace=None)
