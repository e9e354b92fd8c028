#!/usr/bin/env python3
"""Checks the tree's include rules and what library code may not do.

    check_includes.py SOURCE_ROOT     prints every violation; exit status 1 when there is one
    check_includes.py --self-test     plants one violation of each kind in a made-up tree and sees it caught

The rules are ARCHITECTURE.md's: base <- host <- {jail, oci, image, cpu, device, machine, wasm} <- boundary/X <- cli.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

BELOW = {"base", "host"}
# Module -> modules whose headers it may include. A boundary is "boundary/NAME"; "boundary" is boundary.h and its array.
LAYERS = {
    "base": {"base"},
    "host": BELOW,
    "jail": BELOW | {"jail"},
    "opt": {"base", "opt"},
    "monitor": {"base", "opt", "monitor"},  # a program of its own; cli shares its protocol
    "init": {"init"},
    "oci": BELOW | {"oci"},
    "image": BELOW | {"image", "opt"},
    "wasm": {"base", "wasm"},
    "wasmrun": BELOW | {"wasm", "wasmrun"},
    "systemd": {"base", "systemd"},
    "cpu": BELOW | {"cpu"},
    "device": BELOW | {"device"},
    "machine": BELOW | {"machine", "cpu", "device"},
    "boundary": BELOW | {"jail", "oci", "image", "machine", "cpu", "device", "wasm", "wasmrun", "boundary"},
    "cli": BELOW | {"jail", "oci", "image", "machine", "cpu", "device", "wasm", "opt", "monitor", "cli"},
}
GRAB_BAGS = re.compile(r"^(utils?|helpers?|misc|common|stuff)\.[ch]$")
# What only src/cli and the programs' own main files may do.
SPEAKING = re.compile(
    r"(?<![\w.>])(?:(?P<a>printf|vprintf|puts|putchar|perror|exit|quick_exit|err|errx|warn|warnx)\s*\("
    r"|(?P<b>v?fprintf|dprintf)\s*\(\s*(?:stderr|stdout|STDERR_FILENO|STDOUT_FILENO|[12]\s*,)"
    r"|(?P<c>fputs|fputc|fwrite|putc)\s*\([^;]*\b(?:stderr|stdout)\b)")
SPEAKERS = {"src/base/log.c"}  # the one place where library code's warnings come out
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)
MODULE_PACKAGES = ["json-c", "libseccomp", "libcap", "nettle", "libarchive", "libcurl", "libsystemd", "openssl"]


def blank(text, strings=True):
    """TEXT with comments (and string literals) replaced by blanks, line numbers kept."""
    def sub(m):
        s = m.group(0)
        if s[0] == "/" or strings:
            return re.sub(r"[^\n]", " ", s)
        return s
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', sub, text, flags=re.S)


def module_of(path):
    """src/host/x.c -> host; src/boundary/container/x.c -> boundary/container; src/boundary/boundary.c -> boundary."""
    parts = path.split("/")
    if parts[0] != "src" or len(parts) < 3:
        return None
    if parts[1] == "boundary" and len(parts) > 3:
        return "boundary/" + parts[2]
    return parts[1]


def may_include(module, header, path=""):
    """Why MODULE must not include HEADER (a path below src/), or None."""
    target = module_of("src/" + header)
    if path == "src/boundary/boundary.c" and header == "boundary/{0}/{0}.h".format(header.split("/")[1]):
        return None  # the array of all boundaries
    if target is None:
        return "names no module"
    top = module.split("/")[0]
    if top not in LAYERS:
        return f"is in an unknown module '{top}'; add it to LAYERS of check_includes.py and to ARCHITECTURE.md"
    if top == "cli":
        if target.split("/")[0] == "boundary":
            return None if header == "boundary/boundary.h" else "cli sees boundary/boundary.h only, of the boundaries"
        return None if target in LAYERS["cli"] else f"cli does not include {target}"
    if target.startswith("boundary/"):
        if target == module:
            return None
        return "a boundary's headers are its own: move what is shared down" if top == "boundary" else f"{module} is below the boundaries"
    if target == "boundary":
        return None if top == "boundary" else f"{module} is below the boundaries"
    return None if target in LAYERS[top] else f"{module} may include {', '.join(sorted(LAYERS[top]))} only"


def sources(root):
    for base in ("src", "include"):
        for folder, _, names in os.walk(os.path.join(root, base)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def check_file(root, path):
    found = []
    with open(os.path.join(root, path), encoding="utf-8") as f:
        raw = f.read()
    name = os.path.basename(path)
    module = module_of(path)
    if GRAB_BAGS.match(name):
        found.append((1, f"'{name}' names no idea: call a file by what it is about"))
    code = blank(raw, strings=False)
    own = path[len("src/"):-2] + ".h" if module and path.endswith(".c") else None
    if own and not os.path.exists(os.path.join(root, "src", own)):
        own = None
    first = True
    for m in INCLUDE.finditer(code):
        line = line_of(code, m.start(2))
        kind, header = m.groups()
        if own and first and header != own:
            found.append((line, f'includes "{header}" before its own header "{own}"'))
        first = False
        if kind == "<":
            if header.startswith("ringwall/") and path.startswith("src/"):
                found.append((line, f"include our own <{header}> with quotes"))
            continue
        if header.startswith("ringwall/"):
            continue
        if path.startswith("include/"):
            found.append((line, f'a public header includes "{header}", which is not installed'))
            continue
        if not os.path.exists(os.path.join(root, "src", header)):
            # A generated header has its module's folder in its name as well, or lies beside no source at all.
            if "/" not in header or header.startswith(".."):
                found.append((line, f'"{header}" is not a full path below src/'))
                continue
        why = may_include(module, header, path)
        if why:
            found.append((line, f'includes "{header}": {why}'))
    if path.startswith("src/") and module != "cli" and path not in SPEAKERS and not name.endswith("main.c"):
        plain = blank(raw)
        for m in SPEAKING.finditer(plain):
            call = m.group("a") or m.group("b") or m.group("c")
            found.append((line_of(plain, m.start()), f"{call}(): nothing below src/cli prints or exits; return an error or use base/log.h"))
    if path.endswith(".h") and "#pragma once" not in raw and not re.search(r"#\s*ifndef\s+\w+\s+#\s*define", raw):
        found.append((1, "has no #pragma once"))
    return [f"{path}:{line}: {what}" for line, what in found]


def package_flags():
    flags = []
    for package in MODULE_PACKAGES:
        r = subprocess.run(["pkg-config", "--cflags", package], capture_output=True, text=True)
        flags += r.stdout.split() if r.returncode == 0 else []
    return flags


def check_header(root, path, flags):
    command = [os.environ.get("CC", "cc"), "-fsyntax-only", "-x", "c", "-std=gnu17", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64",
               "-Wall", "-Werror", "-Wno-unused-function", "-Wno-unused-const-variable", "-I", os.path.join(root, "src"),
               "-I", os.path.join(root, "include"), *flags, "-include", os.path.join(root, path), os.devnull]
    r = subprocess.run(command, capture_output=True, text=True)
    if r.returncode == 0:
        return []
    reason = next((s for s in r.stderr.splitlines() if "error" in s), r.stderr.strip())
    return [f"{path}:1: does not compile by itself: {reason}"]


def check(root):
    found, headers = [], []
    for path in sources(root):
        found += check_file(root, path)
        if path.endswith(".h"):
            headers.append(path)
    flags = package_flags()
    with ThreadPoolExecutor(2) as pool:
        for r in pool.map(lambda h: check_header(root, h, flags), headers):
            found += r
    return found, len(headers)


CLEAN = {
    "include/ringwall/ringwall.h": "#pragma once\nint ringwall_version(void);\n",
    "src/base/error.h": "#pragma once\nstruct error { int code; };\n",
    "src/base/error.c": '#include "base/error.h"\n/* printf("not code") */\nconst char *s = "exit(1)";\n',
    "src/base/log.c": '#include <stdio.h>\nvoid f(void);\nvoid f(void) { fprintf(stderr, "x"); }\n',
    "src/host/caps.h": '#pragma once\n#include "base/error.h"\nint caps(struct error *err);\n',
    "src/host/caps.c": '#include "host/caps.h"\n#include <unistd.h>\nvoid g(void) { _exit(1); }\n',
    "src/boundary/boundary.h": '#pragma once\n#include "host/caps.h"\n',
    "src/boundary/container/run.h": '#pragma once\n#include "boundary/boundary.h"\n',
    "src/cli/main.c": '#include "boundary/boundary.h"\n#include <stdio.h>\nint main(void) { printf("x"); return 0; }\n',
}
VIOLATIONS = [
    ("base includes host", "src/base/a.c", '#include "host/caps.h"\n', "base may include"),
    ("host includes jail", "src/host/a.c", '#include "jail/a.h"\n', "host may include"),
    ("oci includes jail", "src/oci/a.c", '#include "jail/a.h"\n', "oci may include"),
    ("device includes oci", "src/device/a.c", '#include "oci/spec.h"\n', "device may include"),
    ("host includes boundary", "src/host/a.c", '#include "boundary/boundary.h"\n', "below the boundaries"),
    ("one boundary includes another", "src/boundary/vm/a.c", '#include "boundary/container/run.h"\n', "its own"),
    ("cli includes a boundary", "src/cli/a.c", '#include "boundary/container/run.h"\n', "cli sees"),
    ("relative include", "src/host/a.c", '#include "../base/error.h"\n', "full path"),
    ("short include", "src/host/a.c", '#include "caps.h"\n', "full path"),
    ("own header not first", "src/host/caps.c", '#include <stdio.h>\n#include "host/caps.h"\n', "before its own"),
    ("header not self-contained", "src/host/a.h", "#pragma once\nsize_t f(pid_t p);\n", "by itself"),
    ("header without a guard", "src/host/a.h", "int f(void);\n", "pragma once"),
    ("utils.h", "src/base/utils.h", "#pragma once\n", "names no idea"),
    ("printf in a library", "src/jail/a.c", 'void f(void) { printf ("x"); }\n', "printf()"),
    ("exit in a library", "src/jail/a.c", "void f(void) { exit(1); }\n", "exit()"),
    ("fprintf(stderr) in a library", "src/oci/a.c", 'void f(void) { fprintf(stderr, "x"); }\n', "fprintf()"),
    ("fputs to stdout in a library", "src/oci/a.c", 'void f(void) { fputs("x", stdout); }\n', "fputs()"),
    ("dprintf(2) in a library", "src/oci/a.c", 'void f(void) { dprintf(2, "x"); }\n', "dprintf()"),
    ("public header includes src", "include/ringwall/b.h", '#pragma once\n#include "base/error.h"\n', "not installed"),
    ("unknown module", "src/extra/a.c", '#include "base/error.h"\n', "unknown module"),
]


def plant(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as f:
            f.write(text)


def self_test():
    failed = 0
    for name, path, text, expected in [("clean tree", None, None, None)] + VIOLATIONS:
        root = tempfile.mkdtemp(prefix="ringwall-lint.")
        try:
            plant(root, CLEAN)
            if path:
                plant(root, {path: text})
            found, _ = check(root)
            good = (not found) if path is None else len(found) == 1 and expected in found[0]
            print(f"{'ok' if good else 'FAILED'}: {name}: {found}")
            failed += not good
        finally:
            shutil.rmtree(root)
    return failed


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test() else 0
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    found, headers = check(sys.argv[1])
    for line in found:
        print(line)
    print(f"{len(found)} violations; {headers} headers compiled by themselves")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
