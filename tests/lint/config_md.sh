#!/bin/sh
# host/CONFIG.md is what the program prints of its own option table.
set -eu
"$2" config --markdown | diff -u "$1/host/CONFIG.md" - || {
    echo 'regenerate: weft config --markdown > host/CONFIG.md'
    exit 1
}
