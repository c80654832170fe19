"""A client that says exactly what it is told to, with or without TLS."""
import base64
import socket
import ssl

from harness import PASSWORD, insecure_context, plain


class Raw:
    def __init__(self, port, implicit=False, context=None, timeout=60, greet=True, source=None):
        self.context = context or insecure_context()
        self.sock = socket.create_connection(("127.0.0.1", port), timeout, (source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        if implicit:
            self.handshake()
        self.greeting = self.reply() if greet else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def handshake(self, session=None):
        self.sock = self.context.wrap_socket(self.sock, server_hostname="localhost", session=session)

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def line(self):
        """One line without its end; None when the server has closed."""
        while b"\r\n" not in self.buffer:
            try:
                more = self.sock.recv(65536)
            except (ConnectionResetError, ssl.SSLEOFError):
                more = b""
            if not more:
                return None
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("latin-1")

    def reply(self):
        """A whole reply, its lines joined by newlines; "" when the server has closed."""
        lines = []
        while not lines or lines[-1][3:4] == "-":
            line = self.line()
            if line is None:
                return "\n".join(lines)
            lines.append(line)
        return "\n".join(lines)

    def ask(self, command):
        self.send(command + "\r\n")
        return self.reply()

    def want(self, command, start):
        reply = self.ask(command)
        assert reply.startswith(start), (command[:100], reply)
        return reply

    def closed(self):
        return self.line() is None

    def ehlo(self, name="client.example"):
        return self.want("EHLO " + name, "250")

    def starttls(self):
        self.ehlo()
        self.want("STARTTLS", "220")
        self.handshake()
        self.ehlo()
        return self

    def auth(self, user="alice@example.org", password=PASSWORD):
        return self.ask("AUTH PLAIN " + plain(user, password))

    def mail(self, recipients, text, sender="alice@example.org"):
        """The reply to the final dot, or the first refusal; `text` with CRLF and its dots doubled."""
        self.want("MAIL FROM:<%s>" % sender, "250")
        for recipient in recipients:
            reply = self.ask("RCPT TO:<%s>" % recipient)
            if not reply.startswith("250"):
                return reply
        reply = self.ask("DATA")
        if not reply.startswith("354"):
            return reply
        self.send(text + ("" if text.endswith("\r\n") else "\r\n") + ".\r\n")
        return self.reply()


def opened(daemon, user="alice@example.org", implicit=True):
    """Connected, TLS, EHLO, and logged in when there is a user."""
    if implicit:
        raw = Raw(daemon.tls_port, implicit=True)
        raw.ehlo()
    else:
        raw = Raw(daemon.port).starttls()
    if user:
        assert raw.auth(user).startswith("235")
    return raw


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()
