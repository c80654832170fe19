"""Who is it? AUTH over a real TLS session, on one daemon for the whole file."""
import base64
import hashlib
import hmac
import os
import select
import socket
import statistics
import threading
import time

import pytest

from harness import Gatepost, PASSWORD, free_port, message, plain
from raw import Raw, b64, opened


OFFERED = "AUTH PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-256-PLUS"
# The screen has tests of its own (test_screen).
EXEMPT = 'screen_exempt = { "127.0.0.0/8" }\n'


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    daemon = Gatepost(tmp_path_factory.mktemp("auth"), free_port(), EXEMPT + "auth_failures = 100\nerrors = 100000\njunk = 1000").start()
    daemon.account("alice", "bob")
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-5000:]


def session(daemon):
    return opened(daemon, user=None)


def test_au01_mechanisms_are_these(daemon):
    with Raw(daemon.tls_port, implicit=True) as raw:
        lines = raw.ehlo().split("\n")
        assert [l[4:] for l in lines if l[4:].startswith("AUTH")] == [OFFERED]
        assert not any(l[4:].startswith("AUTH=") for l in lines)
        for name in ("CRAM-MD5", "DIGEST-MD5", "NTLM", "OTP", "ANONYMOUS", "EXTERNAL", "OAUTHBEARER", "SCRAM-SHA-512", "X" * 20, "GSSAPI"):
            raw.want("AUTH " + name, "504 5.5.4")
        raw.want("AUTH " + "X" * 60, "50")
        assert raw.auth().startswith("235 2.7.0")


def test_au02_each_attempt_is_a_new_one(daemon):
    with session(daemon) as raw:
        for n in range(50):
            raw.want(("AUTH LOGIN", "AUTH PLAIN", "AUTH SCRAM-SHA-256")[n % 3], "334")
            raw.want("*", "501 5.7.0")
            assert raw.auth(password="wrong").startswith("535 5.7.8")
        assert raw.auth().startswith("235")


def test_au03_gone_in_the_middle(daemon):
    for say in ("AUTH LOGIN\r\n", "AUTH LOGIN YWxpY2U=\r\n", "AUTH PLAIN\r\n", "AUTH PLAIN " + plain("alice") + "\r\n",
                "AUTH SCRAM-SHA-256 " + b64("n,,n=alice,r=abcdefgh") + "\r\n"):
        for linger in (False, True):
            raw = session(daemon)
            raw.send(say)
            if linger:
                raw.reply()
            raw.sock.close()
    with session(daemon) as raw:
        assert raw.auth().startswith("235")


def test_au04_login_in_all_its_forms(daemon):
    user, word = b64("alice@example.org"), b64(PASSWORD)
    for first in ("AUTH LOGIN", "AUTH login"):
        with session(daemon) as raw:
            assert raw.ask(first) == "334 VXNlcm5hbWU6"
            assert raw.ask(user) == "334 UGFzc3dvcmQ6"
            raw.want(word, "235")
    with session(daemon) as raw:
        assert raw.ask("AUTH LOGIN " + user) == "334 UGFzc3dvcmQ6"
        raw.want("*", "501 5.7.0")
        assert raw.ask("AUTH PLAIN") == "334 "
        raw.want(plain("alice"), "235")


@pytest.mark.parametrize("text", ["@@@@", "A", "====", "AG=xpY2U=", "AGFs aWNl", "AGFsaWNl!", "AGFsaWNlAA", "AGFsaWNl===="])
def test_au05_bad_base64(daemon, text):
    with session(daemon) as raw, session(daemon) as other:
        raw.want("AUTH PLAIN " + text, "501 5.5.")
        raw.want("AUTH PLAIN", "334")
        raw.want(text, "501 5.5.")
        assert other.auth().startswith("235")
        assert raw.auth().startswith("235")


def test_au06_long_lines(daemon):
    with session(daemon) as raw:
        raw.want("AUTH PLAIN", "334")
        raw.want("A" * 12288, "5")
        raw.want("AUTH PLAIN", "334")
        raw.want("A" * 12292, "500 5.5.6")
        raw.want("AUTH PLAIN " + plain("u" * 5000), "535")
        raw.want("AUTH PLAIN " + plain("alice", "p" * 5000), "535")
        raw.want("AUTH PLAIN " + plain("a" * 400 + "@example.org"), "535")
        assert raw.auth().startswith("235")


@pytest.mark.parametrize("text", [b"", b"alice", b"\0alice", b"\0alice\0", b"\0\0" + PASSWORD.encode(), b"\0\0",
                                  b"\0alice\0" + PASSWORD.encode() + b"\0", b"\0alice\0x\0y\0z", b"\0ali\nce\0pw", b"\0alice\0p\r\nw"])
def test_au07_plain_with_odd_parts(daemon, text):
    with session(daemon) as raw:
        reply = raw.ask("AUTH PLAIN " + (b64(text) or "="))
        assert reply[:3] in ("535", "501"), reply
        assert raw.auth().startswith("235")


def test_au08_authzid(daemon):
    with session(daemon) as raw:
        raw.want("AUTH PLAIN " + b64(b"bob@example.org\0alice@example.org\0" + PASSWORD.encode()), "535")
        raw.want("AUTH PLAIN " + b64(b"alice@example.org\0alice@example.org\0" + PASSWORD.encode()), "235")


@pytest.mark.parametrize("name", ["alice", "ALICE", "Alice@Example.ORG", " alice", "alice ", "alice\t", "alice@example.org.",
                                  "alice@", "\tALICE", "alice@example.org\n", "al\u0131ce"])
def test_au09_one_account_however_it_is_spelt(daemon, name):
    """Refused, or the very same account."""
    def used():
        return int(daemon.ctl("account", "show", "alice", rows=True)[0]["used"].split()[0])
    before = used()
    with session(daemon) as raw:
        reply = raw.auth(name)
        assert reply[:3] in ("235", "535", "501"), reply
        if reply.startswith("235"):
            assert raw.mail(["r@example.net"], message("x")).startswith("250")
            assert used() == before + 1
    assert [row["account"] for row in daemon.ctl("account", "list", rows=True)] == ["alice@example.org", "bob@example.org"]


def test_au10_order(daemon):
    with Raw(daemon.tls_port, implicit=True) as raw:
        raw.want("AUTH PLAIN " + plain("alice"), "503")
        raw.ehlo()
        raw.want("MAIL FROM:<alice@example.org>", "530 5.7.0")
        assert raw.auth().startswith("235")
        raw.want("AUTH PLAIN " + plain("alice"), "503 5.5.1")
        raw.want("MAIL FROM:<alice@example.org>", "250")
        raw.want("AUTH PLAIN " + plain("alice"), "503 5.5.1")
    with session(daemon) as raw:
        raw.send("AUTH PLAIN %s\r\nMAIL FROM:<alice@example.org>\r\nNOOP\r\n" % plain("alice"))
        assert [raw.reply()[:3] for _ in range(3)] == ["235", "250", "250"]
    with session(daemon) as raw:
        raw.send("AUTH PLAIN %s\r\nMAIL FROM:<alice@example.org>\r\nNOOP\r\n" % plain("alice", "wrong"))
        assert [raw.reply()[:3] for _ in range(3)] == ["535", "530", "250"]


def times_of(daemon, users, password, rounds):
    times = {user: [] for user in users}
    texts = set()
    for _ in range(rounds // 30):
        with session(daemon) as raw:
            for n in range(30 * len(users)):
                user = users[n % len(users)]
                begin = time.perf_counter()
                texts.add(raw.auth(user, password))
                times[user].append(time.perf_counter() - begin)
    return times, texts


def test_au11_unknown_user_looks_like_a_wrong_password(daemon, capsys):
    """Same text; the times are printed, not judged: the machine is not ours alone."""
    times, texts = times_of(daemon, ("alice@example.org", "nobody@example.org"), "not it", 300)
    assert len(texts) == 1 and texts.pop().startswith("535 5.7.8")
    with capsys.disabled():
        for user, what in (("alice", "wrong password"), ("nobody", "unknown user")):
            values = times[user + "@example.org"]
            print("\nAU11 %s: median %.3f ms, least %.3f ms" % (what, statistics.median(values) * 1e3, min(values) * 1e3), end="")
        print()


def test_au12_three_failures_end_the_session(tmp_path):
    daemon = Gatepost(tmp_path, free_port(), EXEMPT).start().account("alice")
    for between in (None, "RSET", "EHLO again.example", "NOOP"):
        with session(daemon) as raw:
            for _ in range(2):
                assert raw.auth(password="wrong").startswith("535")
                if between:
                    raw.want(between, "250")
            assert raw.auth(password="wrong").startswith("535")
            assert raw.reply().startswith("421 4.7.0")
            assert raw.closed()
    assert daemon.stop() == 0


def test_au18_no_secret_in_the_log(daemon):
    marks = ["dont-write-this-%d" % n for n in range(4)]
    with session(daemon) as raw:
        raw.auth("alice", marks[0])
        raw.auth(marks[1], "x")  # a password typed as the name
        raw.ask("AUTH LOGIN")
        raw.ask(b64(marks[2]))
        raw.ask(b64("y"))
        raw.ask("AUTH PLAIN " + b64(marks[3]))
    daemon.wait_log("event=auth-fail", 3)
    log = daemon.log()
    for mark in marks:
        assert b64(mark).rstrip("=") not in log
    assert marks[0] not in log and marks[3] not in log
    assert PASSWORD not in log


class SlowSaslauthd:
    """Answers nobody before it is told to; then everybody with OK."""

    def __init__(self, path):
        self.asked, self.release = [], threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        os.chmod(path, 0o666)
        self.listener.listen(100)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, client.makefile("rb") as stream:
            self.asked.append([stream.read(int.from_bytes(stream.read(2), "big")) for _ in range(4)])
            self.release.wait(120)
            client.sendall(b"\0\2OK")

    def close(self):
        self.release.set()
        self.listener.close()


def test_au16_a_slow_back_end_slows_nobody_else(tmp_path, sink):
    """50 logins at once: so many are checked, the others hear 454; and everybody else goes on meanwhile."""
    path = str(tmp_path / "mux")
    daemon = Gatepost(tmp_path, sink.port, EXEMPT + 'auth = saslauthd\nauth_socket = "%s"\nauth_jobs = 20\nenrol = open\njunk = 1000\n' % path)
    back_end = SlowSaslauthd(path)
    back_end.release.set()
    daemon.start()
    with opened(daemon, user=None) as sender, opened(daemon, user=None) as idler:
        assert sender.auth("sender").startswith("235")
        back_end.release.clear()
        many = [opened(daemon, user=None) for _ in range(50)]
        for n, raw in enumerate(many):
            raw.send("AUTH PLAIN %s\r\nNOOP\r\n" % plain("u%d" % n))
        # Those that are not looked at hear so at once, while the others wait.
        refused = select_all(many, 30)
        assert [raw.reply()[:9] for raw in refused] == ["454 4.7.0"] * 30
        times = []
        for n in range(100):
            began = time.monotonic()
            idler.want("NOOP", "250")
            times.append(time.monotonic() - began)
        assert sender.mail(["r@example.net"], message("while they wait"), sender="sender@example.org").startswith("250")
        print("AU16 NOOP while others wait: median %.2f ms" % (statistics.median(times) * 1e3))
        back_end.release.set()
        waiting = [raw for raw in many if raw not in refused]
        # AU10: what is pipelined behind AUTH runs when it is decided.
        assert [(raw.reply()[:3], raw.reply()[:3]) for raw in waiting] == [("235", "250")] * 20
        for raw in refused:
            assert raw.reply().startswith("250")
            assert raw.auth("late%d" % id(raw)).startswith("235")
        for raw in many:
            raw.sock.close()
    back_end.close()
    accounts = {row["account"] for row in daemon.ctl("account", "list", rows=True)}
    assert "sender@example.org" in accounts and len(accounts) == 51
    assert daemon.stop() == 0, daemon.log()[-5000:]


def test_a_login_at_a_back_end_lasts_a_hundred_mails(tmp_path, sink):
    """We do not hear that a password was changed there: so it is asked for again."""
    path = str(tmp_path / "mux")
    daemon = Gatepost(tmp_path, sink.port, EXEMPT + 'auth = saslauthd\nauth_socket = "%s"\nenrol = open\n' % path)
    back_end = SlowSaslauthd(path)
    back_end.release.set()
    daemon.start()
    with opened(daemon) as raw:
        for _ in range(100):
            assert raw.mail(["r@example.net"], message("x")).startswith("250")
        assert raw.reply().startswith("421 4.7.0") and raw.closed()
    with opened(daemon) as raw:
        assert raw.mail(["r@example.net"], message("x")).startswith("250")
    back_end.close()
    assert daemon.stop() == 0, daemon.log()[-5000:]


def select_all(raws, count, seconds=60):
    """Those that have something to say, once there are `count` of them."""
    end = time.monotonic() + seconds
    while True:
        ready = set(select.select([raw.sock for raw in raws], [], [], 0.05)[0])
        found = [raw for raw in raws if raw.sock in ready]
        if len(found) >= count or time.monotonic() >= end:
            return found


def test_au19_password_changed(daemon):
    daemon.account("carol")
    idle, asked, writing, other = (opened(daemon, user="carol") for _ in range(4))
    bystander = opened(daemon)
    asked.want("MAIL FROM:<carol@example.org>", "250")
    writing.want("MAIL FROM:<carol@example.org>", "250")
    writing.want("RCPT TO:<r@example.net>", "250")
    writing.want("DATA", "354")
    writing.send("Subject: a thief's\r\n\r\n")
    daemon.ctl("account", "passwd", "carol", stdin="another one\n")
    # Nobody needs to say anything to hear of it.
    for raw in (idle, asked, other):
        assert raw.reply().startswith("421 4.7.0") and raw.closed()
    writing.send("text\r\n.\r\n")
    assert writing.reply().startswith("421 4.7.0") and writing.closed()
    assert not daemon.events("event=queued.*carol")
    with session(daemon) as fresh:
        assert fresh.auth("carol").startswith("535")
        assert fresh.auth("carol", "another one").startswith("235")
        assert fresh.mail(["r@example.net"], message("x"), sender="carol@example.org").startswith("250")
    bystander.want("MAIL FROM:<alice@example.org>", "250")
    bystander.sock.close()


def test_au19_account_deleted(daemon):
    daemon.account("dave")
    with opened(daemon, user="dave") as idle, opened(daemon, user="dave") as asked, opened(daemon) as bystander:
        asked.want("MAIL FROM:<dave@example.org>", "250")
        daemon.ctl("account", "delete", "dave")
        for raw in (idle, asked):
            assert raw.reply().startswith("421 4.7.0") and raw.closed()
        bystander.want("NOOP", "250")
    with session(daemon) as raw:
        assert raw.auth("dave").startswith("535")
    # One of the same name is another one.
    daemon.account("dave")
    with session(daemon) as raw:
        assert raw.auth("dave").startswith("235")


class Scram:
    """RFC 5802, 7677: the client's side."""

    def __init__(self, user, password):
        self.password = password.encode()
        self.bare = "n=%s,r=%s" % (user.replace("=", "=3D").replace(",", "=2C"), b64(os.urandom(18)))
        self.first = "n,," + self.bare

    def final(self, server_first):
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        assert fields["r"].startswith(self.bare.split("r=")[1])
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(fields["s"]), int(fields["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        without = "c=biws,r=" + fields["r"]
        said = ",".join((self.bare, server_first, without)).encode()
        proof = bytes(a ^ b for a, b in zip(key, hmac.digest(hashlib.sha256(key).digest(), said, "sha256")))
        self.signature = b64(hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), said, "sha256"))
        return "%s,p=%s" % (without, b64(proof))


def scram(raw, user, password, initial=True):
    """The last reply; the server's signature is checked."""
    client = Scram(user, password)
    if initial:
        reply = raw.ask("AUTH SCRAM-SHA-256 " + b64(client.first))
    else:
        assert raw.ask("AUTH SCRAM-SHA-256") == "334 "
        reply = raw.ask(b64(client.first))
    assert reply.startswith("334 "), reply
    reply = raw.ask(b64(client.final(base64.b64decode(reply[4:]).decode())))
    if reply.startswith("334 "):
        assert base64.b64decode(reply[4:]).decode() == "v=" + client.signature
        reply = raw.ask("")  # as MailKit: an empty line ends it
    return reply


@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("user", ["alice", "alice@example.org", "ALICE@example.org"])
def test_scram_sha_256(daemon, user, initial):
    with session(daemon) as raw:
        assert scram(raw, user, "wrong", initial).startswith("535 5.7.8")
        reply = scram(raw, user, PASSWORD, initial)
        assert reply.startswith("235"), reply
        assert raw.mail(["r@example.net"], message("scram")).startswith("250")


def test_scram_unknown_user_gets_a_stable_salt(daemon):
    """A salt that changed, or another count of iterations, would tell who exists."""
    def challenge(user):
        with session(daemon) as raw:
            reply = raw.ask("AUTH SCRAM-SHA-256 " + b64("n,,n=%s,r=abcdefgh12345678" % user))
            fields = dict(p.split("=", 1) for p in base64.b64decode(reply[4:]).decode().split(","))
            final = raw.ask(b64("c=biws,r=%s,p=%s" % (fields["r"], b64(b"x" * 32))))
            return fields["s"], fields["i"], final
    known, unknown, again = challenge("alice"), challenge("nobody"), challenge("nobody")
    assert unknown == again
    assert known[0] != unknown[0] and len(known[0]) == len(unknown[0])
    assert known[1:] == unknown[1:]
    assert known[2].startswith("535 5.7.8")
