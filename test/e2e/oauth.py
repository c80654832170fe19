"""Who gives out tokens: keys made by openssl, JWTs of any header and claims, and an introspection endpoint over TLS."""
import base64
import http.server
import json
import os
import ssl
import subprocess
import threading
import time
import urllib.parse

from harness import certificate


def b64url(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else data.encode()).rstrip(b"=").decode()


def run(*words, stdin=b""):
    return subprocess.run(["openssl", *words], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout


class Key:
    """RS256, ES256 or EdDSA."""
    MAKE = {"RS256": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
            "ES256": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
            "EdDSA": ("-algorithm", "ED25519")}

    def __init__(self, folder, algorithm, name):
        self.algorithm, self.name = algorithm, name
        self.path = os.path.join(str(folder), name + ".jwt.key")
        self.data = os.path.join(str(folder), name + ".jwt.data")
        run("genpkey", *self.MAKE[algorithm], "-out", self.path)

    def jwk(self):
        # A SubjectPublicKeyInfo ends in the point; openssl prints a modulus.
        public = run("pkey", "-in", self.path, "-pubout", "-outform", "DER")
        members = {"kid": self.name, "use": "sig", "alg": self.algorithm}
        if self.algorithm == "RS256":
            modulus = run("rsa", "-in", self.path, "-noout", "-modulus").decode().strip().partition("=")[2]
            return dict(members, kty="RSA", n=b64url(bytes.fromhex(modulus)), e="AQAB")
        if self.algorithm == "ES256":
            return dict(members, kty="EC", crv="P-256", x=b64url(public[-64:-32]), y=b64url(public[-32:]))
        return dict(members, kty="OKP", crv="Ed25519", x=b64url(public[-32:]))

    def sign(self, data):
        with open(self.data, "wb") as f:
            f.write(data)
        if self.algorithm == "EdDSA":
            return run("pkeyutl", "-sign", "-rawin", "-inkey", self.path, "-in", self.data)
        signature = run("dgst", "-sha256", "-sign", self.path, self.data)
        return self.raw(signature) if self.algorithm == "ES256" else signature

    @staticmethod
    def raw(der):
        """SEQUENCE { INTEGER r, INTEGER s }, short enough for lengths of one byte."""
        r_len = der[3]
        r, s = der[4:4 + r_len], der[6 + r_len:]
        return b"".join(int.from_bytes(number, "big").to_bytes(32, "big") for number in (r, s))

    def token(self, header=None, **claims):
        parts = [dict({"alg": self.algorithm, "kid": self.name, "typ": "JWT"}, **(header or {})), claims]
        text = ".".join(b64url(json.dumps(part)) for part in parts)
        return text + "." + b64url(self.sign(text.encode()))


def claims(**other):
    now = int(time.time())
    return dict({"iss": "https://id.example.org", "aud": ["mail", "gatepost"], "email": "alice@example.org",
                 "iat": now, "exp": now + 300}, **other)


class Endpoint:
    """RFC 7662: `tokens` are the answers; who asks is remembered. `sleep` seconds before each answer."""

    def __init__(self, folder):
        self.folder, self.tokens, self.asked, self.status, self.sleep = str(folder), {}, [], 200, 0
        self.cert, key = certificate(self.folder, "id", "/CN=localhost")
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                token = urllib.parse.parse_qs(body)["token"][0]
                endpoint.asked.append((self.path, self.headers["Authorization"], token))
                time.sleep(endpoint.sleep)
                answer = json.dumps(endpoint.tokens.get(token, {"active": False})).encode()
                self.send_response(endpoint.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # a client that has given up, or believes somebody else

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, key)
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = "https://localhost:%d/introspect" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
