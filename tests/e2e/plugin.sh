#!/bin/sh
# The program without driver, device, plugins, CUDA or MPI libraries: it starts, plans as ever and says which is missing.
. "$(dirname "$0")/lib.sh"
build=$(dirname "$weft")
fakes=$build/tests/host/fake
unset CUDA_VISIBLE_DEVICES

# What `weft info` says of a part.
info_says() { # kind and name of the part, a pattern
    expect 0 info
    contains out "$1 $2  *$3"
    expect 0 info --format json
    check_python "info as JSON says '$3'" "$@" <<'END'
import json, re, sys
kind, name, pattern = sys.argv[1:]
assert re.match(pattern.replace("\\", ""), json.load(open("out"))[kind + "s"][name])
END
}
cuda_is() { info_says backend cuda "$1"; }
mpi_is() { info_says exchange mpi "$1"; }

# The reader of the first line is a person on a machine that may have all of it or nothing.
expect 0 info
contains out 'backend cuda  *\(available: \|not available: \)'
contains out 'exchange mpi  *\(available: \|not available: \)'
info_says exchange tcp available
expect 0 plan job.yaml --format json --quiet
cp out plan.json

# A program on its own has no plugin; nothing is asked of it before the driver says that there is a device.
mkdir alone
cp "$weft" alone/weft
weft=$here/alone/weft
export LD_LIBRARY_PATH="$fakes/driver"
[ -e "$fakes/driver/libcuda.so.1" ] || fail 'the stand-in driver was not built'
cuda_is 'not available: the CUDA plugin was not built'
FAKE_CU_COUNT=0 cuda_is 'not available: no device visible'
CUDA_VISIBLE_DEVICES=5 FAKE_CU_INIT=100 cuda_is 'not available: no device visible .CUDA_VISIBLE_DEVICES=5.'
FAKE_CU_INIT=34 cuda_is 'not available: the NVIDIA driver fails: error 34'
# Beside the program, and where a package would put it.
cp "$fakes/good/libweft_cuda.so" alone
cuda_is 'available: Fake GPU 0, 1 device'
FAKE_CU_VERSION=12040 cuda_is 'not available: the NVIDIA driver supports CUDA 12.4'
mkdir -p tree/bin tree/lib/weft
cp "$weft" tree/bin
mv alone/libweft_cuda.so tree/lib/weft
weft=$here/tree/bin/weft
cuda_is 'available: Fake GPU 0'
FAKE_PLUGIN_VERSION=0.0.1 cuda_is 'not available: libweft_cuda.so is of another build'
cp "$fakes/needy/libweft_cuda.so" tree/bin
cuda_is 'not available: CUDA libraries missing: libfake_library.so'
rm tree/bin/libweft_cuda.so

# The same of MPI's.
mpi_is 'not available: the MPI plugin was not built'
cp "$fakes/mpi_other/libweft_mpi.so" tree/lib/weft
mpi_is 'not available: libweft_mpi.so is of another build: Weft [0-9.]*, interface'
FAKE_PLUGIN_VERSION=0.0.1 mpi_is 'not available: libweft_mpi.so is of another build: Weft 0.0.1'
cp "$fakes/driver/libcuda.so.1" tree/bin/libweft_mpi.so
mpi_is 'not available: .*/libweft_mpi.so is not a plugin of Weft'
: >tree/bin/libweft_mpi.so
mpi_is 'not available: MPI libraries missing: .*file too short'
rm tree/bin/libweft_mpi.so

# The real plugin with the toolkit hidden from the loader, in a mount namespace of its own.
weft=$build/weft
library=$(ldd "$build/libweft_cuda.so" 2>/dev/null | sed -n 's/.*libcublasLt[^ ]* => \(\/[^ ]*\).*/\1/p')
if [ ! -e "$build/libweft_cuda.so" ]; then
    echo 'skipped: hiding the toolkit: this build has no plugin'
elif [ -z "$library" ]; then
    cuda_is 'not available: CUDA libraries missing: libcublasLt'
elif ! unshare -m true 2>/dev/null; then
    echo 'skipped: hiding the toolkit: no mount namespaces here'
else
    cuda_is 'available: Fake GPU 0'
    cat >hidden.sh <<'END'
mount -t tmpfs none "$1" || exit 77
shift
exec "$@"
END
    cat >weft-hidden <<END
#!/bin/sh
exec unshare -m sh "$here/hidden.sh" "$(dirname "$(readlink -f "$library")")" "$weft" "\$@"
END
    chmod +x weft-hidden
    weft=$here/weft-hidden
    try info
    if [ "$code" = 77 ]; then
        echo 'skipped: hiding the toolkit: mounting is not allowed here'
    else
        cuda_is 'not available: CUDA libraries missing: libcublasLt'
        expect 0 plan job.yaml --format json --quiet
        same out plan.json
        LD_LIBRARY_PATH='' expect 0 plan job.yaml --format json --quiet
        same out plan.json
    fi
fi
finish
