"""What an admin sees of the guard, and does about it: the bill, what waits, what is known of an account."""
import re

import pytest

from harness import message, wait_until
from suspension import reply_to
from test_guard import CAFE, DAY, HOME, Guarded

ALICE = "alice@example.org"


@pytest.fixture
def site(tmp_path):
    site = Guarded(tmp_path)
    yield site
    site.stop()


def admin_acts(site):
    """What the journal holds of alice beside her mail."""
    return [row["text"] for row in site.gatepost.ctl("account", "export", ALICE, rows=True)
            if row["record"] == "journal" and row["kind"] != "message"]


def test_the_bill_in_numbers(site):
    taken = site.steal()
    rows = site.gatepost.ctl("account", "why", "alice", rows=True)
    assert len(rows) == 1  # no prose among them
    why = rows[0]
    assert why["account"] == ALICE and why["limit"] == "500/30m" and why["counts"] == "tokens" and why["release_only"]
    lines = {line["name"]: line for line in why["lines"]}
    assert set(lines) == {"recipient", "stranger", "strange-network", "new-network"}
    for line in lines.values():
        assert line["tokens"] == line["count"] * line["price"] > 0
    # The last one was asked for, too; what is left over was of friends, before.
    assert lines["stranger"]["count"] == lines["strange-network"]["count"] == taken + 1
    assert lines["recipient"]["count"] == taken + 1 and lines["new-network"]["count"] == 1
    assert sum(line["tokens"] for line in lines.values()) == why["spent"] + why["asked"]
    assert why["usual_peak"] == 60
    cafe = why["networks"][0]
    assert cafe == {"address": CAFE, "recipients": taken + 1, "network": "barred", "first_seen_days": 0}
    assert len(why["use"]) == 30 and sum(why["use"]) == why["spent"]
    assert why["subjects"] == ["hello"] and why["held"] > 0


def test_the_bill_for_people(site):
    """Aligned in notice and terminal; the graph in the terminal only."""
    taken = site.steal()
    why = site.gatepost.ctl("account", "why", "alice")
    text = site.suspended_notice().get_content()
    for said in (why, text):
        lines = re.findall(r"^  +\d+ x +\d+ = +\d+  \S.*$", said, re.M)
        assert len(lines) == 4 and len({line.index("=") for line in lines}) == 1
        assert lines[0].split() == [str(taken + 1), "x", "1", "=", str(taken + 1), "recipients"]
        flat = " ".join(said.split())
        assert "Sent from: %s (%d recipients, first seen that day, barred)" % (CAFE, taken + 1) in flat
        assert "highest before: 60." in flat
    assert re.search(r"^ +\d+ \| +#$", why, re.M) and "-30m" in why
    assert "+------" in why and "+------" not in text
    assert {len(line) > 78 for line in text.splitlines() if "mailto" not in line and "<" not in line} == {False}


def test_subjects_are_no_links(site):
    client = site.gatepost.client(source=CAFE)
    for n in range(100):
        client.mail(ALICE)
        if client.rcpt("x%d@example.com" % n)[0] != 250:
            break
        client.data(message("see http://evil.example/x", "Hello.\n", sender=ALICE))
    client.close()
    why = site.gatepost.ctl("account", "why", "alice")
    assert "hxxp://evil[.]example/x" in why and "http://evil" not in why
    assert "hxxp://evil[.]example/x" in " ".join(site.suspended_notice().get_content().split())


def test_the_bill_in_the_journal(site):
    taken = site.steal()
    row = next(text for text in admin_acts(site) if text.startswith("suspended"))
    assert re.fullmatch(r"suspended, case 1, by budget: 500/30m, \d+ used, \d+ asked for: stranger %d x \d+, "
                        r"strange-network %d x \d+, new-network 1 x \d+; from %s \(%d\).*"
                        % (taken + 1, taken + 1, re.escape(CAFE), taken + 1), row)


def test_what_waits_is_seen(site):
    assert site.gatepost.status()["waiting"] == 0
    assert site.mail(["x%d@example.com" % i for i in range(40)], CAFE) == 250
    assert site.gatepost.status()["waiting"] == 1
    entry = next(e for e in site.gatepost.queue() if e["account"])
    assert entry["state"] == "waits" and entry["next_in"] > 60
    site.gatepost.ctl("queue", "release", entry["qid"])
    site.gatepost.wait_empty()
    assert site.gatepost.status()["waiting"] == 0


def test_a_deferred_one_does_not_wait(site):
    """Nor one that is held."""
    site.sink.stop()
    assert site.mail(site.friends[:1]) == 250
    wait_until(lambda: site.gatepost.queue()[0]["attempts"] > 0 or site.gatepost.status()["smarthost"] == "down", "a try")
    assert site.gatepost.status()["waiting"] == 0
    assert site.gatepost.queue()[0]["state"] == "ready"
    site.sink.start()


def history(site):
    rows = site.gatepost.ctl("account", "history", "alice", rows=True)
    return rows[0], rows[1:]


def test_history_and_unbar(site):
    """A bar is lifted by hand, and both sides of it are seen; the act is in the journal."""
    card, networks = history(site)
    assert card["learned"] and card["contacts"] == 60 and not networks
    assert site.mail(site.friends[:1], CAFE) == 250
    site.gatepost.wait_empty()
    card, networks = history(site)
    assert (card["networks"], card["strange"], card["barred"]) == (1, 1, 0) and networks[0]["state"] == "strange"
    site.steal()
    card, networks = history(site)
    assert (card["networks"], card["strange"], card["barred"]) == (1, 0, 1) and networks[0]["state"] == "barred"
    assert site.answer(reply_to(site.suspended_notice()), text="KEEP\n") == 250
    assert site.mail(site.friends[:1], CAFE) == 550
    site.gatepost.ctl("account", "unbar", "alice")
    assert site.mail(site.friends[:1], CAFE) == 250
    assert site.mail(["new@example.com"]) == 250  # a stranger, still: nothing else was forgotten
    assert history(site)[0]["barred"] == 0
    again = site.gatepost.ctl("account", "unbar", "alice", check=False)
    assert again.returncode == 1 and "no network is barred" in again.stderr
    assert [text for text in admin_acts(site) if text.startswith("account unbar by uid")]


def test_forget(site):
    """Without a history the classic rule holds, until there is a new one."""
    site.gatepost.ctl("account", "forget", "alice")
    card, networks = history(site)
    assert not card["learned"] and card["contacts"] == card["bytes"] == 0 and not networks
    assert site.mail(["x%d@example.com" % i for i in range(90)], CAFE) == 250
    site.gatepost.wait_empty()
    assert site.gatepost.ctl("account", "show", "alice", rows=True)[0]["used"] == "90 90"
    assert [text for text in admin_acts(site) if text.startswith("account forget by uid")]
    nobody = site.gatepost.ctl("account", "forget", "nobody", check=False)
    assert nobody.returncode == 1 and "has no history" in nobody.stderr


def test_export_holds_everything(site):
    """One line a record, with or without --json; no secret, and nobody else's rows."""
    site.gatepost.ctl("account", "alias", "add", "alice", "sales@example.org")
    site.gatepost.ctl("account", "token", "add", "alice", "scanner", "50/1h", "--from", "10.1.2.3")
    site.gatepost.ctl("account", "limit", "alice", "500/30m", "3000/1d")
    site.gatepost.ctl("account", "prices", "alice", "trap=7")
    site.steal()
    rows = site.gatepost.ctl("account", "export", "alice", rows=True)
    text = site.gatepost.ctl("account", "export", "alice")
    assert len(text.splitlines()) == len(rows)
    found = {row["record"]: row for row in rows}
    assert set(found) == {"account", "standing", "budget", "strangers", "tally", "facts", "marks", "watch", "history", "network",
                          "alias", "app-password", "incident", "journal", "queued"}
    assert not [row for row in rows if "damaged" in row]
    account = found["account"]
    assert account["own_password"] is True and account["limits"] == "500/30m 3000/1d" and account["prices"] == "trap=7"
    assert found["standing"]["standing"] == "suspended" and len(found["standing"]["suspensions"]) == 1
    assert found["history"]["contacts"] == 60 and found["network"]["barred"]
    assert found["alias"]["alias"] == "sales@example.org"
    assert found["app-password"]["name"] == "scanner" and found["app-password"]["from"] == ["10.1.2.3"]
    assert "new-network 1 x" in found["incident"]["bill"] and found["facts"]["networks"][0]["address"] == CAFE
    assert found["queued"]["recipients"][0]["recipient"].startswith("x") and found["queued"]["state"] == "held"
    sent = [row for row in rows if row["record"] == "journal" and row["kind"] == "message"]
    assert len(sent[0]["recipients"]) == 60 and sent[0]["client"] == HOME
    assert "SCRAM" not in text and "gp-" not in text
    others = site.gatepost.ctl("account", "export", "carol", rows=True)
    assert ALICE not in str(others) and {row["record"] for row in others} >= {"account", "history", "journal"}
    nobody = site.gatepost.ctl("account", "export", "nobody", check=False)
    assert nobody.returncode == 1 and "nothing is stored" in nobody.stderr and not nobody.stdout


def test_export_of_a_deleted_account(site):
    """What outlives it: incidents, journal, queued mail."""
    site.steal()
    site.gatepost.ctl("account", "delete", "alice")
    rows = site.gatepost.ctl("account", "export", "alice", rows=True)
    assert {row["record"] for row in rows} == {"incident", "journal", "queued"}


def test_export_without_the_daemon(site):
    site.gatepost.stop()
    rows = site.gatepost.ctl("account", "export", "alice", rows=True)
    assert rows[0]["account"] == ALICE
    assert site.gatepost.ctl("account", "history", "alice", rows=True)[0]["contacts"] == 60
    site.gatepost.start()


def test_history_keep(site):
    """What was not used for so long is forgotten by itself; the account stays learned."""
    site.gatepost.ctl("clock", str(14 * 31 * DAY))
    site.gatepost.account("dora")  # a commit keeps the clock
    site.gatepost.restart()
    site.gatepost.account("erik")  # the writer has something to do, and then tidies up
    wait_until(lambda: history(site)[0]["contacts"] == 0, "nobody is known any more")
    assert history(site)[0]["learned"]
