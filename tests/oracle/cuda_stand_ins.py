#!/usr/bin/env python3
"""Make PyTorch's Linux wheel importable without the gigabytes of CUDA libraries that it links to.

Puts a library of the name of each missing one beside PyTorch's own, where the loader looks; every
function in it returns 100, CUDA's "no device". PyTorch then has no GPU, and what it computes on the
CPU is untouched. Needs gcc and binutils; does nothing where nothing is missing.
"""

import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# Names of NVIDIA's libraries, and of their functions: cudaMalloc, __cudaRegisterFunction, ncclSend.
LIBRARY = re.compile(r"lib(cu|nv|nccl)\w*\.so\.\d+$")
FUNCTION = re.compile(r"(__)?(cu|nv|nccl)\w+$")


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def linked_libraries(library):
    """The CUDA libraries that `library` links to, each with the symbol versions wanted of it."""
    headers = output("objdump", "-p", library)
    linked = {name: set() for name in re.findall(r"NEEDED\s+(\S+)", headers)}
    for name, versions in re.findall(r"required from (\S+):\n((?:\s+0x.*\n)+)", headers):
        linked.setdefault(name, set()).update(line.split()[-1] for line in versions.splitlines())
    return {name: versions for name, versions in linked.items() if LIBRARY.match(name)}


def undefined_functions(library):
    """(version or None, name) of each CUDA function that `library` leaves undefined."""
    for line in output("objdump", "-T", library).splitlines():
        if "*UND*" in line and FUNCTION.match(line.split()[-1]):
            version = re.search(r"\((\S+)\)", line)
            yield version and version[1], line.split()[-1]


def loads(name):
    """True if the system's loader finds the library; tried in a process of its own."""
    code = f"import ctypes; ctypes.CDLL({name!r})"
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def build(library, functions):
    """Compiles a library of `functions`, a list of names for each symbol version."""
    with tempfile.TemporaryDirectory() as scratch:
        source, script = Path(scratch, "functions.c"), Path(scratch, "versions.map")
        names = [name for version in functions.values() for name in version]
        source.write_text("".join(f"long {name}(void) {{ return 100; }}\n" for name in names))
        lists = {v: "".join(f"{name}; " for name in names) for v, names in functions.items() if v}
        nodes = [f"{v} {{ global: {names or f'{v}_none;'} }};\n" for v, names in lists.items()]
        script.write_text("".join(nodes))
        flags = ["-w", "-fno-builtin", "-shared", "-fPIC", f"-Wl,-soname,{library.name}"]
        flags += [f"-Wl,--version-script={script}"] if nodes else []
        output("gcc", *flags, "-o", library, source)


def main():
    # find_spec does not import, which would fail.
    folder = Path(importlib.util.find_spec("torch").submodule_search_locations[0]) / "lib"
    linked, undefined = {}, set()
    for library in sorted(folder.glob("*.so")):
        for name, versions in linked_libraries(library).items():
            linked.setdefault(name, set()).update(versions)
        undefined.update(undefined_functions(library))
    missing = sorted(name for name in linked if not (folder / name).exists() and not loads(name))
    for name in missing:
        # The loader finds a function without a version in any library: the first has them all.
        versions = sorted(linked[name]) + ([None] if name == missing[0] else [])
        functions = {v: sorted(each for of, each in undefined if of == v) for v in versions}
        build(folder / name, functions)
    if missing:
        print(f"stand-ins that do nothing for {', '.join(missing)}")


if __name__ == "__main__":
    main()
