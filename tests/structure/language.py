"""Checks the language of the code and of the documents: the glossary's retired words, and names.

Usage: language.py <cruddur program> [--all]

- No retired word stands in src/, tests/, docs/, the other documents, schema.graphql or `--help`.
- Each test's name begins with a term to search for.
- No two types of the crate have the same name, but the GraphQL objects that wrap a model type.
- Each external crate is used in one folder only.

The script fails if there are more than MOST findings. With `--all`, it prints all of them.
"""

import collections
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
# Maximum number of findings.
MOST = 0

# Types and variants that had metaphors for names.
TYPES = """
    About Answering Asked Around Begun Conversation Crowd Guest Hub Hurried KeptIn Lease Looks News Normal
    OtherGroup Refused Room Seat Sent Silence Spent Thing Told Turn Unfit Unmended Wanted
""".split()
# Functions, fields, metrics and words of sentences.
WORDS = """
    doubled let_in listeners_let_go mend mended mends mending see_to sents settle settled tell tells told
    turned_away unmended unsettled vouches whoever
""".split()
# Sentences that begin without a subject.
PHRASES = [
    r"\bWho (?!am)[a-z]+s\b(?![^.]*\?)",
    r"\b(?:Some|No)body (?:who )?[a-z]+s\b",
    r"\bas it has to be\b",
    r"\bas it should be\b",
    r"\b[Ww]hat came of\b",
    r"\bfor ever\b",
    r"\b(?:is|are) told\b",
    r"(?<!\")\b[Ss]omebody\b",
    r"(?<!user )\bNobody\b",
    r"\banew\b",
    r"\bcarried out\b",
    r"\bturned away\b",
]
# Test names that do not begin with a term to search for.
TEST_NAME = re.compile(r"#\[(?:tokio::)?test[^\n]*\]\s*(?:#\[[^\n]*\]\s*)*(?:async )?fn ((?:a|an|the|who|whoever|what|where|there|somebody|nobody)_\w+)")
# A crate, and the folders (or files) of src/ that may use it.
CRATES = {
    "sqlx": ["store"],
    "aws_sdk_dynamodb": ["store"],
    "aws_sdk_cognitoidentityprovider": ["store"],
    "aws_config": ["store"],
    "jsonwebtoken": ["auth", "dev"],
    "redis": ["messaging"],
    "axum": ["server", "dev"],
    "async_graphql": ["engine", "schema", "server"],
    "apollo_compiler": ["engine"],
    "apollo_parser": ["engine"],
}
# Types that have the name of another on purpose, with the reason.
SAME_NAMES = {
    "InvalidMessageBody": "the GraphQL object reports the model's error",
    "Message": "the GraphQL object wraps the model's type",
    "MessageGroup": "the GraphQL object wraps the model's type",
    "User": "the GraphQL object wraps the model's type",
}


def texts(program):
    """Every text that people read, by name."""
    patterns = ["src/**/*.rs", "src/**/*.txt", "tests/**/*.rs", "tests/**/*.py", "tests/**/*.mjs", "tests/**/*.ts"]
    patterns += ["examples/*.rs", "docs/*.md", "*.md", "schema.graphql", "deploy/**/*.y*ml", "web/**/src/**/*.[jt]s", "web/**/src/**/*.[jt]sx", "web/**/src/**/*.html", "web/tests/relay/*.ts", "web/tests/*.mjs", "web/tests/gql/*.py"]
    for pattern in patterns:
        for file in ROOT.glob(pattern):
            if file.is_file() and not {"node_modules", "generated", "demo_conversation.txt"} & set(file.parts) and file != pathlib.Path(__file__).resolve():
                yield str(file.relative_to(ROOT)), file.read_text()
    help_text = subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout
    yield "cruddur --help", help_text
    for command in re.findall(r"^  ([a-z-]+) ", help_text, re.M):
        if command != "help":
            done = subprocess.run([program, command, "--help"], check=True, capture_output=True, text=True)
            yield f"cruddur {command} --help", done.stdout


def retired_words(program):
    types = re.compile(rf"\b(?:struct|enum|trait|type)\s+({'|'.join(TYPES)})\b")
    words = re.compile(rf"\b(?:{'|'.join(WORDS)})\b")
    phrases = re.compile("|".join(PHRASES))
    for name, text in texts(program):
        # CHANGELOG lists the old names of metrics.
        if name == "CHANGELOG.md":
            text = re.sub(r"^.*renamed.*$", "", text, flags=re.M)
        for number, line in enumerate(text.splitlines(), 1):
            for pattern in (types, words, phrases):
                for found in pattern.finditer(line):
                    yield f"{name}:{number}: {found[0]!r}"
        for found in TEST_NAME.findall(text):
            yield f"{name}: the test {found} does not begin with a term to search for"


def same_names():
    places = collections.defaultdict(list)
    for file in (ROOT / "src").rglob("*.rs"):
        if file.stem == "tests":
            continue
        text = re.split(r"#\[cfg\(test\)\]\s*mod tests \{", file.read_text())[0]
        for name in re.findall(r"^\s*(?:pub(?:\([^)]*\))?\s+)?(?:struct|enum|trait|union)\s+(\w+)", text, re.M):
            places[name].append(str(file.relative_to(ROOT)))
    for name, files in sorted(places.items()):
        if len(files) > 1 and not (name in SAME_NAMES and len(files) == 2):
            yield f"{name} names {len(files)} types: {', '.join(files)}"


def crates_elsewhere():
    for file in (ROOT / "src").rglob("*.rs"):
        folder = file.relative_to(ROOT / "src").parts[0].removesuffix(".rs")
        text = re.sub(r"//[^\n]*", "", file.read_text())
        for crate, folders in CRATES.items():
            if re.search(rf"\b{crate}::", text) and folder not in folders:
                yield f"{file.relative_to(ROOT)}: {crate} is used in {', '.join(folders)} only"


def main():
    found = [*retired_words(sys.argv[1]), *same_names(), *crates_elsewhere()]
    if "--all" in sys.argv or len(found) > MOST:
        print("\n".join(found))
    print(f"{len(found)} findings, at most {MOST} are allowed")
    is_right = len(found) <= MOST
    print(f"{int(is_right)} passed, {int(not is_right)} failed")
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    main()
