"""gatepostctl history import: whom the accounts have written to, from the logs that what-if reads, too."""
import gzip

from harness import Gatepost, message, wait_until
from suspension import Site

T0 = 1795575600


def test_import(tmp_path, sink):
    """Each recipient of each account once, from several files; accounts that are not there, and lines that make no sense, are
    counted."""
    daemon = Gatepost(tmp_path, sink.port).start().account("alice", "bob")
    rows = ["%d\talice\tr%d@example.net" % (T0 + i, i) for i in range(1200)]
    rows += ["%d\tBob@example.org\tr%d@EXAMPLE.net" % (T0 + i, i % 40) for i in range(80)]
    rows += ["%d\tnobody@example.org\tr%d@example.net" % (T0, i) for i in range(3)] + ["what is this"]
    (tmp_path / "rows").write_text("\n".join(rows) + "\n")
    with gzip.open(tmp_path / "mail.log.1.gz", "wt") as f:
        f.write("Nov 25 03:00:00 mail postfix/smtpd[1]: 4F1A2B3C4D: client=x[192.0.2.5], sasl_method=PLAIN, sasl_username=alice\n"
                "Nov 25 03:00:01 mail postfix/smtp[1]: 4F1A2B3C4D: to=<r5@example.net>, status=sent (x)\n"
                "Nov 25 03:00:01 mail postfix/smtp[1]: 4F1A2B3C4D: to=<carol@example.net>, status=sent (x)\n")
    paths = [str(tmp_path / "rows"), str(tmp_path / "mail.log.1.gz")]
    for _ in range(2):  # the second time changes nothing, and says the same
        total = daemon.ctl("history", "import", *paths, rows=True)[0]
        assert (total["accounts"], total["contacts"], total["unknown"]) == (2, 1241, 3)
        assert total["bad_lines"] == 1 and total["first_bad"] == paths[0] + ":1284"
    done = daemon.ctl("history", "import", str(tmp_path / "none"), check=False)
    assert done.returncode == 1 and "No such file" in done.stderr
    assert daemon.stop() == 0, daemon.log()[-5000:]
    done = daemon.ctl("history", "import", *paths, check=False)
    assert done.returncode == 1 and "can not be asked" in done.stderr


def test_it_counts_at_once(tmp_path):
    """Surcharges apply from the import on: whom the account wrote to is no stranger, another is; from elsewhere it is locked
    early. Of an account that is not in the log only recipients count."""
    site = Site(tmp_path, 'limits = { "500/30m", "2000/24h" }\nerrors = 1000\n', drop="limits")

    def mail(to, place="127.0.0.1", user="alice@example.org"):
        client = site.gatepost.client(user, source=place)
        try:
            client.mail(user)
            codes = [client.rcpt(address)[0] for address in to]
            return client.data(message("hello", "Hello.\n", sender=user))[0] if codes[-1] == 250 else codes[-1]
        finally:
            client.close()

    def used(user="alice"):
        return site.gatepost.ctl("account", "show", user, rows=True)[0]["used"].split()[0]

    friends = ["friend%d@example.net" % i for i in range(3)]
    try:
        assert mail(["x@example.com"]) == 250 and mail(friends, "127.9.9.9") == 250
        site.gatepost.wait_empty()
        assert used() == "4"
        site.gatepost.ctl("account", "reset", "alice")
        (tmp_path / "rows").write_text("".join("%d\talice\t%s\n" % (T0, friend) for friend in friends))
        assert site.gatepost.ctl("history", "import", str(tmp_path / "rows"), rows=True)[0]["contacts"] == 3
        assert mail(friends) == 250 and used() == "3"
        assert mail(["friend1@EXAMPLE.net"]) == 250 and used() == "4"
        assert mail(["x@example.com"]) == 250 and used() == "5"  # learned before the import
        assert mail(["new1@example.com"]) == 250
        dear = int(used()) - 5
        assert dear > 1
        site.gatepost.wait_empty()
        assert mail(["new1@example.com"]) == 250 and int(used()) == 5 + dear + 1  # and is none any more
        assert mail(friends, "127.8.8.8") == 250
        assert int(used()) - 6 - dear >= 3
        taken = 0
        while taken < 100 and mail(["victim%d@example.com" % taken], "127.9.9.9") == 250:
            taken += 1
        assert 5 <= taken <= 25
        notice = wait_until(lambda: next((n for n in site.notices() if str(n["Subject"]).startswith("Suspended")), None),
                            "the notice")
        assert "strangers, written to from a network" in " ".join(notice.get_content().split())
        for n in range(40):
            assert mail(["victim%d@example.com" % n], "127.9.9.9", "bob@example.org") == 250
        assert used("bob") == "40"
    finally:
        site.stop()
