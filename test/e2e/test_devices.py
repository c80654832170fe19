"""Machines that can not log in: known by their address, counted and stopped as any account is."""
import pytest
from harness import Gatepost, message, wait_until
from raw import Raw

SETTINGS = """limits = { "10/30m" }
postmaster = { "postmaster@example.org" }
device scanner { address = { "127.0.0.2", "127.0.1.0/24" } account = "scanner@example.org" limits = { "5/1h" } action = defer }
device door { address = { "127.0.0.3" } account = "door@example.org" }
"""


@pytest.fixture
def daemon(tmp_path, sink):
    daemon = Gatepost(tmp_path, sink.port, SETTINGS).start().account("alice")
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-5000:]


def at(daemon, address):
    """A session from an address of the loopback network, without TLS or AUTH."""
    raw = Raw(daemon.port, source=address)
    raw.ehlo()
    return raw


def send(daemon, address, n=1, sender="scanner@example.org"):
    """The reply to the final dot, or the first refusal."""
    with at(daemon, address) as raw:
        reply = raw.ask("MAIL FROM:<%s>" % sender)
        if not reply.startswith("250"):
            return reply
        raw.want("RSET", "250")
        return raw.mail(["u%d@example.net" % i for i in range(n)], message("a page", sender=sender), sender=sender)


def show(daemon, account="scanner"):
    return daemon.ctl("account", "show", account, rows=True)[0]


def test_without_a_login(daemon, sink):
    assert send(daemon, "127.0.0.2", 2).startswith("250")
    assert send(daemon, "127.0.1.77", 1).startswith("250")
    row = show(daemon)
    assert row["used"] == "3" and row["limits"] == "5/1h" and row["device"] == "defer"
    assert len(daemon.wait_log("event=queued.*account=scanner@example.org", 2)) == 2
    daemon.wait_empty()
    assert len(sink.mails()) == 2
    # All others log in, as ever, and with TLS.
    for address in ("127.0.0.1", "127.0.0.4", "127.0.2.1"):
        with at(daemon, address) as raw:
            assert raw.ask("MAIL FROM:<scanner@example.org>")[:3] == "530", address


def test_it_waits_and_nobody_is_woken(daemon, sink):
    assert send(daemon, "127.0.0.2", 6).startswith("550 5.5.3")
    assert send(daemon, "127.0.0.2", 5).startswith("250")
    for _ in range(3):
        assert send(daemon, "127.0.0.2").startswith("451 4.7.1")
    assert show(daemon)["standing"] == "good" and daemon.status()["suspended"] == 0
    daemon.ctl("clock", str(62 * 60 * 1000))
    assert send(daemon, "127.0.0.2", 5).startswith("250")
    # A limit of the admin's own goes before that of the device.
    daemon.ctl("account", "limit", "scanner", "8/1h")
    assert send(daemon, "127.0.0.2", 3).startswith("250")
    assert send(daemon, "127.0.0.2").startswith("451 4.7.1")


def test_one_that_is_watched_is_suspended(daemon):
    assert send(daemon, "127.0.0.3", 10, "door@example.org").startswith("250")
    assert send(daemon, "127.0.0.3", 1, "door@example.org").startswith("550 5.7.1")
    wait_until(lambda: show(daemon, "door")["standing"] == "suspended", "a suspension")
    assert send(daemon, "127.0.0.3", 1, "door@example.org")[:3] == "550"
    assert send(daemon, "127.0.0.2").startswith("250")
    daemon.ctl("account", "unlock", "door")
    assert send(daemon, "127.0.0.3", 1, "door@example.org").startswith("250")


def test_stopped_by_hand(daemon):
    with at(daemon, "127.0.0.2") as raw:
        raw.want("MAIL FROM:<scanner@example.org>", "250")
        daemon.ctl("account", "suspend", "scanner")
        assert raw.ask("RCPT TO:<bob@example.net>")[:3] in ("421", "550")
    assert send(daemon, "127.0.0.2").startswith("550")


def test_a_reload_takes_it_away(daemon):
    assert send(daemon, "127.0.0.2").startswith("250")
    daemon.configure(SETTINGS.replace("127.0.0.2", "127.0.0.9"))
    daemon.ctl("reload")
    with at(daemon, "127.0.0.2") as raw:
        assert raw.ask("MAIL FROM:<scanner@example.org>")[:3] == "530"
    assert send(daemon, "127.0.0.9").startswith("250")
