#!/usr/bin/env python3
"""A switch that hands every frame on a given time after it came, for kernels without netem: delay_switch.py
MILLISECONDS PORTS in a network namespace with the interfaces port-0, port-1, ... Frames travel with the header of
virtio, in which the kernel says what of segmentation and checksums it has put off, so that nothing is cut or lost;
bandwidth is not limited here (tc tbf does that)."""
import collections, select, socket, sys, time

SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING, ETH_P_ALL, HEADER = 263, 15, 23, 3, 10
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33


def open_port(name):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    s.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 64 << 20)
    s.bind((name, ETH_P_ALL))
    s.setblocking(False)
    return s


def main():
    delay = float(sys.argv[1]) / 1e3
    ports = [open_port(f"port-{i}") for i in range(int(sys.argv[2]))]
    known = {}  # address -> port
    waiting = collections.deque()  # (when, frame, ports)
    poll = select.poll()
    for s in ports:
        poll.register(s, select.POLLIN)
    while True:
        left = (waiting[0][0] - time.monotonic()) * 1e3 if waiting else None
        # The system wakes us up to a tenth of a millisecond late; the rest of a delay is waited out here.
        poll.poll(None if left is None else max(0, int(left)))
        for s in ports:
            try:
                while True:
                    frame = s.recv(1 << 17)
                    source, target = frame[HEADER + 6:HEADER + 12], frame[HEADER:HEADER + 6]
                    known[source] = s
                    to = [known[target]] if target in known else [p for p in ports if p is not s]
                    waiting.append((time.monotonic() + delay, frame, to))
            except BlockingIOError:
                pass
        while waiting and waiting[0][0] <= time.monotonic():
            _, frame, to = waiting.popleft()
            for s in to:
                try:
                    s.send(frame)
                except OSError:
                    pass  # the port is down or full: a frame is lost, as on any network


main()
