#!/usr/bin/env bash
# Every video of one folder at 60 frames per second into another folder.
#   examples/batch.sh videos smooth
#   FPS=120 examples/batch.sh videos smooth --device cuda      (whatever follows goes to vfi upsample)
#
# What is already there is left alone, so the same line carries on after an interruption; vfi leaves no half-written
# results. A video that cannot be done does not stop the others. Ends with a summary, and with status 0 only if every
# video is now there: 1 if some failed, 2 for a wrong call, 3 if there is no video, 130 or 143 if stopped by a signal.
set -u
shopt -s nullglob nocaseglob

if [[ $# -lt 2 || ! -d $1 ]]; then
  echo "usage: [FPS=60] $0 FROM_FOLDER TO_FOLDER [options of vfi upsample]" >&2
  exit 2
fi
from=$1 to=$2
shift 2
if [[ $from == -* ]]; then from=./$from; fi
if [[ $from -ef $to ]]; then
  echo "$0: results cannot go to the folder that they come from: name another one" >&2
  exit 2
fi
mkdir -p -- "$to" || exit 2

videos=("$from"/*.{mp4,m4v,mov,mkv,webm,avi,ts,mts,m2ts,mpg,wmv,flv})
if [[ ${#videos[@]} -eq 0 ]]; then
  echo "$0: no video lies in $from" >&2
  exit 3
fi

made=0 skipped=0 failed=()
summary() {
  echo "$made made, $skipped already there, ${#failed[@]} failed, of ${#videos[@]} in $from" >&2
  for line in ${failed[@]+"${failed[@]}"}; do echo "  failed: $line" >&2; done
}

for video in "${videos[@]}"; do
  name=$(basename -- "$video")
  case $name in
    *.[mM][pP]4 | *.[mM]4[vV] | *.[mM][oO][vV] | *.[mM][kK][vV]) result=$to/$name ;;
    *) result=$to/$name.mkv ;; # Matroska holds the sound and subtitles of every other container
  esac
  existed=0
  if [[ -e $result ]]; then existed=1; fi

  vfi upsample "$video" -o "$result" --fps "${FPS:-60}" -n "$@" < /dev/null
  code=$?

  if [[ $code -eq 0 ]]; then
    made=$((made + 1))
  elif [[ $code -eq 4 && $existed -eq 1 ]]; then # 4: the output is in the way, which is how -n says "already done"
    skipped=$((skipped + 1))
  elif [[ $code -eq 130 || $code -eq 143 ]]; then
    summary
    exit "$code"
  else
    failed+=("$video (vfi ended with code $code)")
  fi
done

summary
[[ ${#failed[@]} -eq 0 ]]
