# Several hosts on one machine: network namespaces with an interface, an address and a host name each, joined by a
# switch in one more. Sourced; needs root and iproute2. Nothing of it is seen outside, and hosts_down takes all away.
#   hosts_up N [MS]     hosts 0 to N-1 at 10.77.0.1 …; with MS every frame arrives so many milliseconds late
#   host_address I      prints it
#   on_host I COMMAND   runs there
#   host_rate I RATE    what it sends, such as 100mbit; "none" takes the limit away
#   host_link I up|down
#   hosts_agent FILE    writes a program for mpirun's plm_rsh_agent, so that it starts its daemons on these hosts
# A host is `$hosts_name-I`; its frames pass `port-I` of `$hosts_name-switch`. $root is the repository.
hosts_name=weft$$
hosts_count=0
hosts_switch=

# One line of why not, or nothing.
hosts_missing() {
    command -v ip >/dev/null && command -v tc >/dev/null || { echo 'no ip and tc (Debian: iproute2)'; return; }
    [ "$(id -u)" = 0 ] || { echo 'network namespaces need root'; return; }
    ip netns add "$hosts_name-try" 2>/dev/null || { echo 'network namespaces are not permitted here'; return; }
    ip -n "$hosts_name-try" link add try type bridge 2>/dev/null || echo 'no network bridges here'
    ip netns delete "$hosts_name-try"
}

host_address() { echo "10.77.0.$(($1 + 1))"; }

on_host() { # host, command
    hosts_i=$1
    shift
    ip netns exec "$hosts_name-$hosts_i" unshare --uts sh -c 'hostname "$0" && exec "$@"' "host$hosts_i" "$@"
}

hosts_up() { # number, milliseconds
    ip netns add "$hosts_name-switch"
    for i in $(seq 0 $(($1 - 1))); do
        ip netns add "$hosts_name-$i"
        hosts_count=$((i + 1))
        ip link add eth0 netns "$hosts_name-$i" type veth peer name "port-$i" netns "$hosts_name-switch"
        ip -n "$hosts_name-$i" link set lo up
        ip -n "$hosts_name-$i" address add "$(host_address "$i")/24" dev eth0
        ip -n "$hosts_name-$i" link set eth0 up
        ip -n "$hosts_name-switch" link set "port-$i" up
    done
    if [ -n "${2:-}" ]; then
        ip netns exec "$hosts_name-switch" python3 "$root/bench/ranks/delay_switch.py" "$2" "$1" &
        hosts_switch=$!
        return
    fi
    ip -n "$hosts_name-switch" link add bridge type bridge forward_delay 0
    ip -n "$hosts_name-switch" link set bridge up
    for i in $(seq 0 $(($1 - 1))); do ip -n "$hosts_name-switch" link set "port-$i" master bridge; done
}

hosts_down() {
    [ -z "$hosts_switch" ] || kill "$hosts_switch" 2>/dev/null || :
    [ -z "$hosts_switch" ] || wait "$hosts_switch" 2>/dev/null || :
    hosts_switch=
    [ "$hosts_count" = 0 ] || for i in $(seq 0 $((hosts_count - 1))); do
        # Whoever still runs there.
        ip netns pids "$hosts_name-$i" | xargs -r kill -s KILL 2>/dev/null || :
        ip netns delete "$hosts_name-$i" 2>/dev/null || :
    done
    hosts_count=0
    ip netns delete "$hosts_name-switch" 2>/dev/null || :
}

host_rate() { # host, rate
    tc -n "$hosts_name-$1" qdisc delete dev eth0 root 2>/dev/null || :
    # What passes at once: as little as the kernel's clock allows.
    case $2 in *gbit) hosts_burst=128kb ;; *) hosts_burst=16kb ;; esac
    [ "$2" = none ] || tc -n "$hosts_name-$1" qdisc add dev eth0 root tbf rate "$2" burst $hosts_burst latency 200ms
}

host_link() { ip -n "$hosts_name-switch" link set "port-$1" "$2"; }

hosts_agent() { # file
    cat >"$1" <<END
#!/bin/sh
# rsh: HOST COMMAND…
host=\$((\${1##*.} - 1))
shift
exec ip netns exec "$hosts_name-\$host" unshare --uts sh -c "hostname host\$host && \$*"
END
    chmod +x "$1"
}
