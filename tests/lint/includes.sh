#!/bin/sh
# host -> engine -> kernels, one-way: every #include against the table of who may include what.
set -eu
cd "$1"
bad=0
complain() { # $1: files (glob words), $2: pattern that may not appear, $3: rule
    # shellcheck disable=SC2086
    hits=$(grep -nE "^#[[:space:]]*include[[:space:]]+[<\"]($2)" $1 2>/dev/null || true)
    [ -z "$hits" ] && return 0
    printf '%s\n%s\n' "$3:" "$hits"
    bad=1
}
all=$(git ls-files 'kernels/*.[ch]' 'engine/*.[ch]' 'host/*.[ch]' 2>/dev/null || find kernels engine host -name '*.[ch]')
of() { printf '%s\n' "$all" | grep "^$1" || true; }
but() { printf '%s\n' "$all" | grep -vE "^($1)" || true; }

complain "$(of kernels/)" '(engine|host|bench|tests)/' 'kernels may include only kernels'
complain "$(of engine/)" '(host|bench|tests)/' 'engine may include only engine and kernels'
complain "$(of engine/)" 'kernels/(ref|cpu|dry|cuda)/' 'engine may not reach into a backend'
complain "$(of host/)" '(kernels|bench|tests)/' 'host may include only host and engine/weft.h'
complain "$(of host/)" 'engine/([^w]|w[^e]|we[^f]|wef[^t]|weft[^.])' 'host may include only engine/weft.h'
complain "$(but 'kernels/cpu/')" '(dnnl|oneapi)' 'oneDNN belongs to kernels/cpu'
complain "$(but 'kernels/cuda/')" '(cuda|cublas|nccl|curand)' 'CUDA headers belong to kernels/cuda'
complain "$(but 'host/mpi/')" 'mpi\.h' 'MPI is called in host/mpi alone'
complain "$(but 'host/')" '(yaml|jansson|utf8proc|pcre2)' 'file formats belong to host'
complain "$(but 'host/config_yaml')" 'yaml\.h' 'YAML is read in host/config_yaml.c'
exit $bad
