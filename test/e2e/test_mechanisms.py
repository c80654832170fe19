"""Every mechanism, from clients that are not ours (gsasl) and from one that says what it likes."""
import hashlib
import os
import ssl
import subprocess

import pytest

from harness import Gatepost, PASSWORD, certificate, daemon_user, free_port
from raw import Raw, b64, opened
from scram import Scram

ALL = ["PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"]
PLUS = [name for name in ALL if name.endswith("-PLUS")]
LOOSE = "auth_failures = 100\nerrors = 100000\njunk = 100000\nscreen_exempt = { \"127.0.0.0/8\" }\n"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    daemon = Gatepost(tmp_path_factory.mktemp("mechanisms"), free_port(), LOOSE).start()
    daemon.account("alice")
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-5000:]


def gsasl(daemon, mechanism, *words, password=PASSWORD, user="alice@example.org"):
    command = ["gsasl", "--smtp", "--starttls", "--x509-ca-file=" + daemon.cert, "--mechanism", mechanism, "-a", user, "-p", password,
               "--connect", "localhost:%d" % daemon.port, "--hostname", "localhost", *words]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    return done.stdout + done.stderr


@pytest.mark.parametrize("mechanism", ALL)
def test_gsasl(daemon, mechanism):
    words = [] if mechanism in PLUS else ["--no-cb"]
    assert "\n235 2.7.0" in gsasl(daemon, mechanism, *words)
    assert "\n535 5.7.8" in gsasl(daemon, mechanism, *words, password="wrong")
    assert "\n535 5.7.8" in gsasl(daemon, mechanism, *words, user="nobody@example.org")


def end_point(raw):
    return hashlib.sha256(raw.sock.getpeercert(True)).digest()


@pytest.mark.parametrize("mechanism", PLUS)
def test_the_certificate_binds(daemon, mechanism):
    with opened(daemon, user=None) as raw:
        bound = dict(gs2="p=tls-server-end-point,,", binding=end_point(raw))
        assert Scram(mechanism, password="wrong", **bound).login(raw).startswith("535")
        assert Scram(mechanism, gs2="p=tls-server-end-point,,", binding=b"x" * 32).login(raw).startswith("535 5.7.8")
        assert Scram(mechanism, gs2="p=tls-exporter,,", binding=b"x" * 32).login(raw).startswith("535 5.7.8")
        assert Scram(mechanism, gs2="p=tls-unique,,", binding=b"x" * 12).login(raw).startswith("535 5.7.8")
        assert Scram(mechanism, gs2="n,,").login(raw).startswith("535 5.7.8")
        assert Scram(mechanism, **bound).login(raw).startswith("235 2.7.0")


def test_tls_1_2_binds_as_well(daemon):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Raw(daemon.tls_port, implicit=True, context=context) as raw:
        raw.ehlo()
        bound = dict(gs2="p=tls-server-end-point,,", binding=end_point(raw))
        assert Scram("SCRAM-SHA-256-PLUS", **bound).login(raw).startswith("235")


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256"])
def test_stripping_is_noticed(daemon, mechanism):
    """RFC 5802 6: a client that can bind, and believes that we can not, has been lied to."""
    with opened(daemon, user=None) as raw:
        assert Scram(mechanism, gs2="y,,").login(raw).startswith("535 5.7.8")
        assert Scram(mechanism, gs2="n,,").login(raw).startswith("235")


def test_au21_no_layer_of_sasls_own(daemon):
    with opened(daemon, user=None) as raw:
        for name in ("DIGEST-MD5", "GSSAPI", "GSS-SPNEGO", "CRAM-MD5", "NTLM", "OTP", "SRP", "ANONYMOUS"):
            raw.want("AUTH " + name, "504 5.5.4")


def test_what_is_configured_is_offered(tmp_path):
    daemon = Gatepost(tmp_path, free_port(), LOOSE + 'mechanisms = { "SCRAM-SHA-256", "PLAIN" }').start()
    daemon.account("alice")
    with Raw(daemon.tls_port, implicit=True) as raw:
        assert "AUTH SCRAM-SHA-256 PLAIN" in [line[4:] for line in raw.ehlo().split("\n")]
        for name in ("LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "EXTERNAL", "XOAUTH2", "OAUTHBEARER"):
            raw.want("AUTH " + name + " " + b64("n,,"), "504 5.5.4")
        # No -PLUS here: "y" is the truth.
        assert Scram("SCRAM-SHA-256", gs2="y,,").login(raw).startswith("235")
    assert daemon.stop() == 0


# ---- EXTERNAL ----

def issue(folder, name, ca, subject, extensions="", days=("-days", "30")):
    """A client certificate signed by `ca`: its files."""
    base = os.path.join(str(folder), name)
    config = base + ".cnf"
    with open(config, "w") as f:
        f.write("[x]\nbasicConstraints = CA:FALSE\nextendedKeyUsage = clientAuth\n" + extensions + "\n")
    subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", subject,
                    "-keyout", base + ".key", "-out", base + ".csr"], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["openssl", "x509", "-req", "-in", base + ".csr", "-CA", ca[0], "-CAkey", ca[1], "-CAcreateserial",
                    "-extfile", config, "-extensions", "x", "-out", base + ".pem", *days], check=True, stderr=subprocess.DEVNULL)
    return base + ".pem", base + ".key"


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certified")
    ca = certificate(str(folder), "ca", "/CN=Our CA")
    daemon = Gatepost(folder, free_port(), LOOSE)
    with open(daemon.config) as f:
        text = f.read()
    with open(daemon.config, "w") as f:
        f.write(text.replace("tls { ", 'tls { client_ca = "%s" ' % ca[0], 1))
    daemon.start()
    daemon.account("alice", "bob")
    yield folder, ca, daemon
    assert daemon.stop() == 0, daemon.log()[-5000:]


def shown(daemon, pair, version=None):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version:
        context.maximum_version = version
    if pair:
        context.load_cert_chain(*pair)
    return Raw(daemon.tls_port, implicit=True, context=context)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
def test_external_is_the_name_in_the_certificate(certified, version):
    folder, ca, daemon = certified
    mail = issue(folder, "mail", ca, "/CN=Alice", "subjectAltName = email:Alice@example.org")
    with shown(daemon, mail, version) as raw:
        assert "EXTERNAL" in raw.ehlo()
        raw.want("AUTH EXTERNAL " + b64("bob@example.org"), "535 5.7.8")
        raw.want("AUTH EXTERNAL =", "235")
        raw.want("MAIL FROM:<alice@example.org>", "250")
    with shown(daemon, mail, version) as raw:
        raw.ehlo()
        raw.want("AUTH EXTERNAL", "334")
        raw.want("", "235")
    with shown(daemon, mail, version) as raw:
        raw.ehlo()
        raw.want("AUTH EXTERNAL " + b64("alice"), "235")
    assert 'mech=EXTERNAL' in daemon.log()
    words = ["--x509-cert-file=" + mail[0], "--x509-key-file=" + mail[1]]
    assert "\n235 2.7.0" in gsasl(daemon, "EXTERNAL", *words)


@pytest.mark.parametrize("subject,extensions,offered", [
    ("/CN=alice@example.org", "", True),
    ("/CN=x/emailAddress=alice@example.org", "", True),
    ("/CN=x", "subjectAltName = DNS:alice.example.org", True),  # the common name: x@example.org, whom nobody knows
])
def test_external_other_places_of_the_name(certified, subject, extensions, offered):
    folder, ca, daemon = certified
    pair = issue(folder, "other%d" % (abs(hash(subject)) % 1000), ca, subject, extensions)
    with shown(daemon, pair) as raw:
        assert ("EXTERNAL" in raw.ehlo()) == offered
        raw.want("AUTH EXTERNAL =", "454" if "DNS" in extensions else "235")


def test_tl19_a_certificate_that_is_none(certified):
    """Another CA, expired, none at all: TLS goes on, EXTERNAL is not there."""
    folder, ca, daemon = certified
    other = certificate(str(folder), "otherca", "/CN=Other CA")
    alice = "subjectAltName = email:alice@example.org"
    for pair in (issue(folder, "wrong", other, "/CN=Alice", alice), issue(folder, "old", ca, "/CN=Alice", alice, ("-days", "-1")), None):
        with shown(daemon, pair) as raw:
            assert "EXTERNAL" not in raw.ehlo()
            raw.want("AUTH EXTERNAL =", "504 5.5.4")
            assert raw.auth().startswith("235")
