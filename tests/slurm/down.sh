#!/bin/sh
# down.sh DIR: stops the jobs and then the daemons of up.sh DIR, by the ids it recorded, in order; kills those that do
# not end within 5 s. Never fails.
dir=$1
export SLURM_CONF="$dir/slurm.conf"
[ -e "$dir/pids" ] || exit 0
{
    if grep -q '^n2 ' "$dir/pids"; then
        timeout 5 squeue -h -r -o %i | while read -r job; do timeout 5 scancel --full --signal=KILL "$job"; done
        timeout 5 squeue -h -r -o %i | while read -r job; do timeout 5 scancel "$job"; done
        tries=0
        while [ $tries -lt 50 ] && [ -n "$(timeout 5 squeue -h)" ]; do
            tries=$((tries + 1))
            sleep 0.1
        done
    fi
    for name in n1 n2 slurmctld munged; do
        pid=$(sed -n "s/^$name //p" "$dir/pids")
        [ -n "$pid" ] || continue
        kill "$pid"
        tries=0
        while [ $tries -lt 100 ] && kill -0 "$pid"; do
            tries=$((tries + 1))
            sleep 0.05
        done
        kill -9 "$pid"
    done
} 2>/dev/null
exit 0
