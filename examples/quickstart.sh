#!/usr/bin/env bash
# What vfi does, on the clip that lies beside this script. Results go to a folder of your choice:
#   examples/quickstart.sh out
set -euo pipefail

clip=$(dirname -- "${BASH_SOURCE[0]}")/clip.mp4
out=${1:?"usage: $0 FOLDER"}
mkdir -p -- "$out"

# What is in the file, and what would be done with it. Nothing is written.
vfi probe "$clip"
vfi upsample "$clip" --fps 60 --dry-run

# 30 frames per second become 60. Sound, speed and duration stay as they are.
vfi upsample "$clip" --fps 60 -o "$out/smooth.mp4" -y

# The second in which the ball passes before the cart, four times as slow, sound stretched with its pitch kept.
vfi slowmo "$clip" --factor 4 --start 2 --end 3 -o "$out/slow.mp4" -y

# Without any loss: every even frame of the result is the source's, bit for bit.
vfi upsample "$clip" --factor 2 -c ffv1 -o "$out/lossless.mkv" -y

# Two pictures in, the picture half-way between them out. (Python with OpenCV is there: vfi needs it.)
"${PYTHON:-python3}" - "$clip" "$out" <<'PY'
import sys
import cv2
clip, out = sys.argv[1:]
video = cv2.VideoCapture(clip)
for name in ("a", "b"):
    video.set(cv2.CAP_PROP_POS_FRAMES, 66 if name == "a" else 68)
    cv2.imwrite(f"{out}/{name}.png", video.read()[1])
PY
vfi frames "$out/a.png" "$out/b.png" --time 0.5 -o "$out/between.png" -y

echo "Look at $out: smooth.mp4, slow.mp4, lossless.mkv, between.png"
