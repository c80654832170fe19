#!/usr/bin/env python3
"""Plays dialogues (see README.md) against a running daemon, over TLS.

    play.py --host 127.0.0.1 --port 587 --tls-port 465 test/dialogue/*.smtp

Files that begin with @starttls-listener use --port, those with @implicit use --tls-port, or --port
when --implicit is given; a file without its port is skipped. Any certificate will do. Prints a line
a file and then "N passed, N failed"; exit status 1 when one failed, 64 for a wrong command line.
"""

import argparse
import fnmatch
import pathlib
import re
import socket
import ssl
import sys

AUTH = b"AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA=="
ESCAPE = re.compile(r"\\\*(\d+)\{(.*?)\}|\\x([0-9a-fA-F]{2})|\\(.)")
SIMPLE = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


class Failure(Exception):
    pass


def unescape(text):
    """The bytes that an escaped text stands for, as Latin-1."""

    def one(match):
        times, repeated, code, simple = match.groups()
        if times:
            return unescape(repeated) * int(times)
        return chr(int(code, 16)) if code else SIMPLE[simple]

    return ESCAPE.sub(one, text)


def matches(pattern, line):
    parts = [re.escape(part) for part in pattern.split("*")]
    return re.fullmatch(".*".join(parts), line, re.DOTALL) is not None


class Player:
    def __init__(self, options):
        self.options = options
        self.sock = None
        self.got = b""
        self.unsent = b""

    def wrap(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if self.got:
            raise Failure(f"said in clear behind STARTTLS: {self.got[:80]!r}")
        self.sock = context.wrap_socket(self.sock, server_hostname="mail.example.org")

    def connect(self, port, implicit):
        address = (self.options.host, port)
        self.sock = socket.create_connection(address, self.options.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if implicit:
            self.wrap()

    def send(self):
        data, self.unsent = self.unsent, b""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server may close in the middle of it: what it said is read below

    def receive(self):
        """More bytes; False at the end of the connection."""
        try:
            more = self.sock.recv(65536)
        except TimeoutError:
            raise Failure("the server says nothing") from None
        except (ConnectionResetError, ssl.SSLEOFError):
            more = b""
        self.got += more
        return bool(more)

    def read_line(self):
        while b"\r\n" not in self.got:
            if not self.receive():
                raise Failure("the server closed")
        line, self.got = self.got.split(b"\r\n", 1)
        return line.decode("latin-1")

    def expect(self, pattern):
        line = self.read_line()
        if not matches(pattern, line):
            raise Failure(f"the server said {line!r}, not {pattern!r}")

    def run(self, line):
        word, _, value = line.partition(" ")
        if word in ("C:", "C!"):
            end = b"\r\n" if word == "C:" else b""
            self.unsent += unescape(value).encode("latin-1") + end
            return
        self.send()
        if word == "S:":
            self.expect(unescape(value))
        elif word == "@until":
            while not matches(unescape(value), self.read_line()):
                pass
        elif word == "@auth":
            self.unsent = AUTH + b"\r\n"
            self.send()
            self.expect("235 2.7.0 *")
        elif word == "@tls":
            self.wrap()
        elif word == "@close":
            while self.receive():
                pass
        else:
            raise Failure(f"not understood: {line!r}")

    def finish(self):
        self.send()
        if self.got:
            raise Failure(f"left over: {self.got[:80]!r}")


def read_file(path):
    """The head and the numbered lines behind it; bytes stand for themselves as Latin-1."""
    lines = path.read_bytes().decode("latin-1").split("\n")
    steps = [(n, text) for n, text in enumerate(lines, 1) if text and not text.startswith("#")]
    if not steps or steps[0][1] not in ("@starttls-listener", "@implicit"):
        raise Failure("no head")
    return steps[0][1], steps[1:]


def play(path, options):
    """None when all went well, the word for the output when it did not."""
    player = Player(options)
    number = 1
    try:
        head, steps = read_file(path)
        port = options.ports[head]
        if port is None:
            return "skip no port"
        player.connect(port, head == "@implicit")
        for number, line in steps:
            player.run(line)
        player.finish()
        return None
    except (Failure, OSError) as failure:
        return f"FAIL line {number}: {failure}"
    finally:
        if player.sock:
            player.sock.close()


def main():
    parser = argparse.ArgumentParser(description="plays dialogues against a running daemon")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--implicit", action="store_true", help="TLS from the start on --port")
    parser.add_argument("--tls-port", type=int, help="a second port, with TLS from the start")
    parser.add_argument("--timeout", type=float, default=15, help="seconds to wait for a reply")
    parser.add_argument("--only", default="*", help="files whose name is like this")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    options.ports = {
        "@starttls-listener": None if options.implicit else options.port,
        "@implicit": options.port if options.implicit else options.tls_port,
    }
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    for path in options.files:
        if not fnmatch.fnmatch(path.stem, options.only):
            continue
        word, _, why = (play(path, options) or "ok").partition(" ")
        counts[word] += 1
        print(word, path.stem, why, flush=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] or not counts["ok"] else 0


if __name__ == "__main__":
    sys.exit(main())
