#!/bin/sh
# What the archives define and need shows the layers: kernels define wk_ and their backends' names and need
# nothing of engine or host; engine defines we_ and weft_ and needs nothing of host.
set -eu
kernels=$2 engine=$3
bad=0
defined() { nm -g --defined-only "$1" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u; }
needed() { nm -g -u "$1" 2>/dev/null | awk '{ print $NF }' | sort -u; }
report() {
    [ -z "$2" ] && return 0
    printf '%s: %s\n' "$1" "$(echo "$2" | tr '\n' ' ')"
    bad=1
}
report 'weftkernels defines' "$(defined "$kernels" | grep -vE '^(wk_|ref_|cpu_|dry_|weft_status_str$|weft_error_set$)' || true)"
report 'weftkernels needs' "$(needed "$kernels" | grep -E '^(we_|wh_|weft_)' | grep -vE '^(weft_status_str|weft_error_set)$' || true)"
report 'weftengine defines' "$(defined "$engine" | grep -vE '^(we_|weft_)' || true)"
report 'weftengine needs' "$(needed "$engine" | grep -E '^(wh_|ref_|cpu_|dry_)' || true)"
[ "$(defined "$kernels" | grep -c '^wk_')" -gt 20 ] || { echo 'nm found no symbols'; bad=1; }
exit $bad
