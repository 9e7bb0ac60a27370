"""Writes what the archives lack beside their tests: certificates, keys, credentials and server configurations."""

import base64
import json
import os
import re
import subprocess
import time

import nkeys

# The public key that goes with the seed spelled out in nats-core's tests.
CORE_NKEY = "UBABIZX6SZFAKHK2KGUFD6QH53FDAH5QVCH2R5MJLFPEVYAW22QWQQCX"
CORE_SEED = "SUAEIV5COV7ADQZE52WTYHVJQRV7WKJE5J7IBBJGATJTUUT2LVFGVXDPRQ"
NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


def certificates(folder):
    """An authority; certificates it signs for a server and a client; a self-signed server certificate."""
    os.makedirs(folder, exist_ok=True)
    at = lambda name: os.path.join(folder, name)  # noqa: E731
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    openssl("req", "-x509", *new_key, "-keyout", at("ca-key.pem"), "-out", at("ca.pem"), "-subj", "/CN=Test CA",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    for name in ("signed", "client"):
        openssl("req", "-x509", *new_key, "-CA", at("ca.pem"), "-CAkey", at("ca-key.pem"), "-keyout",
                at(f"{name}-key.pem"), "-out", at(f"{name}-cert.pem"), "-subj", "/CN=localhost", "-addext", NAMES,
                "-addext", "basicConstraints=CA:FALSE", "-addext", "extendedKeyUsage=serverAuth,clientAuth")
    openssl("req", "-x509", *new_key, "-keyout", at("server-key.pem"), "-out", at("server-cert.pem"), "-subj",
            "/CN=localhost", "-addext", NAMES, "-addext", "basicConstraints=critical,CA:TRUE")


def key_pair(prefix):
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), prefix))


def jwt(issuer, subject, name, claims):
    """A JWT as NATS signs them: header and claims in base64url, Ed25519 over both."""
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    body = {"jti": name.upper(), "iat": int(time.time()), "iss": issuer.public_key.decode(), "name": name,
            "sub": subject, "nats": claims}
    signed = part({"typ": "JWT", "alg": "ed25519-nkey"}) + b"." + part(body)
    return (signed + b"." + base64.urlsafe_b64encode(issuer.sign(signed)).rstrip(b"=")).decode()


def credentials(stage, nats_py_tests):
    """The user that nats-py's tests spell out, as files, and a server configuration whose operator vouches for the
    account that signed that user."""
    source = open(os.path.join(nats_py_tests, "test_client_nkeys.py")).read()
    creds = re.search(r'RawCredentials\(\s*"""(.*?)"""', source, re.S).group(1)
    user_jwt = re.search(r"USER JWT-----\s+(\S+)", creds).group(1)
    seed = re.search(r"USER NKEY SEED-----\s+(\S+)", creds).group(1)
    body = user_jwt.split(".")[1]
    account = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["iss"]
    for folder in ("nkeys", "jwts"):
        at = lambda name: os.path.join(stage, folder, name)  # noqa: E731,B023
        write(at("foo-user.creds"), creds)
        write(at("foo-user.jwt"), user_jwt)
        write(at("foo-user.nk"), seed)
        no_seed = creds.split("******")[0]
        write(at("bad-user.creds"), no_seed + ("-----BEGIN USER NKEY SEED-----" if folder == "nkeys" else ""))
        write(at("bad-user2.creds"), creds.replace(seed, "SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3"))
    write(os.path.join(stage, "nkeys", "user.nk"), CORE_SEED)
    operator = key_pair(nkeys.PREFIX_BYTE_OPERATOR)
    operator_jwt = jwt(operator, operator.public_key.decode(), "operator", {"type": "operator", "version": 2})
    limits = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1,
              "leaf": -1}
    account_jwt = jwt(operator, account, "account", {
        "limits": limits, "default_permissions": {"pub": {}, "sub": {}}, "type": "account", "version": 2})
    write(os.path.join(stage, "configs", "server_auth_jwt.conf"), f"""
operator: {operator_jwt}
resolver: MEMORY
resolver_preload: {{
  {account}: {account_jwt}
}}
""")
    return nkeys.from_seed(bytearray(seed.encode())).public_key.decode()


def configurations(stage, foo_user):
    """The server configurations that the tests name."""
    certs = os.path.join(stage, "certs")
    signed = f'cert_file: "{certs}/signed-cert.pem"\n  key_file: "{certs}/signed-key.pem"\n  ca_file: "{certs}/ca.pem"'
    own = f'cert_file: "{certs}/server-cert.pem"\n  key_file: "{certs}/server-key.pem"'
    texts = {
        "server_auth_token": "authorization {\n  token: test_token_123\n}\n",
        "server_auth_user_pass": "authorization {\n  user: testuser\n  password: testpass\n}\n",
        "server_auth_nkey": f"authorization: {{\n  users: [\n    {{ nkey: {CORE_NKEY} }}\n  ]\n}}\n",
        "server_ping": 'ping_interval: "100ms"\nping_max: 20\n',
        "server_tls_handshake_first": f"tls {{\n  {own}\n  handshake_first: true\n}}\n",
        "server_tls_upgrade": f"tls {{\n  {own}\n}}\n",
        "server_tls_verify": f"tls {{\n  {signed}\n  verify: true\n  handshake_first: true\n}}\n",
        "tls_first": f"tls {{\n  {signed}\n  verify: true\n  handshake_first: true\n}}\n",
        "nkeys": f"""
authorization {{
  users = [
    {{
      nkey: {foo_user}
      permissions: {{
        subscribe: {{ allow: ["help", "_INBOX.>"], deny: ["bar"] }}
        publish: ["help", "_INBOX.>"]
      }}
    }}
  ]
}}
""",
        "no_auth_user": """
accounts {
  X {
    users: [
      { user: foo, password: foo }
      { user: bar, password: bar, permissions: { subscribe: { deny: foo } } }
    ]
  }
}
no_auth_user: foo
""",
        "js_limits": """
jetstream {
  max_memory_store: 64MB
  max_file_store: 32MB
  domain: "test-domain"
}
accounts {
  X {
    users: [ { user: foo, password: bar } ]
    jetstream {
      max_mem: 64MB
      max_file: 32MB
      max_streams: 10
      max_consumers: 20
      max_ack_pending: 100
      memory_max_stream_bytes: 2048
      store_max_stream_bytes: 4096
      max_stream_bytes: true
    }
  }
}
no_auth_user: foo
""",
        "ws": "websocket {\n  port: 8080\n  no_tls: true\n}\n",
        "ws_tls": f"websocket {{\n  port: 8081\n  tls {{\n  {signed}\n  }}\n}}\n",
    }
    for name, text in texts.items():
        write(os.path.join(stage, "configs", f"{name}.conf"), text)


def write_all(stage, nats_py_tests):
    """Everything above, into the folder `stage`."""
    certificates(os.path.join(stage, "certs"))
    configurations(stage, credentials(stage, nats_py_tests))
