#!/usr/bin/env bash
# The reference run with real models. A GPU user changes one line: LLM, to a server with a capable model.
set -euo pipefail
MODEL=${MODEL:-HuggingFaceTB/SmolLM2-135M-Instruct}    # the subject
ENCODER=${ENCODER:-sentence-transformers/all-MiniLM-L6-v2}
LLM=${LLM:-}                                           # such as http://127.0.0.1:8000/v1
OUT=${OUT:-runs/real-models}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$OUT"

sed "s#MODEL#$MODEL#" "$here/train.yaml" > "$OUT/train.yaml"
autointerp train "$OUT/train.yaml" --out "$OUT/dictionaries"
sed "s#MODEL#$MODEL#; s#DICTIONARIES#$OUT/dictionaries#" "$here/study.yaml" > "$OUT/study.yaml"

# A judge of one's own, measured on text that it was not trained on. JUDGE_TEXT: files or folders, separated by spaces.
for text in ${JUDGE_TEXT:?text files or folders}; do set -- "$@" --data "$text"; done
autointerp train-judge "$@" --held-out "${HELD_OUT_TEXT:?another one}" \
    --base "$ENCODER" --steps 1300 --set layers=1 --out "$OUT/judge" | tee "$OUT/quality.txt"
autointerp judge "cross_encoder:$OUT/judge" > "$OUT/qualification.txt"

# Explained by `pattern`; judged by `pattern`, and by the small judge, which reuses what the first run collected.
autointerp score "$OUT/study.yaml" --out "$OUT/pattern"
cp -r "$OUT/pattern" "$OUT/small-judge"
autointerp score "$OUT/study.yaml" --judge "cross_encoder:$OUT/judge" --set reconstruction.enabled=false \
    --out "$OUT/small-judge" --update || test $? -eq 3

# Two-phase estimates: the small judge on 60 latents, sharpened by what `pattern` scored on 200.
autointerp score "$OUT/study.yaml" --judge "cross_encoder:$OUT/judge" --set reconstruction.enabled=false \
    --latents 60 --out "$OUT/small-judge-60" || test $? -eq 3

# Explained and judged by a language model; exit code 3 where it is not qualified.
if [ -n "$LLM" ]; then
    autointerp score "$OUT/study.yaml" --explainer "$LLM" --latents 60 --out "$OUT/llm" || test $? -eq 3
fi
for run in pattern small-judge small-judge-60 llm; do
    if [ -e "$OUT/$run/summary.json" ]; then
        first=(--phase-one "$OUT/pattern")
        [ "$run" != pattern ] || first=()
        autointerp compare "$OUT/$run" "${first[@]}" --out "$OUT/$run/compare" > "$here/$run.txt" || test $? -eq 3
        cp "$OUT/$run/compare/controls.csv" "$here/$run-controls.csv"
    fi
done
