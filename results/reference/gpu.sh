#!/usr/bin/env bash
# The trainings that a CPU is too slow for, on one fast GPU: results/reference/gpu.sh mvtec|oneclass|rebuild
# [--smoke]
#
# Finds data, weights and pre-trained parts in .gpu/ (or DATA, WEIGHTS, ASSETS) and writes records to
# RESULTS, .gpu/results unless named; with OUT set they are packed as OUT/records.tar after every
# training. Each training is a process of its own that is stopped after LIMIT seconds; finished cells
# are kept and a training that was stopped goes on from its checkpoint, so the command can be repeated
# until it ends with 0. Trainings stand in the order of their worth. --smoke takes two steps of
# everything on a few small images, to try the commands on a CPU; parts that are pre-trained on natural
# photographs are replaced by untrained ones there.
set -euo pipefail
what="${1:?mvtec, oneclass or rebuild}"
smoke="${2:-}"
[ -z "$smoke" ] || [ "$smoke" = --smoke ] || { echo "$smoke: only --smoke can follow" >&2; exit 2; }
BENCH="${BENCH:-bench}" PYTHON="${PYTHON:-python3}" LIMIT="${LIMIT:-530}"
DATA="$(realpath "${DATA:-.gpu/data}")" WEIGHTS="${WEIGHTS:-.gpu/weights}"
export BENCH_ASSETS="${ASSETS:-.gpu/assets}"
RESULTS="${RESULTS:-.gpu/results${smoke:+-smoke}}"
# the parts that `make reference` builds
VQVAE="${VQVAE:-vqvae.steps=1400 vqvae.crop=64 vqvae.learning_rate=0.001}"
TEACHER="${TEACHER:-us-teacher.layer=layer3 us-teacher.steps=500 us-teacher.batch=16}"
ENCODER="igd-encoder.backbone=squeezenet1_1 igd-encoder.steps=1600 igd-encoder.batch=16"
ENCODER="${IGD_ENCODER:-$ENCODER igd-encoder.learning_rate=0.0005}"
failed=0
if [ -n "$smoke" ]; then
  VQVAE=dsr.vqvae=colours TEACHER=uninformed_students.teacher=random ENCODER=
fi

train() { # data set, categories, seeds, method, then its settings; a failure costs only itself
  local dataset="$1" categories="$2" seeds="$3" method="$4" source="$1" root="$DATA"
  local protocol="paper --holdout 0.1" settings=("${@:5}")
  if [ -n "$smoke" ]; then
    categories="${categories%% *}" seeds=0 root="$RESULTS/few"
    case "$method" in
      stfpm | rd4ad) settings+=("$method.epochs=1" "$method.batch=4") ;;
      dsr) settings+=(dsr.steps=2 dsr.width=8 dsr.batch=2) ;;
      uninformed_students) settings+=("$method.steps=2" "$method.stride=8" "$method.students=2") ;;
      *) settings+=("$method.steps=2" "$method.patches=1" "$method.batch=4" "$method.encoder=random") ;;
    esac
    if [ "$dataset" = mvtec ]; then
      few_files "$categories"
      protocol="$protocol --image-size 64"
    else
      few_digits "$dataset" "$categories"
      source="folder --name $dataset" root="$root/$dataset" protocol="$protocol --image-size 28"
    fi
  fi
  # shellcheck disable=SC2086
  timeout --signal=INT --kill-after=20 "$LIMIT" $BENCH run --dataset $source --data-root "$root" \
    --weights-dir "$WEIGHTS" --no-maps --results "$RESULTS" --precision bfloat16 \
    --protocol $protocol --categories $categories --seeds $seeds --methods "$method" \
    --set "${settings[@]}" || failed=1
  [ -z "${OUT:-}" ] || tar -cf "$OUT/records.tar" -C "$RESULTS" .
}

few_files() { # a category of MVTec AD: links to the first files of each of its folders
  local folder place
  while read -r folder; do
    place="$RESULTS/few/mvtec${folder#"$DATA/mvtec"}"
    mkdir -p "$place"
    find "$folder" -maxdepth 1 -type f | sort | sed -n 1,6p | xargs -r ln -sft "$place"
  done < <(find "$DATA/mvtec/$1" -type d)
}

few_digits() { # data set, class: a folder with six images of the class and six of others
  "$PYTHON" - "$DATA/$1/$1.npz" "$RESULTS/few/$1/$2" "$2" <<'PYTHON'
import sys
from pathlib import Path
import numpy as np
from PIL import Image
file, place, name = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
names = "t-shirt trouser pullover dress coat sandal shirt sneaker bag ankle_boot".split()
label = int(name) if name.isdigit() else names.index(name)
arrays = np.load(file)
for split in ("train", "test"):
    right = arrays[f"{split}_labels"] == label
    for kind, chosen in (("good", right), ("defective", ~right))[: 1 if split == "train" else 2]:
        (place / split / kind).mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(arrays[f"{split}_images"][chosen][:6]):
            Image.fromarray(image).save(place / split / kind / f"{i}.png")
PYTHON
}

trained_mvtec() {
  train mvtec "bottle screw" 0 stfpm stfpm.backbone=resnet18
  train mvtec bottle 0 rd4ad rd4ad.backbone=resnet18
  train mvtec screw 0 rd4ad rd4ad.backbone=resnet18
  igd_mvtec
  # shellcheck disable=SC2086
  for category in bottle screw; do
    train mvtec $category 0 dsr dsr.width=128 $VQVAE
    train mvtec $category 0 uninformed_students uninformed_students.stride=4 $TEACHER
  done
}

igd_mvtec() {
  local backbone=igd.backbone=squeezenet1_1 # the ResNet-18 at hand lacks the layer that is pooled
  for epochs in 4 32 256; do # the last is the paper's
    for category in bottle screw; do
      train mvtec $category "0 1 2" igd $backbone "igd.scales=[global]" igd.epochs=$epochs
    done
  done
  for steps in 400 1600 6400; do # local batches of 64 patches; the paper's schedule has 160,000
    # shellcheck disable=SC2086
    train mvtec "bottle screw" 0 igd $backbone igd.steps=$steps $ENCODER
  done
}

igd_oneclass() {
  local hard="igd.scales=[local]" digits="0 1 2 3 4 5 6 7 8 9"
  for steps in 150 1200 12000; do # the last is the paper's 128 epochs
    # shellcheck disable=SC2086
    train mnist 8 "0 1 2" igd "$hard" igd.steps=$steps $ENCODER
    # shellcheck disable=SC2086
    train fashion_mnist shirt "0 1 2" igd "$hard" igd.steps=$steps $ENCODER
  done
  for dataset in "mnist 8" "fashion_mnist shirt"; do
    # shellcheck disable=SC2086
    train $dataset 0 igd "$hard" igd.steps=1200 igd.formulation=public_code $ENCODER
    # shellcheck disable=SC2086
    train $dataset 0 igd_kd_gsvdd "igd_kd_gsvdd.scales=[local]" igd_kd_gsvdd.steps=1200 $ENCODER
  done
  local garments="t-shirt trouser pullover dress coat sandal shirt sneaker bag ankle_boot"
  # shellcheck disable=SC2086
  train mnist "$digits" 0 igd "$hard" igd.steps=1200 $ENCODER
  # shellcheck disable=SC2086
  train fashion_mnist "$garments" 0 igd "$hard" igd.steps=1200 $ENCODER
}

rebuild_oneclass() { # the papers' whole schedules
  local classes="0 1 2 3 4 5 6 7 8 9"
  for dataset in mnist fashion_mnist; do
    for method in dae vae memae deep_svdd ganomaly; do
      # shellcheck disable=SC2086
      $BENCH run --dataset $dataset --data-root "$DATA" --no-maps --results "$RESULTS" \
        --protocol paper --categories $classes --methods $method \
        ${smoke:+--set $method.steps=2} || failed=1
      [ -z "${OUT:-}" ] || tar -cf "$OUT/records.tar" -C "$RESULTS" .
    done
    classes="t-shirt trouser pullover dress coat sandal shirt sneaker bag ankle_boot"
  done
}

case "$what" in
  mvtec) trained_mvtec ;;
  oneclass) igd_oneclass ;;
  rebuild) rebuild_oneclass ;;
  *) echo "$what: mvtec, oneclass or rebuild" >&2; exit 2 ;;
esac
exit $failed
