# SPDX-License-Identifier: GPL-2.0-only
"""
hooks: the hook patches of patches/, read, applied strictly and verified; and
which of our files goes where in a kernel tree. Used by tree and series.

A hook patch is what `git format-patch` writes. Its header says where it hooks
in, one line a place:

    Hook-in: mm/shmem.c:shmem_evict_inode     a function, struct, enum, union
                                              or initialised object
    Hook-in: mm/Makefile:-                    anywhere in the file; all that there is
                                              for files that are not C

Applying is stricter than patch(1) with -F0. Every line of context has to be
there, three above and below (one in Makefiles and Kconfig), and when a hunk has
moved there must be one place only where it fits. Afterwards each added line
has to stand inside a place that the header names; outside of these only
preprocessor lines, comments and blank lines are accepted.
"""

import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CONTEXT = 3


def die(what, then=None):
    print(f"error: {what}", file=sys.stderr)
    if then:
        print(f"  next: {then}", file=sys.stderr)
    sys.exit(1)


# --- our files ------------------------------------------------------------

# (directory here, directory in a kernel tree)
ROOMS = (
    ("include", "include"),
    ("lib/preserve-radix", "lib/preserve-radix"),
    ("mm", "mm"),
    ("virt", "virt"),
    ("selftests/mm", "tools/testing/selftests/preserve"),
    ("selftests/vm", "tools/testing/selftests/preserve/vm"),
    ("tools/libpreserve", "tools/testing/selftests/preserve/client"),
    ("Documentation", "Documentation"),
)
SUFFIXES = (".c", ".h", ".S", ".rst", ".sh", ".py")
NAMES = ("Makefile", "Kconfig", "Kbuild", "config", "settings", ".kunitconfig")
NO_SUFFIX = ("Documentation/ABI/",)      # every file below, but for an editor's
NOT_KERNEL = ("lib/preserve-radix/native",)


def our_files():
    """{path in the kernel tree: path here}"""
    files = {}
    for room, dest in ROOMS:
        for here, dirs, names in os.walk(os.path.join(TOP, room)):
            rel = os.path.relpath(here, TOP)
            dirs[:] = [d for d in sorted(dirs)
                       if f"{rel}/{d}" not in NOT_KERNEL and d[0] != "."]
            for name in sorted(names):
                path = os.path.join(here, name)
                if name.endswith(".mod.c") or not (
                        name.endswith(SUFFIXES) or name in NAMES
                        or rel.startswith(NO_SUFFIX) and re.fullmatch(r"[\w-]+", name)
                        or name[0] != "." and "." not in name
                        and os.access(path, os.X_OK) and script(path)):
                    continue
                inside = os.path.relpath(path, os.path.join(TOP, room))
                files[f"{dest}/{inside}"] = path
    return files


def script(path):
    with open(path, "rb") as f:
        return f.read(2) == b"#!"


# --- patches --------------------------------------------------------------

class Patch:
    def __init__(self, path):
        self.path = path
        self.name = os.path.basename(path)
        self.places = {}        # file -> names of the places that it hooks
        self.files = {}         # file -> [(old start, lines)]
        with open(path, encoding="utf-8", errors="surrogateescape") as f:
            self.text = f.read()
        self.parse(self.text.split("\n"))

    def bad(self, what, then="correct the patch"):
        die(f"hook {self.name}: {what}", then)

    def parse(self, lines):
        i, file = 0, None
        while i < len(lines):
            line = lines[i]
            i += 1
            if line.startswith("Hook-in:") and not self.files:
                m = re.fullmatch(r"Hook-in: (\S+):(\S+)", line)
                if not m:
                    self.bad(f"'{line}' is not 'Hook-in: file:place'")
                self.places.setdefault(m[1], []).append(m[2])
            elif re.match(r"(new file|deleted file|rename|copy) ", line):
                self.bad("adds, removes or renames a file",
                         "our files are added as files; hooks only change what exists")
            elif line.startswith("+++ "):
                file = re.sub(r"^b/", "", line[4:].split("\t")[0].strip())
                self.files[file] = []
            elif line.startswith("@@ ") and file:
                m = re.match(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@", line)
                if not m:
                    self.bad(f"'{line}' is not a hunk header")
                old, new = (int(n) if n else 1 for n in (m[2], m[3]))
                hunk = []
                while old > 0 or new > 0:
                    text = lines[i] if i < len(lines) else "end"
                    i += 1
                    kind = text[:1] or " "
                    if kind not in " +-":
                        self.bad(f"the hunk of {file} at line {m[1]} is cut short")
                    old -= kind != "+"
                    new -= kind != "-"
                    hunk.append((kind, text[1:]))
                self.files[file].append((int(m[1]), hunk))
        if not self.files:
            self.bad("holds no change")
        for file in self.files:
            if file not in self.places:
                self.bad(f"changes {file} but its header does not say where",
                         f"add 'Hook-in: {file}:FUNCTION' (or :-) to the header")
        for file in self.places:
            if file not in self.files:
                self.bad(f"names {file} in Hook-in but does not change it")

    def apply(self, file, text):
        """The changed text, and the numbers of its added lines."""
        lines, out, added = text.split("\n"), [], []
        at, shift = 0, 0
        for start, hunk in self.files[file]:
            old = [t for kind, t in hunk if kind != "+"]
            pos = self.find(file, lines, old, start, at, shift, hunk)
            shift = pos - (start - 1)
            out += lines[at:pos]
            at = pos + len(old)
            for kind, t in hunk:
                if kind == "+":
                    added.append(len(out))
                if kind != "-":
                    out.append(t)
        return "\n".join(out + lines[at:]), added

    def find(self, file, lines, old, start, at, shift, hunk):
        def fits(pos):
            return pos >= at and lines[pos:pos + len(old)] == old

        kinds = "".join(kind for kind, _ in hunk)
        need = 1 if re.search(r"(^|/)(Makefile|Kconfig|Kbuild)[^/]*$", file) else CONTEXT
        head = len(kinds) - len(kinds.lstrip(" "))
        tail = len(kinds) - len(kinds.rstrip(" "))
        pos = start - 1 + shift
        if not fits(pos):
            fit = [p for p in range(at, len(lines) - len(old) + 1) if fits(p)]
            if len(fit) != 1:
                why = "fits nowhere" if not fit else \
                    f"has moved and fits in {len(fit)} places"
                self.bad(f"does not apply: the hunk of {file} at line {start} {why}",
                         f"compare it with {file} and make the patch anew "
                         "(CONTRIBUTING.md, 'Moving to a new 7.3.x')")
            pos = fit[0]
        end = len(lines) - (not lines[-1])
        if head < need and pos > 0 or tail < need and pos + len(old) < end:
            self.bad(f"the hunk of {file} at line {start} has fewer than "
                     f"{need} lines of context", f"make it with git diff -U{need}")
        return pos

    def verify(self, file, text, added):
        names = self.places[file]
        hit = set()
        if names == ["-"]:
            return
        if not re.search(r"\.[chS]$", file):
            self.bad(f"{file} is not C: no place in it has a name",
                     f"write 'Hook-in: {file}:-'")
        owners, free = ranges(text)
        for n in added:
            here = owners[n]
            found = [name for name in names if name in here]
            hit.update(found)
            if not found and not free[n] and "-" not in names:
                where = "outside of all of them" if not here else \
                    f"in {' or '.join(sorted(here))}"
                self.bad(f"{file}:{n + 1}: added line stands {where}, the header "
                         f"names {', '.join(names)}",
                         "move the hook, or correct its Hook-in lines")
        for name in names:
            if name != "-" and name not in hit:
                self.bad(f"nothing is added in {name} of {file}",
                         "move the hook, or correct its Hook-in lines")


def patches():
    where = os.environ.get("PATCHES") or os.path.join(TOP, "patches")
    series = os.path.join(where, "series")
    if os.path.exists(series):
        with open(series, encoding="utf-8") as f:
            names = [s.split("#")[0].strip() for s in f]
        names = [n for n in names if n]
    else:
        names = sorted(n for n in (os.listdir(where) if os.path.isdir(where) else [])
                       if re.fullmatch(r"[0-9].*\.patch", n))
    for n in names:
        if not os.path.exists(os.path.join(where, n)):
            die(f"{series} names {n}, which is not there",
                "correct the list")
    return [Patch(os.path.join(where, n)) for n in names]


def apply_all(src, each=None):
    """{file: text} with every hook applied in order; src is only read."""
    texts = {}
    for patch in patches():
        for file in patch.files:
            if file not in texts:
                path = os.path.join(src, file)
                if not os.path.isfile(path):
                    patch.bad(f"changes {file}, which this kernel does not have",
                              "look where its code went, and move the hook")
                with open(path, encoding="utf-8", errors="surrogateescape") as f:
                    texts[file] = f.read()
            texts[file], added = patch.apply(file, texts[file])
            patch.verify(file, texts[file], added)
        if each:
            each(patch, texts)
    return texts


# --- which function is a line in? -----------------------------------------

ATTRIBUTES = re.compile(r"__\w+|noinline\w*|typeof|alignas|if|for|while|switch|return")
TOKEN = re.compile(r"""
    /\*.*?\*/ | //[^\n]* |                          # comments
    "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' |     # strings, characters
    ^[ \t]*\#(?:\\\n|/\*.*?\*/|[^\n])* |            # preprocessor lines
    \w+ | \n | [^\w\s]
    """, re.X | re.S | re.M)


def ranges(text):
    """For each line: the names of the top-level item that it belongs to, and
    whether it holds preprocessor text, comment or nothing at all. An item is
    a function, type or object with a body in braces; it begins with its first
    token. A closing brace in the first column ends it, whatever the branches
    of an #ifdef did to the count."""
    nr = text.count("\n") + 1
    owners, code = [set() for _ in range(nr)], [False] * nr
    line, depth, first, head, item = 0, 0, None, [], False

    for m in TOKEN.finditer(text):
        tok = m[0]
        start, line = line, line + tok.count("\n")
        if tok == "\n" or tok[:2] in ("/*", "//") or tok.lstrip()[:1] == "#":
            continue
        code[start] = True
        if depth == 0 and first is None:
            first, head, item = start, [], False
        column0 = m.start() == 0 or text[m.start() - 1] == "\n"
        if tok == "}" and column0:
            depth = 1
        if depth == 0 and tok != "{" and not item:
            head.append(tok)
        if tok == "{":
            if depth == 0:
                item = True
            depth += 1
        elif tok == "}":
            depth = max(0, depth - 1)
        if depth:
            continue
        if tok == ";" or tok == "}" and item and "=" not in head \
                and names_function(head):
            if item:
                names = item_names(head)
                for n in range(first, start + 1):
                    owners[n] |= names
            first = None
    return owners, [not c for c in code]


def names_function(head):
    return "(" in head


def item_names(head):
    if "=" in head:                                 # an initialised object
        left = head[:head.index("=")]
        left = left[:left.index("[")] if "[" in left else left
        return {left[-1]} if left else set()
    if "(" not in head:                             # struct, union, enum
        words = [t for t in head if re.fullmatch(r"\w+", t)]
        for i, w in enumerate(words[:-1]):
            if w in ("struct", "union", "enum"):
                return {words[i + 1]}
        return set(words[-1:])
    names, depth = set(), 0
    for i, tok in enumerate(head):
        if tok == "(":
            word = head[i - 1] if i else ""
            if depth == 0 and re.fullmatch(r"[A-Za-z_]\w*", word):
                if re.match(r"[A-Z_0-9]+DEFINE\w*$", word):
                    names.add(head[i + 1])          # SYSCALL_DEFINE2(name, ...
                names.add(word)
            depth += 1
        elif tok == ")":
            depth -= 1
    plain = {n for n in names if not ATTRIBUTES.fullmatch(n)}
    # A function may begin with underscores itself: it is the last one then.
    return plain or names
