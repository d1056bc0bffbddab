#!/bin/sh
# down.sh DIR: ends the jobs and then the daemons of up.sh DIR, by the ids it recorded; kills what does not end within
# 5 s. Never fails.
dir=$1
export SLURM_CONF="$dir/slurm.conf"
[ -e "$dir/pids" ] || exit 0
{
    # First the processes, which scancel alone leaves time to save.
    if grep -q '^n2 ' "$dir/pids"; then
        timeout 5 squeue -h -r -o %i >"$dir/jobs"
        while read -r job; do timeout 5 scancel --full --signal=KILL "$job"; done <"$dir/jobs"
        while read -r job; do timeout 5 scancel "$job"; done <"$dir/jobs"
        tries=0
        while [ $tries -lt 50 ] && [ -n "$(timeout 5 squeue -h)" ]; do
            tries=$((tries + 1))
            sleep 0.1
        done
    fi
    pids=$(sed 's/.* //' "$dir/pids")
    kill $pids
    for pid in $pids; do
        tries=0
        while [ $tries -lt 100 ] && kill -0 "$pid"; do
            tries=$((tries + 1))
            sleep 0.05
        done
        kill -9 "$pid"
    done
} 2>/dev/null
exit 0
