"""The guard of an account with a history: a thief's mail is dear, waits, and stops him early; the account's own is as
cheap as ever. Other networks are other /24 of 127/8."""
import time

import pytest

from harness import message, wait_until
from suspension import Site, reply_to

DAY = 24 * 3600 * 1000
HOME, CAFE = "127.0.0.1", "127.9.9.9"
SETTINGS = 'limits = { "500/30m", "2000/24h" }\nerrors = 1000\n'


class Guarded(Site):
    """A site whose alice has written to sixty people, and that a month ago."""

    def __init__(self, folder, extra=""):
        super().__init__(folder, SETTINGS + extra, drop="limits")
        self.friends = ["friend%d@example.net" % i for i in range(60)]
        assert self.mail(self.friends) == 250
        self.gatepost.wait_empty()
        self.gatepost.ctl("clock", str(29 * DAY))
        self.gatepost.account("carol")  # a commit keeps the clock
        self.begun = len(self.sink.mails())

    def mail(self, to, place=HOME, user="alice@example.org"):
        """The code that ends it."""
        client = self.gatepost.client(user, source=place)
        try:
            client.mail(user)
            for address in to:
                code = client.rcpt(address)[0]
                if code != 250:
                    return code
            return client.data(message("hello", "Hello.\n", sender=user))[0]
        finally:
            client.close()

    def suspended_notice(self):
        """That of the suspension: there may be others."""
        def find():
            return next((n for n in self.notices() if str(n["Subject"]).startswith("Suspended")), None)
        return wait_until(find, "the notice")

    def relayed(self):
        """Recipients of alice's mail since the theft began."""
        return sum(mail.count(b"\nX-Envelope-To:") for mail in self.sink.mails()[self.begun:]
                   if not mail.startswith(b"X-Envelope-From: <>"))

    def steal(self, each=1, most=100, place=CAFE):
        """Mail to strangers until it is refused; how many were taken."""
        for n in range(most):
            code = self.mail(["x%d-%d@example.com" % (n, i) for i in range(each)], place)
            if code != 250:
                assert code == 550, code
                return n * each
        raise AssertionError("nobody stopped it")


@pytest.fixture
def site(tmp_path):
    site = Guarded(tmp_path)
    yield site
    site.stop()


def test_a_thief_is_stopped_early(site):
    """From a network that is not familiar, to strangers: half of what was taken went, the rest waits and is held."""
    taken = site.steal()
    assert 12 <= taken <= 25
    wait_until(lambda: {e["state"] for e in site.gatepost.queue() if e["account"]} == {"held"}, "all held")
    assert site.relayed() <= 13
    notice = site.suspended_notice()
    text = notice.get_content()
    assert "strangers, never written to before" in text and "not familiar" in text and "Say RELEASE" in text
    assert "password is changed" in " ".join(text.split())
    assert len(text.splitlines()) < 40


def test_one_large_mail_of_a_thief_waits(site):
    """Whole it is as dear as a budget may be: it goes nowhere for hours, and the next one is his last."""
    assert site.mail(["x%d@example.com" % i for i in range(40)], CAFE) == 250
    assert site.steal(40) == 0
    time.sleep(0.5)
    assert site.relayed() == 0


def test_friends_cost_what_they_always_did(site):
    """From home nothing waits, and a stranger now and then is no matter; from elsewhere friends are cheap."""
    assert site.mail(site.friends) == 250
    assert site.mail(["new%d@example.com" % i for i in range(5)]) == 250
    assert site.mail(site.friends[:30], CAFE) == 250
    site.gatepost.wait_empty()
    assert site.gatepost.ctl("account", "show", "alice", rows=True)[0]["used"] == "150 150"  # 60 + 5 * 3 + 30 + 20 + 25


def test_unlock_does_not_hand_it_back(site):
    """UNLOCK lets the account send again, from where it is known; held mail wants RELEASE, the other network a new password."""
    site.steal()
    address = reply_to(site.suspended_notice())
    assert site.answer(address, text="UNLOCK\n") == 250
    assert not site.suspended()
    assert {e["state"] for e in site.gatepost.queue() if e["account"]} == {"held"}
    assert site.mail(site.friends[:3]) == 250
    assert site.mail(site.friends[:3], CAFE) == 550
    site.gatepost.wait_log("event=refused .*reason=NETWORK_BARRED")
    assert site.mail(site.friends[:3], "127.9.8.1") == 250  # another one is only strange
    site.gatepost.ctl("account", "passwd", "alice", stdin="another secret\n")
    client = site.gatepost.client("alice@example.org", "another secret", source=CAFE)
    assert client.mail("alice@example.org")[0] == 250
    client.close()


def test_release_sends_it(site):
    site.steal()
    before = site.relayed()
    held = len([e for e in site.gatepost.queue() if e["state"] == "held"])
    assert held > 5
    assert site.answer(reply_to(site.suspended_notice()), text="RELEASE\n") == 250
    site.gatepost.wait_empty()
    assert site.relayed() == before + held
    # Nothing of it is learned: neither what went before the stop nor what was held.
    assert site.mail(["x0-0@example.com", "x%d-0@example.com" % (before + held - 1)]) == 250
    assert site.gatepost.ctl("account", "show", "alice", rows=True)[0]["used"] == "6 6"


def test_a_plain_volume_is_released_as_ever(site):
    """Without such prices on the bill UNLOCK sends what is held."""
    site.sink.stop()
    for _ in range(10):
        if site.mail(site.friends) != 250:
            break
    site.sink.start()
    assert site.answer(reply_to(site.suspended_notice()), text="UNLOCK\n") == 250
    site.gatepost.wait_empty()
    assert not site.suspended()


def test_what_dwells_is_not_hurried(site):
    """Neither a flush nor a restart sends it before its time; a release by name does."""
    while site.relayed() == len([1 for e in site.gatepost.events("event=queued .*account=alice@example.org")]) - 1:
        assert site.mail(["y%d@example.com" % time.monotonic_ns()], CAFE) == 250
        time.sleep(0.2)
    waiting = [e for e in site.gatepost.queue() if e["account"]]
    assert len(waiting) == 1 and waiting[0]["state"] == "waits"
    site.gatepost.ctl("queue", "flush")
    site.gatepost.restart()
    time.sleep(0.5)
    assert [e["qid"] for e in site.gatepost.queue() if e["account"]] == [waiting[0]["qid"]]
    site.gatepost.ctl("queue", "release", waiting[0]["qid"])
    site.gatepost.wait_empty()


def test_refused_strangers_are_charged(site, postfix):
    """5.1.x for those who were never written to costs when it comes; for friends it does not."""
    postfix.rules.rows = [("dead|friend1", "550 5.1.1 No such user")]
    site.gatepost.smarthost = postfix.port
    site.gatepost.configure()
    site.gatepost.restart()
    assert site.mail(site.friends[:5]) == 250
    assert site.mail(["dead%d@example.com" % i for i in range(4)]) == 250
    wait_until(lambda: site.gatepost.ctl("account", "show", "alice", rows=True)[0]["used"] == "57 57",
               "the charge: 5 + 4 * 3 + 4 * 10")
