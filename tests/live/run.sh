#!/bin/sh
# Runs one script of this folder in the live environment, from the source folder; 77 (skipped) without it.
#
#   run.sh parity|tokenizer_parity ARGUMENT...
set -eu
name=$1
shift
for need in .venv-live/bin/python models/all-minilm-l6-v2/config.json data/wn10/train.jsonl; do
    if [ ! -e "$need" ]; then
        echo "live/$name: skipped: $need is not there; ./test.sh --live makes it"
        exit 77
    fi
done
exec .venv-live/bin/python "tests/live/$name.py" "$@"
