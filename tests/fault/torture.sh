#!/bin/sh
# Calls of the C library fail one by one during whole runs: torture.py in the folder of a tiny job.
#   torture.sh PROGRAM ROOT PYTHON INJECT.so [flags of torture.py]
. "$(dirname "$0")/../e2e/lib.sh"
inject=$4
shift 4
ln -s "$golden" golden
sed "s|$golden|golden|" job.yaml >job.new
mv job.new job.yaml
"$python" "$root/tests/fault/torture.py" "$weft" "$inject" "$@"
