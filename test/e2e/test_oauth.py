"""OAUTHBEARER (RFC 7628) and XOAUTH2: tokens that are checked by a JWKS file, and by asking."""
import base64
import json
import os
import statistics
import subprocess
import threading
import time

import pytest

from harness import Gatepost, certificate, message, wait_until
from oauth import Endpoint, Key, b64url, claims
from raw import b64, opened
from test_backends import raw_has
from test_secrets import copies

LOOSE = 'auth_failures = 100\nerrors = 100000\njunk = 100000\nscreen_exempt = { "127.0.0.0/8" }\n'
MECHANISMS = ("OAUTHBEARER", "XOAUTH2")
ALGORITHMS = ("RS256", "ES256", "EdDSA")


def first(mechanism, token, user="alice@example.org"):
    if mechanism == "XOAUTH2":
        return "user=%s\x01auth=Bearer %s\x01\x01" % (user, token)
    return "n,%s,\x01host=localhost\x01port=587\x01auth=Bearer %s\x01\x01" % ("a=" + user if user else "", token)


def auth(raw, mechanism, token, **other):
    """The last reply; a refusal is in JSON first, to which a client answers with what it likes."""
    reply = raw.ask("AUTH %s %s" % (mechanism, b64(first(mechanism, token, **other))))
    if not reply.startswith("334 "):
        return reply
    assert json.loads(base64.b64decode(reply[4:]))["status"] == "invalid_token"
    return raw.ask(b64("\x01") if mechanism == "OAUTHBEARER" else "")


class Site:
    def __init__(self, folder, sink, *settings):
        self.daemon = Gatepost(folder, sink.port, LOOSE + "\n".join(settings)).start().account("alice", "bob")

    def login(self, token, mechanism="XOAUTH2", **other):
        with opened(self.daemon, user=None) as raw:
            return auth(raw, mechanism, token, **other)


@pytest.fixture
def signed(tmp_path, sink):
    """A daemon with a JWKS file of three keys."""
    keys = {algorithm: Key(tmp_path, algorithm, "key-" + algorithm) for algorithm in ALGORITHMS}
    path = os.path.join(str(tmp_path), "jwks.json")
    write_keys(path, *keys.values())
    site = Site(tmp_path, sink, 'oauth_jwks = "%s"' % path, 'oauth_issuer = "https://id.example.org"',
                'oauth_audience = "gatepost"', 'mechanisms = { "PLAIN", "OAUTHBEARER", "XOAUTH2" }')
    site.keys, site.path = keys, path
    yield site
    assert site.daemon.stop() == 0, site.daemon.log()[-5000:]


def write_keys(path, *keys):
    with open(path + ".new", "w") as f:
        json.dump({"keys": [key.jwk() for key in keys]}, f)
    os.rename(path + ".new", path)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_signed_tokens(mechanism, signed, sink):
    for algorithm, key in signed.keys.items():
        with opened(signed.daemon, user=None) as raw:
            assert auth(raw, mechanism, key.token(**claims())).startswith("235 2.7.0")
            assert raw.mail(["bob@example.net"], message(algorithm)).startswith("250")
    signed.daemon.wait_empty()
    assert len(sink.mails()) == len(ALGORITHMS)
    assert len(signed.daemon.events("event=login .*mech=%s .*alice@example.org" % mechanism)) == len(ALGORITHMS)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_account_is_the_tokens(mechanism, signed):
    token = signed.keys["EdDSA"].token(**claims())
    for user, want in (("", "235"), ("alice", "235"), ("ALICE@example.org", "235"), ("bob@example.org", "535 5.7.8")):
        assert signed.login(token, mechanism, user=user).startswith(want), user
    nobody = signed.keys["EdDSA"].token(**claims(email="nobody@example.org"))
    assert not signed.login(nobody, mechanism, user="").startswith("235")


BAD = {
    "expired": (None, {"exp": 1}), "of nobody": (None, {"email": ""}), "not yet": (None, {"nbf": 1 << 40}),
    "another issuer": (None, {"iss": "https://evil.example"}), "another audience": (None, {"aud": ["mail"]}),
    "not verified": (None, {"email_verified": False}), "critical": ({"crit": ["x"]}, {}),
    "another key's name": ({"kid": "key-RS256"}, {}), "of an unknown key": ({"kid": "x"}, {}), "HS256": ({"alg": "HS256"}, {}),
}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_bad_tokens(mechanism, signed, tmp_path):
    key = signed.keys["EdDSA"]
    good = key.token(**claims())
    bad = [key.token(header, **claims(**other)) for header, other in BAD.values()]
    bad.append(Key(tmp_path, "EdDSA", "key-EdDSA").token(**claims()))  # another one by that name
    bad.append(b64url('{"alg":"none"}') + "." + good.split(".")[1] + ".")
    bad += [good[:-1], good[:-4] + "AAAA", good.rpartition(".")[0] + ".", "x", good + ".x"]
    with opened(signed.daemon, user=None) as raw:
        for token in bad:
            assert auth(raw, mechanism, token).startswith("535 5.7.8"), token
        assert auth(raw, mechanism, good).startswith("235")
    assert len(signed.daemon.wait_log("event=auth-fail", len(bad))) == len(bad)
    log = signed.daemon.log()
    assert "has expired" in log and "another issuer" in log and "another audience" in log
    assert not any(token in log for token in bad + [good] if len(token) > 20)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_messages(mechanism, signed):
    """In two steps as well; cancelled; and what is no message of it."""
    token = signed.keys["RS256"].token(**claims())
    with opened(signed.daemon, user=None) as raw:
        raw.want("AUTH " + mechanism, "334")
        raw.want("*", "501")
        for text in ("", "x", "\x01", "n,,", first(mechanism, ""), first(mechanism, token)[:-1]):
            assert raw.ask("AUTH %s %s" % (mechanism, b64(text) or "="))[0] == "5", text
        raw.want("AUTH " + mechanism, "334")
        raw.want(b64(first(mechanism, token)), "235 2.7.0")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_curl(mechanism, signed):
    """A client that is not ours."""
    def send(token):
        return subprocess.run(["curl", "-sS", "--ssl-reqd", "--cacert", signed.daemon.cert, "--login-options", "AUTH=" + mechanism,
                               "smtp://localhost:%d" % signed.daemon.port, "--user", "alice@example.org", "--oauth2-bearer", token,
                               "--mail-from", "alice@example.org", "--mail-rcpt", "bob@example.net", "--upload-file", "-"],
                              input=message("curl"), capture_output=True, text=True, timeout=120)
    done = send(signed.keys["ES256"].token(**claims()))
    assert done.returncode == 0, done.stderr
    assert send(signed.keys["ES256"].token(**claims(exp=1))).returncode == 67  # login denied


def test_new_keys_without_a_restart(signed, tmp_path):
    old, new = signed.keys["EdDSA"], Key(tmp_path, "ES256", "new")
    assert signed.login(old.token(**claims())).startswith("235")
    assert signed.login(new.token(**claims())).startswith("535")
    write_keys(signed.path, new)
    wait_until(lambda: signed.login(new.token(**claims())).startswith("235"), "the new key", pause=0.5)
    assert signed.login(old.token(**claims())).startswith("535")
    with open(signed.path, "w") as f:
        f.write('{"keys": [')
    time.sleep(1.1)  # it is looked for once a second
    for _ in range(2):
        assert signed.login(new.token(**claims())).startswith("235")
    assert len(signed.daemon.wait_log("event=oauth-keys .*jwks.json: is not JSON.*the keys from before stay")) == 1


def test_a_bad_file_does_not_start(signed):
    check = [os.path.join(signed.daemon.build, "server", "gatepost"), "-t", "-c", signed.daemon.config]
    assert subprocess.run(check).returncode == 0
    write_keys(signed.path)
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode != 0 and "has no key for RS256, ES256 or EdDSA" in done.stderr


# ---- an endpoint ----

@pytest.fixture
def asked(tmp_path, sink):
    made = []

    def make(*settings):
        endpoint = Endpoint(tmp_path)
        secret = os.path.join(str(tmp_path), "client.secret")
        with open(secret, "w") as f:
            f.write("s3cret of ours\n")
        site = Site(tmp_path, sink, 'oauth_introspect = "%s"' % endpoint.url, 'oauth_ca = "%s"' % endpoint.cert,
                    'oauth_client_id = "gatepost"', 'oauth_secret_file = "%s"' % secret, 'oauth_claim = "username"',
                    'mechanisms = { "PLAIN", "OAUTHBEARER", "XOAUTH2" }', *settings)
        site.endpoint = endpoint
        made.append(site)
        return site
    yield make
    for site in made:
        site.endpoint.stop()
        assert site.daemon.stop() == 0, site.daemon.log()[-5000:]


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_asked_tokens(mechanism, asked):
    site = asked()
    site.endpoint.tokens["good"] = {"active": True, "username": "alice"}
    site.endpoint.tokens["old"] = {"active": True, "username": "alice", "exp": 1}
    assert site.login("good", mechanism).startswith("235 2.7.0")
    assert site.login("old", mechanism).startswith("535 5.7.8")
    assert site.login("bad", mechanism).startswith("535 5.7.8")
    asked_with = "Basic " + b64("gatepost:s3cret%20of%20ours")
    assert site.endpoint.asked == [("/introspect", asked_with, token) for token in ("good", "old", "bad")]
    # A good one is believed for a minute; a bad one may be good by now.
    site.endpoint.tokens["bad"] = {"active": True, "username": "alice"}
    assert site.login("good", mechanism).startswith("235")
    assert site.login("bad", mechanism).startswith("235")
    assert [token for _, _, token in site.endpoint.asked[3:]] == ["bad"]
    site.daemon.ctl("account", "forget-login", "alice")
    assert site.login("good", mechanism).startswith("235")
    assert [token for _, _, token in site.endpoint.asked[4:]] == ["good"]


@pytest.mark.parametrize("how", ("down", "500", "another CA", "slow"))
def test_au15_the_endpoint(how, asked, tmp_path):
    """454 within the deadline, nobody's failure, and the others do not notice."""
    ca = 'oauth_ca = "%s"' % certificate(str(tmp_path), "other", "/CN=localhost")[0] if how == "another CA" else ""
    site = asked("auth_timeout = 2s", "auth_failures = 2", ca)
    site.endpoint.tokens["good"] = {"active": True, "username": "alice"}
    if how == "down":
        site.endpoint.stop()
    site.endpoint.status = 500 if how == "500" else 200
    site.endpoint.sleep = 20 if how == "slow" else 0
    with opened(site.daemon, user=None) as raw, opened(site.daemon, user=None) as other:
        for _ in range(3):  # more than auth_failures: the session goes on
            raw.send("AUTH XOAUTH2 %s\r\n" % b64(first("XOAUTH2", "good")))
            served = 0  # before the answer to AUTH
            while not raw_has(raw) and served < 90:
                other.want("NOOP", "250")
                served += 1
                time.sleep(0.005)
            assert raw.reply().startswith("454 4.7.0")
            assert how != "slow" or served > 5
        raw.want("NOOP", "250")
    assert len(site.daemon.wait_log("event=auth-unavailable", 3)) == 3
    assert not site.daemon.events("event=auth-fail")
    assert how != "another CA" or not site.endpoint.asked


def test_fifty_at_once(asked):
    """An endpoint that takes its time: all get in, and who does not log in waits for nobody."""
    site = asked()
    site.endpoint.sleep = 0.2
    for n in range(50):
        site.endpoint.tokens["t%d" % n] = {"active": True, "username": "alice"}
    replies = []
    threads = [threading.Thread(target=lambda n=n: replies.append(site.login("t%d" % n))) for n in range(50)]
    with opened(site.daemon, user=None) as other:
        for thread in threads:
            thread.start()
        times = []
        while any(thread.is_alive() for thread in threads):
            began = time.monotonic()
            other.want("NOOP", "250")
            times.append(time.monotonic() - began)
            time.sleep(0.01)
    print("NOOP beside fifty logins: median %.2f ms" % (statistics.median(times) * 1e3))
    assert len(replies) == 50 and all(reply.startswith("235") for reply in replies), replies


# ---- AU17, AU18 ----

@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads another's memory")
def test_au17_no_copy_stays(asked):
    """Of opaque tokens, which pass through libcurl too."""
    site = asked()
    good, bad = "Lantern-5-wombat-17-lantern", "Obelisk-8-gherkin-33-obelisk"
    site.endpoint.tokens[good] = {"active": True, "username": "alice"}
    for token, want in ((good, "235"), (bad, "535")) * 3:
        for mechanism in MECHANISMS:
            assert site.login(token, mechanism).startswith(want)
    wait_until(lambda: site.daemon.status()["connections"] == 0, "all sessions gone")
    words = [form.encode() for word in (good, bad) for form in (word, b64(word))]
    # and as they stand in the base64 of a whole message
    words += [b64(first(m, word, user="alice@example.org")).encode()[-24:] for m in MECHANISMS for word in (good, bad)]
    found = copies(site.daemon.process, words)
    assert not any(found.values()), found
    assert good not in site.daemon.log() and bad not in site.daemon.log()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads another's memory")
def test_au17_no_signature_stays(signed):
    token = signed.keys["EdDSA"].token(**claims())
    assert signed.login(token).startswith("235")
    wait_until(lambda: signed.daemon.status()["connections"] == 0, "all sessions gone")
    signature = token.rpartition(".")[2]
    raw_signature = base64.urlsafe_b64decode(signature + "==")
    found = copies(signed.daemon.process, [signature.encode(), raw_signature])
    assert not any(found.values()), found
