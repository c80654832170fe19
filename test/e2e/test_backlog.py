"""What becomes of the queue of a suspended account: of a very long one, and of one whose account is deleted."""
import collections
import json
import subprocess

from harness import BUILD, PASSWORD, wait_until
from parallel import Session, text
from suspension import SETTINGS, Site, reply_to
from test_crash import JournalSink

LONG_QUEUE = 100000
LINKS = 16  # connections: so many mails may be behind their final dot
UNSURE = 64  # results that are not durable yet (server/dispatch.c)


class LongSite(Site):
    """With a sink that keeps a journal only, and no smarthost at first."""

    def __init__(self, folder, extra=""):
        super().__init__(folder, extra)
        self.sink.stop()
        self.sink = JournalSink(folder, build=BUILD, port=self.sink.port)
        self.submitted = str(folder / "submit.journal")

    def fill(self, count):
        """All with their 250, none gone."""
        done = subprocess.run(
            [BUILD + "/test/bench/submit", "--port", str(self.gatepost.tls_port), "--implicit", "--user", "alice@example.org",
             "--pass", PASSWORD, "--messages", str(count), "--clients", "64", "--reuse", "1000000", "--pipelining",
             "--size", "10", "--json", "--journal", self.submitted], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["taken"] == count

    def acknowledged(self):
        with open(self.submitted) as f:
            return {line.split()[0]: line.split()[1] for line in f}

    def relayed(self):
        """Of alice: how often, by message id; and that what arrived is what was sent."""
        sent, got = self.acknowledged(), collections.Counter()
        for fields in self.sink.journal():
            if fields[1] in sent:
                assert fields[4] == sent[fields[1]], fields
                got[fields[1]] += 1
        return got

    def state(self, qid):
        rows = self.gatepost.ctl("queue", "show", qid, rows=True, check=False)
        return rows[0]["state"] if rows else None

    def states(self):
        return collections.Counter(e["state"] for e in self.gatepost.queue() if e["account"] == "alice@example.org")


def submit_one(session, user):
    """Its queue id."""
    assert session.begin("one@example.net", sender=user)[-1] == 354
    session.send(text("one") + ".\r\n")
    code, said = session.reply()
    assert code == 250, said
    return said.split()[-1]


def test_hundred_thousand_queued(tmp_path):
    """They are in the middle of being sent when the account is stopped: from that commit on nothing of them leaves,
    though the sweep is at its beginning; meanwhile the writer serves others; a kill -9 in the middle changes nothing."""
    site = LongSite(tmp_path, 'limits = { "10000000/30m" }\nconnections_per_account = 1000\nconnections_per_network = 1000\n')
    daemon = site.gatepost
    try:
        # the last of all is the last that is swept
        daemon.ctl("account", "limit", "alice", "%d/30m" % (LONG_QUEUE + 1))
        site.fill(LONG_QUEUE)
        alice, bob = Session(daemon, "alice@example.org"), Session(daemon, "bob@example.org")
        last = submit_one(alice, "alice@example.org")
        site.sink.start("--delay", "10")
        wait_until(lambda: len(site.sink.journal()) > 100, "they are being sent")
        assert alice.begin("one.too.many@example.net")[0] == 550
        at_commit = sum(site.relayed().values())
        assert site.suspended()
        served = 0
        while site.state(last) == "ready":
            submit_one(bob, "bob@example.org")
            served += site.state(last) == "ready"
            if served == 5:
                break
        assert served == 5, "the writer did nothing else before the sweep had ended"
        daemon.kill()
        daemon.start()
        assert site.suspended()
        wait_until(lambda: site.state(last) == "held", "the sweep has come to its end", 300)
        wait_until(lambda: not daemon.ctl("queue", "list", "bob", rows=True), "bob's mail is gone")
        assert sum(site.relayed().values()) - at_commit <= LINKS
        gone = site.relayed()
        # what was in flight at the kill, with a result that was not durable, is here and there
        states = site.states()
        assert LONG_QUEUE + 1 - len(gone) <= states["held"] <= LONG_QUEUE + 1 - len(gone) + LINKS + UNSURE
        assert set(states) == {"held"}
        site.sink.stop()
        site.sink.start()
        print("backlog: %d queued, %d gone before the stop, %d behind it" % (
            LONG_QUEUE + 1, at_commit, sum(gone.values()) - at_commit))
        daemon.ctl("account", "unlock", "alice")
        wait_until(lambda: daemon.status()["queued"] == 0, "all is sent", 600, 0.5)
        got = site.relayed()
        assert set(got) == set(site.acknowledged())
        twice = [i for i, times in got.items() if times > 1]
        assert len(twice) <= LINKS + UNSURE and all(gone[i] for i in twice), "sent twice, and not in flight at the kill"
    finally:
        site.stop()


def test_deleted_with_its_case(tmp_path):
    """The case is closed with the account: its mail stays held, its token is spent, another of the same name begins anew."""
    site = Site(tmp_path)
    try:
        site.sink.stop()
        site.send(to=["held@example.net"], subject="held")
        site.gatepost.ctl("account", "suspend", "alice")
        site.sink.start()
        address = reply_to(site.notice())
        site.gatepost.ctl("account", "delete", "alice")
        assert site.gatepost.ctl("status", rows=True)[0]["suspended"] == 0
        assert "it was deleted" in site.notice(2).get_content()
        site.gatepost.kill()
        site.gatepost.start()
        assert site.answer(address, text="UNLOCK\n") == 250
        assert "closed already" in site.notice(3).get_content()
        site.gatepost.account("alice")
        assert not site.suspended()
        site.send(subject="another alice")
        wait_until(lambda: any(b"Subject: another alice" in m for m in site.sink.mails()), "her mail")
        assert {e["state"] for e in site.gatepost.queue()} == {"held"}
        assert not any(b"Subject: held" in m for m in site.sink.mails())
        site.gatepost.ctl("queue", "release", "alice")
        wait_until(lambda: any(b"Subject: held" in m for m in site.sink.mails()), "what the admin has released")
    finally:
        site.stop()
