"""What happens at the limit: suspended, deferred or held; slips; a crowd; tickets."""
import re
import time

import pytest
from harness import Gatepost, message, wait_until
from raw import Raw

SETTINGS = """limits = { "10/30m" }
postmaster = { "postmaster@example.org" }
device bob { address = { "127.0.0.2" } account = "bob@example.org" }
device carol { address = { "127.0.0.3" } account = "carol@example.org" }
device dave { address = { "127.0.0.4" } account = "dave@example.org" }
device news { address = { "127.0.0.5" } account = "news@example.org" }
"""
AT = {"bob": "127.0.0.2", "carol": "127.0.0.3", "dave": "127.0.0.4", "news": "127.0.0.5"}


@pytest.fixture
def start(tmp_path, sink):
    daemons = []

    def begin(more=""):
        daemons.append(Gatepost(tmp_path, sink.port, SETTINGS + more).start())
        return daemons[-1]

    yield begin
    for daemon in daemons:
        assert daemon.stop() == 0, daemon.log()[-5000:]


def send(daemon, who, n=1):
    """The reply to the final dot, or the first refusal."""
    sender = who + "@example.org"
    with Raw(daemon.port, source=AT[who]) as raw:
        raw.ehlo()
        reply = raw.ask("MAIL FROM:<%s>" % sender)
        if not reply.startswith("250"):
            return reply
        raw.want("RSET", "250")
        return raw.mail(["u%d@example.net" % i for i in range(n)], message("a mail", sender=sender), sender=sender)


def show(daemon, who):
    return daemon.ctl("account", "show", who, rows=True)[0]


def notices(sink, subject):
    return [m for m in sink.mails() if re.search(rb"^Subject: .*" + subject, m, re.M)]


def test_deferred_with_the_time(start):
    daemon = start("action = defer\n")
    assert send(daemon, "bob", 10).startswith("250")
    reply = send(daemon, "bob")
    assert reply.startswith("451 4.7.1"), reply
    when = time.mktime(time.strptime(re.search(r"after (\S+)Z", reply).group(1), "%Y-%m-%dT%H:%M:%S")) - time.timezone
    assert 29 * 60 < when - time.time() < 32 * 60, reply
    assert show(daemon, "bob")["standing"] == "good" and show(daemon, "bob")["action"] == "defer"
    # Not a moment before, and then it is so.
    daemon.ctl("clock", str(29 * 60 * 1000))
    assert send(daemon, "bob").startswith("451 4.7.1")
    daemon.ctl("clock", str(150 * 1000))
    assert send(daemon, "bob", 10).startswith("250")


def test_held_up_to_as_much_again(start, sink):
    daemon = start()
    daemon.ctl("account", "action", "bob", "hold")
    assert send(daemon, "bob", 10).startswith("250")
    assert send(daemon, "bob", 6).startswith("250")
    assert send(daemon, "bob", 4).startswith("250")
    assert send(daemon, "bob").startswith("452 4.7.1")
    row = show(daemon, "bob")
    assert row["used"] == "20" and row["queued"] == 2 and row["standing"] == "good" and row["action"] == "hold"
    notice = wait_until(lambda: notices(sink, b"held at a limit"), "a notice")
    assert len(notice) == 1 and b"bob@example.org, at 10/30m" in notice[0]
    assert daemon.ctl("queue", "list", "bob", rows=True)[0]["state"] == "held"
    # Held by nobody's case: by hand it goes, over a restart too.
    daemon.stop()
    daemon.start()
    assert show(daemon, "bob")["queued"] == 2
    daemon.ctl("queue", "release", "bob")
    daemon.wait_empty()
    assert len([m for m in sink.mails() if b"a mail" in m]) == 3
    daemon.ctl("account", "action", "bob", "default")
    assert send(daemon, "bob").startswith("550 5.7.1") and show(daemon, "bob")["standing"] == "suspended"


def test_the_third_slip_is_none(start):
    daemon = start()
    for _ in range(2):
        assert send(daemon, "bob", 11).startswith("550 5.5.3")
    assert show(daemon, "bob")["standing"] == "good"
    assert send(daemon, "bob", 11).startswith("550 5.7.1")
    assert show(daemon, "bob")["standing"] == "suspended"


def test_a_crowd_is_held(start, sink):
    daemon = start('suspend_max = { "1/1h" }\n')
    for who, second in (("bob", "550 5.7.1"), ("carol", "250"), ("dave", "250")):
        assert send(daemon, who, 10).startswith("250")
        assert send(daemon, who).startswith(second)
    assert [show(daemon, who)["standing"] for who in ("bob", "carol", "dave")] == ["suspended", "good", "good"]
    wait_until(lambda: notices(sink, b"MANY ACCOUNTS"), "a notice")
    assert len(notices(sink, b"MANY ACCOUNTS")) == 1 and not notices(sink, b"held at a limit")
    assert send(daemon, "carol", 9).startswith("250") and send(daemon, "carol").startswith("452 4.7.1")


def test_a_ticket(start):
    daemon = start()
    daemon.ctl("account", "allow", "bob", "30/1d", "the annual report")
    assert send(daemon, "bob", 25).startswith("250") and send(daemon, "bob", 10).startswith("250")
    row = show(daemon, "bob")
    assert row["used"] == "5" and row["ticket"].startswith("30/1d, 30 used, until 20")
    assert row["ticket"].endswith(": the annual report")
    for words in (("30/1d",), ("30/1y", "no such time"), ("30/1d", " ")):
        assert daemon.ctl("account", "allow", "bob", *words, check=False).returncode != 0
    daemon.ctl("account", "allow", "bob", "none")
    assert show(daemon, "bob")["ticket"] == ""
    assert send(daemon, "bob", 6).startswith("550 5.7.1")


def test_an_exempt_account_is_told_of(start, sink):
    daemon = start('exempt = { "news@example.org" }\n')
    for _ in range(3):
        assert send(daemon, "news", 50).startswith("250")
    wait_until(lambda: notices(sink, b"exempt account"), "a notice")
    assert len(notices(sink, b"exempt account")) == 1
