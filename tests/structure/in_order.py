"""Every field of an object, interface or union in src/schema/ resolves it in the document's order:
its type is `InOrder<T>`, and a list of them is `List<InOrder<T>>`.

async-graphql accepts `T` and `Vec<InOrder<T>>` as well. It then returns fields in the order in which
they become ready, and omits failed ones.
"""

import pathlib
import re
import sys

SCHEMA = pathlib.Path(__file__).parents[2] / "src" / "schema"
# The body of an item ends at the first brace in its own column.
OBJECT = re.compile(r"^( *)#\[(?:Object|Subscription)\b[^\n]*\n(?: *#\[[^\n]*\n)*\1impl (\w+) \{\n(.*?)^\1\}", re.M | re.S)
STRUCT = re.compile(
    r"^( *)#\[derive\([^\n]*SimpleObject[^\n]*\n(?: *#\[.*?\]\n)*\1pub[^\n]*struct ([$\w]+) \{\n(.*?)^\1\}",
    re.M | re.S,
)
ABSTRACT = re.compile(r"^#\[derive\([^\n]*(?:Interface|Union)\b.*?enum (\w+)", re.M | re.S)
RESULT = re.compile(r"\bfn (\w+)\b[^{;]*?->([^{;]+)\{", re.S)
FIELD = re.compile(r"^ *(?:pub[^ ]* )?(\w+): ([^\n]+),$", re.M)


def findings(sources):
    """The fields whose type is not resolved in order: (type, field, type of the field)."""
    objects = [match for text in sources for match in OBJECT.finditer(text)]
    structs = [match for text in sources for match in STRUCT.finditer(text)]
    names = {match[2] for match in objects + structs} | {
        match[1] for text in sources for match in ABSTRACT.finditer(text)
    }
    composite = re.compile(r"(?<!InOrder<)\b(?:" + "|".join(sorted(names - {"$name"})) + r")\b")
    fields = [(match[2], RESULT, match[3]) for match in objects]
    fields += [(match[2], FIELD, match[3]) for match in structs]
    for owner, pattern, body in fields:
        for field, ty in pattern.findall(body):
            if composite.search(ty) or "Vec<InOrder" in ty:
                yield owner, field, " ".join(ty.split())


SELF_TEST = """
#[Object]
impl Query {
    async fn good(&self) -> Result<Option<InOrder<User>>, ApiError> {
    async fn bad(&self) -> Option<User> {
    async fn list(&self) -> Vec<InOrder<User>> {
}

#[derive(SimpleObject)]
pub struct User {
    handle: String,
    best: Option<User>,
}
"""


def main():
    expected = {"bad", "list", "best"}
    if {field for _, field, _ in findings([SELF_TEST])} != expected:
        sys.exit("in_order.py does not find the fields of its own example")
    sources = [path.read_text() for path in sorted(SCHEMA.rglob("*.rs"))]
    found = list(findings(sources))
    for owner, field, ty in found:
        print(f"{owner}.{field} is not resolved in the document's order: {ty}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
