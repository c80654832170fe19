"""Accounts from elsewhere: sasldb2, Dovecot's passwd-file, files like /etc/shadow."""
import base64
import crypt
import hashlib
import hmac
import os
import smtplib
import subprocess
import threading

import pytest
from harness import Gatepost, message
from raw import Raw, opened

WORD = "opened: sesame {1}"


def b64(data):
    return base64.b64encode(data).decode()


def scram(raw, user, password, name="SCRAM-SHA-256"):
    """A login by SCRAM (RFC 5802); the last reply."""
    md = name[6:].replace("-", "").lower()
    first = "n=%s,r=nonceofclient" % user
    reply = raw.ask("AUTH %s %s" % (name, b64(("n,," + first).encode())))
    if not reply.startswith("334"):
        return reply
    challenge = base64.b64decode(reply[4:]).decode()
    fields = dict(part.split("=", 1) for part in challenge.split(","))
    salted = hashlib.pbkdf2_hmac(md, password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    key = hmac.digest(salted, b"Client Key", md)
    final = "c=biws,r=" + fields["r"]
    text = ",".join((first, challenge, final)).encode()
    signature = hmac.digest(hashlib.new(md, key).digest(), text, md)
    proof = bytes(a ^ b for a, b in zip(key, signature))
    reply = raw.ask(b64((final + ",p=" + b64(proof)).encode()))
    return raw.ask("") if reply.startswith("334") else reply


def may_scram(daemon, user, password=WORD, name="SCRAM-SHA-256"):
    with Raw(daemon.port) as raw:
        return scram(raw.starttls(), user, password, name).startswith("235")


def may_login(daemon, user, password=WORD):
    with Raw(daemon.port) as raw:
        return raw.starttls().auth(user, password).startswith("235")


def doveadm(scheme, password=WORD):
    done = subprocess.run(["doveadm", "pw", "-s", scheme, "-p", password], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def write(tmp_path, lines, name="users"):
    """As root would keep it: nobody else may read it."""
    path = str(tmp_path / name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
        f.write("\n".join(lines) + "\n")
    return path


def run(daemon, kind, path, *options):
    """What became of each record, by its account or line; the totals."""
    rows = daemon.ctl("account", "import", kind, path, *options, rows=True)
    for row in rows[:-1]:
        assert row["where"].startswith(path + ":"), row
    results = [(row["account"], row["result"], row["reason"]) for row in rows[:-1]]
    assert sum(rows[-1].values()) == len(results)
    return results


@pytest.fixture
def daemon(tmp_path, sink):
    daemon = Gatepost(tmp_path, sink.port, "limits = {}").start()
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-5000:]
    assert WORD not in daemon.log()


def test_shadow(daemon, tmp_path):
    methods = {"sha512": crypt.METHOD_SHA512, "sha256": crypt.METHOD_SHA256, "bcrypt": crypt.METHOD_BLOWFISH}
    hashes = {name: crypt.crypt(WORD, crypt.mksalt(method)) for name, method in methods.items()}
    hashes["yescrypt"] = crypt.crypt(WORD, "$y$j9T$abcdefghijklmnopqrstu/")
    lines = ["%s:%s:19000:0:99999:7:::" % item for item in hashes.items()]
    lines += ["locked:!%s:19000:0:99999:7:::" % hashes["sha512"], "daemon:*:19000::::::", "empty::19000::::::", "# no",
              "", "md5:%s:19000::::::" % crypt.crypt(WORD, crypt.METHOD_MD5), "des:aajfMKNH1hTm2:19000::::::", "nonsense"]
    results = run(daemon, "shadow", write(tmp_path, lines))
    assert results[:4] == [(name + "@example.org", "imported", "") for name in hashes]
    assert [(account.partition("@")[0], result) for account, result, _ in results[4:]] == [
        (name, "skipped") for name in ("locked", "daemon", "empty", "md5", "des", "")]
    assert all(reason for _, result, reason in results if result == "skipped")
    for name in hashes:
        assert not may_login(daemon, name, "wrong"), name
        assert not may_scram(daemon, name + "@example.org"), name
        assert may_login(daemon, name), name
        # The first good login has made verifiers of the hash.
        assert may_scram(daemon, name + "@example.org"), name
        assert may_scram(daemon, name + "@example.org", name="SCRAM-SHA-1"), name
        assert not may_scram(daemon, name + "@example.org", "wrong"), name
        assert may_login(daemon, name), name
    for name in ("locked", "daemon", "empty", "md5", "des"):
        assert not may_login(daemon, name) and not may_login(daemon, name, ""), name
    assert not any(h in daemon.log() for h in hashes.values())


def test_passwd_file(daemon, tmp_path):
    schemes = ("SHA512-CRYPT", "SHA256-CRYPT", "BLF-CRYPT", "SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN", "CLEARTEXT")
    word = "simple word"  # a passwd-file has no way to write a colon
    lines = ["%s@example.org:%s:::::" % (scheme.lower(), doveadm(scheme, word)) for scheme in schemes]
    lines += ["weak%d:%s" % (n, doveadm(scheme, word)) for n, scheme in enumerate(("SSHA", "SHA256", "CRAM-MD5", "MD5-CRYPT"))]
    lines += ["bare:" + crypt.crypt(word, crypt.METHOD_SHA512), "at@@two:{PLAIN}x"]
    results = run(daemon, "passwd-file", write(tmp_path, lines))
    assert [result for _, result, _ in results] == ["imported"] * 7 + ["skipped"] * 4 + ["imported", "skipped"]
    for scheme in schemes:
        user = scheme.lower() + "@example.org"
        assert not may_login(daemon, user, "wrong"), scheme
        if scheme in ("PLAIN", "CLEARTEXT", "SCRAM-SHA-256"):
            assert may_scram(daemon, user, word), scheme
        if scheme in ("PLAIN", "CLEARTEXT", "SCRAM-SHA-1"):
            assert may_scram(daemon, user, word, "SCRAM-SHA-1"), scheme
        assert may_login(daemon, user, word), scheme
    assert may_login(daemon, "bare", word)


def sasldb(path, **users):
    for user, password in users.items():
        user, _, realm = user.partition("_at_")
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", path, "-u", realm.replace("_", "."), user], input=password,
                       text=True, check=True)
    os.chmod(path, 0o600)


def test_sasldb(daemon, tmp_path):
    path = str(tmp_path / "sasldb2")
    sasldb(path, alice_at_example_org=WORD, bob_at_mail_example_org="b\u00f6b's: own")
    before = open(path, "rb").read()
    assert sorted(run(daemon, "sasldb", path)) == [("alice@example.org", "imported", ""),
                                                   ("bob@mail.example.org", "imported", "")]
    assert open(path, "rb").read() == before
    assert may_login(daemon, "alice") and may_scram(daemon, "alice@example.org")
    assert may_login(daemon, "bob@mail.example.org", "b\u00f6b's: own")
    # The realm is often a machine's name: another domain may stand in its place.
    assert sorted(run(daemon, "sasldb", path, "--domain", "example.net")) == [
        ("alice@example.net", "imported", ""), ("bob@example.net", "imported", "")]
    assert may_login(daemon, "bob@example.net", "b\u00f6b's: own")
    bad = daemon.ctl("account", "import", "sasldb", write(tmp_path, ["alice:{PLAIN}x"]), check=False)
    assert bad.returncode == 1 and "sasldb" in bad.stderr


def test_what_is_there_stays(daemon, tmp_path):
    daemon.account("alice", password="the old one")
    daemon.ctl("account", "limit", "alice", "7/1h")
    path = write(tmp_path, ["alice:{PLAIN}new word", "bob:{PLAIN}first", "bob:{PLAIN}second"])
    assert [row[1] for row in run(daemon, "passwd-file", path)] == ["exists", "imported", "exists"]
    assert may_login(daemon, "alice", "the old one") and not may_login(daemon, "alice", "new word")
    assert may_login(daemon, "bob", "first")
    with Raw(daemon.port) as raw:
        assert raw.starttls().auth("alice", "the old one").startswith("235")
        assert [row[1] for row in run(daemon, "passwd-file", path, "--replace")] == ["replaced"] * 3
        assert raw.ask("NOOP").startswith("421")  # its password is no more
    assert may_login(daemon, "alice", "new word") and not may_login(daemon, "alice", "the old one")
    assert may_login(daemon, "bob", "second")
    assert daemon.ctl("account", "show", "alice", rows=True)[0]["limits"] == "7/1h"


def test_while_the_daemon_is_down(daemon, tmp_path):
    assert daemon.stop() == 0
    path = str(tmp_path / "sasldb2")
    sasldb(path, carol_at_example_org=WORD)
    assert run(daemon, "passwd-file", write(tmp_path, ["alice:{PLAIN}new word"])) == [
        ("alice@example.org", "imported", "")]
    assert run(daemon, "sasldb", path) == [("carol@example.org", "imported", "")]
    daemon.start()
    assert may_login(daemon, "alice", "new word") and may_login(daemon, "carol")


def test_others_are_served_meanwhile(daemon, tmp_path):
    """Hundreds of accounts, of which each takes milliseconds: mail is taken in between."""
    daemon.account("alice")
    path = write(tmp_path, ["user%d:{PLAIN}word of %d" % (n, n) for n in range(350)])
    results = []
    thread = threading.Thread(target=lambda: results.extend(run(daemon, "passwd-file", path)))
    thread.start()
    sent = 0
    with opened(daemon) as raw:
        while thread.is_alive():
            assert raw.mail(["bob@example.net"], message("meanwhile")).startswith("250")
            sent += 1
    thread.join()
    assert [row[1] for row in results] == ["imported"] * 350
    assert sent > 3
    assert may_login(daemon, "user0", "word of 0") and may_login(daemon, "user349", "word of 349")
    assert [row[1] for row in run(daemon, "passwd-file", path)] == ["exists"] * 350


def test_nothing_secret_is_shown(daemon, tmp_path):
    """Not by a line that makes no sense, not by an error, not in the log."""
    lines = [WORD, "::%s" % WORD, "alice:%s" % WORD, "bob:{PLAIN}%s" % WORD.replace(":", ""), "carol:{NTLM}%s" % WORD]
    done = daemon.ctl("account", "import", "passwd-file", write(tmp_path, lines))
    assert "sesame" not in done and "sesame" not in daemon.log()
    assert "skipped" in done and "imported" in done


def test_files_that_are_none(daemon, tmp_path):
    for name, code in (("missing", 66), ("folder", 1)):
        if name == "folder":
            os.mkdir(tmp_path / name)
        done = daemon.ctl("account", "import", "shadow", str(tmp_path / name), check=False)
        assert done.returncode == code and name in done.stderr, done
    path = write(tmp_path, ["alice:{PLAIN}x"])
    for domain in ((), ("",), ("ex ample",), ("@example.net",)):
        done = daemon.ctl("account", "import", "passwd-file", path, "--domain", *domain, check=False)
        assert done.returncode == 1 and '--domain "%s": no domain' % "".join(domain) in done.stderr
    done = daemon.ctl("account", "import", "passwd-file", path, "--repalce", check=False)
    assert done.returncode == 1 and os.path.exists(path)
    with pytest.raises(smtplib.SMTPAuthenticationError):
        daemon.client("alice", "x")
