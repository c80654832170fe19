"""The budget as clients meet it (TESTS HL*); races and crashes are in test_races.py and test_crash.py."""
import signal
import smtplib

import pytest

from harness import Gatepost, message, wait_port, wait_until
from raw import opened


def used(daemon, account="alice"):
    return int(daemon.ctl("account", "show", account, rows=True)[0]["used"].split()[0])


def submit(daemon, recipients, user="alice"):
    with opened(daemon, user) as raw:
        return raw.mail(recipients, message("budget"), sender=user + "@example.org")


def limited(tmp_path, sink, settings='limits = { "10/30m" }'):
    return Gatepost(tmp_path, sink.port, settings).start().account("alice", "bob")


def names(n, prefix="r"):
    return ["%s%d@example.net" % (prefix, i) for i in range(n)]


def test_hl01_what_does_not_fit_is_refused_whole(tmp_path, sink):
    """A mailing of which the last recipient is refused is not sent to the first."""
    daemon = limited(tmp_path, sink)
    assert submit(daemon, names(8)).startswith("250")
    with opened(daemon) as raw:
        raw.want("MAIL FROM:<alice@example.org>", "250")
        raw.want("RCPT TO:<a@example.net>", "250")
        raw.want("RCPT TO:<b@example.net>", "250")
        raw.want("RCPT TO:<c@example.net>", "550 5.7.1")
        raw.want("RCPT TO:<d@example.net>", "550 5.7.1")
        raw.want("DATA", "550 5.7.1")
        raw.want("RSET", "250")
        assert raw.mail(names(2, "ok"), message("two more")).startswith("250")
        raw.want("MAIL FROM:<alice@example.org>", "250")
        raw.want("RCPT TO:<e@example.net>", "550 5.7.1")
    assert used(daemon) == 10
    assert submit(daemon, names(1), "bob").startswith("250")
    refused = daemon.events("event=refused")
    assert len(refused) == 2 and all("account=alice@example.org" in line and "code=550" in line for line in refused)
    daemon.wait_empty()
    assert len(sink.mails()) == 3
    assert daemon.stop() == 0


def test_hl01_more_than_ever_fits(tmp_path, sink):
    daemon = limited(tmp_path, sink)
    assert submit(daemon, names(11)).startswith("550 5.5.3")
    assert used(daemon) == 0
    assert daemon.stop() == 0


def test_hl02_one_count_however_it_is_sent(tmp_path, sink):
    daemon = limited(tmp_path, sink)
    assert submit(daemon, names(10)).startswith("250")
    assert submit(daemon, names(1)).startswith("550 5.7.1")
    with opened(daemon, "bob") as raw:
        for n in range(10):
            assert raw.mail(names(1), message("x"), sender="someone%d@example.com" % n).startswith("250")  # HL10
        assert raw.mail(names(1), message("x")).startswith("550 5.7.1")
    daemon.ctl("account", "reset", "bob")
    for _ in range(10):
        assert submit(daemon, names(1), "bob").startswith("250")
    assert submit(daemon, names(1), "bob").startswith("550 5.7.1")
    assert daemon.stop() == 0


def test_hl05_what_comes_to_nothing_costs_nothing(tmp_path, sink):
    daemon = limited(tmp_path, sink, 'limits = { "10/30m" }\nmessage_size = 64K\njunk = 10000')
    for _ in range(5):
        for end in ("RSET", "QUIT", "", "EHLO again", "big", "bare", "cut"):
            with opened(daemon) as raw:
                raw.want("MAIL FROM:<alice@example.org>", "250")
                for recipient in names(10):
                    raw.want("RCPT TO:<%s>" % recipient, "250")
                if end in ("big", "bare", "cut"):
                    raw.want("DATA", "354")
                    raw.send({"big": "Subject: x\r\n\r\n" + ("x" * 900 + "\r\n") * 100 + ".\r\n",
                              "bare": "Subject: x\r\n\r\nbare\nline\r\n.\r\n", "cut": "Subject: x\r\n\r\nhalf"}[end])
                    if end != "cut":
                        assert raw.reply()[:9] in ("552 5.3.4", "550 5.5.2")
                elif end:
                    raw.ask(end)
    assert used(daemon) == 0 and daemon.queue() == []
    assert submit(daemon, names(10)).startswith("250")
    assert daemon.stop() == 0


def test_hl06_refused_recipients_cost_nothing(tmp_path, sink):
    daemon = limited(tmp_path, sink)
    with opened(daemon) as raw:
        raw.want("MAIL FROM:<alice@example.org>", "250")
        for bad in ("@", "a b@example.net", "x@", "nodomain"):
            assert raw.ask("RCPT TO:<%s>" % bad)[0] == "5"
        raw.want("RCPT TO:<good@example.net>", "250")
        raw.want("DATA", "354")
        raw.send(message("x") + ".\r\n")
        assert raw.reply().startswith("250")
    assert used(daemon) == 1
    assert daemon.stop() == 0


def test_hl07_the_same_recipient_counts_once(tmp_path, sink):
    daemon = limited(tmp_path, sink)
    assert submit(daemon, ["bob@example.net", "bob@EXAMPLE.net", "bob@example.net", "other@example.net"]).startswith("250")
    assert used(daemon) == 2
    daemon.wait_empty()
    assert [row[4] for row in sink.journal()] != [] and len(sink.mails()) == 1
    head = sink.mails()[0].split(b"\r\n\r\n" if b"\r\n\r\n" in sink.mails()[0] else b"\n\n")[0]
    assert head.lower().count(b"bob@example.net") <= 2  # the envelope, and the client's own To
    assert daemon.stop() == 0


ONCE = message("once", extra="Message-ID: <once@example.org>\r\n")


def begin(raw):
    raw.want("MAIL FROM:<alice@example.org>", "250")
    raw.want("RCPT TO:<bob@example.net>", "250")
    raw.want("DATA", "354")
    raw.send(ONCE + ".\r\n")


def unread(daemon):
    """A client that has given up waiting: its mail is taken, nobody hears the 250."""
    with opened(daemon) as raw:
        begin(raw)
        wait_until(lambda: used(daemon) == 1, "the charge")


def killed(daemon):
    """The daemon dies between the commit and the 250. Which commit it is the start decides: the first that charges."""
    for nth in range(1, 10):
        daemon.kill()
        reply = ""
        daemon.start(wait=False, GATEPOST_KILL="commit-after:%d" % nth)
        try:
            wait_port(daemon.tls_port, daemon.process)
            with opened(daemon) as raw:
                begin(raw)
                reply = raw.reply()
        except (OSError, RuntimeError, AssertionError):
            pass  # an earlier one: of the start, or of the login
        assert reply == ""
        assert daemon.process.wait() == -signal.SIGKILL
        daemon.start()
        if used(daemon):
            return
    raise AssertionError("it never died after the commit that charges")


@pytest.mark.parametrize("lost", [unread, killed])
def test_hl09_sent_again_counts_again(tmp_path, sink, lost):
    """HL09. The client has no 250 and sends the same Message-ID again: two mails, relayed twice and charged twice."""
    daemon = limited(tmp_path, sink)
    lost(daemon)
    assert used(daemon) == 1
    with opened(daemon) as raw:
        begin(raw)
        assert raw.reply().startswith("250")
    assert used(daemon) == 2
    daemon.wait_empty()
    assert used(daemon) == 2
    assert [row[1] for row in sink.journal()] == ["<once@example.org>"] * 2
    assert len({row[0] for row in sink.journal()}) == 2
    assert daemon.stop() == 0


def test_hl11_it_comes_back_one_window_later(tmp_path, sink):
    daemon = limited(tmp_path, sink)
    assert submit(daemon, names(10)).startswith("250")
    daemon.ctl("clock", str(29 * 60 * 1000))
    assert submit(daemon, names(1)).startswith("550 5.7.1")
    daemon.ctl("clock", str(2 * 60 * 1000))
    assert submit(daemon, names(10)).startswith("250")
    daemon.restart()
    assert submit(daemon, names(1)).startswith("550 5.7.1")
    assert daemon.stop() == 0


def test_hl12_the_longer_window_counts_too(tmp_path, sink):
    daemon = limited(tmp_path, sink, 'limits = { "10/30m", "25/24h" }')
    for _ in range(2):
        assert submit(daemon, names(10)).startswith("250")
        daemon.ctl("clock", str(31 * 60 * 1000))
    assert submit(daemon, names(6)).startswith("550 5.7.1")
    assert submit(daemon, names(5)).startswith("250")
    assert submit(daemon, names(1)).startswith("550 5.7.1")
    daemon.ctl("clock", str(25 * 3600 * 1000))
    assert submit(daemon, names(10)).startswith("250")
    assert daemon.stop() == 0


def test_hl20_limits_change_with_a_reload(tmp_path, sink):
    daemon = limited(tmp_path, sink)
    assert submit(daemon, names(8)).startswith("250")
    daemon.configure('limits = { "5/30m" }')
    daemon.ctl("reload")
    assert submit(daemon, names(1)).startswith("550")
    daemon.configure('limits = { "20/30m" }')
    daemon.ctl("reload")
    assert submit(daemon, names(12)).startswith("250")
    assert submit(daemon, names(1)).startswith("550")
    assert daemon.stop() == 0


def test_hl23_exempt_own_limits_none(tmp_path, sink):
    daemon = limited(tmp_path, sink, 'limits = { "2/30m" }\nexempt = { "news@example.org", "*@lists.example.org" }')
    daemon.account("news", "a@lists.example.org", "b@other.example.org")
    for user, fits in (("news@example.org", 5), ("a@lists.example.org", 5), ("b@other.example.org", 2), ("alice@example.org", 2)):
        with opened(daemon, user) as raw:
            for n in range(fits):
                assert raw.mail(names(1), message("x"), sender=user).startswith("250"), (user, n)
            assert raw.mail(names(1), message("x"), sender=user).startswith("250" if fits == 5 else "550 5.7.1")
    daemon.ctl("account", "limit", "alice", "4/30m")
    assert submit(daemon, names(2)).startswith("250") and submit(daemon, names(1)).startswith("550")
    row = daemon.ctl("account", "show", "alice", rows=True)[0]
    assert row["own_limits"] is True and row["limits"] == "4/30m"
    daemon.ctl("account", "limit", "alice", "default")
    assert daemon.ctl("account", "show", "alice", rows=True)[0]["own_limits"] is False
    assert daemon.ctl("account", "show", "news", rows=True)[0]["exempt"] is True
    assert daemon.stop() == 0
