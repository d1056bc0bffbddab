#!/bin/sh
# Files of one subject stay readable: a note above 600 lines, a failure above 900.
set -eu
cd "$1"
bad=0
for f in $(find kernels engine host bench tests -name '*.[ch]' ! -path 'tests/golden/*'); do
    n=$(wc -l <"$f")
    [ "$n" -gt 600 ] && echo "$f has $n lines: does it still have one subject?"
    if [ "$n" -gt 900 ]; then bad=1; fi
done
exit $bad
