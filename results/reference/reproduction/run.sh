#!/bin/sh
# The reproduction from nothing: sh results/reference/reproduction/run.sh MODEL TEXT OUT [SEEDS, default "0 1 2"]
# MODEL: a causal language model; TEXT: documents between <|endoftext|>; OUT: a folder. Goes on where it was stopped;
# TRAIN="key=value ..." and SCORE="key=value ..." change settings, such as TRAIN="training.n_tokens=20000 training.k=[8]".
set -euf
# shellcheck disable=SC2046,SC2086  # words are meant to fall apart
sets() { for one in "$@"; do printf -- '--set %s ' "$one"; done; }
here=$(dirname "$0") model=$1 text=$2 out=$3 seeds=${4:-0 1 2}
python "$here/split.py" "$text" "$out"
autointerp train "$here/train.yaml" --set "subject.model=$model" --set "corpus.path=$out/train.txt" \
    --seeds "$(echo "$seeds" | tr ' ' ,)" $(sets ${TRAIN:-}) --out "$out/trained"
for seed in $seeds; do
    set --
    for folder in $(find "$out/trained" -type d -name "seed$seed" | sort); do
        arm=$(basename "$(dirname "$(dirname "$folder")")")
        set -- "$@" "$arm-seed$seed=$folder"
    done
    autointerp score "$model" "$@" --data "$out/held_out.txt" --explainer pattern --tokens 100k --latents 60 \
        --set examples.min_windows=50 --set reconstruction.n_documents=100 --set controls.n_empty=20 \
        --set 'scorers=[{use: detection, n_per_question: 20}, {use: fuzzing, n_per_question: 20}]' \
        $(sets ${SCORE:-}) --out "$out/score-seed$seed" || test $? -eq 3  # a failed control: compare says so too
    runs="${runs:-} $out/score-seed$seed"
done
autointerp compare $runs --out "$out/compare" || test $? -eq 3
