"""gatepostctl history import: whom the accounts have written to, from the logs that what-if reads, too."""
import gzip

from harness import Gatepost

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
