"""Another session: answers whatever comes with a token and keeps what came; asks itself whether it does; and
reaches a name by every family that it has."""
import selectors
import socket
import sys

verb = sys.argv[1]

if verb == "listen":
    port, token, path = int(sys.argv[2]), sys.argv[3].encode(), sys.argv[4]
    received = open(path, "ab", buffering=0)
    wait = selectors.DefaultSelector()
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            try:
                one = socket.socket(family, kind)
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                one.bind((address, port))
                if kind == socket.SOCK_STREAM:
                    one.listen(64)
                wait.register(one, selectors.EVENT_READ)
            except OSError:
                pass  # A session may have one family only.
    while True:
        for key, _ in wait.select():
            one = key.fileobj
            if one.type == socket.SOCK_STREAM:
                stream, _ = one.accept()
                stream.settimeout(2)
                try:
                    received.write(stream.recv(65536) + b"\n")
                    stream.sendall(token)
                except OSError:
                    pass
                stream.close()
            else:
                said, whence = one.recvfrom(65536)
                received.write(said + b"\n")
                one.sendto(token, whence)
elif verb == "ask":
    port, token = int(sys.argv[2]), sys.argv[3].encode()
    stream = socket.create_connection(("127.0.0.1", port), 5)
    stream.sendall(b"?")
    said = stream.recv(100)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.settimeout(5)
    datagrams.sendto(b"?", ("127.0.0.1", port))
    sys.exit(0 if said == token == datagrams.recv(100) else 1)
elif verb == "families":
    reached = set()
    for family, _, _, _, address in socket.getaddrinfo(sys.argv[2], 80, type=socket.SOCK_STREAM):
        with socket.socket(family, socket.SOCK_STREAM) as stream:
            stream.settimeout(10)
            stream.connect(address)
            stream.sendall(b"GET / HTTP/1.1\r\nHost: " + sys.argv[2].encode() + b"\r\n\r\n")
            if stream.recv(1000).startswith(b"HTTP/1.1 200"):
                reached.add(4 if family == socket.AF_INET else 6)
    print(*sorted(reached))
