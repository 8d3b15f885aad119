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

# A judge of one's own, measured on text that it was not trained on.
autointerp train-judge --data "${JUDGE_TEXT:?a text file or folder}" --held-out "${HELD_OUT_TEXT:?another one}" \
    --base "$ENCODER" --steps 1300 --set layers=1 --out "$OUT/judge"
autointerp judge "cross_encoder:$OUT/judge"

# Explained by `pattern`; judged by `pattern`, and by the small judge.
autointerp score "$OUT/study.yaml" --out "$OUT/pattern"
autointerp score "$OUT/study.yaml" --judge "cross_encoder:$OUT/judge" --out "$OUT/small-judge" || test $? -eq 3

# Explained and judged by a language model; exit code 3 where it is not qualified.
if [ -n "$LLM" ]; then
    autointerp score "$OUT/study.yaml" --explainer "$LLM" --out "$OUT/llm" || test $? -eq 3
fi
for run in pattern small-judge llm; do
    if [ -e "$OUT/$run/summary.json" ]; then
        autointerp export "$OUT/$run" --to reference --out "$here/$run"
    fi
done
