#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""mutants.py - changes src at random places, and counts which changes the tests notice.

    test/mutants.py [--n N] [--seed SEED] [--jobs J] [--in TEXT] [--alive] [--again] [--list]
                    [--quick]

A mutant is the library with one small change inside a function: another operator, a condition
negated, a constant one larger or smaller, a statement left out, another value returned. The N
mutants are drawn with SEED from all that are possible (--in: from files whose path has TEXT in
it). One that does not compile, or that compiles to the machine code of the original, is not
counted, and another is drawn instead.

Each mutant meets the tests that can reach it, the unit test of its module first, until one fails.
Those that all tests pass meet the tests with threads under ThreadSanitizer, if their line is about
threads. What is alive then is printed. test/mutants.tsv lists mutants that are equivalent to the
original, with a reason each; they are not counted either, and a row that fits no possible mutant is
a failure.

The drawing is stable: a change of src only replaces the mutants of the lines that it changes.
--alive tries all those again that were alive in any run. --quick leaves out the tests that take
more than QUICK seconds, except unit tests: what it finds alive, a run without it tries again.

The results are kept in build/mutants/results.tsv, so that a run that was broken off goes on where
it was, and a run after new tests tries only those that were alive; --again forgets them. The exit
status is 1 if fewer than 95 % are killed, or if one is alive in a file of MARKED.
"""
import argparse
import concurrent.futures
import hashlib
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/mutants"
RESULTS = BUILD / "results.tsv"
TIMES = BUILD / "times.tsv"
EQUIVALENT = ROOT / "test/mutants.tsv"
TEST_MK = (ROOT / "test/test.mk").read_text()
WANTED = 0.95
QUICK = 0.7
# The free path, the registry, attach and the page map: here no mutant may live.
MARKED = re.compile(r"src/(slots/(tcache|slot|pagemap|state)|core/heap|heaps/(registry|attach))\.")
# What only threads can see: ThreadSanitizer is asked about lines with these words.
ABOUT_THREADS = re.compile("lock|busy|enter|leave|fence|atomic|park|change|barrier|wait|thread|NOW")
CORE = ["base", "ledger", "slots", "core"]
FOLDERS = CORE + ["heaps", "classic", "malloc"]
SUPPORT = ["test/support/model.c", "test/support/draw.c"]

COMMON = ["-D_GNU_SOURCE", "-w", "-Iinclude", "-Isrc", "-Itest/support", "-pthread"]
LIBRARY = ["-fPIC", "-fvisibility=hidden"]
TRAPS = ["-fsanitize=bounds-strict,shift,signed-integer-overflow,integer-divide-by-zero",
         "-fsanitize-undefined-trap-on-error"]
KINDS = {"plain": ["-O1", *TRAPS], "tsan": ["-O1", "-fsanitize=thread"]}

# --- the possible mutants -------------------------------------------------------------------------

TOKEN = re.compile(r"""
    (?P<space>\s+|/\*.*?\*/|//[^\n]*)
  | (?P<preprocessor>^[ \t]*\#(?:[^\n\\]|\\.|\\\n)*)
  | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<number>0[xX][0-9a-fA-F]+[uUlL]*|[0-9]+\.[0-9]+|[0-9]+[uUlL]*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<operator><<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\.\.\.|.)
""", re.X | re.S | re.M)

OTHER = {
    "<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"], "==": ["!="],
    "!=": ["=="], "&&": ["||"], "||": ["&&"], "+": ["-"], "-": ["+"], "/": ["*"], "%": ["/"],
    "<<": [">>"], ">>": ["<<"], "&": ["|"], "|": ["&"], "^": ["|"], "+=": ["-="], "-=": ["+="],
    "|=": ["&="], "&=": ["|="], "++": ["--"], "--": ["++"], "<<=": [">>="], ">>=": ["<<="],
    "!": [""],
}
BINARY_ONLY = set("+-&")
UNTOUCHED = {"assert", "static_assert", "__attribute__", "__asm__", "sizeof", "_Alignas"}
KEYWORDS = {"if", "while", "for", "switch", "return", "else", "do", "case", "goto", "break",
            "continue", "default", "static", "const", "struct", "enum", "union", "sizeof"}


class Token:
    def __init__(self, match):
        self.kind, self.text, self.start = match.lastgroup, match.group(), match.start()
        self.end = match.end()


class Mutant:
    """The text between start and end of a file is replaced by `new`."""

    def __init__(self, path, source, function, start, end, new):
        self.path, self.function, self.start, self.end, self.new = path, function, start, end, new
        first = source.rfind("\n", 0, start) + 1
        last = source.find("\n", max(end, start))
        self.line = source.count("\n", 0, start) + 1
        self.before = " ".join(source[first:last].split())
        self.after = " ".join((source[first:start] + new + source[end:last]).split())

    def key(self):
        return (self.path, self.function, self.before, self.after)

    def apply(self, source):
        return source[:self.start] + self.new + source[self.end:]


def closing(tokens, i):
    """Returns the index of the bracket that closes the one at i."""
    depth = 0
    for j in range(i, len(tokens)):
        if tokens[j].text in "([{" and tokens[j].kind == "operator":
            depth += 1
        elif tokens[j].text in ")]}" and tokens[j].kind == "operator":
            depth -= 1
            if depth == 0:
                return j
    return len(tokens) - 1


def bodies(tokens):
    """Yields (name, returns, first, last) of each function: its name, the tokens before the name,
    and the indices of its braces."""
    i = begin = 0
    while i < len(tokens):
        text = tokens[i].text
        if text == "{":
            end = closing(tokens, i)
            head = tokens[begin:i]
            names = [k for k in range(len(head) - 1)
                     if head[k].kind == "name" and head[k + 1].text == "("
                     and head[k].text not in UNTOUCHED]
            if head and head[-1].text == ")" and names:
                k = names[0]
                yield head[k].text, [t.text for t in head[:k]], i, end
                begin = end + 1
            i = end
        elif text == ";":
            begin = i + 1
        i += 1


def mutants_of(path):
    source = (ROOT / path).read_text()
    tokens = [t for t in map(Token, TOKEN.finditer(source))
              if t.kind not in ("space", "preprocessor")]
    found = []
    for name, returns, first, last in bodies(tokens):
        def add(start, end, new):
            found.append(Mutant(path, source, name, start, end, new))
        i = first + 1
        while i < last:
            t, before, after = tokens[i], tokens[i - 1], tokens[i + 1]
            if t.text in UNTOUCHED and after.text == "(":
                i = closing(tokens, i + 1) + 1
                continue
            operand = before.kind in ("name", "number") and before.text not in KEYWORDS \
                or before.text in (")", "]")
            if t.kind == "operator" and t.text in OTHER:
                # After a closing bracket "&" or "-" may follow a cast: the compiler refuses these.
                if t.text not in BINARY_ONLY or operand:
                    for new in OTHER[t.text]:
                        add(t.start, t.end, new)
            elif t.kind == "number" and "." not in t.text:
                value = int(re.sub("[uUlL]", "", t.text), 0)
                suffix = re.search("[uUlL]*$", t.text).group()
                add(t.start, t.end, f"{value + 1}{suffix}")
                if value > 0:
                    add(t.start, t.end, f"{value - 1}{suffix}")
            elif t.text in ("true", "false"):
                add(t.start, t.end, "false" if t.text == "true" else "true")
            elif t.text in ("if", "while") and after.text == "(":
                end = closing(tokens, i + 1)
                add(after.start, tokens[end].end, f"(!{source[after.start:tokens[end].end]})")
            elif t.text == "return" and after.text != ";":
                end = next(j for j in range(i, last) if tokens[j].text == ";")
                value = source[after.start:tokens[end].start]
                if "bool" in returns and after.text not in ("true", "false"):
                    add(after.start, tokens[end].start, f"!({value})")
                elif "bool" not in returns and value not in ("0", "NULL"):
                    add(after.start, tokens[end].start, "0")
            # A statement that is a call or an assignment is left out, and with it the "(void)" in
            # front of it.
            begin = i - 3 if [k.text for k in tokens[i - 3:i]] == ["(", "void", ")"] else i
            starts = tokens[begin - 1].text in ("{", "}", ";", ")", "else", ":") and \
                (t.kind == "name" and t.text not in KEYWORDS or t.text == "*")
            if starts:
                j, depth, is_call, assigns = i, 0, False, False
                while j < last and not (depth == 0 and tokens[j].text in (";", "{", "}")):
                    text = tokens[j].text
                    if text in "([":
                        is_call |= depth == 0 and text == "(" and j == i + 1
                        depth += 1
                    elif text in ")]":
                        depth -= 1
                    elif depth == 0 and (text == "=" or text.endswith("=") and text not in
                                         ("==", "!=", "<=", ">=")):
                        assigns = True
                    if depth < 0:
                        break
                    j += 1
                if depth == 0 and tokens[j].text == ";" and (is_call or assigns) and \
                        not (assigns and tokens[i + 1].kind == "name"):
                    add(tokens[begin].start, tokens[j].start, "")
            i += 1
    return found


# --- building -------------------------------------------------------------------------------------

def run(command, seconds=600, **more):
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=seconds, check=False, **more)


def flags_of(source):
    path = str(source)
    if path.startswith("src/malloc/"):
        return LIBRARY + ["-fno-builtin", "-fexceptions"]
    if path.startswith("src/"):
        return LIBRARY
    return ["-fno-builtin"] if "/malloc/" in path else []


def sources(*folders):
    return [str(p.relative_to(ROOT)) for f in folders
            for p in sorted((ROOT / "src" / f).glob("*.c"))]


class Build:
    """The objects of the original, with the files that each was made of."""

    def __init__(self, kind, tests):
        self.kind, self.folder = kind, BUILD / kind
        self.made_of = {}
        wanted = sources(*FOLDERS) + tests + SUPPORT
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(self.compile_original, wanted))

    def object_of(self, source, folder=None):
        return (folder or self.folder) / (source.split(".")[0].replace("/", "+") + ".o")

    def compile(self, source, folder, overlay=None):
        """Compiles `source`; `overlay` is a folder that is searched for headers before src."""
        target = self.object_of(source, folder)
        inside = [f"-I{overlay}"] if overlay else []
        file = source if not overlay or not (overlay.parent / source).exists() \
            else str(overlay.parent / source)
        cc = ["g++", "-std=c++17"] if source.endswith(".cc") else ["gcc", "-std=c11"]
        return run([*cc, "-c", *inside, *COMMON, *KINDS[self.kind], *flags_of(source), "-MMD",
                    # Assertions contain the name of the file, which is to be the original's.
                    f"-fmacro-prefix-map={overlay.parent if overlay else folder}/=",
                    file, "-o", str(target)])

    def compile_original(self, source):
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.object_of(source)
        rule = target.with_suffix(".d")
        if rule.exists():
            files = rule.read_text().replace("\\\n", " ").split()[1:]
            newest = max((ROOT / f).stat().st_mtime for f in files if (ROOT / f).exists())
        if not rule.exists() or not target.exists() or newest > target.stat().st_mtime:
            done = self.compile(source, self.folder)
            if done.returncode != 0:
                sys.exit(f"mutants.py: {source}: {done.stdout.decode()}")
        self.made_of[source] = {f for f in rule.read_text().replace("\\\n", " ").split()[1:]}

    def users(self, path):
        return [s for s, files in self.made_of.items() if path in files]


class Bench:
    """One mutant at a time: its objects where they differ, the original's for the rest."""

    def __init__(self, build, folder, mutated):
        self.build, self.folder, self.mutated = build, folder, mutated
        self.overlay = folder / "src" if mutated else None
        self.made = {}
        folder.mkdir(parents=True, exist_ok=True)

    def object_of(self, source):
        if self.mutated is None or self.mutated not in self.build.made_of[source]:
            return self.build.object_of(source)
        if source not in self.made:
            done = self.build.compile(source, self.folder, self.overlay)
            self.made[source] = done.returncode == 0
        if not self.made[source]:
            raise ValueError("does not compile")
        return self.build.object_of(source, self.folder)

    def link(self, target, files, *more):
        files = list(files)
        cc = "g++" if any("operators" in str(f) or "replaced" in str(f) for f in files) else "gcc"
        done = run([cc, *KINDS[self.build.kind], "-pthread", *map(str, files), *more, "-o",
                    str(target)])
        if done.returncode != 0:
            raise RuntimeError(f"{target} does not link: {done.stdout.decode()}")
        return target

    def library(self, name, *folders):
        target = self.folder / name
        if target not in self.made:
            more = ["-Wl,-z,now,-z,nodelete,-z,initfirst"] if name == "libmem-malloc.so" else \
                ["-Wl,--version-script=src/libmem.map"]
            more += ["-Wl,-soname,libmem.so.1"] if name == "libmem.so" else []
            self.link(target, map(self.object_of, sources(*folders)), "-shared", *more)
            if name == "libmem.so" and not (self.folder / "libmem.so.1").exists():
                (self.folder / "libmem.so.1").symlink_to(name)
            self.made[target] = True
        return target

    def has_machine_code_of_original(self):
        users = [s for s in self.build.users(self.mutated) if s.startswith("src/")]
        for source in users:
            if self.object_of(source).read_bytes() != self.build.object_of(source).read_bytes():
                return False
        return True


# --- tests ----------------------------------------------------------------------------------------

class Test:
    def __init__(self, source, arguments=(), kind="plain", options=""):
        self.source, self.arguments, self.kind, self.options = source, arguments, kind, options
        self.seconds = 0.0
        parts = source.split("/")
        self.group, self.folder = parts[1], parts[2] if len(parts) > 3 else ""

    def name(self):
        return f"{'tsan ' if self.kind == 'tsan' else ''}{self.source[5:].split('.')[0]}" + \
            (f" {self.options}" if self.options else "")

    def objects(self, bench):
        """The test's own object, and those of src/malloc that test.mk links to it."""
        modules = re.findall(r"^\$\(BUILD\)/" + self.source.split(".")[0] +
                             r": \$\(BUILD\)/obj/(\S+)\.o$", TEST_MK, re.M)
        if "unit/malloc" in self.source:
            without_heap = re.search(r"^WITHOUT_HEAP := [^,]*,([^)]*)\)", TEST_MK, re.M).group(1)
            modules += [f"malloc/{name}" for name in re.findall(r"(\w+)\.o", without_heap)]
        return [bench.object_of(self.source)] + [bench.object_of(f"src/{m}.c") for m in modules]

    def prepare(self, bench):
        """Links the program, and returns its path and its environment."""
        target = bench.folder / self.source.split(".")[0].replace("/", "+")
        here = dict(os.environ, LD_LIBRARY_PATH=str(bench.folder), CMOCKA_MESSAGE_OUTPUT="TAP",
                    TSAN_OPTIONS="halt_on_error=1")
        if self.group == "contract" and self.folder == "malloc":
            library = bench.library("libmem-malloc.so", *CORE, "malloc")
            here.update(LD_PRELOAD=str(library), LIBMEM=self.options)
            return bench.link(target, self.objects(bench), "-ldl"), here
        if self.group == "contract" and self.folder == "classic":
            bench.library("libmem.so", *FOLDERS[:-1])
            return bench.link(target, self.objects(bench), f"-L{bench.folder}", "-lmem",
                              "-lcmocka", "-ldl"), here
        wrapped = set(re.findall(r"__wrap_(\w+)", (ROOT / self.source).read_text()))
        wrap = [f"-Wl,--wrap={name}" for name in sorted(wrapped)]
        objects = self.objects(bench) + [bench.object_of(s) for s in SUPPORT]
        objects += map(bench.object_of, sources(*FOLDERS[:-1]))
        return bench.link(target, objects, "-lcmocka", *wrap), here

    def passes(self, bench):
        """Returns whether the program ends with status 0 and tells no failure. What takes more
        than five times the processor time of the original, or minutes of the clock, fails."""
        program, environment = self.prepare(bench)
        cpu = int(5 * self.seconds + 5)
        core_max = resource.getrlimit(resource.RLIMIT_CORE)[1]

        def limit():
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
            resource.setrlimit(resource.RLIMIT_CORE, (0, core_max))
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 26, 1 << 26))

        with open(bench.folder / "output", "w+b") as output:
            # env is what gets the preloaded library, so that a broken one does not stop Python.
            names = [f"{k}={v}" for k, v in environment.items() if os.environ.get(k) != v]
            child = subprocess.Popen(["env", *names, str(program), *self.arguments], cwd=ROOT,
                                     stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                                     preexec_fn=limit)
            try:
                child.wait(90 + 20 * self.seconds)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()
            output.seek(0)
            text = output.read().decode(errors="replace")
        # No test gives a wrong option: the library has nothing to say of LIBMEM.
        return child.returncode == 0 and not re.search(r"^not ok (?!.*# SKIP)", text, re.M) and \
            re.search(r"^1\.\.|^[0-9]+ passed, 0 failed$", text, re.M) is not None and \
            "libmem: LIBMEM:" not in text

    def can_reach(self, path):
        """Whether the program may have the file: its folder or one that is built on it."""
        folder = path.split("/")[1]
        if folder == "malloc":
            return self.folder == "malloc"
        if self.folder == "malloc":
            return folder in CORE and self.group == "contract"
        if self.group == "unit" or self.folder == "" or self.kind == "tsan":
            return FOLDERS.index(self.folder or "heaps") >= FOLDERS.index(folder)
        return folder in CORE or folder == self.folder

    def nearness(self, path):
        """The test of the mutated module comes first, and then the shorter ones."""
        folder, module = path.split("/")[1], re.sub(r"\.[ch]$", "", path.split("/")[2])
        own = self.group == "unit" and self.folder == folder
        return (self.kind == "tsan", not (own and self.source.endswith(f"/{module}.c")), not own,
                self.seconds)


class Script(Test):
    """A script. Its arguments may have the path of the {library}, of the {folder} where it lies
    with libmem.so and `mem`, and of what make builds for check-malloc, {made}. It is only for files
    that have the word `about`."""
    made = BUILD / "make"

    def __init__(self, source, template, options="", about=""):
        super().__init__(source, options=options)
        self.group, self.folder, self.template, self.about = "contract", "malloc", template, about

    def name(self):
        return " ".join([super().name()] + [a[7:] for a in self.template if a.startswith("{made}")])

    def can_reach(self, path):
        if self.about:
            return self.about in (ROOT / path).read_text()
        return super().can_reach(path)

    @classmethod
    def make(cls):
        """Builds, as far as they are not there, the programs that the scripts run."""
        done = run(["make", "-s", f"BUILD={cls.made.relative_to(ROOT)}", "check-malloc-programs"])
        if done.returncode != 0:
            sys.exit(f"mutants.py: {done.stdout.decode()}")

    def prepare(self, bench):
        library = bench.library("libmem-malloc.so", *CORE, "malloc")
        bench.library("libmem.so", *FOLDERS[:-1])
        shutil.copy(self.made / "mem", bench.folder)
        self.arguments = [a.format(library=library, folder=bench.folder, made=self.made)
                          for a in self.template]
        return ROOT / self.source, dict(os.environ, LIBMEM=self.options)


LEFT_OUT = {"h17_no_system_call", "m01_symbols", "m06_medium", "m06_shrink",
            "m08_system_calls", "m09_time", "m11_calloc", "find", "walk", "history_stacks",
            "m02_full", "m05_early", "m08_fault", "m08_interposed", "m03_badfree",
            "m03_badfree_threads", "m05_threads", "c15_no_style", "m06_realloc"}


def all_tests():
    tests = []
    for pattern in ("test/unit/*/*.c", "test/contract/*/*.c"):
        for p in sorted(ROOT.glob(pattern)):
            if p.parent.name in FOLDERS and p.stem not in LEFT_OUT:
                tests.append(Test(str(p.relative_to(ROOT))))
    malloc = "test/contract/malloc/"
    preloaded = ["--with", "env LD_PRELOAD={library} LD_LIBRARY_PATH={folder}"]
    tests += [Test("test/model/random.c", ["30000", "1"]),
              Test("test/model/heaps.c", ["3000", "1"]), Test("test/model/sequences.c", ["4"]),
              Test(malloc + "m05_threads.c", ["300", "20"]), Test(malloc + "m05_early.c"),
              Test(malloc + "m03_badfree.c", ["2000", "1"], options="onerror=report"),
              Test(malloc + "m03_misuse.c", options="onerror=report"),
              Test(malloc + "m03_badfree_threads.c", ["30", "1"], options="onerror=ignore"),
              Test(malloc + "m05_threads.c", ["100", "10"], options="history=2K"),
              Test(malloc + "history_stacks.c", options="history,onerror=report"),
              Test(malloc + "m12_hard.c", options="hard"),
              Test(malloc + "m03_misuse.c", options="hard"),
              Test(malloc + "m05_threads.c", ["100", "10"], options="hard"),
              Test(malloc + "m01_operators.cc"), Test(malloc + "m01_replaced.cc"),
              Test(malloc + "m06_realloc.c", options="region=64M"),
              Test(malloc + "m02_full.c", options="region=8M"),
              Test(malloc + "m02_full.c", options="hard,region=8M"),
              Script(malloc + "m12_measures.sh", ["{library}", "{made}/test/misuse/hard"]),
              Script(malloc + "m04_start.sh", ["{library}", "{made}/test/contract/malloc"]),
              Script(malloc + "m07_limits.sh", ["{library}", "{made}/test/contract/malloc"]),
              Script(malloc + "history.sh", ["{library}"]),
              Script("test/run.sh", [*preloaded, "--misuse", "{made}/test/misuse/hard",
                                     "test/misuse/hard"], options="hard"),
              Script("test/memcheck.sh", ["{folder}"], about="memcheck_"),
              Script("test/fail.sh", ["{folder}/mem", "20"], about="fail_at")]
    for name in ("find", "walk", "m08_interposed"):
        tests += [Script("test/run.sh", [*preloaded, "{made}/test/contract/malloc/" + name])]
    for module in ("slots/tcache", "heaps/registry", "core/usage"):
        tests.append(Test(f"test/unit/{module}.c", kind="tsan"))
    for name in ("heaps/h07_find_threads", "heaps/h11_threads", "heaps/h12_fork",
                 "heaps/h13_guard_pages", "classic/c13_threads"):
        tests.append(Test(f"test/contract/{name}.c", kind="tsan"))
    return tests


def measure(tests, benches):
    """Runs each test on the original, unless its time is known. One that fails there is left out,
    and named."""
    known = {}
    if TIMES.exists():
        known = dict(line.split("\t") for line in TIMES.read_text().splitlines())
    good = []
    for test in tests:
        if test.name() in known:
            test.seconds = float(known[test.name()])
            if test.seconds >= 0:
                good.append(test)
            continue
        test.seconds = 1e3
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        passes = test.passes(benches[test.kind])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        test.seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        with open(TIMES, "a") as file:
            file.write(f"{test.name()}\t{test.seconds if passes else -1:.2f}\n")
        if passes:
            good.append(test)
        else:
            print(f"mutants.py: {test.name()} fails on the original, and is left out",
                  file=sys.stderr)
    return good


# --- the run --------------------------------------------------------------------------------------

def judge(mutant, builds, tests, folder):
    """Returns 'no code' (not counted), 'alive', or the name of the test that noticed it."""
    if folder.exists():
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    target = folder / mutant.path
    target.parent.mkdir(parents=True)
    target.write_text(mutant.apply((ROOT / mutant.path).read_text()))
    benches = {kind: Bench(build, folder / kind, mutant.path) for kind, build in builds.items()}
    for bench in benches.values():
        bench.overlay = folder / "src"
    try:
        if benches["plain"].has_machine_code_of_original():
            return "no code"
        for test in sorted((t for t in tests if t.can_reach(mutant.path) and
                            (t.kind != "tsan" or ABOUT_THREADS.search(mutant.before))),
                           key=lambda t: t.nearness(mutant.path)):
            if not test.passes(benches[test.kind]):
                return test.name()
    except ValueError:
        return "no code"
    return "alive"


def equivalents(possible):
    """Reads test/mutants.tsv: file, function, line, changed line, reason."""
    rows = {}
    if EQUIVALENT.exists():
        for line in EQUIVALENT.read_text().splitlines():
            if line and not line.startswith("#"):
                cells = line.split("\t")
                if len(cells) != 5 or not cells[4]:
                    sys.exit(f"mutants.py: not five columns in {EQUIVALENT.name}: {line}")
                rows[tuple(cells[:4])] = cells[4]
    stale = set(rows) - {m.key() for m in possible}
    for row in sorted(stale):
        print("mutants.py: a row of mutants.tsv fits no mutant: " + " | ".join(row))
    return rows, len(stale)


def main():
    parser = argparse.ArgumentParser(description="counts the changes of src that the tests notice")
    parser.add_argument("--n", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--in", dest="within", default="")
    parser.add_argument("--alive", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()

    paths = [str(p.relative_to(ROOT)) for f in FOLDERS
             for p in sorted((ROOT / "src" / f).glob("*.[ch]"))]
    possible = [m for path in paths for m in mutants_of(path)]
    rows, nstale = equivalents(possible)
    drawn = [m for m in possible if given.within in m.path]
    drawn.sort(key=lambda m: hashlib.sha256(repr((given.seed, m.key())).encode()).digest())
    if given.list:
        for m in drawn[:given.n]:
            print(f"{m.path}:{m.line}\t{m.function}\t{m.before}\t{m.after}")
        return 1 if nstale > 0 else 0

    BUILD.mkdir(parents=True, exist_ok=True)
    known = {}
    if given.again:
        RESULTS.unlink(missing_ok=True)
        TIMES.unlink(missing_ok=True)
    if RESULTS.exists():
        for line in RESULTS.read_text().splitlines():
            cells = line.split("\t")
            known[tuple(cells[:4])] = cells[4]
    if given.alive:
        drawn = [m for m in drawn if known.get(m.key()) == "alive" and m.key() not in rows]
    tests = all_tests()
    names = sorted({t.source for t in tests if not isinstance(t, Script)})
    builds = {"plain": Build("plain", names),
              "tsan": Build("tsan", sorted({t.source for t in tests if t.kind == "tsan"}))}
    Script.make()
    tests = measure(tests, {k: Bench(b, BUILD / "original" / k, None) for k, b in builds.items()})
    if given.quick:
        tests = [t for t in tests
                 if t.kind == "plain" and (t.group == "unit" or t.seconds <= QUICK)]
    print(f"{len(possible)} possible mutants, {len(tests)} tests that take "
          f"{sum(t.seconds for t in tests):.0f} s", flush=True)

    lock, counts, alive, equal = threading.Lock(), {}, [], 0
    begin, queue = time.time(), iter(drawn)

    def work(number):
        nonlocal equal
        while True:
            with lock:
                if sum(counts.values()) + equal >= given.n:
                    return
                mutant = next(queue, None)
            if mutant is None:
                return
            result = "equivalent" if mutant.key() in rows else known.get(mutant.key(), "alive")
            if result == "alive":
                result = judge(mutant, builds, tests, BUILD / f"work{number}")
                with lock, open(RESULTS, "a") as file:
                    file.write("\t".join([*mutant.key(), result]) + "\n")
            with lock:
                if result == "equivalent":
                    equal += 1
                elif result != "no code":
                    counts[result] = counts.get(result, 0) + 1
                    if result == "alive":
                        alive.append(mutant)
                        print(f"alive: {mutant.path}:{mutant.line} {mutant.function}\n"
                              f"    {mutant.before}\n    {mutant.after}", flush=True)

    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        for done in [pool.submit(work, i) for i in range(given.jobs)]:
            done.result()

    total = sum(counts.values())
    print(f"\nseed {given.seed}: {total} mutants that are not equivalent, {total - len(alive)} "
          f"killed, {len(alive)} alive; {equal} equivalent; {time.time() - begin:.0f} s")
    by_test = sorted(((n, name) for name, n in counts.items() if name != "alive"), reverse=True)
    print("noticed by: " + ", ".join(f"{name} {n}" for n, name in by_test))
    marked = [m for m in alive if MARKED.search(m.path)]
    for m in marked:
        print(f"alive where none may be: {m.path}:{m.line}")
    failed = nstale > 0 or bool(marked) or total > 0 and total - len(alive) < WANTED * total
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
