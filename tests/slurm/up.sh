#!/bin/sh
# up.sh DIR [PORT]: a throw-away Slurm for tests: munged, slurmctld and two nodes n1, n2 (slurmd) on this host, all in
# DIR, on the loopback interface, as root, without systemd and cgroups. Each node claims four cores and two "GPUs" (any
# device files do). Partition main is preempted by partition urgent. Then: export SLURM_CONF=DIR/slurm.conf.
# What was started stands in DIR/pids; down.sh DIR stops it, also after a failure here.
set -eu
dir=$1 port=${2:-17100}
host=$(uname -n)
host=${host%%.*}
mkdir -p "$dir/state" "$dir/log" "$dir/run" "$dir/munge" "$dir/spool-n1" "$dir/spool-n2" "$dir/tmp-n1" "$dir/tmp-n2"
chmod 755 "$dir" "$dir/munge" # munged refuses a socket that nobody can reach
: >"$dir/pids"
: >"$dir/plugstack.conf"
dd if=/dev/urandom of="$dir/munge/key" bs=1024 count=1 2>"$dir/log/dd"
chmod 400 "$dir/munge/key"
# cred_expire is also how long a requeued job waits before it may start again (120 s by default).
cat >"$dir/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/sock,cred_expire=5
CredType=cred/munge
SlurmctldPort=$port
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd-%n.pid
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
TmpFS=$dir/tmp-%n
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd-%n.log
PlugStackConfig=$dir/plugstack.conf
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
MpiDefault=none
ReturnToService=2
MailProg=/bin/true
SlurmctldTimeout=30
SlurmdTimeout=30
InactiveLimit=0
KillWait=20
MinJobAge=300
SlurmdParameters=config_overrides
SrunPortRange=$((port + 100))-$((port + 300))
GresTypes=gpu
NodeName=n[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1))-$((port + 2)) CPUs=4 Boards=1 SocketsPerBoard=1 CoresPerSocket=4 ThreadsPerCore=1 RealMemory=4000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
END
cat >"$dir/gres.conf" <<END
AutoDetect=off
Name=gpu File=/dev/null
Name=gpu File=/dev/zero
END
export SLURM_CONF="$dir/slurm.conf"

start() { # name, command…
    name=$1
    shift
    "$@" >"$dir/log/$name.out" 2>&1 </dev/null &
    echo "$name $!" >>"$dir/pids"
}
alive() {
    while read -r name pid; do
        kill -0 "$pid" 2>/dev/null || { echo "$name ended: $(tail -n 3 "$dir/log/$name.out")" >&2; exit 1; }
    done <"$dir/pids"
}

start munged munged -F --socket="$dir/munge/sock" --key-file="$dir/munge/key" --pid-file="$dir/munge/pid" \
    --log-file="$dir/log/munged.log" --seed-file="$dir/munge/seed" --num-threads=2
tries=0
while [ ! -S "$dir/munge/sock" ] && [ $tries -lt 200 ]; do
    alive
    tries=$((tries + 1))
    sleep 0.05
done
start slurmctld slurmctld -D -i
start n1 slurmd -D -N n1
start n2 slurmd -D -N n2
tries=0
while [ $tries -lt 100 ]; do
    alive
    [ "$(timeout 3 sinfo -h -p main -N -t idle -o %N 2>"$dir/log/sinfo" | wc -l)" = 2 ] && exit 0
    tries=$((tries + 1))
    sleep 0.2
done
echo 'the nodes did not come up' >&2
exit 1
