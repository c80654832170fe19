"""Under whose name a login may write: MAIL FROM and the header's From (RFC 6409 6.1)."""
import pytest

from harness import Gatepost, Sink, wait_until
from raw import opened


@pytest.fixture(scope="module")
def sink(tmp_path_factory):
    sink = Sink(tmp_path_factory.mktemp("sink")).start()
    yield sink
    sink.stop()


@pytest.fixture(params=["off", "log", "envelope", "both"])
def daemon(request, tmp_path, sink):
    daemon = Gatepost(tmp_path, sink.port, "sender_check = %s" % request.param).start()
    daemon.check = request.param
    daemon.account("alice", "bob")
    daemon.ctl("account", "alias", "add", "alice", "Sales@example.org")
    daemon.ctl("account", "alias", "add", "alice", "*@lists.example.org")
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-5000:]


def send(raw, sender, *header):
    """The last reply: to MAIL when that is refused, else to the dot."""
    reply = raw.ask("MAIL FROM:<%s>" % sender)
    if not reply.startswith("250"):
        return reply
    raw.want("RCPT TO:<x@example.com>", "250")
    raw.want("DATA", "354")
    raw.send("".join(line + "\r\n" for line in header) + "Subject: s\r\n\r\ntext\r\n.\r\n")
    return raw.reply()


OWN = ["alice@example.org", "Alice@Example.ORG", "sales@example.org", "SALES@EXAMPLE.ORG", "anyone@lists.example.org"]
OTHERS = ["bob@example.org", "sales@example.org.evil.example", "ceo@example.org"]
FROMS = [  # whose name is in it: what every reader takes for the same
    (["From: alice@example.org"], True),
    (["From: Alice <alice@example.org>"], True),
    (["From: =?utf-8?q?CEO?= <sales@example.org>"], True),
    (["From:", " Alice", "\t<Alice@example.org>"], True),
    (["From: Bob <bob@example.org>"], False),
    (["From: alice@example.org <bob@example.org>"], False),
    (["From: alice@example.org", "From: bob@example.org"], False),
    (["From: bob@example.org", "From: alice@example.org"], False),
    (["From: alice@example.org, bob@example.org"], False),
    (["From: friends: alice@example.org;"], False),
    (["From: <@example.org:alice@example.org>"], False),
    (["From: undisclosed:;"], False),
    (["From:"], False),
    (["From: " + "x" * 900, " " + "x" * 300 + " <alice@example.org>"], False),
    (["From : bob@example.org"], False),
    (["X: y"], False),
]


def test_au20_the_envelope(daemon):
    strict = daemon.check in ("envelope", "both")
    with opened(daemon) as raw:
        for address in OWN + [""]:
            assert send(raw, address, "From: alice@example.org").startswith("250 2.0.0"), address
        for address in OTHERS:
            assert send(raw, address, "From: alice@example.org").startswith("550 5.7.1" if strict else "250 2.0.0"), address
    said = 0 if daemon.check == "off" else len(OTHERS)
    wait_until(lambda: daemon.log().count("event=sender-mismatch") >= said, "%d mismatches in the log" % said)
    assert daemon.log().count("event=sender-mismatch") == said


def test_au20_the_header(daemon):
    for header, own in FROMS:
        with opened(daemon) as raw:
            refused = daemon.check == "both" and not own
            assert send(raw, "alice@example.org", *header).startswith("550 5.7.1" if refused else "250 2.0.0"), header
            # The session goes on.
            assert send(raw, "alice@example.org", "From: alice@example.org").startswith("250 2.0.0")


def test_aliases_are_learned_from_what_was_seen(daemon):
    def aliases(account):
        return {row["alias"]: row["state"] for row in daemon.ctl("account", "alias", "list", account, rows=True) if "alias" in row}

    seen = {} if daemon.check == "off" else {"me@example.com": "seen"}
    with opened(daemon, user="bob") as raw:
        send(raw, "Me@example.com", "From: bob@example.org")
        wait_until(lambda: aliases("bob") == seen, "a note of the name")
        daemon.ctl("account", "alias", "learn", "bob")
        assert aliases("bob") == {name: "allowed" for name in seen}
        if seen:
            assert send(raw, "me@example.com", "From: me@example.com").startswith("250 2.0.0")
            daemon.ctl("account", "alias", "delete", "bob", "ME@example.com")
        strict = daemon.check in ("envelope", "both")
        assert send(raw, "me@example.com", "From: bob@example.org").startswith("550 5.7.1" if strict else "250")
    assert aliases("alice") == {"sales@example.org": "allowed", "*@lists.example.org": "allowed"}
    daemon.ctl("account", "delete", "alice")
    daemon.account("alice")
    assert aliases("alice") == {}


def test_what_is_no_alias_is_said(daemon):
    for words in (["alice", "sales"], ["nobody", "x@example.org"], ["alice", "a b@c"]):
        with pytest.raises(AssertionError, match="gatepostctl"):
            daemon.ctl("account", "alias", "add", *words)
