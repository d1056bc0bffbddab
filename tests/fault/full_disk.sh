#!/bin/sh
# A real disk that is full: a run into a file system of 1, 2, … pages ends with exit code 8 and one line, and
# what is there is whole; with room enough it succeeds. Needs the right to mount (root, or user namespaces);
# without it the test is skipped. torture.py makes every single write fail without a mount.
#   full_disk.sh PROGRAM ROOT PYTHON
case ${FULL_DISK_INSIDE-} in
'')
    export FULL_DISK_INSIDE=yes
    probe='mount -t tmpfs -o size=64k none /mnt && umount /mnt'
    if unshare --mount sh -c "$probe" 2>/dev/null; then exec unshare --mount sh "$0" "$@"; fi
    if unshare --user --map-root-user --mount sh -c "$probe" 2>/dev/null; then
        exec unshare --user --map-root-user --mount sh "$0" "$@"
    fi
    echo 'skipped: no right to mount a file system'
    exit 77
    ;;
esac
. "$(dirname "$0")/../e2e/lib.sh"
trap 'umount "$here/disk" 2>/dev/null; rm -rf "$here"' EXIT
mkdir disk
train_there() { try train job.yaml run.name=x run.output_dir=disk --quiet fl.num_rounds=3 checkpoint.save_every=1 \
    client.optimizer_state=keep engine.state_pool_mib=0 engine.slots=2; }

full=0 pages=1
while :; do
    mount -t tmpfs -o size=$((pages * 4))k none disk
    train_there
    [ "$code" != 0 ] || break
    full=$((full + 1))
    [ "$code" = 8 ] || { fail "$pages pages: exit code $code, expected 8"; cat err; }
    [ "$(grep -c '^weft: error: ' err)" = 1 ] && tail -n 1 err | grep -q 'weft: error: .*disk.*No space left on device' ||
        { fail "$pages pages: not one line that names the file and the reason"; cat err; }
    "$python" "$root/tests/fault/whole.py" disk || fail "$pages pages: something half-written"
    umount disk
    pages=$((pages + 1 + pages / 12))
    [ "$pages" -lt 400 ] || { fail 'never enough room'; break; }
done
printf '%s sizes were too small, %s KiB suffice\n' "$full" $((pages * 4))
[ "$full" -ge 10 ] || fail 'hardly any size was too small: this test shows nothing'
finish
