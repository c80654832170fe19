"""Many sessions at a time, each held wherever a race wants it, up to before its final dot."""
import socket
import threading

from harness import PASSWORD, insecure_context, plain

CONTEXT = insecure_context()


class Session:
    """One connection to the daemon's implicit TLS port, greeted and logged in. Replies are (code, text of the last line)."""

    def __init__(self, daemon, user="alice@example.org", password=PASSWORD, timeout=120):
        clear = socket.create_connection(("127.0.0.1", daemon.tls_port), timeout)
        clear.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = CONTEXT.wrap_socket(clear)
        self.rest = b""
        assert self.reply()[0] == 220
        assert self.command("EHLO client.example")[0] == 250
        code, said = self.command("AUTH PLAIN " + plain(user, password))
        assert code == 235, said

    def send(self, data):
        self.socket.sendall(data.encode())

    def line(self):
        while b"\r\n" not in self.rest:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("closed by the daemon")
            self.rest += more
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line.decode("latin-1")

    def reply(self):
        while True:
            line = self.line()
            if line[3:4] != "-":
                return int(line[:3]), line[4:]

    def command(self, line):
        self.send(line + "\r\n")
        return self.reply()

    def group(self, *lines):
        """Pipelined: one write, then all replies."""
        self.send("".join(line + "\r\n" for line in lines))
        return [self.reply() for _ in lines]

    def begin(self, *recipients, sender="alice@example.org"):
        """Up to the 354; gives the codes of each RCPT and of DATA."""
        replies = self.group("MAIL FROM:<%s>" % sender, *["RCPT TO:<%s>" % r for r in recipients], "DATA")
        assert replies[0][0] == 250, replies
        return [code for code, _ in replies[1:]]

    def quit(self):
        try:
            self.command("QUIT")
        finally:
            self.drop()

    def drop(self):
        """No QUIT, no close_notify."""
        self.socket.close()


def together(count, work):
    """Runs work(0), work(1) ... in a thread each; gives their results, or raises what one of them raised."""
    results, failures = [None] * count, []

    def run(n):
        try:
            results[n] = work(n)
        except BaseException as failure:  # the test is to fail with it, not the thread
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


def text(subject, body="Hello.\r\n"):
    return "From: <alice@example.org>\r\nTo: <bob@example.net>\r\nSubject: %s\r\n\r\n%s" % (subject, body)
