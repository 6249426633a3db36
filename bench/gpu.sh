#!/usr/bin/env bash
# Everything that is to be checked on a real GPU, in under 10 minutes: the tests marked gpu, NVDEC and NVENC among them;
# speed and memory of sizes, arithmetics and batches; what half precision costs in quality. For the machine's Python
# with the packages of pip install -c constraints.txt '.[test]' and a torch that knows the GPU.
#
#   bench/gpu.sh [CLIPS [RESULTS]]      PYTHON=python3.12 bench/gpu.sh ~/clips
#
# CLIPS is a folder of a few real videos, of which the first is timed (examples/); RESULTS is the folder for JSON and
# logs (gpu-results). Ends with 0 if all is well, 8 where there is no GPU, else 1. The most important comes first; what
# there is no time left for is named.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
clips=${1:-$root/examples}
results=${2:-gpu-results}
python=${PYTHON:-python3}
deadline=$((SECONDS + 580))
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0

say() { echo "gpu.sh: $*" >&2; }

if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    say "the torch of $python sees no CUDA device: run this on a machine with a GPU, and name its Python with PYTHON=..."
    exit 8
fi
clip=$(find "$clips" -maxdepth 1 -type f -regex '.*\.\(mp4\|mov\|mkv\|webm\)' 2>/dev/null | sort | head -n 1)
if [ -z "$clip" ]; then
    say "$clips holds no video: name a folder with some"
    exit 3
fi
mkdir -p "$results" || exit 4

failed=() skipped=()

# step SECONDS NAME COMMAND...: run it, for so long at most. Its stdout goes to RESULTS/NAME, its stderr to RESULTS/NAME.log.
step() {
    local most=$1 name=$2 left=$((deadline - SECONDS))
    shift 2
    if [ "$left" -lt 10 ]; then
        skipped+=("$name")
        return
    fi
    echo "== $name"
    timeout --signal=INT --kill-after=5 "$((most < left ? most : left))" "$@" >"$results/$name" 2>"$results/$name.log"
    local code=$?
    if [ "$code" -eq 8 ] && [ "$name" = speed-nvdec.json ]; then
        echo "without NVDEC (containers need the capability \"video\"): left out"
    elif [ "$code" -ne 0 ]; then
        failed+=("$name ($code)")
    fi
    tail -n 40 "$results/$name.log" | grep -v ' took '
}

# speed NAME OPTION...: `vfi bench` on the GPU
speed() {
    local name=$1
    shift
    step 200 "speed-$name.json" "$python" -m interp_cli bench "$clip" --device cuda --json --seconds 1 "$@"
}

# quality PRECISION: frames taken out and made again
quality() {
    step 90 "quality-$1.txt" "$python" "$root/bench/quality.py" --clips "$clips" --device cuda --precision "$1" \
        --frames 4 --minutes 1 --cache "$results/rivals" --json "$results/quality-$1.json"
    tail -n 8 "$results/quality-$1.txt"
}

step 150 tests.txt "$python" -m pytest -c "$root/pyproject.toml" --rootdir "$root" -n 0 -m gpu "$root/tests/test_gpu.py" "$root/tests/test_train_command.py"
tail -n 3 "$results/tests.txt"
speed sizes --size 480p,720p,1080p,2160p --runs 2 --no-minterpolate
for precision in fp32 fp16 bf16; do
    quality "$precision"
done
step 30 half-precision.txt "$python" - "$results" <<'END'
import json, sys
from pathlib import Path

scores = {}
for name in ("fp32", "fp16", "bf16"):
    found = json.loads((Path(sys.argv[1]) / f"quality-{name}.json").read_text(encoding="utf-8"))
    scores[name] = found["summary"]["mean"]["vfi"]["luma_psnr"]
lost = {name: scores["fp32"] - scores[name] for name in ("fp16", "bf16")}
for name, loss in lost.items():
    print(f"{name} loses {loss:+.3f} dB of {scores['fp32']:.2f} dB against fp32 (at most 0.05 may be lost)")
sys.exit(max(lost.values()) > 0.05)
END
cat "$results/half-precision.txt"
speed nvdec --size 1080p --hwaccel cuda --runs 1 --no-minterpolate
speed minterpolate --size 480p --runs 1
for precision in fp32 bf16; do
    speed "1080p-$precision" --size 1080p --precision "$precision" --runs 1 --no-minterpolate
done
for batch in 1 4 16; do
    speed "1080p-batch-$batch" --size 1080p --batch "$batch" --runs 1 --no-minterpolate
done
step 60 rife46.txt "$python" "$root/bench/rife46.py" --clip "$clip" --size 1080 --device cuda --seconds 1 \
    --json "$results/rife46.json"
tail -n 3 "$results/rife46.txt"

[ "${#skipped[@]}" -eq 0 ] || say "no time was left for: ${skipped[*]}"
if [ "${#failed[@]}" -gt 0 ]; then
    say "failed, with the exit code: ${failed[*]}; see the .log files in $results"
    exit 1
fi
say "all is well after $SECONDS s; JSON and logs are in $results"
