"""Names and numbers at their bounds, from outside: TESTS HL26. What a million accounts cost (HL24) is told by auth/scale."""
import base64
import smtplib

import pytest

from harness import Gatepost, PASSWORD, insecure_context

NAMES = [
    ("empty", ""), ("dots", ".."), ("slash", "../../etc/passwd"), ("longest", "x" * 243), ("256", "x" * 256),
    ("512", "x" * 512), ("5000", "x" * 5000), ("longest-with-realm", "x" * 500 + "@example.org"),
    ("control", "ali\x01ce"), ("delete", "alice\x7f"), ("utf-8", "\u00e4" * 300),
]


@pytest.mark.parametrize("user", [row[1] for row in NAMES], ids=[row[0] for row in NAMES])
def test_hl26_names_at_login(gatepost, user):
    """No name of any length or kind is a key that the store refuses, or somebody else's; sessions go on."""
    with smtplib.SMTP("127.0.0.1", gatepost.port, timeout=60) as client:
        client.starttls(context=insecure_context())
        client.ehlo()
        for text in (b"\0" + user.encode() + b"\0" + PASSWORD.encode(), b"\0alice@example.org\0\0" + user.encode()):
            code, answer = client.docmd("AUTH", "PLAIN " + base64.b64encode(text).decode())
            assert code in (501, 535) and b"5." in answer, answer
        assert client.docmd("NOOP")[0] == 250
        client.login("alice@example.org", PASSWORD)
    assert not gatepost.events("event=(store-failed|commit-failed|fault)")


def test_hl26_names_of_accounts(gatepost):
    """What can be no key is refused with a sentence; the longest that can be one logs in and is charged."""
    before = gatepost.ctl("account", "list", rows=True)
    for user in ("", "x" * 256, "x" * 512 + "@example.org", "a b\x01", "al\u00e9" * 200):
        done = gatepost.ctl("account", "add", user, stdin=PASSWORD + "\n", check=False)
        assert done.returncode != 0 and done.stderr.strip(), repr(user)
    assert gatepost.ctl("account", "list", rows=True) == before
    longest = "x" * (255 - len("@example.org")) + "@example.org"
    gatepost.account(longest)
    with gatepost.client(longest) as client:
        client.sendmail("alice@example.org", ["bob@example.net"], "Subject: hi\r\n\r\nhi\r\n")
    assert gatepost.ctl("account", "show", longest, rows=True)[0]["used"] == "1 1"
