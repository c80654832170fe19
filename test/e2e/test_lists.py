"""Counting like a person: who is behind a list is counted, and what is counted once is relayed once (TESTS HL07)."""
import os
import subprocess

import pytest
from harness import BUILD, Gatepost, message
from raw import opened

LIMIT = 'limits = { "100/30m" }\n'


def used(daemon, account="alice"):
    return int(daemon.ctl("account", "show", account, rows=True)[0]["used"].split()[0])


def submit(daemon, *recipients):
    with opened(daemon) as raw:
        return raw.mail(recipients, message("to many"), sender="alice@example.org")


def write(path, text):
    path.write_text(text)
    path.chmod(0o644)
    return path


def people(n, prefix="p"):
    return "".join("%s%d@example.net\n" % (prefix, i) for i in range(n))


def start(tmp_path, sink, settings):
    return Gatepost(tmp_path, sink.port, LIMIT + settings).start().account("alice")


def envelopes(sink):
    """The recipients that the sink was given, over all mails."""
    found = []
    for mail in sink.mails():
        for line in mail.split(b"\n"):
            if line.lower().startswith(b"x-envelope-to:"):
                found += [word.strip(b" \r<>").decode() for word in line.split(b":", 1)[1].split(b",")]
    return sorted(found)


def test_a_list_costs_its_members(tmp_path, sink):
    staff = write(tmp_path / "staff", "# the staff\n" + people(30))
    daemon = start(tmp_path, sink, 'list staff@example.org { members_file = "%s" }' % staff)
    assert submit(daemon, "staff@example.org").startswith("250")
    assert used(daemon) == 30
    # However it is written, and beside others; the same list twice is one.
    assert submit(daemon, "STAFF+x@EXAMPLE.org", "bob@example.net", "STAFF+x@example.org").startswith("250")
    assert used(daemon) == 61
    with opened(daemon) as raw:
        raw.want("MAIL FROM:<alice@example.org>", "250")
        raw.want("RCPT TO:<staff@example.org>", "250")
        raw.want("RCPT TO:<bob@example.net>", "250")
        raw.want("RCPT TO:<staff+again@example.org>", "550 5.7.1")
    assert used(daemon) == 61
    assert "members=29" in daemon.wait_log("event=queued")[0]
    daemon.wait_empty()
    # Relayed as it was given: who is behind it is the MTA's business.
    assert envelopes(sink) == sorted(["staff@example.org", "STAFF+x@EXAMPLE.org", "bob@example.net"])
    assert daemon.stop() == 0


def test_more_members_than_tokens(tmp_path, sink):
    staff = write(tmp_path / "staff", people(101))
    daemon = start(tmp_path, sink, 'list staff@example.org { members_file = "%s" }' % staff)
    # Its members are no reason to refuse the mail: it costs all there is, and the next one waits for the window.
    assert submit(daemon, "staff@example.org").startswith("250")
    assert used(daemon) == 100
    with opened(daemon) as raw:
        raw.want("MAIL FROM:<alice@example.org>", "250")
        raw.want("RCPT TO:<bob@example.net>", "550 5.7.1")
    daemon.wait_empty()
    assert daemon.stop() == 0


def test_a_reload_counts_anew(tmp_path, sink):
    staff = write(tmp_path / "staff", people(30))
    daemon = start(tmp_path, sink, 'list staff@example.org { members_file = "%s" }' % staff)
    with opened(daemon) as raw:
        assert raw.mail(["staff@example.org"], message("x")).startswith("250")
        write(staff, people(10))
        assert raw.mail(["staff@example.org"], message("x")).startswith("250")
        assert used(daemon) == 60
        daemon.ctl("reload")
        assert raw.mail(["staff@example.org"], message("x")).startswith("250")
        assert used(daemon) == 70
        # A file that is wrong changes nothing, and the old one goes on.
        write(staff, "one@example.net\nnot an address\n")
        done = daemon.ctl("reload", check=False)
        assert done.returncode != 0 and "%s:2: is no mail address" % staff in done.stderr
        assert raw.mail(["staff@example.org"], message("x")).startswith("250")
    assert used(daemon) == 80
    assert daemon.stop() == 0


def test_alias_files(tmp_path, sink):
    """Nested names, a file that is included, a loop, a program, and a block that goes before."""
    more = write(tmp_path / "more", people(5, "more"))
    staff = write(tmp_path / "staff", people(3, "staff"))
    aliases = write(tmp_path / "aliases", """# as the MTA has it
postmaster: root
root:       jane
staff:      nobody, noone, somebody, else
team:       alice, "bob c"@example.net,
            carol@example.net
all:        team, :include:%s,
            staff, |"/usr/bin/archive all", alice
ring:       round, alice
round:      ring, bob
""" % more)
    daemon = start(tmp_path, sink, 'list staff@example.org { members_file = "%s" }\nlist_files = { "%s" }' % (staff, aliases))
    spent = 0
    for name, price in (("postmaster", 1), ("team", 3), ("all", 3 + 5 + 3 + 1), ("staff", 3), ("ring", 2), ("nobody", 1)):
        assert submit(daemon, name + "@example.org").startswith("250")
        spent += price
        assert used(daemon) == spent, name
    assert submit(daemon, "all@example.net").startswith("250")
    assert used(daemon) == spent + 1
    assert daemon.stop() == 0


@pytest.mark.parametrize("settings, says", [
    ('list staff@example.org { members_file = "/nonexistent" }', "list staff@example.org: members_file: \"/nonexistent\": No such"),
    ('list_files = { "/nonexistent" }', "list_files: \"/nonexistent\": No such"),
    ('asn_database = "/etc/hostname"', "asn_database: \"/etc/hostname\": is no good MMDB database"),
    ('geoip_database = "/nonexistent"', "geoip_database: \"/nonexistent\": No such"),
])
def test_what_is_wrong_is_told(tmp_path, settings, says):
    daemon = Gatepost(tmp_path, 25, settings)
    number = next(n for n, line in enumerate(open(daemon.config), 1) if "nonexistent" in line or "hostname\"" in line)
    done = subprocess.run([os.path.join(BUILD, "server", "gatepost"), "-t", "-c", daemon.config], capture_output=True, text=True)
    assert done.returncode == 78 and "%s:%d: %s" % (daemon.config, number, says) in done.stderr


@pytest.mark.parametrize("settings", ['list staff@example.org { members_file = "%s" }', 'list_files = { "%s" }'])
def test_what_the_user_can_not_read(tmp_path, settings):
    """Root could, and a reload as that user would fail."""
    path = write(tmp_path / "empty", "")
    daemon = Gatepost(tmp_path, 25, settings % path)
    check = [os.path.join(BUILD, "server", "gatepost"), "-t", "-c", daemon.config]
    assert subprocess.run(check).returncode == 0
    path.chmod(0o000)
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 78 and str(path) in done.stderr and "Permission denied" in done.stderr


@pytest.mark.parametrize("fold", [False, True])
def test_hl07_details_are_folded_when_so_configured(tmp_path, sink, fold):
    daemon = start(tmp_path, sink, "fold_details = %s" % ("yes" if fold else "no"))
    assert submit(daemon, "bob+a@example.net", "bob+b@EXAMPLE.net", "bob@example.net", "bobby@example.net").startswith("250")
    assert used(daemon) == (2 if fold else 4)
    assert "nrcpt=%d" % (2 if fold else 4) in daemon.wait_log("event=queued")[0]
    daemon.wait_empty()
    want = ["bob+a@example.net", "bobby@example.net"]
    assert envelopes(sink) == sorted(want if fold else want + ["bob+b@EXAMPLE.net", "bob@example.net"])
    assert daemon.stop() == 0
