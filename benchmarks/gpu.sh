#!/usr/bin/env bash
# What takes a GPU, unattended, in under 10 minutes on one H100. Not yet run on one: rehearsed on a CPU (TOY=1).
#
#   benchmarks/gpu.sh [WHEELS]          speed of a 124M-parameter Llama beside PyTorch's, stacked models, bfloat16, attention
#   benchmarks/gpu.sh [WHEELS] sweep    the forecast of sweeps/h100.yaml; under 12 minutes, call it again to go on
#
# Everything goes to ${OUT:-benchmarks/gpu}: a page gpu.md and the figures of each part, or h100.tar.gz, the sweep's folder. A
# sweep goes on from the archive that it finds there or in benchmarks/gpu; without the checkpoints of runs begun.
#
# For Python 3.12 with jax for CUDA, flax, optax, orbax-checkpoint, pandas, pyarrow, scipy, matplotlib, click; torch and
# transformers if there. What else is missing is installed from the folder WHEELS, without a network. It can be made by
#
#   pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_17_x86_64 -d WHEELS \
#     pydantic pydantic-core annotated-types typing-inspection typing-extensions ruamel.yaml
#
# PYTHON names the interpreter, by default python3.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

out=${OUT:-benchmarks/gpu}
python=${PYTHON:-python3}
toy=${TOY:+--toy}
mkdir -p "$out"

if [[ -d ${1:-} ]]; then
    site=$(mktemp -d)
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$site" "$1"/*.whl || exit
    export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
    shift
fi
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
export XLA_PYTHON_CLIENT_PREALLOCATE=false # several processes share the GPU

# A part that fails or takes too long leaves the others alone.
part() {
    local seconds=$1 name=$2
    echo "== $name"
    # shellcheck disable=SC2086  # no option, or one
    timeout -k 10 "$seconds" "$python" -u -m benchmarks.training.gpu "$name" $toy --out "$out" 2>&1 | tee -a "$out/log.txt" ||
        echo "$name: failed, exit $?" | tee -a "$out/log.txt"
}

sweep() {
    local archive folder
    folder=$(mktemp -d)
    for archive in "$out/h100.tar.gz" benchmarks/gpu/h100.tar.gz; do
        [[ -f $archive ]] && tar -xzf "$archive" -C "$folder" && break
    done
    # shellcheck disable=SC2086  # several overrides
    timeout -s INT -k 20 "${SWEEP_S:-570}" "$python" -u -m scaling run sweeps/h100.yaml --workers 4 --out "$folder/h100" \
        ${TOY:+'fit=[{sizes: [17k, 35k, 59k], flops: [1e9, 2e9, 4e9], seeds: 4}]' 'target={size: 59k, flops: 2e10}' dtype=float32} \
        2>&1 | tee -a "$out/log.txt"
    local status=${PIPESTATUS[0]}
    [[ -d $folder/h100 ]] && tar -czf "$out/h100.tar.gz" -C "$folder" --exclude=checkpoints h100
    [[ $status == 124 ]] && echo "out of time: call this again to go on"
    return "$status"
}

if [[ ${1:-} == sweep ]]; then
    sweep
    exit
fi
nvidia-smi 2>/dev/null | tee "$out/log.txt"
part 45 attention
part 280 speed
part 110 ensemble
part 120 precision
part 30 page
