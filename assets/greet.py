# Listens for a moment, so that it can be seen from outside whether ports reach this host. Arguments:
# SECONDS NONCE ADDRESS[,ADDRESS] PORT...  Says "ready PORT" or "busy PORT" for each, then "all";
# sends the nonce to whoever connects, and ends when each port was reached, or after SECONDS.
# For any Python 3; nothing is written.
import errno
import select
import socket
import sys
import time

seconds, nonce, addresses = float(sys.argv[1]), sys.argv[2], sys.argv[3].split(",")
held = {}
for port in map(int, sys.argv[4:]):
    opened = []
    try:
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                listener = socket.socket(family)
            except OSError:
                continue  # without IPv6
            opened.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                listener.bind((address, port))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    continue  # IPv6 is turned off
                raise
            listener.listen(8)
    except OSError as error:
        for listener in opened:
            listener.close()
        print("busy", port, error.strerror, flush=True)
    else:
        held.update((listener, port) for listener in opened if listener.getsockname()[1] == port)
        print("ready", port, flush=True)
print("all", flush=True)
waiting, end = set(held.values()), time.monotonic() + seconds
while waiting and time.monotonic() < end:
    for listener in select.select(list(held), [], [], 0.2)[0]:
        stream, _ = listener.accept()
        with stream:
            stream.settimeout(1)
            try:
                stream.sendall((nonce + "\n").encode())
            except OSError:
                continue
        waiting.discard(held[listener])
