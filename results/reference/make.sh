#!/usr/bin/env bash
# Our own runs on real images, kept as records without raw scores: make reference DATA=… WEIGHTS=…
# (and IMAGES=… for the methods with a part that is pre-trained on natural photographs)
#
# Runs every method on the categories of MVTec AD that DATA holds (CATEGORIES narrows them), and those
# for single classes on MNIST and Fashion-MNIST where they are (CLASSES narrows those). Papers' own
# backbones run where WEIGHTS has them, smaller ones in any case; trained methods get their full
# schedule on a GPU and a shorter one on a CPU. Each record says which backbone, schedule and device.
# Finished cells are kept, so the command can be stopped and repeated. PARTS names some of: frozen
# trained learned rebuild oneclass pretrained igd.
set -euo pipefail
: "${DATA:?name the folder that holds mvtec/ (and mnist/): make reference DATA=... WEIGHTS=...}"
: "${WEIGHTS:?name the folder with the backbones weights: make reference DATA=... WEIGHTS=...}"
BENCH="${BENCH:-bench}"
HERE="$(cd "$(dirname "$0")" && pwd)"

run() { # protocol, then what differs from run to run
  local common=(--weights-dir "$WEIGHTS" --protocol "$1" --no-maps --results "$HERE" "${@:2}")
  "$BENCH" run --dataset mvtec --data-root "$DATA" ${CATEGORIES:+--categories $CATEGORIES} "${common[@]}"
  # bottle and screw, which are often all there is, are objects: a part can ask for a drawn texture
  [ -z "${texture:-}" ] || "$BENCH" run --dataset synthetic --categories "$texture" "${common[@]}"
}
backbones() { # backbone, methods: the settings that give it to each of them
  printf "%s.backbone=$1\n" "${@:2}"
}
has() { compgen -G "$WEIGHTS/$1.*" >/dev/null; }

frozen() {
  seeds="0 1 2 3 4" # PaDiM's channel draw alone moves some categories by several points
  run paper --methods padim --set padim.backbone=resnet18 --seeds $seeds
  run standard --methods padim --set padim.backbone=resnet18 --seeds $seeds
  small="padim.backbone=mobilenetv2_100 spade.backbone=mobilenetv2_100"
  run paper --methods padim spade --set $small
  run standard --methods padim spade --set $small
  # a layer that every file of this network has, instead of the pooled one
  run paper --methods spade --set spade.backbone=resnet18 spade.descriptor=3
  run paper --methods patchcore_1 --set patchcore_1.backbone=resnet18 --seeds 0 1 2
  drawn="one_nn k_means oc_svm"
  run paper --methods $drawn --set $(backbones resnet18 $drawn) --seeds 0 1 2
  # a network pass per patch: 961 of 64 pixels instead of 3,721 of 224, which would take hours
  run paper --methods cnn_dict --set cnn_dict.layer=3 cnn_dict.stride=8 cnn_dict.size=64 --seeds 0 1 2
  # an object before a plain ground has more kinds of patches than there are clusters, and is far from
  # most of the words wherever it is normal: what more clusters, and the nearest word alone, change
  run paper --methods k_means --set k_means.backbone=resnet18 k_means.clusters=100
  run paper --methods cnn_dict --set cnn_dict.layer=3 cnn_dict.stride=16 cnn_dict.size=64 cnn_dict.nearest=1
  # made for transformers; a convolutional network stands in, with layers that fit it
  fixed="gaussian_ad subspace_ad anomaly_dino rad"
  run paper --methods $fixed --set $(backbones resnet18 $fixed) 'gaussian_ad.layers=[1,2,3]' \
    'subspace_ad.layers=[2,3]' subspace_ad.combine=concat 'anomaly_dino.layers=[3]' \
    'rad.layers=[2,3]' rad.descriptor=3
  run paper --methods patchcore --set patchcore.backbone=resnet18 --seeds 0 1 2
  if has wide_resnet50_2; then
    run paper --methods padim spade
    run standard --methods padim spade
  fi
}

# trained methods: the papers' schedules on a GPU, short ones (said in the settings) on a CPU
trained() {
  if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1; then
    run paper --methods stfpm
    run paper --methods rd4ad --set rd4ad.backbone=resnet18
  else
    run paper --methods stfpm --set stfpm.epochs=8
    run paper --methods rd4ad --set rd4ad.backbone=resnet18 rd4ad.epochs=5
  fi
}

short() { # side, method, what both runs set, what hardly trains, what trains for a while
  for length in "$4" "$5"; do
    run standard --image-size "$1" --methods "$2" --set $3 $length
  done
}

# distilled, inpainted, told from noise and from pasted parts: each hardly trained and trained for a
# while, on small images; FULL=1 runs the papers' schedules and sizes instead (for a GPU)
learned() {
  local texture=fabric
  if [ -n "${FULL:-}" ]; then
    run paper --methods mkd --set mkd.backbone=mobilenetv2_100 'mkd.layers=[1,2,3,4]' mkd.rescale=true
    run paper --methods simplenet --set simplenet.backbone=resnet18
    run paper --methods riad cutpaste cutpaste_patch cutpaste_control \
      --set cutpaste_control.backbone=mobilenetv2_100
  else
    run standard --image-size 128 --methods cutpaste_control \
      --set cutpaste_control.backbone=mobilenetv2_100
    short 128 mkd "mkd.backbone=mobilenetv2_100 mkd.layers=[1,2,3,4]" \
      "mkd.epochs=1 mkd.batch=512" "mkd.epochs=20 mkd.batch=16"
    short 128 simplenet "simplenet.backbone=resnet18 simplenet.width=384 simplenet.hidden=256" \
      "simplenet.epochs=1 simplenet.batch=512" "simplenet.epochs=20"
    short 64 riad "riad.width=16" "riad.epochs=1 riad.batch=512" \
      "riad.epochs=30 riad.learning_rate=0.001"
    short 64 cutpaste "cutpaste.batch=16" "cutpaste.steps=1" "cutpaste.steps=100"
  fi
}

# auto-encoders: hardly trained at all, and three lengths far below the paper's 15,800 steps of 128; then
# what is made for one-class data, on small images, hardly trained and trained for a while
rebuild() {
  local texture=fabric
  for steps in 1 40 160 640; do
    run paper --methods l2_ae --set l2_ae.batch=16 l2_ae.learning_rate=0.001 l2_ae.steps=$steps
    # at 0.001 the training on bottle collapsed after 500 steps, to a loss above its first
    run paper --methods ssim_ae --set ssim_ae.batch=16 ssim_ae.learning_rate=0.0005 ssim_ae.steps=$steps
  done
  for method in dae vae memae; do
    short 64 $method "$method.batch=16 $method.learning_rate=0.001" $method.steps=1 $method.steps=150
  done
  short 32 deep_svdd "deep_svdd.batch=16" deep_svdd.steps=1 deep_svdd.steps=150
  short 32 ganomaly "ganomaly.batch=16" ganomaly.steps=1 ganomaly.steps=150
  short 32 f_anogan "f_anogan.side=32 f_anogan.width=16 f_anogan.batch=16" \
    "f_anogan.gan_steps=1 f_anogan.encoder_steps=1" "f_anogan.gan_steps=2000 f_anogan.encoder_steps=600"
}

one() { # data set, method, its settings
  "$BENCH" run --dataset "$1" --data-root "$DATA" --protocol paper --no-maps --results "$HERE" \
    ${CLASSES:+--categories $CLASSES} --methods "$2" ${3:+--set "${@:3}"}
}

# one class of small images: 500 steps of 16 images of the papers' 9,400 of 128 (DAE, VAE), 2,000 of 42,000
# of 14 (MemAE), 300 of 1,400 (GANomaly) and of 4,500 and 4,500 (Deep SVDD); FULL=1 runs MemAE and Deep SVDD
# to the end, too, six to ten minutes per class on one core
oneclass() {
  for dataset in mnist fashion_mnist; do
    "$BENCH" data $dataset --data-root "$DATA" || continue # said what is missing
    one $dataset oc_svm_pixels
    one $dataset kde_pixels
    for method in dae vae; do
      one $dataset $method $method.steps=500 $method.batch=16 $method.learning_rate=0.001
    done
    one $dataset memae memae.steps=2000 memae.batch=16 memae.learning_rate=0.001
    one $dataset deep_svdd deep_svdd.steps=300
    one $dataset ganomaly ganomaly.steps=300
    if [ -n "${FULL:-}" ]; then
      one $dataset deep_svdd
      one $dataset memae
    fi
  done
}

# methods with a part pre-trained on natural photographs: IMAGES=folder; ASSETS keeps what is built
export BENCH_ASSETS="${ASSETS:-$HOME/.cache/iad-bench/assets}"
pretrain() { "$BENCH" pretrain "$1" --images "$IMAGES" --weights-dir "$WEIGHTS" --set "${@:2}"; }

pretrained() {
  # schedules for a CPU: far below the papers', as the settings in the records say
  vqvae="vqvae.steps=1400 vqvae.crop=64 vqvae.learning_rate=0.001"
  pretrain vqvae $vqvae
  quick="$vqvae dsr.width=16 dsr.batch=4 dsr.learning_rate=0.001"
  for steps in 1 400; do # hardly trained at all, and trained for a while
    run standard --image-size 128 --precision bfloat16 --methods dsr --set $quick dsr.steps=$steps
  done
  teacher="us-teacher.layer=layer3 us-teacher.steps=500 us-teacher.batch=16"
  pretrain us-teacher $teacher
  students="$teacher uninformed_students.stride=4"
  run standard --image-size 64 --methods uninformed_students \
    --set $students 'uninformed_students.fields=[33]' uninformed_students.epochs=2
  # shallow heads on the same teacher's descriptors, as in the tables that name them
  run paper --methods one_nn_teacher k_means_teacher oc_svm_teacher --set $teacher --seeds 0 1 2
  local texture=fabric
  # textures and photographs from the same folder, which records name by ORIGIN and fingerprint
  origin="${ORIGIN:-photographs}"
  textures="textures.origin=$origin textures.most=1000"
  pretrain textures $textures
  if [ -n "${FULL:-}" ]; then
    run paper --methods draem --set $textures
  else
    short 64 draem "$textures draem.width=16 draem.batch=4 draem.learning_rate=0.001" \
      "draem.steps=1" "draem.steps=500"
  fi
  pdn="efficientad-teacher.backbone=resnet18"
  [ -n "${FULL:-}" ] || pdn="$pdn efficientad-teacher.side=128 efficientad-teacher.batch=8 \
    efficientad-teacher.steps=500 efficientad-teacher.learning_rate=0.001"
  pretrain efficientad-teacher $pdn
  photographs="photographs.origin=$origin photographs.most=1000"
  pretrain photographs $photographs
  if [ -n "${FULL:-}" ]; then
    run paper --methods efficient_ad --set $pdn $photographs
  else
    short 128 efficient_ad "$pdn $photographs efficient_ad.learning_rate=0.001" \
      "efficient_ad.steps=1" "efficient_ad.steps=150"
  fi
}

one_class() { # data set, classes, seeds, preset, steps of 16 of the 6000 images of a class, what else
  "$BENCH" run --dataset "$1" --data-root "$DATA" --weights-dir "$WEIGHTS" --protocol paper --no-maps \
    --results "$HERE" --precision bfloat16 --categories $2 --seeds $3 --methods "$4" \
    --set "$4.scales=[local]" "$4.batch=16" "$4.steps=$5" "${@:6}"
}

# a small part of the papers' 256 and 128 epochs; on MVTec AD not trained at all, 8 and 24 steps, and one
# epoch, in batches of 4, since an epoch has so few images that steps count for more than their size
igd() {
  encoder="igd-encoder.backbone=squeezenet1_1 igd-encoder.steps=1600 igd-encoder.batch=16"
  encoder="$encoder igd-encoder.learning_rate=0.0005"
  pretrain igd-encoder $encoder
  few="igd.backbone=squeezenet1_1 igd.batch=4"
  for length in "igd.steps=1 igd.learning_rate=1e-30" igd.steps=8 igd.steps=24 igd.epochs=1; do
    run paper --holdout 0.1 --precision bfloat16 --methods igd --seeds 0 1 2 \
      --set $few "igd.scales=[global]" $length
    run paper --holdout 0.1 --precision bfloat16 --methods igd \
      --set $encoder $few igd.patches=4 $length
  done
  for given in "mnist|8|0 1 2 3 4 5 6 7 9" \
    "fashion_mnist|shirt|t-shirt trouser pullover dress coat sandal sneaker bag ankle_boot"; do
    IFS="|" read -r dataset hard others <<<"$given"
    "$BENCH" data $dataset --data-root "$DATA" || continue # said what is missing
    for steps in 25 75 225; do
      one_class $dataset $hard "0 1 2" igd $steps $encoder
    done
    one_class $dataset $hard 0 igd 75 igd.formulation=public_code $encoder
    one_class $dataset $hard 0 igd_kd_gsvdd 75 $encoder # no interpolation
    one_class $dataset "$others" 0 igd 75 $encoder
    [ $dataset = fashion_mnist ] || continue
    one_class $dataset "trouser pullover" 0 igd_msssim 75 # the other rows of Table 5
    for row in igd_kd igd_kd_dsvdd igd_kd_gsvdd; do
      one_class $dataset "trouser pullover" 0 $row 75 $encoder
    done
  done
}

for part in ${PARTS:-frozen trained learned rebuild oneclass pretrained igd}; do
  case "$part" in
    frozen | trained | learned | rebuild | oneclass) "$part" ;;
    pretrained | igd) [ -z "${IMAGES:-}" ] || "$part" ;;
    *) echo "PARTS: $part: frozen, trained, learned, rebuild, oneclass, pretrained or igd" >&2; exit 2 ;;
  esac
done
