#!/bin/sh
# Words that may not appear: in library code what exits, prints, allocates or reads the environment; anywhere
# in our C what is unsafe; anywhere at all what a reader would stop at.
set -eu
cd "$1"
bad=0
check() { # $1: what, $2: extended regex, $3...: files
    what=$1 pattern=$2
    shift 2
    [ $# -gt 0 ] || return 0
    # Comments and strings count only for the last check, so code lines are stripped of them first.
    hits=$(awk -v re="$pattern" '
        FNR == 1 { inside = 0 }
        { line = $0; gsub(/"([^"\\]|\\.)*"/, "\"\"", line); sub(/\/\/.*/, "", line)
          if (inside) { if (sub(/.*\*\//, "", line)) inside = 0; else next }
          gsub(/\/\*([^*]|\*[^\/])*\*\//, "", line)
          if (sub(/\/\*.*/, "", line)) inside = 1
          if (line ~ re) printf "%s:%d: %s\n", FILENAME, FNR, $0 }' "$@")
    [ -z "$hits" ] && return 0
    printf '%s:\n%s\n' "$what" "$hits"
    bad=1
}
library=$(find kernels engine -name '*.[ch]' ! -path kernels/base.c)
code=$(find kernels engine host bench -name '*.[ch]')
# shellcheck disable=SC2086
check 'not in library code' '(^|[^a-zA-Z0-9_])(exit|abort|printf|fprintf|puts|getenv|fopen|malloc|calloc|realloc|free|rand|srand|time|clock)[[:space:]]*\(' $library
# shellcheck disable=SC2086
check 'unsafe in any code' '(^|[^a-zA-Z0-9_])(atoi|atol|atof|strtok|sprintf|vsprintf|strcpy|strcat|gets|tmpnam)[[:space:]]*\(' $code
hits=$(git grep -nIE '/(work|root|farm)/[a-z]|TODO|FIXME|(^|[^X])XXX([^X]|$)' -- . ':!*.json' ':!tests/lint/banned.sh' ':!tests/golden/*.txt' 2>/dev/null || true)
if [ -n "$hits" ]; then
    printf 'unfinished work or paths of a machine:\n%s\n' "$hits"
    bad=1
fi
exit $bad
