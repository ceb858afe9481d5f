#!/usr/bin/env bash
# Checks and measures one GPU in under ten minutes; result files and tables.md go to a folder.
#
#     benchmarks/gpu.sh [FOLDER]              default: results/local/gpu
#     benchmarks/gpu.sh --dry-run [FOLDER]    the same steps on this processor, with tiny cases
#
# BACKEND (cuda), PYTHON (python3) and WHEELS (results/local/wheels) may be set. Where the project is not
# installed, it is installed from WHEELS (benchmarks/wheels.sh) into an environment of its own, without a network,
# on top of the torch that PYTHON has. A step that fails does not keep the others from running; the exit code
# says whether one did.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
backend=${BACKEND:-cuda}
small=()
budget=1.5
sizes='1024|4096|8192'
if [ "${1:-}" = --dry-run ]; then
    shift
    backend=cpu small=(--small) budget=0.05 sizes='256'
fi
folder=${1:-results/local/gpu}
mkdir -p "$folder"
failed=0
wheels=${WHEELS:-results/local/wheels}
if [ -d "$wheels" ] && ! (cd / && "$python" -c 'import bench.cli.main, pydantic, pyperf') 2>/dev/null; then
    "$python" -m venv --system-site-packages "$folder/venv" || exit
    "$folder/venv/bin/python" -m pip install --quiet --no-index --find-links "$wheels" \
        accelerator-bench pytest hypothesis || exit
    python=$(realpath --no-symlinks "$folder/venv/bin/python")
fi
step() { echo "# $*" >&2; timeout 400 "$@" || { failed=1; echo "failed: $*" >&2; }; }
run() { step "$python" -m bench run "$@" --backend "$backend" --force --quiet; }

{
    step "$python" benchmarks/gpu_timers.py --backend "$backend" "${small[@]}"
    step "$python" benchmarks/gpu_tables.py "$folder" --backend "$backend" "${small[@]}"
    exit "$failed" # of this side of the pipe
} | tee "$folder/tables.md" || failed=1

# Result files to keep: every dtype, and both ways to compile.
run matmul --time-budget "$budget" -o "$folder/matmul.csv" \
    --filter "layout=nt,batch=1,m=$sizes,n=$sizes,k=$sizes"
if [ "$backend" = cuda ]; then
    run matmul --time-budget 1 --implementation all -o "$folder/implementations.csv" \
        --filter 'dtype=bfloat16,layout=nt,batch=1,m=4096,n=4096,k=4096'
    run memory --time-budget 1 --filter 'size_mib=2048' -o "$folder/memory.csv"
    run moe-deepseek-v3 --time-budget 1 --filter 'tokens=16|64|512|4096' -o "$folder/moe-deepseek-v3.csv"
    run moe-pangu-ultra --time-budget 1 --filter 'tokens=64|4096' -o "$folder/moe-pangu-ultra.csv"
    step "$python" -m pytest -q -m cuda tests/backends/cuda/test_backend.py
fi
exit "$failed"
