"""TLS and the deadlines around a session (TESTS TL*, RX*)."""
import os
import re
import select
import signal
import socket
import ssl
import struct
import subprocess
import time

import pytest

from harness import Gatepost, certificate, free_port, insecure_context, message, plain, wait_until
from raw import Raw, opened


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    daemon = Gatepost(tmp_path_factory.mktemp("tls"), free_port(), "limits = { }").start().account("alice")
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-5000:]


def s_client(daemon, *words, text="", implicit=True):
    command = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % (daemon.tls_port if implicit else daemon.port)]
    command += [] if implicit else ["-starttls", "smtp"]
    return subprocess.run(command + list(words), input=text, capture_output=True, text=True, timeout=60, errors="replace")


@pytest.mark.parametrize("behind", ["EHLO injected.example\r\n", "NOOP\r\n" * 20, "X" * 65536, "AUTH PLAIN " + plain("alice") + "\r\n",
                                    "MAIL FROM:<injected@example.com>\r\nRCPT TO:<x@example.net>\r\nDATA\r\n"])
def test_tl01_what_stands_behind_starttls_is_never_read(daemon, behind):
    """CVE-2011-0411. TL02: what came in the same segment is dropped."""
    raw = Raw(daemon.port)
    raw.ehlo()
    raw.send("STARTTLS\r\n" + behind)
    assert raw.reply().startswith("220 ")
    try:
        raw.handshake()
    except (OSError, ssl.SSLError):
        return  # closed is as good
    raw.sock.settimeout(0.5)
    with pytest.raises((TimeoutError, socket.timeout)):
        raw.line()
    raw.sock.settimeout(60)
    raw.want("RCPT TO:<bob@example.net>", "503")
    raw.ehlo()
    raw.want("MAIL FROM:<alice@example.org>", "530")
    raw.sock.close()


@pytest.mark.parametrize("split", range(1, 28, 3))
def test_tl01_split_at_every_place(daemon, split):
    data = b"STARTTLS\r\nEHLO injected.x\r\n"
    with Raw(daemon.port) as raw:
        raw.ehlo()
        raw.send(data[:split])
        time.sleep(0.02)
        try:
            raw.send(data[split:])
            assert raw.reply().startswith("220 ")
            raw.handshake()
        except (OSError, ssl.SSLError):
            return
        raw.want("RCPT TO:<bob@example.net>", "503")


def test_tl03_nothing_from_before_the_handshake_is_kept(daemon):
    with Raw(daemon.port) as raw:
        raw.want("EHLO before-tls.example", "250")
        raw.want("MAIL FROM:<alice@example.org>", "530 5.7.0")
        raw.want("STARTTLS", "220")
        raw.handshake()
        raw.want("MAIL FROM:<alice@example.org>", "503 5.5.1")
        raw.want("AUTH PLAIN " + plain("alice"), "503 5.5.1")
        raw.want("EHLO behind-tls.example", "250")
        assert raw.auth().startswith("235")
        reply = raw.mail(["bob@example.net"], message("tl03"))
        assert reply.startswith("250")
    assert "before-tls" not in daemon.log()


def test_tl04_starttls_where_it_does_not_belong(daemon):
    with Raw(daemon.port) as raw:
        assert "STARTTLS" in raw.ehlo()
        raw.want("STARTTLS now", "501 5.5.4")
        raw.starttls()
        assert "STARTTLS" not in raw.ehlo()
        raw.want("STARTTLS", "503 5.5.1")
        assert raw.auth().startswith("235")
        raw.want("MAIL FROM:<alice@example.org>", "250")
        raw.want("STARTTLS", "503")
    with Raw(daemon.tls_port, implicit=True) as raw:
        assert "STARTTLS" not in raw.ehlo()
        raw.want("STARTTLS", "50")


def test_tl05_no_auth_in_clear(daemon):
    with Raw(daemon.port) as raw:
        assert "AUTH" not in raw.ehlo()
        for command in ("AUTH PLAIN " + plain("alice"), "AUTH LOGIN", "MAIL FROM:<alice@example.org>", "RCPT TO:<b@example.net>", "DATA"):
            assert raw.ask(command)[:9] in ("530 5.7.0", "504 5.5.4", "503 5.5.1"), command
        raw.want("NOOP", "250")
        assert "event=login" not in "\n".join(daemon.events("sid=%d " % 0))
    assert plain("alice") not in daemon.log()


def test_tl06_a_failed_handshake_ends_the_connection(daemon):
    for implicit in (False, True):
        for garbage in (b"EHLO clear.example\r\n" * 20, b"\x16\x03\x01\x02\x00\x01\x00" + b"\0" * 512, b"\x15\x03\x03\x00\x02\x02\x28"):
            raw = Raw(daemon.tls_port if implicit else daemon.port, greet=not implicit)
            if not implicit:
                raw.ehlo()
                raw.want("STARTTLS", "220")
            raw.send(garbage)
            got = b""
            while True:
                try:
                    data = raw.sock.recv(65536)
                except ConnectionResetError:
                    data = b""
                if not data:
                    break
                got += data
            assert b"250" not in got and b"220" not in got and b"53" not in got
            raw.sock.close()
    assert daemon.events("event=tls-fail")


def test_tl07_versions_and_ciphers(daemon):
    for word, good in (("-tls1_3", True), ("-tls1_2", True), ("-tls1_1", False), ("-tls1", False)):
        done = s_client(daemon, word, "-cipher", "ALL:@SECLEVEL=0", text="QUIT\r\n")
        protocol = re.search(r"^ *(?:New, TLS|Protocol *: TLS)(\S+)", done.stdout, re.M)
        assert ("Cipher is (NONE)" not in done.stdout) == good, (word, protocol, done.stdout[-500:])
    for cipher in ("AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "aNULL", "AES128-GCM-SHA256"):
        done = s_client(daemon, "-tls1_2", "-cipher", cipher + ":@SECLEVEL=0", text="QUIT\r\n")
        assert "Cipher is (NONE)" in done.stdout, cipher
    done = s_client(daemon, "-tls1_2", text="QUIT\r\n")
    assert "Compression: NONE" in done.stdout and "Secure Renegotiation IS supported" in done.stdout
    done = s_client(daemon, "-tls1_3", text="QUIT\r\n", implicit=False)
    assert "Server Temp Key: X25519" in done.stdout


def talk(daemon, word, lines):
    """s_client, a line at a time: it takes its letters (K, R) only at the start of what it reads at once."""
    client = subprocess.Popen(["openssl", "s_client", "-connect", "127.0.0.1:%d" % daemon.tls_port, word, "-crlf"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = ""
    while "220 " not in said:
        said += client.stdout.readline()
    try:
        for line in lines:
            client.stdin.write(line + "\n")
            client.stdin.flush()
            time.sleep(0.05)
    except BrokenPipeError:
        pass
    return said + client.communicate(timeout=60)[0]


def test_tl08_renegotiation_is_refused(daemon):
    said = talk(daemon, "-tls1_2", ["EHLO client.example", "R", "NOOP", "quit"])
    assert "RENEGOTIATING" in said and "250 2.0.0 OK" not in said, said[-2000:]


def test_tl08_key_updates(daemon):
    said = talk(daemon, "-tls1_3", ["EHLO client.example"] + ["K"] * 10 + ["NOOP", "quit"])
    assert said.count("KEYUPDATE") == 10 and "250 2.0.0 OK" in said and "221 2.0.0" in said, said[-2000:]


def test_tl10_a_ticket_is_worth_nothing_elsewhere(tmp_path, daemon):
    """Resumption on the other port or at another daemon is a full handshake."""
    other = Gatepost(tmp_path, free_port()).start()
    try:
        context = insecure_context()
        with Raw(daemon.tls_port, implicit=True, context=context) as first:
            first.ehlo()
            session = first.sock.session
        assert session.has_ticket
        resumed = {}
        for name, port, implicit in (("same", daemon.tls_port, True), ("starttls", daemon.port, False), ("other", other.tls_port, True)):
            raw = Raw(port, context=context, greet=not implicit)
            if not implicit:
                raw.ehlo()
                raw.want("STARTTLS", "220")
            raw.handshake(session=session)
            if implicit:
                raw.reply()
            raw.ehlo()
            resumed[name] = raw.sock.session_reused
            raw.sock.close()
        assert not resumed["starttls"] and not resumed["other"]
    finally:
        assert other.stop() == 0


def test_tl12_no_early_data(tmp_path, daemon):
    ticket = str(tmp_path / "ticket")
    early = tmp_path / "early"
    early.write_text("EHLO early.example\r\n")
    s_client(daemon, "-tls1_3", "-sess_out", ticket, "-ign_eof", text="QUIT\r\n")
    if not os.path.exists(ticket):
        return  # no ticket, no early data
    done = s_client(daemon, "-tls1_3", "-sess_in", ticket, "-early_data", str(early), text="QUIT\r\n")
    assert "Early data was accepted" not in done.stdout
    assert "early.example" not in daemon.log()


def subject_of(daemon):
    with Raw(daemon.tls_port, implicit=True) as raw:
        return ssl.DER_cert_to_PEM_cert(raw.sock.getpeercert(binary_form=True))


def test_tl13_tl14_certificates_at_a_reload(tmp_path):
    """A new one for new sessions, none dropped; a broken one changes nothing and says why."""
    daemon = Gatepost(tmp_path, free_port()).start().account("alice")
    old = [opened(daemon) for _ in range(20)]
    first = subject_of(daemon)
    good_cert, good_key = certificate(str(tmp_path), "new-", "/CN=new.example")
    os.replace(good_cert, daemon.cert)
    os.replace(good_key, daemon.key)
    daemon.ctl("reload")
    second = subject_of(daemon)
    assert second != first
    for raw in old:
        assert raw.mail(["bob@example.net"], message("still here")).startswith("250")
        raw.sock.close()
    kept = {path: open(path).read() for path in (daemon.cert, daemon.key)}
    other_key = open(certificate(str(tmp_path), "other-")[1]).read()
    for path, text in ((daemon.key, other_key), (daemon.key, "no key\n"), (daemon.cert, "-----BEGIN CERTIFICATE-----\nAAAA\n"),
                       (daemon.cert, None), (daemon.key, None)):
        if text is None:
            os.rename(path, path + ".away")
        else:
            with open(path, "w") as f:
                f.write(text)
        done = daemon.ctl("reload", check=False)
        assert done.returncode == 1 and os.path.basename(path) in done.stderr and len(done.stderr.splitlines()) == 1, done
        daemon.signal(signal.SIGHUP)
        daemon.wait_log("event=reload-failed .*" + os.path.basename(path))
        assert subject_of(daemon) == second
        if text is None:
            os.rename(path + ".away", path)
        else:
            with open(path, "w") as f:
                f.write(kept[path])
    daemon.ctl("reload")
    assert subject_of(daemon) == second
    assert daemon.stop() == 0


def test_tl16_cut_without_close_notify_in_data(daemon):
    """A truncated mail is no mail; nor is one that ends with a proper TLS end but no dot."""
    before = len(daemon.queue())
    for proper in (False, True):
        raw = opened(daemon)
        raw.want("MAIL FROM:<alice@example.org>", "250")
        raw.want("RCPT TO:<bob@example.net>", "250")
        raw.want("DATA", "354")
        raw.send("Subject: cut\r\n\r\nhalf of it\r\n")
        time.sleep(0.1)
        if proper:
            raw.sock.unwrap().close()
        else:
            os.close(raw.sock.detach())
    for _ in range(3):
        raw = opened(daemon)
        raw.want("MAIL FROM:<alice@example.org>", "250")
        raw.want("RCPT TO:<bob@example.net>", "250")
        raw.want("DATA", "354")
        raw.send("Subject: cut\r\n\r\nhalf of it\r\n.")
        raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.sock.close()
    daemon.wait_connections(0)
    assert len(daemon.queue()) == before


@pytest.mark.parametrize("name", ["unknown.example", ".".join(["a" * 60] * 4)], ids=["unknown", "long"])
def test_tl17_any_server_name(daemon, name):
    raw = Raw(daemon.tls_port, greet=False)
    try:
        raw.sock = insecure_context().wrap_socket(raw.sock, server_hostname=name)
    except (OSError, ssl.SSLError):
        return
    assert raw.reply().startswith("220")
    raw.sock.close()


def test_tl18_handshakes_cut_short(daemon):
    """Descriptors come back."""
    def descriptors():
        return len(os.listdir("/proc/%d/fd" % daemon.process.pid))
    daemon.wait_connections(0)
    before = descriptors()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = insecure_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    for cut in (0, 1, 5, len(hello) // 2, len(hello)):
        for reset in (False, True):
            for _ in range(10):
                sock = socket.create_connection(("127.0.0.1", daemon.tls_port))
                sock.sendall(hello[:cut])
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
    wait_until(lambda: descriptors() <= before, "the descriptors back")


# ---- deadlines, floods ----

def closes(sock, seconds=30):
    """What came until the peer closed."""
    got = b""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ready, _, _ = select.select([sock], [], [], 0.1)
        if ready:
            try:
                data = sock.recv(65536)
            except (ConnectionResetError, ssl.SSLError):
                data = b""
            if not data:
                return got
            got += data
    raise AssertionError("it stays open; so far it said %r" % got)


def drip(raw, byte, seconds=30):
    """A byte now and then, so that nothing ever is quite idle, until the server closes."""
    end = time.monotonic() + seconds
    got = b""
    while time.monotonic() < end:
        ready, _, _ = select.select([raw.sock], [], [], 0)
        try:
            if ready:
                data = raw.sock.recv(65536)
                if not data:
                    return got
                got += data
            raw.send(byte)
            time.sleep(0.15)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            return got
    raise AssertionError("it stays open")


@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    settings = """tls_timeout = 1s
login_timeout = 2s
idle_timeout = 1s
data_timeout = 1s
data_rate = 1K
junk = 20
errors = 10
session_timeout = 1h
limits = { }
"""
    daemon = Gatepost(tmp_path_factory.mktemp("hasty"), free_port(), settings).start().account("alice")
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-5000:]


def test_tl15_handshake_deadline_is_in_total(hasty):
    for drops in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"):
        raw = Raw(hasty.tls_port, greet=False)
        raw.send(drops)
        closes(raw.sock)
        raw = Raw(hasty.port)
        raw.ehlo()
        raw.want("STARTTLS", "220")
        raw.send(drops)
        closes(raw.sock)
    raw = Raw(hasty.tls_port, greet=False)
    raw.send(b"\x16\x03\x01\x02\x00")
    drip(raw, b"\x01")


def test_rx03_every_phase_has_a_deadline(hasty):
    """A byte at a time does not buy time; a good client is not in the way."""
    raw = Raw(hasty.port)
    assert b"421 4.4.2" in closes(raw.sock)
    raw = opened(hasty, user=None)
    assert b"421 4.4.2" in closes(raw.sock)
    raw = opened(hasty, user=None)
    raw.want("AUTH LOGIN", "334")
    assert b"421 4.4.2" in closes(raw.sock)
    raw = opened(hasty)
    assert b"421 4.4.2" in closes(raw.sock)
    assert b"421 4.4.2" in drip(opened(hasty), b"x")
    assert b"421 4.4.2" in drip(opened(hasty, user=None), b"NOOP\r\n")
    with opened(hasty) as raw:
        assert raw.mail(["bob@example.net"], message("in time")).startswith("250")


def test_rx04_data_needs_a_least_rate(hasty):
    def begin():
        raw = opened(hasty)
        raw.want("MAIL FROM:<alice@example.org>", "250")
        raw.want("RCPT TO:<bob@example.net>", "250")
        raw.want("DATA", "354")
        return raw
    assert b"421 4.4.2" in closes(begin().sock)
    assert b"421 4.4.2" in drip(begin(), b"x")
    raw = begin()
    for _ in range(15):
        raw.send("x" * 900 + "\r\n")
        time.sleep(0.2)
    raw.send(".\r\n")
    assert raw.reply().startswith("250")
    raw.sock.close()
    hasty.wait_connections(0)
    assert len(hasty.queue()) == 2 or len(hasty.queue()) == 1


def test_rx05_a_client_that_does_not_read(hasty):
    """Our output is capped, reading stops, and the deadline comes."""
    raw = opened(hasty)
    raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.sock.settimeout(1)
    try:
        for _ in range(2000):
            raw.send("NOOP\r\n" * 200)
    except (OSError, ssl.SSLError):
        pass
    hasty.wait_connections(0)


def test_rx11_noops_and_errors_have_an_end(hasty):
    with opened(hasty) as raw:
        raw.send("NOOP\r\n" * 100)
        replies = []
        while True:
            reply = raw.reply()
            if not reply:
                break
            replies.append(reply)
        assert replies[-1].startswith("421 4.7.0") and len(replies) <= 22
    with opened(hasty) as raw:
        raw.send("FOO\r\n" * 100)
        replies = []
        while True:
            reply = raw.reply()
            if not reply:
                break
            replies.append(reply)
        assert replies[-1].startswith("421 4.7.0") and len(replies) <= 12
    with opened(hasty) as raw:  # a mail in between starts the count anew
        for _ in range(3):
            raw.send("NOOP\r\n" * 15)
            assert [raw.reply()[:3] for _ in range(15)] == ["250"] * 15
            assert raw.mail(["bob@example.net"], message("between")).startswith("250")


def test_rx01_rx02_connections(tmp_path):
    daemon = Gatepost(tmp_path, free_port(), "connections = 12\nconnections_per_network = 8\nconnections_per_account = 3\nlimits = { }")
    daemon.start().account("alice", "bob")
    daemon.wait_connections(0)
    mine = [opened(daemon) for _ in range(3)]
    with opened(daemon, user=None) as raw:
        assert raw.auth()[:9] in ("421 4.7.0", "454 4.7.0")
    others = [opened(daemon, "bob") for _ in range(3)]
    daemon.wait_connections(6)
    half_open = [socket.create_connection(("127.0.0.1", daemon.tls_port)) for _ in range(2)]
    daemon.wait_connections(8)
    raw = Raw(daemon.port)
    assert raw.greeting.startswith("421 4.7.0") and raw.closed()
    clear = socket.create_connection(("127.0.0.1", daemon.tls_port))
    assert closes(clear) == b""  # no 421 in clear where TLS is spoken
    far = socket.create_connection(("127.0.0.1", daemon.port), source_address=("127.0.0.7", 0))
    assert far.recv(100).startswith(b"220")
    for raw in mine + others:
        assert raw.ask("NOOP").startswith("250")
        raw.sock.close()
    for sock in half_open + [far]:
        sock.close()
    daemon.wait_connections(0)
    assert daemon.events("event=too-many-connections")
    with opened(daemon) as raw:
        assert raw.mail(["bob@example.net"], message("again")).startswith("250")
    assert daemon.stop() == 0


def test_rx08_more_recipients_than_allowed(tmp_path):
    daemon = Gatepost(tmp_path, free_port(), "recipients = 20\nlimits = { }\nerrors = 1000").start().account("alice")
    with opened(daemon) as raw:
        raw.want("MAIL FROM:<alice@example.org>", "250")
        replies = [raw.ask("RCPT TO:<r%d@example.net>" % n)[:9] for n in range(25)]
        assert replies == ["250 2.1.5"] * 20 + ["452 4.5.3"] * 5
        raw.want("DATA", "354")
        raw.send(message("x") + ".\r\n")
        assert raw.reply().startswith("250")
    assert [row["nrcpt"] for row in daemon.queue()] == [20]
    assert daemon.stop() == 0


def test_rx18_noop_is_answered_while_others_log_in(daemon):
    """SASL steps run elsewhere: 50 logins at once and the loop answers on. RX18, AU16; printed, not judged."""
    waiting = [opened(daemon, user=None) for _ in range(50)]
    with opened(daemon) as raw:
        for other in waiting:
            other.send("AUTH PLAIN " + plain("alice", "wrong") + "\r\n")
        begin = time.monotonic()
        raw.want("NOOP", "250")
        print("NOOP beside 50 logins: %.1f ms" % ((time.monotonic() - begin) * 1e3))
    for other in waiting:
        assert other.reply()[:3] in ("535", "454")
        other.sock.close()
