"""A smarthost that can misbehave: one thread a connection, rules per stage. For load there is test/bench/sink."""
import re
import socket
import ssl
import struct
import threading
import time

from harness import free_port

DROP, RESET, SILENT = "drop", "reset", "silent"
STAGES = ("connect", "ehlo", "starttls", "mail", "rcpt", "data", "text", "dot", "rset", "quit")


class Rule:
    """`action`: a reply, DROP, RESET, SILENT (until the peer stops), or a function of the connection that gives one of
    these; None is the ordinary reply. `twice` writes the reply and then the ordinary one."""

    def __init__(self, stage, action, times=None, skip=0, match="", twice=False):
        assert stage in STAGES
        self.stage, self.action, self.times, self.skip, self.twice = stage, action, times, skip, twice
        self.match = re.compile(match)
        self.used = 0

    def takes(self, stage, argument):
        if stage != self.stage or not self.match.search(argument) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        self.used += 1
        return True


class Closed(Exception):
    pass


class Mail:
    def __init__(self, sender, recipients, data, connection):
        self.sender, self.recipients, self.data, self.connection = sender, recipients, data, connection

    def header(self):
        return self.data.split(b"\r\n\r\n", 1)[0] + b"\r\n"

    def body(self):
        return self.data.split(b"\r\n\r\n", 1)[1]


class Connection:
    def __init__(self, peer, sock, number):
        self.peer, self.sock, self.number = peer, sock, number
        self.buffer = b""
        self.text_read = 0
        self.mails = 0
        self.reset()

    def reset(self):
        self.sender, self.recipients = None, []

    def write(self, text):
        if isinstance(text, str):
            text = text.encode("latin-1")
        self.sock.sendall(text if text.endswith(b"\n") else text + b"\r\n")

    def fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise Closed
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("latin-1")

    def die(self, how):
        if how == RESET:
            raw = self.sock
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Closed

    def answer(self, stage, argument, ordinary):
        """Plays a stage; true when it was the ordinary answer."""
        self.peer.note(stage, argument, self.number)
        rule = self.peer.rule(stage, argument)
        action = rule.action if rule else None
        if callable(action):
            action = action(self)
        if action is None:
            self.write(ordinary)
            return True
        if action in (DROP, RESET):
            self.die(action)
        if action == SILENT:
            self.peer.stopping.wait()
            raise Closed
        self.write(action)
        if rule.twice:
            self.write(ordinary)
            return True
        if isinstance(action, str) and action.startswith("421"):
            raise Closed
        return False

    def serve(self):
        if not self.answer("connect", "", "220 peer.example.net ESMTP"):
            self.linger()
        while True:
            line = self.line()
            verb = line.split(" ")[0].split(":")[0].upper()
            argument = line[len(verb):].strip()
            handler = getattr(self, "on_" + verb.lower(), None)
            if handler:
                handler(argument)
            else:
                self.write("502 5.5.1 not known: %s" % verb)

    def linger(self):
        """A greeting that was none: what follows is answered alike."""
        while True:
            if self.line().upper().startswith("QUIT"):
                self.write("221 2.0.0 bye")
                raise Closed
            self.write("503 5.5.1 no service")

    def on_ehlo(self, argument):
        caps = list(self.peer.caps)
        if self.peer.certificate and not isinstance(self.sock, ssl.SSLSocket):
            caps.append("STARTTLS")
        lines = ["peer.example.net"] + caps
        text = "".join("250%s%s\r\n" % ("-" if i + 1 < len(lines) else " ", l) for i, l in enumerate(lines))
        self.answer("ehlo", argument, text)
        self.reset()

    def on_helo(self, argument):
        self.answer("ehlo", argument, "250 peer.example.net")

    def on_starttls(self, argument):
        if not self.answer("starttls", argument, "220 2.0.0 go ahead"):
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.peer.certificate)
        self.sock = context.wrap_socket(self.sock, server_side=True)
        self.buffer = b""

    def on_mail(self, argument):
        if self.answer("mail", argument, "250 2.1.0 ok"):
            self.sender = re.search("<(.*?)>", argument).group(1)
            self.recipients = []

    def on_rcpt(self, argument):
        if self.answer("rcpt", argument, "250 2.1.5 ok"):
            self.recipients.append(re.search("<(.*?)>", argument).group(1))

    def on_data(self, argument):
        if not self.recipients:
            self.write("554 5.5.1 no valid recipients")
            return
        if not self.answer("data", "", "354 go ahead"):
            return
        while not self.buffer.startswith(b".\r\n") and b"\r\n.\r\n" not in self.buffer:
            self.peer.note("text", "", self.number)
            rule = self.peer.rule("text", "")
            if rule:
                action = rule.action(self) if callable(rule.action) else rule.action
                if action in (DROP, RESET):
                    self.die(action)
                if action == SILENT:
                    self.peer.stopping.wait()
                    raise Closed
                if action:
                    self.write(action)
            self.fill()
        if self.buffer.startswith(b".\r\n"):
            text, self.buffer = b"", self.buffer[3:]
        else:
            text, self.buffer = self.buffer.split(b"\r\n.\r\n", 1)
            text = (b"\r\n" + text + b"\r\n").replace(b"\r\n.", b"\r\n")[2:]
        mail = Mail(self.sender, self.recipients, text, self.number)
        self.reset()
        self.mails += 1
        queue_id = self.peer.new_id()
        if self.answer("dot", text.decode("latin-1"), "250 2.0.0 Ok: queued as %s" % queue_id):
            self.peer.take(mail)

    def on_rset(self, argument):
        if self.answer("rset", argument, "250 2.0.0 ok"):
            self.reset()

    def on_quit(self, argument):
        self.answer("quit", argument, "221 2.0.0 bye")
        raise Closed


class Peer:
    CAPS = ("PIPELINING", "8BITMIME", "SIZE 52428800", "ENHANCEDSTATUSCODES")

    def __init__(self, port=None, caps=CAPS, certificate=None, host="127.0.0.1"):
        self.port, self.caps, self.certificate, self.host = port or free_port(), caps, certificate, host
        self.lock = threading.Lock()
        self.mails, self.events, self.rules, self.sockets = [], [], [], []
        self.ids = self.connections = 0
        self.listener = None
        self.stopping = threading.Event()

    def start(self):
        self.stopping = threading.Event()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((self.host, self.port))
        self.listener.listen(512)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()
        return self

    def stop(self):
        """Nobody listens any more, and all connections are cut."""
        self.stopping.set()
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        self.cut()

    def cut(self):
        with self.lock:
            sockets, self.sockets = self.sockets, []
        for sock in sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                number = self.connections
                self.sockets.append(sock)
            threading.Thread(target=self.run, args=(sock, number), daemon=True).start()

    def run(self, sock, number):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self, sock, number)
        try:
            connection.serve()
        except (Closed, OSError, ssl.SSLError):
            pass
        connection.sock.close()

    def on(self, stage, action, times=None, skip=0, match="", twice=False):
        rule = Rule(stage, action, times, skip, match, twice)
        with self.lock:
            self.rules.append(rule)
        return rule

    def well(self):
        """No faults from here on."""
        with self.lock:
            self.rules = []

    def rule(self, stage, argument):
        with self.lock:
            return next((rule for rule in self.rules if rule.takes(stage, argument)), None)

    def note(self, stage, argument, number):
        with self.lock:
            self.events.append((time.monotonic(), stage, argument, number))

    def new_id(self):
        with self.lock:
            self.ids += 1
            return "PEER%06d" % self.ids

    def take(self, mail):
        with self.lock:
            self.mails.append(mail)

    def count(self, stage, match=""):
        with self.lock:
            return sum(1 for _, what, argument, _ in self.events if what == stage and re.search(match, argument))

    def got(self, subject):
        """The mails with that Subject, reports left out."""
        line = b"\r\nSubject: " + subject.encode() + b"\r\n"
        with self.lock:
            return [mail for mail in self.mails if mail.sender and line in b"\r\n" + mail.header()]

    def reports(self):
        with self.lock:
            return [mail for mail in self.mails if not mail.sender and b"multipart/report" in mail.header()]
