#!/usr/bin/env bash
# Measures one NVIDIA GPU in under ten minutes: bandwidth, products, and DeepSeek-V3's layer, each
# into a result file of its own in the folder given (default results/local/gpu).
#
#     benchmarks/gpu.sh [FOLDER]
set -euo pipefail
folder=${1:-results/local/gpu}
mkdir -p "$folder"
run() { python3 -m bench run --backend cuda --force "$@"; }

run memory --time-budget 2 -o "$folder/memory.csv"
run matmul --time-budget 1.5 --filter 'layout=nt,k=1024|2048|4096|8192|16384,batch=1,n=1024|2048|4096|8192|16384,m=1024|2048|4096|8192|16384' -o "$folder/matmul.csv"
run moe-deepseek-v3 --time-budget 2 --implementation all -o "$folder/moe-deepseek-v3.csv" || true
