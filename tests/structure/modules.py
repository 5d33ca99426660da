"""Checks the module graph of src/: it has only the cycles of known_cycles.txt, and none between folders,
and lib.rs and ARCHITECTURE.md list exactly the dependencies between the layers.

Usage: modules.py [--graph]

A module depends on the module that defines an item it names, wherever that item is re-exported.
Unit tests do not count. With `--graph`, prints every dependency.

Each line of known_cycles.txt names the modules of one cycle. The check fails for a cycle that the file
does not list, and for a line whose cycle does not exist.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[2]
SRC = ROOT / "src"
DEFINITION = re.compile(
    r"^\s*(?:pub(?:\([^)]*\))?\s+)?(?:default\s+|async\s+|const\s+|unsafe\s+|extern\s+\"[^\"]*\"\s+)*"
    r"(?:struct|enum|union|trait|fn|type|const|static|macro_rules!)\s+(?:mut\s+)?(\w+)",
    re.M,
)


# Modules that every layer may use.
UTILITIES = {"backoff", "clock", "environment", "http_url", "limit_args", "lock", "loopback", "named_enum", "telemetry"}


def without_noise(text):
    """The source without comments, strings, characters and unit tests."""
    out, at = [], 0
    pattern = re.compile(
        r"//[^\n]*|/\*.*?\*/|b?r(#*)\".*?\"\1|b?\"(?:\\.|[^\"\\])*\"|b?'(?:\\.[^']*|[^'\\])'", re.S
    )
    for match in pattern.finditer(text):
        out.append(text[at : match.start()])
        out.append("\n" * match[0].count("\n") if match[0].startswith("/") else '""')
        at = match.end()
    text = "".join([*out, text[at:]])
    while found := re.search(r"#\[cfg\((?:test|all\(test[^\]]*)\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?", text):
        end, depth = found.end(), 0
        while end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if (text[end] == "}" and depth == 0) or (text[end] == ";" and depth == 0):
                break
            end += 1
        text = text[: found.start()] + text[end + 1 :]
    return text


def use_paths(tree, prefix=()):
    """The paths of a `use` tree: (segments, name)."""
    tree = tree.strip()
    if not tree:
        return
    head, brace, _ = tree.partition("{")
    if brace and tree.endswith("}"):
        inner = tree[len(head) + 1 : -1]
        base = (*prefix, *[part.strip() for part in head.split("::") if part.strip()])
        depth, start = 0, 0
        for index, character in enumerate(inner + ","):
            depth += {"{": 1, "}": -1}.get(character, 0)
            if character == "," and depth == 0:
                yield from use_paths(inner[start:index], base)
                start = index + 1
        return
    path, _, alias = tree.partition(" as ")
    segments = (*prefix, *[part.strip() for part in path.split("::")])
    if segments[-1] == "self":
        segments = segments[:-1]
    yield segments, alias.strip() or segments[-1]


class Module:
    def __init__(self, path, file):
        self.path, self.file = path, file
        self.text = without_noise(file.read_text())
        self.children = set()
        self.names = {}
        self.globs = []
        uses = re.compile(r"^\s*(?:pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", re.M)
        for found in uses.finditer(self.text):
            for segments, name in use_paths(re.sub(r"\s+", " ", found[1])):
                if name == "*":
                    self.globs.append(segments[:-1])
                else:
                    self.names[name] = segments
        self.body = uses.sub("", self.text)
        self.definitions = set(DEFINITION.findall(self.body))


def load():
    modules = {}
    for file in sorted(SRC.rglob("*.rs")):
        parts = file.relative_to(SRC).with_suffix("").parts
        path = () if parts == ("lib",) else ("main",) if parts == ("main",) else parts
        path = path[:-1] if path and path[-1] == "mod" else path
        text = file.read_text()
        modules[path] = Module(path, file)
    for path, module in modules.items():
        if path:
            modules.get(path[:-1], module).children.add(path[-1])
    # The graph does not include modules of tests.
    for path in list(modules):
        parent = modules.get(path[:-1])
        if path and path != ("main",) and parent and not re.search(rf"\bmod\s+{path[-1]}\s*;", parent.text):
            for other in [other for other in modules if other[: len(path)] == path]:
                del modules[other]
    return modules


def absolute(path, segments):
    """A path inside of the crate from its root, or None for another crate."""
    base = list(path)
    if segments[0] in ("crate", "cruddur"):
        return tuple(segments[1:])
    if segments[0] == "self":
        return (*base, *segments[1:])
    while segments and segments[0] == "super":
        base, segments = base[:-1], segments[1:]
        if not segments or segments[0] != "super":
            return (*base, *segments)
    return None


def resolve(modules, path, segments, seen=frozenset()):
    """The module that defines what a path in a module names, or None."""
    target = absolute(path, segments)
    if target is None:
        first = segments[0]
        module = modules[path]
        if (path, segments) in seen:
            return None
        # `use tokio::{self, …}` names a crate after itself.
        if first in module.names and module.names[first][0] != first:
            return resolve(modules, path, (*module.names[first], *segments[1:]), seen | {(path, segments)})
        if first in module.children and (*path, first) in modules:
            target = (*path, *segments)
        else:
            return None
    at = ()
    for index, name in enumerate(target):
        if (*at, name) in modules:
            at = (*at, name)
            continue
        module = modules[at]
        if name in module.definitions:
            return at
        key = (at, target[index:])
        if name in module.names and key not in seen:
            return resolve(modules, at, (*module.names[name], *target[index + 1 :]), seen | {key})
        for glob in module.globs:
            base = absolute(at, glob) or (*at, *glob)
            if base in modules and name in modules[base].definitions:
                return base
        return at
    return at


def dependencies(modules):
    graph = {path: set() for path in modules}
    inline = re.compile(r"\b((?:\w+::)+\w+)")
    for path, module in modules.items():
        found = [segments for name, segments in module.names.items() if not is_reexport(module, name)]
        found += [tuple(text.split("::")) for text in inline.findall(module.body)]
        for segments in found:
            target = resolve(modules, path, tuple(segments))
            if target is not None and target != path and target != ():
                graph[path].add(target)
    return graph


def is_reexport(module, name):
    """Whether a module only re-exports a name, which is then a dependency of the façade's users."""
    return not re.search(rf"\b{name}\b", module.body)


def cycles(graph):
    """The strongly connected components of more than one module (Tarjan)."""
    index, low, stack, on, out = {}, {}, [], set(), []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        on.add(node)
        for target in sorted(graph[node]):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in on:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            component = []
            while True:
                member = stack.pop()
                on.discard(member)
                component.append(member)
                if member == node:
                    break
            if len(component) > 1:
                out.append(sorted(component))

    sys.setrecursionlimit(10_000)
    for node in sorted(graph):
        if node not in index:
            visit(node)
    return out


def folders(graph):
    """The dependencies between the top-level modules."""
    out = {}
    for path, targets in graph.items():
        for target in targets:
            if path and path[0] != target[0]:
                out.setdefault(path[0], set()).add(target[0])
    return out


def layers(graph):
    """The dependencies between the layers, as lines of documents."""
    found = folders(graph).items()
    found = {layer: sorted(targets - UTILITIES) for layer, targets in found if layer not in UTILITIES}
    return {f"{layer} → {', '.join(targets)}" for layer, targets in found.items() if targets}


def wrong_documents(graph):
    for name in ("src/lib.rs", "ARCHITECTURE.md"):
        lines = re.findall(r"^(?://! )?(\w+ → [\w, ]+)$", (ROOT / name).read_text(), re.M)
        for line in sorted(set(lines) ^ layers(graph)):
            yield f"{name} {'must list' if line in layers(graph) else 'lists a dependency that has changed'}: {line}"


def main():
    modules = load()
    graph = dependencies(modules)
    name = lambda path: "::".join(path) or "lib"
    if "--graph" in sys.argv:
        for path in sorted(graph):
            print(name(path), "->", ", ".join(map(name, sorted(graph[path]))))
    for folder, targets in sorted(folders(graph).items()):
        print(f"{folder} → {', '.join(sorted(targets))}")
    found = {" ".join(map(name, component)) for component in cycles(graph)}
    known = set(filter(None, (pathlib.Path(__file__).parent / "known_cycles.txt").read_text().splitlines()))
    tops = cycles({**{t: set() for ts in folders(graph).values() for t in ts}, **folders(graph)})
    wrong = [f"new cycle: {component}" for component in sorted(found - known)]
    wrong += [f"no cycle any more, remove its line: {component}" for component in sorted(known - found)]
    wrong += [f"cycle between folders: {' '.join(component)}" for component in tops]
    wrong += wrong_documents(graph)
    print("\n".join(wrong))
    print(f"{len(modules)} modules, {sum(map(len, graph.values()))} dependencies, {len(known)} known cycles")
    print(f"{0 if wrong else 1} passed, {len(wrong)} failed")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
