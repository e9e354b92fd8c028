"""Registries: Debian's docker-registry behind every kind of lock, and registries that lie, hang, cut off and go in circles."""
import base64
import ctypes
import ctypes.util
import hashlib
import http.server
import json
import os
import pty
import random
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest

from images import ARCH, DOCKER, OCI, DockerRegistry, Image, Layer, Store, sha256, tree

FAST = ("--timeout", "1", "--retry", "2", "--retry-delay", "20")


def big_layer(seed, size=400_000):
    return Layer().file(f"f{seed}", random.Random(seed).randbytes(size))


def skopeo(*args):
    return subprocess.run(["skopeo", "--insecure-policy", *args], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout


# ---------------------------------------------------------------------------------------------- Debian's docker-registry

@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    r = DockerRegistry(str(tmp_path_factory.mktemp("registry")))
    yield r
    r.close()


def publish(registry, tmp_path, image, name, *more):
    """Pushes IMAGE with skopeo."""
    store = Store(str(tmp_path))
    path = store.layout(image, "x")
    skopeo("copy", "-q", "--dest-tls-verify=false", *more, f"oci:{path}:x", f"docker://{registry.name}/{name}")


def test_pull(store, registry, tmp_path):
    image = Image([big_layer(1), big_layer(2), Layer().whiteout("f1")])
    publish(registry, tmp_path, image, "team/app:v1")
    name = f"{registry.name}/team/app:v1"
    assert store("pull", name).out.strip() == image.id
    info = store.inspect(name)
    assert info["Digest"] == image.digest and info["RepoTags"] == [name]
    assert sorted(tree(info["LayerDirs"][0])) == ["f1"]
    assert store("pull", name).out.strip() == image.id, "again: nothing to fetch"
    assert json.loads(store("pull", "--json", "--missing", name).out) == {"name": name, "id": image.id, "digest": image.digest}
    by_digest = f"{registry.name}/team/app@{image.digest}"
    assert store("pull", by_digest).out.strip() == image.id
    assert store("pull", f"{name}@{image.digest}").out.strip() == image.id
    store.fails("pull", f"{registry.name}/team/app:nope", because="nope: not found in the registry")
    store.fails("pull", f"{registry.name}/no/such:v1", because="not found in the registry")
    store.fails("pull", f"{name}@{sha256(b'')}", because="not found in the registry")
    store.check()


@pytest.mark.parametrize("form", ["v2s2", "oci"])
def test_both_kinds_of_manifest(store, registry, tmp_path, form):
    publish(registry, tmp_path, Image([big_layer(3)]), f"kinds:{form}", "--format", form)
    store("pull", f"{registry.name}/kinds:{form}")
    assert list(tree(store.layers(f"{registry.name}/kinds:{form}")[0])) == ["f3"]
    store("push", f"{registry.name}/kinds:{form}", f"{registry.name}/back:{form}")
    a, b = (skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{registry.name}/{n}:{form}") for n in ("kinds", "back"))
    assert a == b


def test_push_what_was_made_here(store, registry, tmp_path):
    store("load", "--builtin")
    digest = store("push", "base", f"{registry.name}/pushed/base:1").out.strip()
    assert digest == store.inspect("base")["Digest"]
    other = Store(str(tmp_path / "other"))
    os.mkdir(other.directory)
    other("pull", f"{registry.name}/pushed/base:1")
    assert tree(other.layers(f"{registry.name}/pushed/base:1")[0]) == tree(store.layers("base")[0])
    skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{registry.name}/pushed/base:1", f"dir:{tmp_path}/by-skopeo")
    store("push", "base", f"{registry.name}/pushed/base:1")
    store.fails("push", "base", f"{registry.name}/x@{digest}", because="a digest cannot be pushed to")
    store.fails("push", "nosuch", f"{registry.name}/x", because="not in the store")


def test_multi_platform(store, registry, tmp_path):
    images = {a: Image([Layer().file(a)], arch=a) for a in (ARCH, "s390x", "mips64le")}
    for arch, image in images.items():
        publish(registry, tmp_path, image, f"multi:{arch}")
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": [
        {**i.descriptor, "platform": {"os": "linux", "architecture": a}} for a, i in images.items()]}).encode()
    put_manifest(registry, "multi", "all", index, OCI + "index.v1+json")
    name = f"{registry.name}/multi:all"
    assert store("pull", name).out.strip() == images[ARCH].id
    assert len(os.listdir(store.path + "/layers")) == 1, "only what is asked for"
    assert store("pull", "--platform", "linux/s390x", name).out.strip() == images["s390x"].id
    store.fails("pull", "--platform", "linux/arm/v7", name, because=f"no variant for platform linux/arm/v7; it has: linux/{ARCH}")
    p = store("push", "--all-platforms", name, f"{registry.name}/multi:copy", status=125)
    assert "is made for another platform" in p.err and re.search("is not here: pull.*--all-platforms", p.err)
    store("pull", "--all-platforms", name)
    assert {i["architecture"] for i in json.loads(store("ls", "--json", "multi").out)} == set(images)
    assert store("push", "--all-platforms", name, f"{registry.name}/multi:copy").out.strip() == sha256(index)
    assert skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{registry.name}/multi:copy") == index
    store("gc")
    store.check()


def put_manifest(registry, repository, tag, data, media):
    import urllib.request
    request = urllib.request.Request(f"http://{registry.name}/v2/{repository}/manifests/{tag}", data=data, method="PUT",
                                     headers={"Content-Type": media})
    assert urllib.request.urlopen(request).status == 201


def test_two_pulls_share_the_work(store, registry, tmp_path):
    image = Image([big_layer(i, 3_000_000) for i in range(10, 14)])
    publish(registry, tmp_path, image, "shared:1")
    running = [store.popen("pull", f"{registry.name}/shared:1") for _ in range(4)]
    for p in running:
        out, err = p.communicate(timeout=90)
        assert p.returncode == 0 and out.decode().strip() == image.id, err
    store.check()
    store.assert_clean()


def test_killed_pulls_are_resumed(store, registry, tmp_path):
    r = random.Random(7)
    image = Image([big_layer(i, 2_000_000) for i in range(20, 24)])
    publish(registry, tmp_path, image, "killed:1")
    name = f"{registry.name}/killed:1"
    begin = time.monotonic()
    store("pull", name)
    duration = time.monotonic() - begin
    expected = [tree(l) for l in store.layers(name)]
    for i in range(12):
        if i % 4 == 0:
            store("rm", "--all", "--force")
        p = store.popen("pull", name)
        time.sleep(r.uniform(0, duration))
        p.send_signal(signal.SIGKILL)
        p.communicate()
        store.check()
    store("pull", name)
    assert [tree(l) for l in store.layers(name)] == expected
    store("gc")
    store.assert_clean()


def test_progress_on_a_terminal(store, registry, tmp_path):
    publish(registry, tmp_path, Image([big_layer(30)]), "progress:1")
    master, slave = pty.openpty()
    p = subprocess.Popen(store.command("pull", f"{registry.name}/progress:1"), stdout=subprocess.PIPE, stderr=slave, env=store.env)
    os.close(slave)
    p.communicate(timeout=60)
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert p.returncode == 0
    assert re.search(r"1 of 1 blobs \[=+\] \d+ kB of \d+ kB", shown), shown
    assert store("pull", f"{registry.name}/progress:1").err == "", "no bar without a terminal"


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """An authority and a server's certificate of its own making."""
    d = tmp_path_factory.mktemp("tls")

    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, cwd=d, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=Test CA", "-days", "2")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "s.key", "-out", "s.csr", "-subj", "/CN=127.0.0.1")
    (d / "ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
    openssl("x509", "-req", "-in", "s.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", "s.crt", "-days", "2",
            "-extfile", "ext")
    certs = d / "certs.d"
    certs.mkdir()
    (certs / "ca.crt").write_bytes((d / "ca.crt").read_bytes())
    return d


def bcrypt(password):
    """libxcrypt knows it; python's own module for that library is going away."""
    crypt = ctypes.CDLL(ctypes.util.find_library("crypt")).crypt
    crypt.restype = ctypes.c_char_p
    return crypt(password.encode(), b"$2y$05$abcdefghijklmnopqrstuu").decode()


@pytest.fixture(scope="module")
def locked(tmp_path_factory, tls):
    """TLS and a password."""
    d = tmp_path_factory.mktemp("locked")
    (d / "htpasswd").write_text("me:" + bcrypt("s3cret:x") + "\n")
    r = DockerRegistry(str(d), http=f"  tls:\n    certificate: {tls}/s.crt\n    key: {tls}/s.key\n",
                       auth=f"auth:\n  htpasswd:\n    realm: test\n    path: {d}/htpasswd\n")
    yield r
    r.close()


def test_tls_and_password(store, locked, tls, tmp_path):
    store("load", "--builtin")
    name, certs = f"{locked.name}/a/b:1", ("--cert-dir", str(tls / "certs.d"))
    store.fails("push", "base", name, "--creds", "me:s3cret:x", because="certificate of .* is not trusted.*certs.d|does not speak TLS")
    store.fails("push", "base", name, *certs, because="access denied.*--creds")
    store.fails("push", "base", name, *certs, "--creds", "me:wrong", because="access denied")
    store.fails("push", "base", name, *certs, "--creds", "nocolon", because="USER:PASSWORD")
    store("push", "base", name, *certs, "--creds", "me:s3cret:x")
    store("rm", "base")
    auth = base64.b64encode(b"me:s3cret:x").decode()

    def write(path, key, **more):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"auths": {key: {"auth": auth, **more}}}, f)
    # Docker's file, podman's file, and one that is named; the most specific entry counts
    for path, key, args, env in [(".docker/config.json", locked.name, (), {}),
                                 (".docker/config.json", f"https://{locked.name}", (), {}),
                                 (".config/containers/auth.json", f"{locked.name}/a", (), {}),
                                 ("named.json", locked.name, ("--authfile", str(tmp_path / "named.json")), {}),
                                 ("env.json", locked.name, (), {"REGISTRY_AUTH_FILE": str(tmp_path / "env.json")}),
                                 ("dc/config.json", locked.name, (), {"DOCKER_CONFIG": str(tmp_path / "dc")}),
                                 ("run/containers/auth.json", locked.name, (), {"XDG_RUNTIME_DIR": str(tmp_path / "run")})]:
        write(str(tmp_path / path), key)
        store("pull", name, *certs, *args, env=env)
        store("rm", "--all")
        os.unlink(tmp_path / path)
        store.fails("pull", name, *certs, because="access denied")
    store.fails("pull", name, *certs, "--authfile", "/nonexistent", because="/nonexistent")
    (tmp_path / "named.json").write_text('{"auths":{"%s":{"auth":"%%%%"}}}' % locked.name)
    store.fails("pull", name, *certs, "--authfile", str(tmp_path / "named.json"), because="no base64")
    store("pull", name, "--insecure", "--creds", "me:s3cret:x")
    store("rm", "--all")
    store("pull", name, "--creds", "me:s3cret:x", env={"SSL_CERT_FILE": str(tls / "ca.crt")})


def test_credential_helper_is_named(store, locked, tls, tmp_path):
    os.makedirs(tmp_path / ".docker")
    (tmp_path / ".docker/config.json").write_text('{"credHelpers": {"%s": "secretservice"}}' % locked.name)
    r = store("pull", f"{locked.name}/a/b:1", "--cert-dir", str(tls / "certs.d"), status=125)
    assert "credential helper 'secretservice'" in r.err and "access denied" in r.err


class TokenServer:
    """Signs tokens as docker-registry wants them; keeps what it was asked."""
    def __init__(self, tls, context):
        self.asked = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                query = dict(urllib.parse.parse_qsl(urllib.parse.urlparse(self.path).query))
                server.asked.append((query, self.headers.get("Authorization")))
                user = base64.b64decode((self.headers.get("Authorization") or "Basic Og==")[6:]).decode()
                if user not in ("me:pw", ":"):
                    self.send_response(401)
                    self.end_headers()
                    return
                self.answer(query["scope"], query["service"], pull_only=user == ":")

            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                server.asked.append((form, self.headers.get("Authorization")))
                self.answer(form["scope"], form["service"], False)

            def answer(self, scope, service, pull_only):
                kind, name, actions = scope.split(":")
                actions = ["pull"] if pull_only else actions.split(",")
                body = json.dumps({"token": server.sign(service, [{"type": kind, "name": name, "actions": actions}])}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.tls = tls
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.http.server_port}/token"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def sign(self, service, access):
        def b64(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=")
        der = ssl.PEM_cert_to_DER_cert((self.tls / "s.crt").read_text())
        now = int(time.time())
        parts = b".".join(b64(json.dumps(p).encode()) for p in (
            {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]},
            {"iss": "test", "sub": "me", "aud": service, "exp": now + 300, "nbf": now - 60, "iat": now, "jti": os.urandom(8).hex(),
             "access": access}))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(self.tls / "s.key")], input=parts, check=True,
                                   stdout=subprocess.PIPE).stdout
        return (parts + b"." + b64(signature)).decode()


@pytest.fixture(scope="module")
def with_tokens(tmp_path_factory, tls):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "s.crt", tls / "s.key")
    server = TokenServer(tls, context)
    r = DockerRegistry(str(tmp_path_factory.mktemp("tokens")), http=f"  tls:\n    certificate: {tls}/s.crt\n    key: {tls}/s.key\n",
                       auth=f"auth:\n  token:\n    realm: {server.url}\n    service: the registry\n    issuer: test\n"
                            f"    rootcertbundle: {tls}/ca.crt\n")
    r.tokens = server
    yield r
    r.close()
    server.http.shutdown()


def test_tokens(store, with_tokens, tls, tmp_path):
    store("load", "--builtin")
    name, certs = f"{with_tokens.name}/team/app:1", ("--cert-dir", str(tls / "certs.d"))
    store.fails("push", "base", name, *certs, because="access denied")
    store.fails("push", "base", name, *certs, "--creds", "me:bad", because="access denied")
    store("push", "base", name, *certs, "--creds", "me:pw")
    query, header = with_tokens.tokens.asked[-1]
    assert query["scope"] == "repository:team/app:pull,push" and query["service"] == "the registry" and query["account"] == "me"
    store("rm", "base")
    store("pull", name, *certs)
    query, header = with_tokens.tokens.asked[-1]
    assert query["scope"] == "repository:team/app:pull" and header is None
    os.makedirs(tmp_path / ".docker")
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {with_tokens.name: {"identitytoken": "refresh me"}}}))
    store("rm", "--all")
    store("pull", name, *certs)
    form, header = with_tokens.tokens.asked[-1]
    assert form["grant_type"] == "refresh_token" and form["refresh_token"] == "refresh me"


# ---------------------------------------------------------------------------------------------- registries that misbehave

class Liar:
    """A registry in python whose answers a test can spoil: HOOK(handler, kind, what) returns True when it has answered."""
    def __init__(self, image=None, hook=None, context=None):
        self.image, self.hook, self.requests = image, hook, []
        liar = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                liar.requests.append((self.path, dict(self.headers)))
                m = re.fullmatch(r"/v2/(?:[^?]*/(manifests|blobs)/([^/?]+))?(?:\?.*)?", self.path)
                kind, what = (m.group(1) or "ping", m.group(2)) if m else ("other", self.path)
                try:
                    if not (liar.hook and liar.hook(self, kind, what)):
                        self.honest(kind, what)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            do_HEAD = do_GET

            def honest(self, kind, what):
                if kind == "ping":
                    return self.answer(b"{}")
                if kind == "manifests" and ":" not in what:
                    what = liar.image.digest
                data = liar.image.blobs.get(what) if liar.image else None
                if data is None:
                    return self.answer(b'{"errors":[{"code":"NAME_UNKNOWN","message":"no such thing"}]}', 404)
                return self.answer(data, media=liar.image.descriptor["mediaType"] if kind == "manifests" else None)

            def answer(self, data, status=200, media=None, length=None, **headers):
                self.send_response(status)
                self.send_header("Content-Type", media or "application/octet-stream")
                self.send_header("Content-Length", str(len(data) if length is None else length))
                for k, v in headers.items():
                    self.send_header(k.replace("_", "-"), v)
                self.end_headers()
                self.wfile.write(data)
                return True

            def redirect(self, to, status=307):
                return self.answer(b"", status, Location=to)

            def drop(self):
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return True

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        if context:
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.name = f"127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def asked(self, kind):
        return [r for r in self.requests if f"/{kind}/" in r[0]]

    def close(self):
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def liar():
    made = []

    def make(image=None, hook=None, **more):
        made.append(Liar(image or Image([big_layer(1)]), hook, **more))
        return made[-1]
    yield make
    for l in made:
        l.close()


def on(kind, what=lambda w: True):
    def decorate(f):
        return lambda handler, k, w: k == kind and what(w) and f(handler, w)
    return decorate


def test_the_python_registry_is_fine(store, liar):
    r = liar()
    store("pull", f"{r.name}/x")
    store.check()


def layer_only(image):
    digests = {l["digest"] for l in image.layers}
    return lambda what: what in digests


def spoil_layer(answer):
    """A test's registry that answers for layers with ANSWER(handler, data)."""
    def make():
        image = Image([big_layer(1)])
        return image, on("blobs", layer_only(image))(lambda h, w: answer(h, image.blobs[w]))
    return make


def send_slowly(h, data):
    h.send_response(200)
    h.send_header("Content-Length", str(len(data)))
    h.end_headers()
    for i in range(60):
        h.wfile.write(data[i:i + 1])
        h.wfile.flush()
        time.sleep(0.2)
    return True


def send_endlessly(h, data):
    h.send_response(200)
    h.send_header("Connection", "close")
    h.end_headers()
    for _ in range(4000):
        h.wfile.write(b"\0" * 65536)
    h.close_connection = True
    return True


def hang(h, *_):
    time.sleep(15)
    return h.drop()


LIES = {
    "wrong-content": (spoil_layer(lambda h, d: h.answer(bytes(len(d)))), "wrong content: its digest is"),
    "too-short": (spoil_layer(lambda h, d: h.answer(d[:-10])), "descriptor says"),
    "too-long": (spoil_layer(lambda h, d: h.answer(d + b"more")), "longer than its descriptor says"),
    "endless": (spoil_layer(send_endlessly), "longer than its descriptor says"),
    "cut-off": (spoil_layer(lambda h, d: h.answer(d[:len(d) // 2], length=len(d)) and h.drop()), "cut|descriptor says|closed"),
    "cut-off-at-once": (spoil_layer(lambda h, d: h.drop()), "cut|empty|nothing|Server returned"),
    "hanging": (spoil_layer(hang), "too slow or hangs.*--timeout"),
    "dripping": (spoil_layer(send_slowly), "too slow or hangs.*--timeout"),
    "missing": (spoil_layer(lambda h, d: h.answer(b"{}", 404)), "not found in the registry"),
    "broken": (spoil_layer(lambda h, d: h.answer(b"oops", 500)), "HTTP 500"),
    "denied": (spoil_layer(lambda h, d: h.answer(b"{}", 403)), "access denied"),
    "401-for-ever": (spoil_layer(lambda h, d: h.answer(b"{}", 401, WWW_Authenticate='Basic realm="x"')), "access denied"),
    "redirect-loop": (spoil_layer(lambda h, d: h.redirect(h.path)), "redirects in a circle"),
    "redirect-to-file": (spoil_layer(lambda h, d: h.redirect("file:///etc/passwd")), "protocol that is not allowed"),
    "redirect-nowhere": (spoil_layer(lambda h, d: h.answer(b"", 302)), "HTTP 302"),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_about_a_layer(store, liar, name):
    make, because = LIES[name]
    image, hook = make()
    r = liar(image, hook)
    begin = time.monotonic()
    p = store("pull", *FAST, f"{r.name}/x", status=125)
    assert re.search(because, p.err), p.err
    assert time.monotonic() - begin < 60
    left = [f for f in store.leftovers() if not f.startswith("sha256-")]
    assert not left, "only a partial download may stay, to be resumed"
    assert os.listdir(store.path + "/layers") == [] and os.listdir(store.path + "/images") == []
    store("gc")
    store.assert_clean()
    store.check()


DOCUMENTS = {
    "not-json": (on("manifests")(lambda h, w: h.answer(b"<html>hello", media="text/html")), "JSON"),
    "empty": (on("manifests")(lambda h, w: h.answer(b"")), "JSON|manifest"),
    "huge": (on("manifests")(lambda h, w: h.answer(b" " * (5 << 20))), "more than the limit"),
    "endless": (on("manifests")(send_endlessly), "more than the limit"),
    "deep": (on("manifests")(lambda h, w: h.answer(b'{"a":' * 5000)), "JSON"),
    "other-kind": (on("manifests")(lambda h, w: h.answer(b'{"schemaVersion":1,"fsLayers":[]}')), "schema 1"),
    "hanging": (on("manifests")(hang), "too slow or hangs"),
    "ping-hangs": (on("ping")(hang), "too slow or hangs"),
    "ping-401-loop": (on("ping")(lambda h, w: h.answer(b"", 401, WWW_Authenticate='Basic realm="x"')), "access denied"),
    "ping-strange-auth": (on("ping")(lambda h, w: h.answer(b"", 401, WWW_Authenticate="Negotiate")), "not known here"),
    "ping-no-realm": (on("ping")(lambda h, w: h.answer(b"", 401, WWW_Authenticate="Bearer x=y")), "no token server"),
    "ping-file-realm": (on("ping")(lambda h, w: h.answer(b"", 401, WWW_Authenticate='Bearer realm="file:///etc/passwd"')), "not use TLS"),
    "ping-500": (on("ping")(lambda h, w: h.answer(b"", 500)), "HTTP 500"),
    "redirect-loop": (on("manifests")(lambda h, w: h.redirect(h.path)), "redirects in a circle"),
    "rate-limit": (on("manifests")(lambda h, w: h.answer(b'{"errors":[{"message":"slow down"}]}', 429)), "come back later.*slow down"),
    "control-characters": (on("manifests")(lambda h, w: h.answer(b'{"errors":[{"message":"\\u001b[2Jx"}]}', 404)), r"\?\[2Jx"),
    "many-headers": (on("manifests")(lambda h, w: h.answer(b"", 401, **{f"X_{i}": "y" * 8000 for i in range(80)})), "."),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_lies_about_documents(store, liar, name):
    hook, because = DOCUMENTS[name]
    r = liar(hook=hook)
    store.fails("pull", *FAST, f"{r.name}/x", because=because, timeout=90)


def test_manifest_that_is_not_what_was_asked_for(store, liar):
    image, other = Image([big_layer(1)]), Image([big_layer(2)])
    other.blobs.update(image.blobs)
    data = other.blobs[other.digest]
    r = liar(image, on("manifests")(lambda h, w: h.answer(data, media=other.descriptor["mediaType"])))
    store.fails("pull", *FAST, f"{r.name}/x@{image.digest}", because="lies: it sent a manifest with digest")


def test_config_that_is_not_what_was_asked_for(store, liar):
    image = Image([big_layer(1)])
    r = liar(image, on("blobs", lambda w: w == image.id)(lambda h, w: h.answer(image.blobs[w].replace(b"test", b"evil"))))
    store.fails("pull", *FAST, f"{r.name}/x", because="config.*wrong content")


def test_index_of_indexes(store, liar):
    """An index that nests itself deeper and deeper."""
    image = Image([])
    inner = image.descriptor
    for _ in range(8):
        inner = image.blob({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": [inner]}, OCI + "index.v1+json")
    image.descriptor = inner
    r = liar(image)
    store.fails("pull", *FAST, f"{r.name}/x", because="nested too deeply")


def test_interrupted_downloads_go_on(store, liar):
    """Each attempt brings a part; the next asks for the rest only."""
    image = Image([big_layer(1, 4_000_000)])
    ranges = []

    def hook(h, kind, what):
        if kind != "blobs" or what != image.layers[0]["digest"]:
            return False
        data, header = image.blobs[what], h.headers.get("Range")
        ranges.append(header)
        start = int(header[6:-1]) if header else 0
        part = data[start:start + 1_500_000]
        h.send_response(206 if header else 200)
        if header:
            h.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        h.send_header("Content-Length", str(len(data) - start))
        h.end_headers()
        h.wfile.write(part)
        return h.drop() if start + len(part) < len(data) else True
    r = liar(image, hook)
    store("pull", *FAST, f"{r.name}/x")
    assert ranges[0] is None and len(ranges) == 3
    assert [int(x[6:-1]) for x in ranges[1:]] == sorted(int(x[6:-1]) for x in ranges[1:]) and int(ranges[1][6:-1]) > 0
    store.check()


def test_resume_after_giving_up(store, liar):
    image = Image([big_layer(1, 3_000_000)])
    state = {"broken": True, "ranges": []}

    def hook(h, kind, what):
        if kind != "blobs" or what != image.layers[0]["digest"]:
            return False
        data = image.blobs[what]
        state["ranges"].append(h.headers.get("Range"))
        if state["broken"]:
            h.answer(data[:1_000_000], length=len(data))
            return h.drop()
        start = int(h.headers.get("Range", "bytes=0-")[6:-1])
        return h.answer(data[start:], 206, Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")
    r = liar(image, hook)
    store("pull", "--timeout", "5", "--retry", "0", f"{r.name}/x", status=125)
    assert len(store.leftovers()) == 1
    state["broken"] = False
    store("pull", f"{r.name}/x")
    assert state["ranges"][-1] is not None and int(state["ranges"][-1][6:-1]) > 900_000
    store.assert_clean()
    store.check()


def test_a_server_without_ranges(store, liar):
    """Asked for the rest it sends all: taken from the start."""
    image = Image([big_layer(1, 2_000_000)])
    count = []

    def hook(h, kind, what):
        if kind != "blobs" or what != image.layers[0]["digest"]:
            return False
        data = image.blobs[what]
        count.append(1)
        if len(count) == 1:
            h.answer(data[:1_000_000], length=len(data))
            return h.drop()
        return h.answer(data)
    r = liar(image, hook)
    store("pull", *FAST, f"{r.name}/x")
    store.check()


def test_a_server_that_sends_another_range(store, liar):
    image = Image([big_layer(1, 2_000_000)])

    def hook(h, kind, what):
        if kind != "blobs" or what != image.layers[0]["digest"]:
            return False
        data = image.blobs[what]
        if "Range" not in h.headers:
            h.answer(data[:1_000_000], length=len(data))
            return h.drop()
        return h.answer(data[5:], 206, Content_Range=f"bytes 5-{len(data) - 1}/{len(data)}")
    r = liar(image, hook)
    store("pull", *FAST, f"{r.name}/x", status=125)
    store("gc")
    store.check()


def test_damaged_partial_download(store, liar):
    """What lies in ingest/ is not trusted: a wrong beginning costs one download more, no more."""
    image = Image([big_layer(1, 1_000_000)])
    r = liar(image)
    store("load", "--builtin")
    partial = os.path.join(store.path, "ingest", image.layers[0]["digest"].replace(":", "-"))
    with open(partial, "wb") as f:
        f.write(b"not what it should be" * 1000)
    store("pull", *FAST, f"{r.name}/x")
    store.check()
    store.assert_clean()


def test_trouble_that_passes(store, liar):
    """Errors that may pass are tried again."""
    count = {}

    def hook(h, kind, what):
        n = count[kind] = count.get(kind, 0) + 1
        return n == 1 and kind != "other" and h.answer(b"", {"ping": 503, "manifests": 502, "blobs": 429}[kind])
    r = liar(hook=hook)
    store("pull", *FAST, f"{r.name}/x")
    assert count["manifests"] == 2


def test_credentials_stay_with_their_host(store, liar, tmp_path):
    """A blob that is elsewhere is fetched from there, without the password."""
    image = Image([big_layer(1)])
    elsewhere = liar(image)

    def hook(h, kind, what):
        if h.headers.get("Authorization") is None:
            return h.answer(b"", 401, WWW_Authenticate='Basic realm="x"')
        return kind == "blobs" and h.redirect(f"http://localhost:{elsewhere.http.server_port}{h.path}")
    r = liar(image, hook)
    store("pull", *FAST, "--creds", "me:pw", f"{r.name}/x")
    assert elsewhere.requests and all("Authorization" not in headers for _, headers in elsewhere.requests)
    store.check()


def test_tls_is_not_left(store, liar, tls):
    """From HTTPS no redirection leads to plain HTTP."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "s.crt", tls / "s.key")
    image = Image([big_layer(1)])
    plain = liar(image)
    r = liar(image, on("blobs")(lambda h, w: h.redirect(f"http://{plain.name}{h.path}")), context=context)
    store.fails("pull", *FAST, "--cert-dir", str(tls / "certs.d"), f"{r.name}/x", because="protocol that is not allowed")
    assert not plain.requests


def test_plain_token_server_of_a_tls_registry(store, liar, tls):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "s.crt", tls / "s.key")
    thief = liar()
    r = liar(hook=on("ping")(lambda h, w: h.answer(b"", 401, WWW_Authenticate=f'Bearer realm="http://{thief.name}/token"')),
             context=context)
    store.fails("pull", *FAST, "--creds", "me:pw", "--cert-dir", str(tls / "certs.d"), f"{r.name}/x", because="does not use TLS")
    assert not thief.requests


def test_blobs_come_in_parallel(store, liar):
    image = Image([big_layer(i) for i in range(4)])
    now, most, lock = [0], [0], threading.Lock()

    def hook(h, kind, what):
        if kind != "blobs" or what == image.id:
            return False
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.3)
        with lock:
            now[0] -= 1
        return False
    r = liar(image, hook)
    store("pull", "--parallel", "3", f"{r.name}/x")
    assert most[0] == 3
    store("rm", "--all")
    most[0] = 0
    store("pull", "--parallel", "1", f"{r.name}/x")
    assert most[0] == 1


def test_unreachable(store):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        store.fails("pull", *FAST, f"127.0.0.1:{s.getsockname()[1]}/x", because="cannot be reached")
    store.fails("pull", *FAST, "no-such-host.invalid/x", because="cannot be resolved")
    store.fails("pull", "a.b/UPPER", because="image reference")


@pytest.mark.parametrize("name", ["registry", "repository", "other"])
def test_policy(store, liar, tmp_path, name):
    r = liar()
    scope = {"registry": r.name, "repository": f"{r.name}/team/x", "other": f"{r.name}/other"}[name]
    (tmp_path / "policy.json").write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}],
                                                      "transports": {"docker": {scope: [{"type": "reject"}]}}}))
    if name == "other":
        store("pull", "--policy", tmp_path / "policy.json", f"{r.name}/team/x:1")
    else:
        store.fails("pull", "--policy", tmp_path / "policy.json", f"{r.name}/team/x:1", because="rejected by the signature policy")
        assert not r.requests
