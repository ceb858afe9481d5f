#!/usr/bin/env bash
# Collects what a machine without a network lacks to run this project, except torch: wheels of the project, of
# what it needs, and of pytest.
#
#     benchmarks/wheels.sh [FOLDER] [PIP DOWNLOAD OPTION …]      default: results/local/wheels
#
# For another Python or system than this one: --python-version 3.12 --platform manylinux_2_28_x86_64.
# benchmarks/gpu.sh installs from the folder. Packages that the machine has need not be carried: delete them.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
folder=${1:-results/local/wheels}
shift || true
mkdir -p "$folder"
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$folder" .
needed=$("$python" - <<'PYTHON'
import configparser
config = configparser.ConfigParser()
config.read("setup.cfg")
lines = config["options"]["install_requires"].split()
print(*(line for line in lines if not line.startswith("torch")))
PYTHON
)
# shellcheck disable=SC2086 # one word per requirement
"$python" -m pip download --quiet --only-binary :all: --dest "$folder" "$@" $needed pytest hypothesis
du -sh "$folder"
