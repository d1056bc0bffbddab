#!/bin/sh
# Ranks on several hosts, which are network namespaces with addresses and names of their own (bench/ranks/namespaces.sh):
# the bytes of one process, by torchrun's variables over TCP and by mpirun; a link that is cut ends the job in time.
. "$(dirname "$0")/lib.sh"
. "$root/bench/ranks/namespaces.sh"
missing=$(hosts_missing)
if [ -n "$missing" ]; then
    printf 'skipped: %s\n' "$missing"
    exit 77
fi
trap 'hosts_down; rm -rf "$here"' EXIT
trap 'exit 1' INT TERM
hosts_up 3
export MASTER_PORT=29500
MASTER_ADDR=$(host_address 0)
export MASTER_ADDR WORLD_SIZE=3 LOCAL_RANK=0 LOCAL_WORLD_SIZE=1

# Three ranks, each on its host: stdout, stderr and exit code in out.RANK, err.RANK and code.RANK.
ranks() { # options…
    for i in 0 1 2; do
        (
            code=0
            RANK=$i on_host $i timeout 60 "$weft" train job.yaml --quiet "$@" >out.$i 2>err.$i </dev/null || code=$?
            echo $code >code.$i
        ) &
    done
}
codes() { echo "$(cat code.0) $(cat code.1) $(cat code.2)"; }

expect 0 train job.yaml run.name=one --quiet
ranks run.name=tcp
wait
[ "$(codes)" = '0 0 0' ] || { fail "exit codes $(codes)"; cat err.*; }
same_run one tcp
contains runs/tcp/log.txt 'ranks: 3 ranks on 3 hosts, tcp, started by torchrun'

# ---- a link is cut in the middle ----
ranks run.name=cut fl.num_rounds=100000 eval.every=0 checkpoint.save_every=0 run.comm_timeout=3
waited=0
until grep -q '"round": 3,' runs/cut/metrics.jsonl 2>grep.err || [ $waited = 1000 ]; do
    sleep 0.02
    waited=$((waited + 1))
done
host_link 2 down
began=$(date +%s)
wait
took=$(($(date +%s) - began))
[ "$(codes)" = '6 6 6' ] || { fail "a link was cut: exit codes $(codes), expected 6 of all"; cat err.*; }
[ $took -le 15 ] || fail "a link was cut: ended only after $took s"
contains err.0 'weft: error: rank 2 (host2) was lost: silent for 3 s, so it was stopped or its network failed'
contains err.2 'weft: error: rank 0 (host0) was lost: silent for 3 s, so it was stopped or its network failed'
host_link 2 up

# ---- by mpirun, which starts its daemons with a program of ours in the place of ssh ----
if command -v mpirun >/dev/null && [ -e "$(dirname "$weft")/libweft_mpi.so" ]; then
    hosts_agent "$here/agent"
    unset MASTER_PORT WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE
    # Nobody is at the address that it is told; rank 0 has others to offer.
    MASTER_ADDR=10.77.0.99
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    code=0
    on_host 0 timeout 60 mpirun --mca plm_rsh_agent "$here/agent" -n 3 \
        --host "$(host_address 0),$(host_address 1),$(host_address 2)" \
        "$weft" train job.yaml --quiet run.name=mpi >out 2>err </dev/null || code=$?
    [ "$code" = 0 ] || { fail "mpirun over three hosts: exit code $code"; cat err; }
    same_run one mpi
    contains runs/mpi/log.txt 'ranks: 3 ranks on 3 hosts, mpi (Open MPI [0-9.]*), started by mpirun'
else
    echo 'left out: mpirun over several hosts: no mpirun, or no libweft_mpi.so in this build'
fi
no_leftovers
finish
