"""The OCI layer against the JSON schemas of the specification: what we write, what we accept, what we refuse."""
import copy
import json
import os
import pathlib
import shutil
import subprocess

import jsonschema
import pytest

DUMP = os.environ["OCI_DUMP"]
SCHEMAS = pathlib.Path(__file__).parent.parent / "data/oci-schema"
EXAMPLES = SCHEMAS / "test/config/good"


def validator(name):
    """The schemas refer to each other by file name."""
    store = {f.as_uri(): json.loads(f.read_text()) for f in SCHEMAS.glob("*.json")}
    schema = json.loads((SCHEMAS / name).read_text())
    resolver = jsonschema.RefResolver((SCHEMAS / name).as_uri(), schema, store)
    return jsonschema.Draft4Validator(schema, resolver=resolver)


def dump(*args, **more):
    return json.loads(subprocess.run([DUMP, *args], check=True, capture_output=True, text=True, timeout=30, **more).stdout)


def accepted(configs):
    """For each configuration "ok" or our reason."""
    text = "".join(json.dumps(c) + "\n" for c in configs)
    lines = subprocess.run([DUMP, "check"], check=True, capture_output=True, text=True, timeout=60, input=text).stdout.splitlines()
    assert len(lines) == len(configs)
    return lines


# --- what we write ---

def test_features():
    features = dump("features")
    validator("features-schema.json").validate(features)
    known = json.loads((SCHEMAS / "defs-linux.json").read_text())["definitions"]
    linux = features["linux"]
    assert sorted(linux["namespaces"]) == sorted(known["NamespaceType"]["enum"])
    assert sorted(linux["seccomp"]["actions"]) == sorted(known["SeccompAction"]["enum"])
    assert sorted(linux["seccomp"]["operators"]) == sorted(known["SeccompOperators"]["enum"])
    assert sorted(linux["seccomp"]["archs"]) == sorted(known["SeccompArch"]["enum"])
    assert sorted(linux["seccomp"]["knownFlags"]) == sorted(known["SeccompFlag"]["enum"])
    assert set(linux["seccomp"]["supportedFlags"]) <= set(linux["seccomp"]["knownFlags"])
    assert sorted(linux["memoryPolicy"]["modes"]) == sorted(known["MemoryPolicyMode"]["enum"])
    assert sorted(linux["memoryPolicy"]["flags"]) == sorted(known["MemoryPolicyFlag"]["enum"])
    assert features["ociVersionMax"] == "1.3.0"


def test_features_has_all_of_runcs_mount_options():
    runc = json.loads((SCHEMAS / "test/features/good/runc.json").read_text())
    ours = dump("features")
    assert set(runc["mountOptions"]) <= set(ours["mountOptions"])
    assert runc["hooks"] == ours["hooks"]
    assert runc["linux"]["capabilities"] == ours["linux"]["capabilities"]


@pytest.mark.parametrize("kind", [(), ("rootless",)], ids=["root", "rootless"])
def test_default(kind):
    validator("config-schema.json").validate(dump("default", *kind))


@pytest.mark.parametrize("kind", [(), ("rootless",)], ids=["root", "rootless"])
def test_default_is_runcs(kind, tmp_path):
    if not shutil.which("runc"):
        pytest.skip("runc is not installed (apt-get install runc)")
    subprocess.run(["runc", "spec", *("--" + k for k in kind)], check=True, cwd=tmp_path, timeout=30)
    theirs, ours = json.loads((tmp_path / "config.json").read_text()), dump("default", *kind)
    for spec in theirs, ours:
        del spec["ociVersion"], spec["hostname"]
        for names in spec["process"]["capabilities"].values():
            names.sort()
    assert ours == theirs


# --- nothing is lost ---

OTHER_PLATFORMS = {"windows", "solaris", "zos", "freebsd"}


def missing(given, written, path=""):
    """Paths in GIVEN that WRITTEN does not repeat."""
    if isinstance(given, dict) and isinstance(written, dict):
        return [p for k, v in given.items() for p in
                (missing(v, written[k], f"{path}.{k}") if k in written else [f"{path}.{k}"])]
    if isinstance(given, list) and isinstance(written, list) and len(given) == len(written):
        if path.startswith(".process.capabilities."):
            given, written = sorted(given), sorted(written)
        return [p for i, v in enumerate(given) for p in missing(v, written[i], f"{path}[{i}]")]
    return [] if given == written else [path]


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.json")), ids=lambda f: f.stem)
def test_round_trip(file):
    given = json.loads(file.read_text())
    given.setdefault("linux", {}).setdefault("namespaces", [{"type": "uts"}, {"type": "network"}])
    written = dump("config", input=json.dumps(given))
    validator("config-schema.json").validate(written)
    ignored = {f".{p}" for p in OTHER_PLATFORMS} | {".linux.resources.oomScoreAdj"}  # the latter is no key of the specification
    assert set(missing(given, written)) <= ignored


# --- what the schema refuses, we refuse ---

WRONG = [True, -1, 1.5, "", "x", [], {}, [None], 2 ** 64 - 1]


def nodes(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield from nodes(child, path + (key,))


def replaced(config, path, value):
    config = copy.deepcopy(config)
    at = config
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return config


def around(config, path):
    """CONFIG without the sections that PATH is not in, which need no second look."""
    kept = {k: v for k, v in config.items() if k in ("ociVersion", path[0])}
    if path[0] == "linux" and len(path) > 1:
        kept["linux"] = {k: v for k, v in config["linux"].items() if k == path[1]}
    return kept


def shortened(value):
    """With at most two elements in each list: the others are of the same shape."""
    if isinstance(value, dict):
        return {k: shortened(v) if k != "namespaces" else v for k, v in value.items()}
    return [shortened(v) for v in value[:2]] if isinstance(value, list) else value


def everything():
    """One configuration with every key of the schema that concerns Linux."""
    config = shortened(json.loads((EXAMPLES / "spec-example.json").read_text()))
    more = json.loads((pathlib.Path(__file__).parent / "everything.json").read_text())

    def merge(into, other):
        for key, value in other.items():
            if isinstance(value, dict) and isinstance(into.get(key), dict):
                merge(into[key], value)
            else:
                into[key] = value
    merge(config, more)
    return config


def lenient(path, value):
    """Go programs write an empty string for "not given" in these; runc takes it so, and so do we."""
    return value == "" and (path == ("linux", "rootfsPropagation") or
                            path[:3] == ("linux", "resources", "devices") and path[-1] == "type")


def test_what_the_schema_refuses_is_refused():
    base, schema = everything(), validator("config-schema.json")
    schema.validate(base)
    assert accepted([base]) == ["ok"]
    cases = [(path, value, replaced(base, path, value)) for path in nodes(base) if path for value in WRONG + [None]]
    bad = [(path, value, config) for path, value, config in cases if not schema.is_valid(around(config, path))]
    assert len(bad) > 1000  # or the mutations do not reach what they should
    answers = accepted([config for _, _, config in bad])
    let_through = [(path, value) for (path, value, _), answer in zip(bad, answers) if answer == "ok" and not lenient(path, value)]
    assert let_through == []


def test_messages_name_the_key():
    """The reason for a value of the wrong type names the key it is in."""
    base = everything()
    cases = [(path, replaced(base, path, 1.5)) for path in nodes(base) if path and isinstance(path[-1], str)]
    for (path, _), answer in zip(cases, accepted([config for _, config in cases])):
        if answer != "ok":
            assert str(path[-1]) in answer, (path, answer)
