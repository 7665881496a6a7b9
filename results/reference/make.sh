#!/usr/bin/env bash
# Our own runs on real images, kept as records without raw scores: make reference DATA=… WEIGHTS=…
#
# Runs every method on the categories of MVTec AD that DATA holds (CATEGORIES narrows them). Papers'
# own backbones run where WEIGHTS has them, smaller ones in any case; trained methods get their full
# schedule on a GPU and a shorter one on a CPU. Each record says which backbone, schedule and device.
# Finished cells are kept, so the command can be stopped and repeated.
set -euo pipefail
: "${DATA:?name the folder that holds mvtec/: make reference DATA=... WEIGHTS=...}"
: "${WEIGHTS:?name the folder with the backbones weights: make reference DATA=... WEIGHTS=...}"
BENCH="${BENCH:-bench}"
HERE="$(cd "$(dirname "$0")" && pwd)"

run() { # protocol, then what differs from run to run
  local protocol="$1"
  shift
  "$BENCH" run --dataset mvtec --data-root "$DATA" --weights-dir "$WEIGHTS" --protocol "$protocol" \
    ${CATEGORIES:+--categories $CATEGORIES} --no-maps --results "$HERE" "$@"
}
has() { compgen -G "$WEIGHTS/$1.*" >/dev/null; }

seeds="0 1 2 3 4" # PaDiM's channel draw alone moves some categories by several points
run paper --methods padim --set padim.backbone=resnet18 --seeds $seeds
run standard --methods padim --set padim.backbone=resnet18 --seeds $seeds
small="padim.backbone=mobilenetv2_100 spade.backbone=mobilenetv2_100"
run paper --methods padim spade --set $small
run standard --methods padim spade --set $small
if has wide_resnet50_2; then
  run paper --methods padim spade
  run standard --methods padim spade
fi

# trained methods: the papers' schedules on a GPU, short ones (said in the settings) on a CPU
if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1; then
  run paper --methods stfpm
  run paper --methods rd4ad --set rd4ad.backbone=resnet18
else
  run paper --methods stfpm --set stfpm.epochs=8
  run paper --methods rd4ad --set rd4ad.backbone=resnet18 rd4ad.epochs=5
fi
