#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""coverage.py - judges what the tests reached of src: lines, branches, and conditions (MC/DC).

    test/coverage.py COVERAGE EXCLUSIONS [REPORT]

COVERAGE is what llvm-cov export writes. A static inline function has a record for each file that
includes it: a line, an outcome of a branch or a condition counts as reached if one record says so.

EXCLUSIONS has a row for each line of src that no test can reach in full: the file, the function,
the text of the line (* for all lines of the function), and the reason. A row that fits no line is a failure. Rows whose lines were
all reached are printed, since they may be superfluous: some lines are reached by chance only.

REPORT gets each line that was not reached in full. The exit status is 1 if less than WANTED is
reached.
"""
import json
import re
import sys

# In percent: lines, outcomes of branches, conditions. This only ever rises: the aim is in
# docs/reliability.md. Some lines are reached by chance only, so each has a little room.
WANTED = {"src": (99.95, 99.6, 99.0), "src/malloc": (98.4, 97.2, 92.5)}


class File:
    def __init__(self, path):
        self.path = path
        with open(path) as file:
            self.text = [line.strip() for line in file]
        self.lines = {}       # line: reached
        self.branches = {}    # (line, place, outcome): reached
        self.conditions = {}  # (line, place, number): reached
        self.functions = []   # (first line, last line, name)

    def function_of(self, line):
        inside = [f for f in self.functions if f[0] <= line <= f[1]]
        return max(inside)[2] if inside else ""

    def is_code(self, line):
        text = self.text[line - 1]
        return text not in ("", "{", "}", "};") and not text.startswith(("/*", "*", "//", "#"))


def note(table, key, reached):
    table[key] = table.get(key, False) or reached


def add_lines(file, segments):
    """As llvm-cov counts lines: by the regions that begin in a line, and the one that goes on."""
    by_line = {}
    for segment in segments:
        by_line.setdefault(segment[0], []).append(segment)
    around = None
    for line in range(1, len(file.text) + 1):
        here = by_line.get(line, [])
        begins = [s for s in here if s[3] and s[4] and not s[5]]
        counts = [s[2] for s in begins]
        if around is not None and around[3]:
            counts.append(around[2])
        skipped = here and not here[0][3] and here[0][4]
        if counts and not skipped and file.is_code(line):
            note(file.lines, line, max(counts) > 0)
        if here:
            around = here[-1]


def is_constant(file, place):
    """Whether a condition is a constant of the build, of which the compiler keeps one outcome."""
    text = file.text[place[0] - 1]
    return any(word in text for word in ("UNDER_TSAN", "MEM_DEBUG", "PROBE_"))


def add_function(files, record):
    paths = record["filenames"]
    regions = [r for r in record["regions"] if r[7] == 0 and r[5] == 0]
    if regions and paths[0] in files:
        name = record["name"].split(":")[-1]
        files[paths[0]].functions.append((regions[0][0], regions[0][2], name))
    for b in record["branches"]:
        file = files.get(paths[b[6]])
        if file is not None and not is_constant(file, b):
            note(file.branches, (b[0], tuple(b[1:4]), "true"), b[4] > 0)
            note(file.branches, (b[0], tuple(b[1:4]), "false"), b[5] > 0)
    for c in record.get("mcdc_records", []):
        file = files.get(paths[0])
        if file is not None and not is_constant(file, c):
            for i, reached in enumerate(c[-1]):
                note(file.conditions, (c[0], tuple(c[1:4]), i + 1), reached)


def read(path):
    with open(path) as stream:
        data = json.load(stream)["data"][0]
    files = {}
    for entry in data["files"]:
        name = entry["filename"]
        place = name.find("src/")
        if place < 0 or name[place:].count("/") != 2:
            continue
        files[name] = files.get(name) or File(name[place:])
        add_lines(files[name], entry["segments"])
    for record in data["functions"]:
        add_function(files, record)
    return {file.path: file for file in files.values()}


def exclude(files, path):
    """Takes the excluded lines out of the tables, and returns how many rows fit no line."""
    nwrong = 0
    with open(path) as stream:
        for row in stream:
            row = row.rstrip("\n")
            if row == "" or row.startswith("#"):
                continue
            cells = row.split("\t")
            if len(cells) != 4 or cells[3] == "":
                print(f"coverage.py: {path}: not four columns: {row}")
                nwrong += 1
                continue
            name, function, text, _ = cells
            file = files.get(name)
            lines = [] if file is None else [
                i + 1 for i, line in enumerate(file.text)
                if text in (line, "*") and file.function_of(i + 1) == function]
            if not lines:
                print(f"coverage.py: {path}: no such line: {row}")
                nwrong += 1
            missed = 0
            for table in () if file is None else (file.lines, file.branches, file.conditions):
                for key in [k for k in table if (k if isinstance(k, int) else k[0]) in lines]:
                    missed += not table.pop(key)
            if lines and missed == 0:
                print(f"coverage.py: reached, though excluded: {name}: {text}")
    return nwrong


def share(tables):
    values = [reached for table in tables for reached in table.values()]
    return 100.0 * sum(values) / len(values) if values else 100.0, len(values)


def write_report(files, report):
    for file in files.values():
        missed = {}
        for line, reached in file.lines.items():
            if not reached:
                missed.setdefault(line, []).append("line")
        for table, what in ((file.branches, "never"), (file.conditions, "condition")):
            for (line, place, which), reached in table.items():
                if not reached and file.lines.get(line, True):
                    missed.setdefault(line, []).append(f"{what} {which} at {place[0]}")
        for line in sorted(missed):
            print(f"{file.path}:{line}\t{file.function_of(line)}\t{file.text[line - 1]}\t"
                  f"{', '.join(missed[line])}", file=report)


def main():
    files = read(sys.argv[1])
    failed = exclude(files, sys.argv[2]) > 0
    with open(sys.argv[3] if len(sys.argv) > 3 else "/dev/null", "w") as report:
        write_report(files, report)
    print(f"{'folder':<14} {'lines':>14} {'branches':>14} {'conditions':>14}")
    folders = sorted({re.sub("/[^/]*$", "", path) for path in files})
    for folder in folders + ["src"]:
        inside = [f for f in files.values() if f.path.startswith(folder + "/")
                  and (folder != "src" or not f.path.startswith("src/malloc/"))]
        figures = [share([f.lines for f in inside]), share([f.branches for f in inside]),
                   share([f.conditions for f in inside])]
        name = folder if folder != "src" else "without malloc"
        print(f"{name:<14} " + " ".join(f"{p:6.2f} of {n:4d}" for p, n in figures))
        for (percent, _), wanted in zip(figures, WANTED.get(folder, ())):
            if percent < wanted:
                print(f"coverage.py: {name}: {percent:.2f} % is less than {wanted} %")
                failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
