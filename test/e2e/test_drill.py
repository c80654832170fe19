"""What lasts: drills, reminders, and the end of held mail; the daemon with a sink behind it."""
import time

import pytest

from harness import message, wait_until
from suspension import POSTMASTER, Site, reply_to

DAY = 24 * 3600 * 1000


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.stop()


def drill(site):
    assert POSTMASTER in site.gatepost.ctl("drill")
    notice = site.notice()
    text = " ".join(notice.get_content().split())
    assert str(notice["Subject"]).startswith("DRILL:") and "nobody is suspended" in text
    return reply_to(notice)


def passed(site):
    return site.gatepost.ctl("status", rows=True)[0]["drill"]


def report(site, count=2):
    notice = site.notice(count)
    assert str(notice["Subject"]).startswith("DRILL answered:") and notice["Reply-To"] is None
    return " ".join(notice.get_content().split())


def test_by_the_listener(site):
    assert passed(site) == "never passed"
    address = drill(site)
    assert site.answer(address, text="UNLOCK\n\n> quoted\n") == 250
    text = report(site)
    assert "by the reply listener from 127.0.0.1" in text and POSTMASTER in text
    assert "read as unlock: it would have unlocked the account" in text
    assert passed(site) != "never passed"
    assert "event=drill" in site.gatepost.log()
    site.gatepost.restart()
    assert passed(site) != "never passed"


def test_by_submission(site):
    address = drill(site)
    client = site.gatepost.client("jane@example.org")
    client.sendmail("jane@example.org", [address], message("Re: DRILL", "No.\n", sender="jane@example.org"))
    client.close()
    text = report(site)
    assert "by submission from 127.0.0.1" in text and "jane@example.org" in text and "changed nothing" in text
    assert passed(site) != "never passed"


def test_strangers_and_machines(site):
    """Neither passes; both are told of, and a wrong token is not."""
    address = drill(site)
    assert site.answer(address, sender="mallory@example.com", text="UNLOCK\n") == 250
    assert "would not have counted: it came from nobody in may_unlock" in report(site)
    assert site.answer(address, subject="Automatic reply: DRILL", headers="Auto-Submitted: auto-replied\r\n",
                       text="I am out of the office.\n") == 250
    assert "read as machine mail: it would not have counted" in report(site, 3)
    local, _, domain = address.partition("@")
    wrong = local[:-1] + ("a" if local[-1] != "a" else "b") + "@" + domain
    assert site.answer(wrong, text="UNLOCK\n") == 250
    time.sleep(0.5)
    assert len(site.notices()) == 3
    assert passed(site) == "never passed"
    assert site.gatepost.ctl("status", rows=True)[0]["suspended"] == 0


def test_a_drill_unlocks_nobody(site):
    site.gatepost.ctl("account", "suspend", "alice")
    site.notice()
    site.gatepost.ctl("drill")
    address = reply_to(site.notice(2))
    assert site.answer(address, text="UNLOCK\n") == 250
    report(site, 3)
    assert site.suspended()


def test_reminders(site):
    """After a day, and after three; each once, over a restart, too; an answer to one unlocks."""
    def reminders():
        return [n for n in site.notices() if str(n["Subject"]).startswith("Still suspended")]

    site.gatepost.ctl("account", "suspend", "alice")
    first = site.notice()
    site.gatepost.ctl("clock", str(DAY))
    wait_until(lambda: len(reminders()) == 1, "the first", 30)
    site.gatepost.restart()
    site.gatepost.ctl("clock", str(2 * DAY))
    wait_until(lambda: len(reminders()) == 2, "the second", 30)
    site.gatepost.restart()
    site.gatepost.ctl("clock", str(2 * DAY))
    time.sleep(7)
    assert len(reminders()) == 2
    assert reply_to(reminders()[1]) == reply_to(first)
    assert site.answer(reply_to(reminders()[1])) == 250
    assert not site.suspended()


def test_held_lifetime(site):
    """What a suspension holds goes after its time, warned of, without a report to the sender; by hand it stays."""
    site.sink.stop()
    for i in range(3):
        site.send(to=["held%d@example.net" % i], subject="held")
    site.send("bob@example.org", subject="by hand")
    site.gatepost.ctl("queue", "hold", "bob")
    site.gatepost.ctl("account", "suspend", "alice")
    wait_until(lambda: [e["state"] for e in site.gatepost.queue() if e["account"]] == ["held"] * 4, "held")
    site.sink.start()
    site.notice()
    site.gatepost.ctl("clock", str(12 * DAY))
    wait_until(lambda: any("Held mail" in str(n["Subject"]) for n in site.notices()), "the warning", 30)
    warning = next(n for n in site.notices() if "Held mail" in str(n["Subject"]))
    assert "3 messages of alice@example.org will be deleted on" in " ".join(warning.get_content().split())
    site.gatepost.ctl("clock", str(2 * DAY))
    wait_until(lambda: [e["account"] for e in site.gatepost.queue() if e["account"]] == ["bob@example.org"],
               "the end of held mail", 30)
    assert "event=held-expired" in site.gatepost.log()
    assert site.suspended()
    time.sleep(0.5)
    assert not any(b"Subject: held" in m for m in site.sink.mails())
    assert not any(str(n["To"]).startswith("alice") for n in site.notices())
