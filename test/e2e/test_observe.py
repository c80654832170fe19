"""mode = observe: all is judged and told, nothing is done. The warning of an owner, and the day's digest."""
import pytest

from harness import wait_until
from suspension import Site
from test_guard import CAFE, HOME, Guarded

DAY = 24 * 3600 * 1000


@pytest.fixture
def site(tmp_path, request):
    sites = []

    def make(kind=Site, extra="", **more):
        sites.append(kind(tmp_path, extra, **more))
        return sites[-1]
    yield make
    for made in sites:
        made.stop()


def shown(site, user="alice"):
    return site.gatepost.ctl("account", "show", user, rows=True)[0]


def subjects(site):
    return [str(n["Subject"]) for n in site.notices()]


def digest(site):
    """The text of the digest, which comes a day later."""
    site.gatepost.ctl("clock", str(DAY))
    wait_until(lambda: "What was seen in a day" in subjects(site), "the digest")
    return next(n for n in site.notices() if n["Subject"] == "What was seen in a day").get_content()


def test_a_site_that_observes(site):
    """Four times the limit of five goes; then it is what it would have been. A restart in between changes nothing."""
    site = site(extra='mode = "observe"\n')
    assert site.gatepost.status()["mode"] == "observe"
    site.gatepost.wait_log("mode: is observe")
    for n in range(3):
        site.send(to=["u%d-%d@example.net" % (n, i) for i in range(5)])
    site.gatepost.wait_empty()
    assert len(site.gatepost.wait_log("event=would-have .*account=alice@example.org verdict=suspend")) == 1
    assert not site.suspended() and shown(site)["used"] == "15 15"
    site.gatepost.restart()
    site.send(to=["last%d@example.net" % i for i in range(5)])
    assert len(site.gatepost.events("event=would-have")) == 1
    client = site.gatepost.client()
    client.mail("alice@example.org")
    assert client.rcpt("one.more@example.net")[0] == 550
    client.close()
    assert site.suspended()
    text = digest(site)
    assert "Account alice@example.org: would have been suspended; came near a limit" in text


def test_an_account_for_a_while(site):
    """Of one account, until its time is over; all others are stopped."""
    site = site()
    site.gatepost.ctl("account", "mode", "alice", "observe", "--for", "2h")
    row = shown(site)
    assert row["mode"] == "observe" and row["own_mode"] and row["mode_until"]
    assert site.gatepost.status()["observed"] == 1
    site.send(to=["u%d@example.net" % i for i in range(10)])
    assert site.trip("bob@example.org")[0] == 550
    assert site.suspended("bob@example.org") and not site.suspended()
    site.gatepost.ctl("clock", str(2 * 3600 * 1000 + 1))
    row = shown(site)
    assert row["mode"] == "enforce" and not row["own_mode"] and not row["mode_until"]
    assert site.gatepost.status()["observed"] == 0
    assert site.trip()[0] == 550
    assert site.suspended()


def test_words_of_the_commands(site):
    site = site()
    for words in (["alice", "off"], ["alice", "observe", "2h"], ["alice", "observe", "--for", "x"],
                  ["alice", "default", "--for", "2h"], ["nobody", "observe"]):
        assert site.gatepost.ctl("account", "mode", *words, check=False).returncode == 1, words
    site.gatepost.ctl("account", "alias", "add", "alice", "*@sales.example.org")
    for address in ("alice@example.org", "Alice@Example.org", "alice+x@example.org", "a@sales.example.org", "alice", "x"):
        assert site.gatepost.ctl("account", "recovery", "alice", address, check=False).returncode == 1, address
    assert not shown(site)["recovery"]
    site.gatepost.ctl("account", "recovery", "alice", "alice@example.com")
    site.gatepost.ctl("account", "mode", "alice", "observe")
    assert shown(site)["recovery"] == "alice@example.com" and not shown(site)["mode_until"]
    site.gatepost.ctl("account", "passwd", "alice", stdin="another\n")
    assert shown(site)["recovery"] == "alice@example.com" and shown(site)["mode"] == "observe"
    site.gatepost.ctl("account", "recovery", "alice", "-")
    assert not shown(site)["recovery"]


def test_a_thief_who_is_observed(site):
    """The guard's dwell and its windows are told, too; mail from a strange network goes at once."""
    site = site(Guarded)
    site.gatepost.ctl("account", "mode", "alice", "observe")
    for n in range(30):
        assert site.mail(["x%d@example.com" % n], CAFE) == 250
    site.gatepost.wait_empty()
    assert site.relayed() == 30
    lines = site.gatepost.wait_log("event=would-have", 2)
    assert [line.split("verdict=")[1].split()[0] for line in lines] == ["wait", "suspend"]
    assert not site.notices()
    assert site.mail(site.friends[:5], HOME) == 250
    assert "alice@example.org: would have been suspended" in digest(site)


def test_the_owner_is_warned(site):
    """At 80 % of a limit, once, elsewhere than in the account, and without a number."""
    site = site()
    site.gatepost.ctl("account", "recovery", "alice", "alice@example.com")
    site.send(to=["u%d@example.net" % i for i in range(3)])
    site.gatepost.wait_empty()
    assert not site.notices()
    site.send()
    notice = site.notice()
    assert notice["To"] == "alice@example.com" and not notice["Reply-To"]
    text = notice.get_content()
    assert "alice@example.org" in text and "IT desk, +49 30 1234" in text and "password" in text
    assert not any(word in text for word in ("limit", "30m", "recipient", "80"))
    site.send()
    site.gatepost.wait_empty()
    assert len(site.notices()) == 1
    assert "alice@example.org: came near a limit" in digest(site)
