"""Parallel sessions of a thief meet one judge (TESTS HL03, HL04, HL05, HL07), and what is aborted leaves nothing."""
import threading

import pytest
from harness import Gatepost, wait_until
from parallel import Session, text, together

SESSIONS = 64
BUDGET = 50
ROUNDS = 20
SPENT = (550, "5.7.1")


def used(daemon, account="alice@example.org"):
    return [int(n) for n in daemon.ctl("account", "show", account, rows=True)[0]["used"].split()]


def live_bytes(daemon):
    return daemon.ctl("status", rows=True)[0]["store_bytes"]


def sweeps(daemon):
    """What the start-up sweeps have logged, a dict each."""
    lines = [line for line in daemon.log().splitlines() if "event=store-checked" in line]
    return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]


def delivered(sink):
    """Recipients of each mail at the sink."""
    return [fields[5].split(",") for fields in sink.journal()]


def is_spent(reply):
    return (reply[0], reply[1].split()[0]) == SPENT


@pytest.fixture
def daemon(tmp_path, sink):
    daemon = Gatepost(tmp_path, sink.port, "workers = 2\nerrors = 1000\nmessage_size = 4M").start().account("alice")
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-5000:]


@pytest.mark.tsan
def test_hl03_parallel_single_recipients(daemon, sink):
    """64 sessions, a recipient each, a budget of 50: exactly 50, whoever comes first, every time. In odd rounds all hold
    their final dot, so that no courtesy at RCPT helps; in even rounds whole transactions race."""
    daemon.ctl("account", "limit", "alice", "%d/30m" % BUDGET, "2000/24h")
    sessions = together(SESSIONS, lambda n: Session(daemon))
    barrier = threading.Barrier(SESSIONS)

    def race(round_, n):
        session = sessions[n]
        recipient = "r%d.%d@example.net" % (round_, n)
        if round_ % 2 == 0:
            barrier.wait()
        codes = session.begin(recipient)
        if round_ % 2 == 1:
            barrier.wait()
        if codes != [250, 354]:
            assert codes == [550, 554], codes  # refused at RCPT, no recipient for DATA
            assert session.command("RSET")[0] == 250
            return None
        session.send(text(recipient) + ".\r\n")
        reply = session.reply()
        assert reply[0] == 250 or is_spent(reply), reply
        return recipient if reply[0] == 250 else None

    accepted = []
    for round_ in range(ROUNDS):
        winners = [r for r in together(SESSIONS, lambda n: race(round_, n)) if r]
        assert len(winners) == BUDGET, "round %d" % round_
        assert used(daemon)[0] == BUDGET
        accepted += winners
        daemon.ctl("account", "reset", "alice")
        assert used(daemon) == [0, 0]
    for session in sessions:
        session.quit()
    wait_until(lambda: len(sink.journal()) >= len(accepted), "all that was accepted is at the sink")
    wait_until(lambda: not daemon.queue(), "the queue is empty")
    assert sorted(delivered(sink)) == sorted([r] for r in accepted)


@pytest.mark.tsan
def test_hl04_held_transactions(daemon, sink):
    """64 sessions hold 5 recipients each and send the dot at once: 10 fit into 52, and then 2 more recipients do."""
    daemon.ctl("account", "limit", "alice", "52/30m", "2000/24h")
    barrier = threading.Barrier(SESSIONS)

    def race(n):
        session = Session(daemon)
        recipients = ["r%d.%d@example.net" % (n, k) for k in range(5)]
        assert session.begin(*recipients) == [250] * 5 + [354]
        barrier.wait()
        session.send(text("held") + ".\r\n")
        reply = session.reply()
        session.quit()
        assert reply[0] == 250 or is_spent(reply), reply
        return recipients if reply[0] == 250 else None

    winners = [r for r in together(SESSIONS, race) if r]
    assert len(winners) == 10
    assert used(daemon) == [50, 50]
    last = Session(daemon)
    assert last.begin("x@example.net", "y@example.net", "z@example.net") == [250, 250, 550, 550]
    assert last.command("RSET")[0] == 250
    assert last.begin("x@example.net", "y@example.net") == [250, 250, 354]
    last.send(text("the rest") + ".\r\n")
    assert last.reply()[0] == 250
    last.quit()
    assert used(daemon) == [52, 52]
    wait_until(lambda: not daemon.queue(), "the queue is empty")
    assert sorted(sum(delivered(sink), [])) == sorted(sum(winners, []) + ["x@example.net", "y@example.net"])


def abort_rset(session):
    session.group("MAIL FROM:<alice@example.org>", "RCPT TO:<a@example.net>", "RCPT TO:<b@example.net>")
    assert session.command("RSET")[0] == 250
    return True


def abort_mail_again(session):
    """EHLO ends a transaction too (RFC 5321 4.1.4)."""
    session.group("MAIL FROM:<alice@example.org>", "RCPT TO:<a@example.net>")
    assert session.command("EHLO client.example")[0] == 250
    return True


def abort_bare_newline(session):
    session.begin("a@example.net")
    session.send(text("bare", "one\ntwo\r\n") + ".\r\n")
    assert session.reply()[0] == 550
    return True


def abort_long_line(session):
    session.begin("a@example.net")
    session.send(text("long", "x" * 2000 + "\r\n") + ".\r\n")
    assert session.reply()[0] >= 500
    return True


def abort_quit(session):
    session.group("MAIL FROM:<alice@example.org>", "RCPT TO:<a@example.net>")
    session.quit()
    return False


def abort_drop(session):
    session.group("MAIL FROM:<alice@example.org>", "RCPT TO:<a@example.net>")
    session.drop()
    return False


def abort_drop_in_data(session):
    session.begin("a@example.net", "b@example.net")
    session.send(text("cut") + "no dot")
    session.drop()
    return False


def abort_too_big(session):
    session.begin("a@example.net")
    session.send(text("big", ("x" * 70 + "\r\n") * (4500000 // 72)) + ".\r\n")
    assert session.reply()[0] == 552
    return True


ABORTS = [abort_rset, abort_mail_again, abort_bare_newline, abort_long_line, abort_quit, abort_drop, abort_drop_in_data]


@pytest.mark.tsan
def test_hl05_aborted_transactions_cost_nothing(daemon, sink):
    daemon.ctl("account", "limit", "alice", "%d/30m" % BUDGET, "2000/24h")
    one = Session(daemon)
    assert one.begin("first@example.net") == [250, 354]
    one.send(text("first") + ".\r\n")
    assert one.reply()[0] == 250
    one.quit()

    def abort(thread):
        session = None
        for n in range(49):
            session = session or Session(daemon)
            if not ABORTS[(n + thread) % len(ABORTS)](session):
                session = None
        session = session or Session(daemon)
        assert abort_too_big(session)
        session.quit()

    together(8, abort)
    assert used(daemon) == [1, 1]
    wait_until(lambda: not daemon.queue(), "the queue is empty")
    assert delivered(sink) == [["first@example.net"]]
    assert daemon.restart()
    assert used(daemon) == [1, 1]
    assert sweeps(daemon)[-1]["orphan_bodies"] == "0"


def test_hl07_a_recipient_twice_counts_once(daemon, sink):
    daemon.ctl("account", "limit", "alice", "3/30m", "2000/24h")
    session = Session(daemon)
    twice = ["Carol@example.net", "Carol@EXAMPLE.net", "\"Carol\"@example.net", "Carol@example.net"]
    assert session.begin(*twice, "dave@example.net") == [250] * 5 + [354]
    session.send(text("twice") + ".\r\n")
    assert session.reply()[0] == 250
    assert used(daemon) == [2, 2]
    assert session.begin(*["eve@example.net"] * 60) == [250] * 60 + [354]
    session.send(text("sixty times") + ".\r\n")
    assert session.reply()[0] == 250
    assert used(daemon) == [3, 3]
    assert session.begin("frank@example.net") == [550, 554]
    session.quit()
    wait_until(lambda: len(sink.journal()) == 2, "both are at the sink")
    wait_until(lambda: not daemon.queue(), "the queue is empty")
    assert sorted(delivered(sink)) == [["Carol@example.net", "dave@example.net"], ["eve@example.net"]]


BIG = 2000000


def upload(session, recipient="big@example.net"):
    """Two megabytes of which most lie in the store when this returns, and no dot."""
    assert session.begin(recipient) == [250, 354]
    session.send(text("big", ("x" * 70 + "\r\n") * (BIG // 72)))
    return session


@pytest.mark.tsan
@pytest.mark.parametrize("end", ["drop", "bare-newline", "too-big"])
def test_aborted_body_leaves_no_rows(daemon, sink, end):
    before = live_bytes(daemon)
    sessions = together(4, lambda n: upload(Session(daemon)))
    wait_until(lambda: live_bytes(daemon) > before + 4 * BIG * 8 // 10, "bodies are staged")
    for session in sessions:
        if end == "drop":
            session.drop()
            continue
        session.send("bare\nnewline\r\n.\r\n" if end == "bare-newline" else
                     ("x" * 70 + "\r\n") * (3000000 // 72) + ".\r\n")
        assert session.reply()[0] == (550 if end == "bare-newline" else 552)
        assert session.command("NOOP")[0] == 250
        session.quit()
    wait_until(lambda: live_bytes(daemon) < before + 200000, "their rows are deleted")
    assert daemon.queue() == [] and used(daemon) == [0, 0]
    daemon.restart()
    assert sweeps(daemon)[-1]["orphan_bodies"] == "0"
    assert sink.journal() == []


def test_a_drain_cuts_what_does_not_end(daemon):
    """One worker is done long before the other, which has a client that never sends its dot."""
    daemon.configure("workers = 2\ndrain_timeout = 1s")
    daemon.restart()
    session = Session(daemon)
    assert session.begin("late@example.net") == [250, 354]
    session.send("Subject: no end\r\n")
    daemon.restart()
    with pytest.raises((ConnectionError, OSError)):
        session.line()
    assert daemon.queue() == []


def test_a_crash_leaves_rows_and_the_sweep_finds_them(daemon, sink):
    """The other way round: so that the nought above says something."""
    before = live_bytes(daemon)
    sessions = together(3, lambda n: upload(Session(daemon)))
    wait_until(lambda: live_bytes(daemon) > before + 3 * BIG * 8 // 10, "bodies are staged")
    daemon.kill()
    daemon.start()
    assert sweeps(daemon)[-1]["orphan_bodies"] == "3"
    assert live_bytes(daemon) < before + 200000
    assert daemon.queue() == [] and used(daemon) == [0, 0]
    for session in sessions:
        session.drop()
