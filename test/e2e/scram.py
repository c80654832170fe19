"""SCRAM (RFC 5802, 7677) as a client of our own: whatever a test wants to say."""
import base64
import hashlib
import hmac
import os

from harness import PASSWORD
from raw import b64


def unb64(text):
    return base64.b64decode(text)


class Scram:
    """`gs2`: "n,,", "y,,", "p=tls-server-end-point,,". `binding`: the bytes behind it."""

    def __init__(self, mechanism, user="alice", password=PASSWORD, gs2="n,,", binding=b"", nonce=None):
        self.mechanism, self.user, self.password, self.gs2, self.binding = mechanism, user, password, gs2, binding
        self.hash = "sha256" if "256" in mechanism else "sha1"
        self.nonce = nonce or base64.b64encode(os.urandom(15)).decode()
        self.bare = "n=%s,r=%s" % (user, self.nonce)

    def first(self):
        return b64(self.gs2 + self.bare)

    def digest(self, key, text):
        return hmac.new(key, text, self.hash).digest()

    def final(self, challenge):
        """The answer to the server's first message, and what its last must be."""
        server = unb64(challenge).decode()
        fields = dict(part.split("=", 1) for part in server.split(","))
        assert fields["r"].startswith(self.nonce) and len(fields["r"]) > len(self.nonce)
        salted = hashlib.pbkdf2_hmac(self.hash, self.password.encode(), unb64(fields["s"]), int(fields["i"]))
        client = self.digest(salted, b"Client Key")
        stored = hashlib.new(self.hash, client).digest()
        without = "c=%s,r=%s" % (base64.b64encode(self.gs2.encode() + self.binding).decode(), fields["r"])
        message = ",".join((self.bare, server, without)).encode()
        proof = bytes(a ^ b for a, b in zip(client, self.digest(stored, message)))
        verdict = self.digest(self.digest(salted, b"Server Key"), message)
        return b64(without + ",p=" + base64.b64encode(proof).decode()), "v=" + base64.b64encode(verdict).decode()

    def login(self, raw):
        """The whole exchange; the last reply."""
        reply = raw.ask("AUTH %s %s" % (self.mechanism, self.first()))
        if not reply.startswith("334"):
            return reply
        final, verdict = self.final(reply[4:])
        reply = raw.ask(final)
        if reply.startswith("334"):
            assert unb64(reply[4:]).decode() == verdict
            reply = raw.ask("")
        return reply
