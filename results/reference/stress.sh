#!/usr/bin/env bash
# What few, dirty and corrupted images cost: DATA=… WEIGHTS=… results/reference/stress.sh [RESULTS]
#
# Five methods at 128 pixels, short schedules (the settings in the table's legend say which), on the
# categories of MVTec AD that DATA holds (CATEGORIES narrows them). Prints docs/stress.md's tables;
# finished cells are kept, so the command can be stopped and repeated.
set -euo pipefail
: "${DATA:?name the folder that holds mvtec/}" "${WEIGHTS:?name the folder with the weights}"
BENCH="${BENCH:-bench}"
RESULTS="${1:-results/stress}"
corrupt=()
for kind in brightness contrast blur noise jpeg shift rotate shadow; do
  corrupt+=("$kind:1" "$kind:3" "$kind:5")
done
"$BENCH" run --dataset mvtec --data-root "$DATA" --weights-dir "$WEIGHTS" --image-size 128 --no-maps \
  ${CATEGORIES:+--categories $CATEGORIES} --results "$RESULTS" \
  --methods padim spade patchcore rd4ad stfpm --set padim.backbone=resnet18 \
  spade.backbone=mobilenetv2_100 patchcore.backbone=resnet18 rd4ad.backbone=resnet18 rd4ad.epochs=5 \
  stfpm.epochs=8 --shots 1 2 4 8 16 --contaminate .05 .1 --corrupt "${corrupt[@]}" >&2
"$BENCH" table stress --metric image_auroc pixel_auroc --results "$RESULTS"
