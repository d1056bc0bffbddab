#!/bin/sh
# Runs a program under ThreadSanitizer, with the address layout that its older versions need.
#   tsan.sh PROGRAM [ARGUMENT…]; 77 when ThreadSanitizer cannot run here
set -u
fixed=
setarch -R true 2>/dev/null && fixed='setarch -R'
log=$(mktemp)
trap 'rm -f "$log"' EXIT
$fixed "$@" 2>"$log"
status=$?
if grep -q 'unexpected memory mapping' "$log"; then
    echo 'skipped: ThreadSanitizer of this compiler does not know the address layout of this kernel'
    exit 77
fi
head -n 200 "$log"
exit $status
