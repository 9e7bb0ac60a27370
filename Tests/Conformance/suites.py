"""Fetches the suites' source archives and lays them out so that they run: tests, helpers, certificates, shims.

What is fetched and laid out lives in .venv/conformance and is made again when this folder changes.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
HARNESS = os.path.join(os.path.dirname(HERE), "Harness")
REPO = os.path.dirname(os.path.dirname(HERE))
# pytest names tests by their real paths; .venv may be a link.
CACHE = os.path.join(os.path.realpath(os.path.join(REPO, ".venv")), "conformance")
HELPERS = os.path.join(HERE, "helpers")

# Suite name to version; each is a PyPI project whose source archive holds its tests.
SUITES = {"nats-py": "2.14.0", "nats-core": "0.1.0", "nats-jetstream": "0.1.0", "nats-key-value": "0.1.0"}
# nats-key-value needs a later nats-jetstream than the one whose archive still has tests.
CLIENTS = {
    "nats-py": {"nats-py": "2.14.0"},
    "nats-core": {"nats-core": "0.1.0"},
    "nats-jetstream": {"nats-core": "0.1.0", "nats-jetstream": "0.1.0"},
    "nats-key-value": {"nats-core": "0.1.0", "nats-jetstream": "0.3.0", "nats-key-value": "0.1.0"},
}
CORE_FAMILY = ("nats-core", "nats-jetstream", "nats-key-value")


def fingerprint():
    """Changes when the harness, a suite's version or the interpreter does."""
    digest = hashlib.sha256(repr((sorted(SUITES.items()), CLIENTS, sys.version)).encode())
    files = [os.path.join(HERE, "suites.py"), os.path.join(HARNESS, "broker.py")]
    for folder, folders, names in os.walk(HELPERS):
        folders[:] = [name for name in folders if name != "__pycache__"]
        files += [os.path.join(folder, name) for name in names]
    for path in sorted(files):
        digest.update(open(path, "rb").read())
    return digest.hexdigest()[:16]


def unpacked(project, version):
    """The folder with a project's unpacked source archive, fetched when it is not there."""
    folder = os.path.join(CACHE, "archives", f"{project}-{version}")
    if os.path.isdir(folder):
        return folder
    downloads = os.path.join(CACHE, "downloads", f"{project}-{version}")
    print(f"conformance: fetching {project} {version}", flush=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
         "--ignore-requires-python", "--no-deps", "--no-binary", project, "-d", downloads, f"{project}=={version}"],
        check=True)
    (archive,) = [name for name in os.listdir(downloads) if name.endswith(".tar.gz")]
    part = folder + ".part"
    shutil.rmtree(part, ignore_errors=True)
    with tarfile.open(os.path.join(downloads, archive)) as tar:
        tar.extractall(part, filter="data")
    (top,) = os.listdir(part)
    os.rename(os.path.join(part, top), folder)
    os.rmdir(part)
    return folder


def for_older_python(folder):
    """Rewrites 3.12's generic functions (`def f[T](...)`) for Python 3.11."""
    if sys.version_info >= (3, 12):
        return
    for where, _, names in os.walk(folder):
        for name in names:
            if not name.endswith(".py"):
                continue
            path = os.path.join(where, name)
            text = open(path).read()
            generic = re.compile(r"^(\s*(?:async )?def \w+)\[(\w+)\]\(", flags=re.M)
            names = sorted({match.group(2) for match in generic.finditer(text)})
            if names:
                text = generic.sub(r"\1(", text) + "\n\nimport typing as _typing\n\n"
                text += "".join(f'{name} = _typing.TypeVar("{name}")\n' for name in names)
                open(path, "w").write(text)


def lay_out():
    """Makes the stage: one folder per suite with its tests and our helpers, and the clients' sources. Returns it."""
    stage = os.path.join(CACHE, "stage")
    stamp = os.path.join(stage, "stamp")
    if os.path.exists(stamp) and open(stamp).read() == fingerprint():
        return stage
    shutil.rmtree(stage, ignore_errors=True)
    for suite, version in SUITES.items():
        shutil.copytree(os.path.join(unpacked(suite, version), "tests"), os.path.join(stage, suite, "tests"))
        for name in ("README.md", "pyproject.toml"):  # some tests read them
            shutil.copy(os.path.join(unpacked(suite, version), name), os.path.join(stage, suite))
        for client, client_version in CLIENTS[suite].items():
            source = os.path.join(stage, suite, "src", client)
            shutil.copytree(os.path.join(unpacked(client, client_version), "src"), source)
            for_older_python(source)
    nats_py = os.path.join(stage, "nats-py", "tests")
    open(os.path.join(nats_py, "__init__.py"), "w").close()
    shutil.copy(os.path.join(HELPERS, "nats_py_utils.py"), os.path.join(nats_py, "utils.py"))
    for suite in CORE_FAMILY:
        shutil.copy(os.path.join(HELPERS, "core", "conftest.py"), os.path.join(stage, suite, "tests"))
    sys.path.insert(0, HELPERS)
    import material

    material.write_all(nats_py, nats_py)
    for suite in CORE_FAMILY:
        for folder in ("certs", "configs", "nkeys", "jwts"):
            shutil.copytree(os.path.join(nats_py, folder), os.path.join(stage, suite, "tests", folder))
    with open(stamp, "w") as file:
        file.write(fingerprint())
    return stage


def environment(stage, suite, program):
    """The environment that a suite's pytest runs in; `program` is the server, under the name `nats-server`."""
    portions = [os.path.join(stage, suite, "src", client, "nats") for client in CLIENTS[suite]]
    nats = os.path.join(HELPERS, "core") if suite in CORE_FAMILY else os.path.join(stage, suite, "src", "nats-py")
    return {
        **os.environ,
        "PYTHONPATH": ":".join([nats, os.path.join(HELPERS, "pytest"), HARNESS]),
        "CONFORMANCE_PORTIONS": ":".join(portions),
        "CONFORMANCE_SUITE": suite,
        "BROKER": program,
        "NATS_SERVER_VERSION": "v2.15.1",
    }
