"""HL21, UN18: killed at every named point of a suspension, its notice and its end: all of it or nothing of it (hooks build)."""
import os
import smtplib
import time

import pytest

from harness import wait_until
from test_suspension import Site, reply_to

# The start itself commits: the first of those are not ours.
POINTS = ["%s:%d" % (name, number) for name, numbers in (
    ("suspend-before", (1, 2)), ("suspend-after", (1, 2)), ("unlock-before", (1, 2)), ("unlock-after", (1, 2)),
    ("sweep", (1, 2)), ("commit-before", (3, 5, 7, 9, 12, 15)), ("commit-after", (3, 5, 7, 9, 12, 15)),
    ("done-before", (1, 2, 4, 6)), ("done-after", (1, 2, 4, 6))) for number in numbers]
ROUNDS = 4 if os.environ.get("GATEPOST_LONG") == "1" else 1


def again(site, **env):
    """The daemon is killed, if it is not dead yet, and started again."""
    site.gatepost.kill()
    site.gatepost.start(**env)


def attempt(step):
    """A step that the daemon may not survive."""
    try:
        return step()
    except (smtplib.SMTPException, OSError, AssertionError):
        return None


def trip(site):
    """Mails of one recipient until one is refused: its code."""
    client = site.gatepost.client("alice@example.org")
    code = 250
    for i in range(7):
        client.mail("alice@example.org")
        code = client.rcpt("x%d@example.net" % i)[0]
        if code != 250:
            break
        client.data("Subject: x\r\n\r\nx\r\n")
    client.close()
    return code


def settle(site):
    """Time for what follows the commit: notice, sweep, results; or for the death."""
    end = time.monotonic() + 1
    while time.monotonic() < end and site.gatepost.process.poll() is None:
        time.sleep(0.02)


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(tmp_path, point):
    site = Site(tmp_path)
    try:
        for _ in range(ROUNDS):
            one_life(site, point)
    finally:
        site.stop()


def one_life(site, kill):
    known = len(site.notices())
    before = site.gatepost.ctl("status", rows=True)[0]["suspended"]
    assert before == 0
    again(site, GATEPOST_KILL=kill)
    attempt(lambda: trip(site))
    settle(site)
    again(site)
    if not site.suspended():
        # nothing of it: no incident, no notice; the next one trips
        assert site.gatepost.ctl("status", rows=True)[0]["suspended"] == 0
        assert len(site.notices()) == known
        assert trip(site) == 550
    assert site.gatepost.ctl("status", rows=True)[0]["suspended"] == 1
    address = reply_to(site.notice(known + 1))
    again(site, GATEPOST_KILL=kill)
    attempt(lambda: site.answer(address, text="UNLOCK\n"))
    settle(site)
    again(site)
    if site.suspended():
        # nothing of it: the token is good
        assert site.answer(address, text="UNLOCK\n") == 250
    assert not site.suspended()
    wait_until(lambda: len(ids(site)) - known >= 2, "the confirmation")
    again(site)
    time.sleep(0.3)
    # one notice and one confirmation, by their Message-ID: a kill between its 250 and our record sends it once more
    assert len(ids(site)) - known == 2
    site.gatepost.ctl("account", "reset", "alice")
    # what was noted as trips must not turn the reply way off for the next round
    site.gatepost.ctl("clock", str(25 * 3600 * 1000))


def ids(site):
    return {str(n["Message-ID"]) for n in site.notices()}
