#!/usr/bin/env bash
# The trainings that a CPU is too slow for, on one fast GPU: results/reference/gpu.sh mvtec|oneclass|rebuild
# [--smoke]
#
# Finds data, weights and pre-trained parts in .gpu/ (or DATA, WEIGHTS, ASSETS) and writes records to
# RESULTS, .gpu/results unless named; with OUT set they are packed as OUT/records.tar after every
# training. Finished cells are kept, so the command can be stopped and repeated. --smoke takes two
# steps of everything, on small images of one category, to try the commands on a CPU.
set -euo pipefail
what="${1:?mvtec, oneclass or rebuild}"
smoke="${2:-}"
[ -z "$smoke" ] || [ "$smoke" = --smoke ] || { echo "$smoke: only --smoke can follow" >&2; exit 2; }
BENCH="${BENCH:-bench}"
DATA="${DATA:-.gpu/data}" WEIGHTS="${WEIGHTS:-.gpu/weights}"
export BENCH_ASSETS="${ASSETS:-.gpu/assets}"
RESULTS="${RESULTS:-.gpu/results${smoke:+-smoke}}"
# the local encoder that `make reference` builds
ENCODER="igd-encoder.backbone=squeezenet1_1 igd-encoder.steps=1600 igd-encoder.batch=16"
ENCODER="${IGD_ENCODER:-$ENCODER igd-encoder.learning_rate=0.0005}"
failed=0

train() { # data set, categories, seeds, method, then its settings; a failure costs only itself
  local dataset="$1" categories="$2" seeds="$3" method="$4" protocol="paper --holdout 0.1"
  shift 4
  local settings=("$@")
  if [ -n "$smoke" ]; then
    categories="${categories%% *}" seeds=0
    [ "$dataset" != mvtec ] || protocol="$protocol --image-size 64"
    settings+=("$method.steps=2" "$method.patches=1")
  fi
  # shellcheck disable=SC2086
  $BENCH run --dataset "$dataset" --data-root "$DATA" --weights-dir "$WEIGHTS" --no-maps \
    --results "$RESULTS" --precision bfloat16 --protocol $protocol --categories $categories \
    --seeds $seeds --methods "$method" --set "${settings[@]}" || failed=1
  [ -z "${OUT:-}" ] || tar -cf "$OUT/records.tar" -C "$RESULTS" .
}

igd_mvtec() {
  local backbone=igd.backbone=squeezenet1_1 # the ResNet-18 at hand lacks the layer that is pooled
  for epochs in 4 32 256; do # the last is the paper's
    train mvtec "bottle screw" "0 1 2" igd $backbone "igd.scales=[global]" igd.epochs=$epochs
  done
  for steps in 400 1600 6400; do # local batches of 64 patches; the paper's schedule has 160,000
    # shellcheck disable=SC2086
    train mvtec "bottle screw" 0 igd $backbone igd.steps=$steps $ENCODER
  done
}

igd_oneclass() {
  local hard="igd.scales=[local]" all="0 1 2 3 4 5 6 7 8 9"
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
  train mnist "$all" 0 igd "$hard" igd.steps=1200 $ENCODER
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
  mvtec) igd_mvtec ;;
  oneclass) igd_oneclass ;;
  rebuild) rebuild_oneclass ;;
  *) echo "$what: mvtec, oneclass or rebuild" >&2; exit 2 ;;
esac
exit $failed
