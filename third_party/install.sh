#!/usr/bin/env bash
# Installs the Debian packages that Weft needs and that are missing. Says nothing and changes nothing when all
# are there. Root or sudo is needed only to install.
# Usage: third_party/install.sh [build] [test] [data]        (default build)
set -euo pipefail

# The one list; third_party/README.md says what each is for.
packages() {
    case $1 in
    build) echo gcc libc6-dev cmake ninja-build pkgconf libdnnl-dev libyaml-dev libjansson-dev \
        libutf8proc-dev libpcre2-dev ;;
    test) echo libcmocka-dev python3 g++ clang libclang-rt-14-dev libomp-14-dev valgrind clang-format git locales \
        slurm-wlm munge procps libopenmpi-dev openmpi-bin iproute2 ;;
    data) echo python3 python3-pip ca-certificates ;;
    *) return 1 ;;
    esac
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

[ $# -gt 0 ] || set -- build
wanted=
for group in "$@"; do
    list=$(packages "$group") || die "unknown group '$group': known are build, test, data"
    wanted="$wanted $list"
done
for tool in dpkg-query apt-get; do
    command -v $tool >/dev/null || die "not a Debian system (no $tool); install the equivalents of:$wanted"
done

missing=
for package in $wanted; do
    case " $missing " in *" $package "*) continue ;; esac
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null ||
        die "these Debian packages are missing and there is neither root nor sudo to install them; ask for: apt-get install$missing"
    as_root=(sudo)
fi
echo "installing Debian packages:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
        -o Acquire::Retries=3 "$@" >"$log" 2>&1
}
fail() {
    cat "$log" >&2
    die "$1"
}
apt update || fail "apt-get update failed (see above)"
# shellcheck disable=SC2086  # a list of names
apt install -y --no-install-recommends $missing || fail "apt-get install failed (see above)"
