# What a session of the tests says on the wire that ordinary programs do not. The first argument is the verb;
# every answer is one JSON object a line.
import base64, concurrent.futures, json, os, socket, ssl, struct, sys, time

LIMIT = 10


def say(**what):
    print(json.dumps(what), flush=True)


def hello(name, alpn=None):
    """A real ClientHello that names this host, as the bytes of its one record."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    out = ssl.MemoryBIO()
    side = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def with_extension(record, kind, body):
    """The same ClientHello with one extension more."""
    message = bytearray(record[5:])
    at = 4 + 2 + 32
    at += 1 + message[at]
    at += 2 + struct.unpack_from('!H', message, at)[0]
    at += 1 + message[at]
    more = struct.pack('!HH', kind, len(body)) + body
    message[at:at + 2] = struct.pack('!H', struct.unpack_from('!H', message, at)[0] + len(more))
    # A pre-shared key would have to stay last; the first hello of a client has none.
    message += more
    message[1:4] = struct.pack('!I', len(message) - 4)[1:]
    return b'\x16\x03\x01' + struct.pack('!H', len(message)) + bytes(message)


def in_records(record, size):
    """The same ClientHello over many records."""
    message = record[5:]
    pieces = (message[at:at + size] for at in range(0, len(message), size))
    return b''.join(b'\x16\x03\x01' + struct.pack('!H', len(piece)) + piece for piece in pieces)


def kind_of(data):
    if not data:
        return 'closed'
    if data[0] == 22:
        return 'server hello' if len(data) > 5 and data[5] == 2 else 'handshake'
    if data[0] == 21:
        return 'alert %d' % data[6] if len(data) > 6 else 'alert'
    if data.startswith(b'HTTP/1.'):
        return data.split(b'\r\n')[0].decode().split(' ', 1)[1]
    return 'data ' + data[:60].decode('latin-1')


def attempt(host, port, data=None, pieces=None):
    """One connection: what came of it and after how long."""
    began, port = time.monotonic(), int(port)
    written = '[%s]' % host if ':' in host else host
    try:
        with socket.create_connection((host, port), LIMIT) as stream:
            stream.settimeout(LIMIT)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if data is None:
                data = hello(host) if port in (443, 8443) else \
                    ('GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' % written).encode()
            for at in range(0, len(data), pieces or len(data)):
                stream.sendall(data[at:at + (pieces or len(data))])
                if pieces:
                    time.sleep(0.005)
            said = stream.recv(65536)
            outcome, text = kind_of(said), said.decode('latin-1')
    except socket.gaierror as error:
        outcome, text = 'no such name', str(error)
    except socket.timeout:
        outcome, text = 'timed out', ''
    except OSError as error:
        outcome, text = 'error', str(error)
    return dict(host=host, port=port, outcome=outcome, seconds=round(time.monotonic() - began, 3), text=text[:2000])


def verb_attempt(*pairs):
    """HOST PORT …: all of them, sixteen at once, in their order."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for answer in pool.map(lambda at: attempt(pairs[at], pairs[at + 1]), range(0, len(pairs), 2)):
            say(**answer)


def verb_wait(*pairs):
    """As `attempt`, of clients that say nothing until the server has."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for answer in pool.map(lambda at: attempt(pairs[at], pairs[at + 1], b'', 1), range(0, len(pairs), 2)):
            say(**answer)


def verb_tls(host, name, port='443'):
    """To one host with the name of another."""
    say(**attempt(host, port, hello(name)))


def verb_pieces(host):
    say(how='one byte at a time', **attempt(host, 443, hello(host), 1))
    say(how='eight bytes a record', **attempt(host, 443, in_records(hello(host), 8)))
    say(how='both', **attempt(host, 443, in_records(hello(host), 16), 7))


def verb_grease(host):
    """An encrypted ClientHello that is none (RFC 9849 calls it GREASE), as browsers send."""
    body = b'\x00\x00\x01\x00\x01' + bytes([7]) + struct.pack('!H', 32) + os.urandom(32) \
        + struct.pack('!H', 144) + os.urandom(144)
    say(**attempt(host, 443, with_extension(hello(host), 0xfe0d, body)))


def verb_raw(host, port, text):
    """Sends this text, with its escapes, and shows all that comes back until the end or two quiet seconds."""
    data = text.encode().decode('unicode_escape').encode('latin-1')
    said, end = b'', 'end'
    try:
        with socket.create_connection((host, int(port)), LIMIT) as stream:
            stream.settimeout(2)
            stream.sendall(data)
            while True:
                more = stream.recv(65536)
                if not more:
                    break
                said += more
    except socket.timeout:
        end = 'quiet'
    except OSError as error:
        end = str(error)
    say(said=said.decode('latin-1'), end=end)


def verb_half_close(host, port, size):
    """Ends its own direction, and only then gets all of it back."""
    data = os.urandom(int(size))
    with socket.create_connection((host, int(port)), LIMIT) as stream:
        stream.settimeout(LIMIT)
        stream.sendall(data)
        stream.shutdown(socket.SHUT_WR)
        back = b''
        while len(back) <= len(data):
            more = stream.recv(65536)
            if not more:
                break
            back += more
    say(same=back == data, got=len(back))


def verb_websocket(host, port, *texts):
    stream = socket.create_connection((host, int(port)), LIMIT)
    if port == '443':
        stream = ssl.create_default_context().wrap_socket(stream, server_hostname=host)
    stream.settimeout(LIMIT)
    key = base64.b64encode(os.urandom(16)).decode()
    stream.sendall(('GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                    'Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n' % (host, key)).encode())
    file = stream.makefile('rb')
    status, line = file.readline().decode().strip(), None
    while line not in (b'\r\n', b''):
        line = file.readline()
    back = []
    if ' 101 ' in status:
        for text in texts:
            mask, data = os.urandom(4), text.encode()
            masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
            length = bytes([0x80 | len(data)]) if len(data) < 126 else b'\xfe' + struct.pack('!H', len(data))
            stream.sendall(b'\x81' + length + mask + masked)
            size = file.read(2)[1]
            if size == 126:
                size = struct.unpack('!H', file.read(2))[0]
            back.append(file.read(size).decode())
    say(status=status, back=back)


def verb_pipeline(host, port, count):
    """All requests at once; the answers have to come in their order."""
    with socket.create_connection((host, int(port)), LIMIT) as stream:
        stream.settimeout(LIMIT)
        requests = ['GET /wait/%d HTTP/1.1\r\nHost: %s\r\n%s\r\n' % (
            (7 * at) % 40, host, 'Connection: close\r\n' if at + 1 == int(count) else '') for at in range(int(count))]
        stream.sendall(''.join(requests).encode())
        said = b''
        while True:
            more = stream.recv(65536)
            if not more:
                break
            said += more
    waited = [int(piece.split(b'\n')[0]) for piece in said.split(b'waited ')[1:]]
    say(answers=len(waited), in_order=waited == [(7 * at) % 40 for at in range(int(count))])


def verb_many(host, port, count, parallel):
    """Many short connections; says what went wrong, by kind."""
    request = ('GET /version HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' % host).encode()
    wrong, slowest = {}, 0
    with concurrent.futures.ThreadPoolExecutor(int(parallel)) as pool:
        for answer in pool.map(lambda _: attempt(host, port, request), range(int(count))):
            slowest = max(slowest, answer['seconds'])
            if answer['outcome'] != '200 OK':
                what = '%s %s' % (answer['outcome'], answer['text'][:80])
                wrong[what] = wrong.get(what, 0) + 1
    say(count=int(count), wrong=wrong, slowest=slowest)


def verb_loris(host, port, count, seconds):
    """Connections that begin and never go on; says how many the other side ended meanwhile."""
    streams, ended = [], 0
    start = hello(host)[:20] if port == '443' else b'GET / HTTP/1.1\r\nHost: '
    for _ in range(int(count)):
        try:
            stream = socket.create_connection((host, int(port)), LIMIT)
            stream.sendall(start)
            stream.setblocking(False)
            streams.append(stream)
        except OSError:
            ended += 1
    say(open=len(streams), refused=ended)
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until and streams:
        for stream in list(streams):
            try:
                if not stream.recv(4096):
                    raise ConnectionError
            except BlockingIOError:
                continue
            except OSError:
                streams.remove(stream)
                ended += 1
        time.sleep(0.05)
    say(open=len(streams), ended=ended)


def verb_begun(host, port, count, seconds):
    """Connections whose ClientHello is long and does not end."""
    streams = []
    record = lambda size, data: b'\x16\x03\x01' + struct.pack('!H', size) + data.ljust(size, b'\0')
    start = record(0x4000, b'\x01\x00\xf0\x00') + 2 * record(0x4000, b'') + record(0x2f00, b'')[:-9]
    for _ in range(int(count)):
        try:
            stream = socket.create_connection((host, int(port)), LIMIT)
            stream.sendall(start)
            streams.append(stream)
        except OSError:
            pass
    say(begun=len(streams))
    time.sleep(float(seconds))


def ask(server, name, kind, stream=False, edit=None):
    labels = b''.join(bytes([len(label)]) + label.encode() for label in name.split('.') if label)
    question = os.urandom(2) + b'\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00' + labels + b'\x00' + struct.pack('!HH', kind, 1)
    family = socket.AF_INET6 if ':' in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) as asking:
        asking.settimeout(3)
        asking.connect((server, 53))
        asking.sendall(struct.pack('!H', len(question)) + question if stream else question)
        answer = asking.recv(65536)
        # A stream comes in pieces of any size; the first two bytes say how much there is.
        while stream and (len(answer) < 2 or len(answer) < 2 + struct.unpack_from('!H', answer)[0]):
            more = asking.recv(65536)
            if not more:
                raise OSError('the answer ends in the middle')
            answer += more
        answer = answer[2:] if stream else answer
    return dict(code=answer[3] & 15, answers=struct.unpack_from('!H', answer, 6)[0], same_id=answer[:2] == question[:2])


def resolvers():
    with open('/etc/resolv.conf') as lines:
        return [line.split()[1] for line in lines if line.startswith('nameserver ')]


def verb_ask(name, *kinds):
    """Questions of these types (or A-B for all between), by datagram and by stream."""
    wanted = []
    for kind in kinds:
        first, _, last = kind.partition('-')
        wanted += range(int(first), int(last or first) + 1)
    for kind in wanted:
        for stream in (False, True):
            try:
                say(kind=kind, stream=stream, **ask(resolvers()[0], name % kind if '%' in name else name, kind, stream))
            except OSError as error:
                say(kind=kind, stream=stream, error=str(error))


def verb_resolve(*names):
    for name in names:
        began = time.monotonic()
        try:
            found = sorted({entry[4][0] for entry in socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)})
        except OSError as error:
            found = str(error)
        say(name=name, found=found, seconds=round(time.monotonic() - began, 3))


def verb_datagrams(*pairs):
    """HOST PORT …: a datagram to each; says what the system said."""
    for at in range(0, len(pairs), 2):
        family = socket.AF_INET6 if ':' in pairs[at] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.settimeout(0.2)
            outcome = 'silence'
            try:
                sender.connect((pairs[at], int(pairs[at + 1])))
                sender.send(b'out')
                outcome = 'answered ' + sender.recv(100).decode('latin-1')
            except socket.timeout:
                pass
            except OSError as error:
                outcome = str(error)
            say(host=pairs[at], port=int(pairs[at + 1]), outcome=outcome)


def verb_flood(seconds, *pairs):
    """Connects to all of them as fast as it can, for so long."""
    until, tried, answered, wrong = time.monotonic() + float(seconds), 0, 0, {}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        def one(worker):
            done, good, at = 0, 0, 2 * worker
            while time.monotonic() < until:
                answer = attempt(pairs[at % len(pairs)], pairs[at % len(pairs) + 1])
                done, good, at = done + 1, good + (answer['outcome'] == '200 OK'), at + 2
                if answer['outcome'] != '200 OK' and len(wrong) < 20:
                    wrong['%s %s' % (answer['outcome'], answer['text'][-120:])] = at
            return done, good
        for done, good in pool.map(one, range(8)):
            tried, answered = tried + done, answered + good
    say(tried=tried, answered=answered, wrong=sorted(wrong))


def verb_hold(host, port):
    """A connection to an echo that stays: a line every tenth of a second, and what came back."""
    with socket.create_connection((host, int(port)), LIMIT) as stream:
        stream.settimeout(3)
        number = 0
        while True:
            number += 1
            try:
                stream.sendall(b'%d\n' % number)
                back = stream.recv(100)
            except OSError as error:
                return say(ended=str(error), at=number)
            if not back:
                return say(ended='closed', at=number)
            say(echo=back.decode().strip())
            time.sleep(0.1)


globals()['verb_' + sys.argv[1].replace('-', '_')](*sys.argv[2:])
