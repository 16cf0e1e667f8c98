# SPDX-License-Identifier: MIT
#
# screen.py MEM LIBRARY PROGRAM - types `mem top` into a shell on a terminal of its own, presses
# keys, resizes the window, sends signals, and reads what the screen then says. PROGRAM is that of
# test/inspect/grows.c. Prints "pass WHAT" or "fail WHAT", and on a failure the screen.
#
# TERM=plain and TERM=painted are terminals that test/top.sh has described for this: they know only
# what the class Terminal below does.
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

mem, library, program = sys.argv[1:4]
PATIENCE = 240  # seconds


class Terminal:
    """What a terminal shows: rows of characters, and whether it is on its second screen."""

    def __init__(self, rows, columns):
        self.resize(rows, columns)
        self.row = self.column = 0
        self.second = False  # between smcup and rmcup
        self.colours = set()
        self.rest = ""

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.lines = [[" "] * columns for _ in range(rows)]
        self.row = self.column = 0

    def text(self):
        return "\n".join("".join(line).rstrip() for line in self.lines).rstrip("\n")

    def feed(self, text):
        text = self.rest + text
        self.rest = ""
        at = 0
        while at < len(text):
            if text[at] != "\033":
                self.put(text[at])
                at += 1
                continue
            sequence = re.compile(r"\033\[([?0-9;]*)([A-Za-z])").match(text, at)
            if sequence is None:
                self.rest = text[at:]
                return
            self.escape(sequence.group(1), sequence.group(2))
            at = sequence.end()

    def put(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            if self.row == self.rows - 1:
                self.lines = self.lines[1:] + [[" "] * self.columns]
            else:
                self.row += 1
        elif character == "\b":
            self.column = max(0, self.column - 1)
        elif character >= " ":
            self.lines[self.row][self.column] = character
            self.column = min(self.columns - 1, self.column + 1)

    def escape(self, numbers, letter):
        if letter == "H":
            place = [int(n) for n in numbers.split(";")] if numbers else [1, 1]
            self.row = min(place[0], self.rows) - 1
            self.column = min(place[1], self.columns) - 1
        elif letter in "JK":
            if letter == "J":
                first = 0 if numbers == "2" else self.row + 1
                for i in range(first, self.rows):
                    self.lines[i] = [" "] * self.columns
            if numbers != "2":
                self.lines[self.row][self.column:] = [" "] * (self.columns - self.column)
        elif letter == "m":
            self.colours |= {n for n in numbers.split(";") if re.fullmatch("[34][0-7]", n)}
        elif numbers == "?1049":
            self.second = letter == "h"
            self.lines = [[" "] * self.columns for _ in range(self.rows)]
            self.row = self.column = 0


class Shell:
    """A shell with job control, on a terminal."""

    def __init__(self, term="plain", rows=40, columns=100, **more):
        environment = dict(os.environ, TERM=term, PS1="ready>", **more)
        environment.pop("LINES", None)
        environment.pop("COLUMNS", None)
        self.terminal = Terminal(rows, columns)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            arguments = ["bash", "--norc", "--noprofile", "--noediting", "-i"]
            os.execvpe("bash", arguments, environment)
        self.resize(rows, columns)
        self.wait(r"^ready>\Z")

    def resize(self, rows, columns):
        self.terminal.resize(rows, columns)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, text):
        os.write(self.fd, text.encode())

    def read(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                self.terminal.feed(os.read(self.fd, 65536).decode(errors="replace"))
            except OSError:
                pass

    def wait(self, pattern, second=None):
        """Waits until the screen has a text; returns whether it had it in time."""
        end = time.time() + PATIENCE
        while time.time() < end:
            self.read(0.05)
            if re.search(pattern, self.terminal.text(), re.M) and (
                second is None or self.terminal.second == second
            ):
                return True
        return False

    def tool(self):
        """The process id of mem, a child of the shell."""
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == self.pid:
                return int(name)
        return None

    def top(self, pid, *options):
        """Starts mem top, and waits for its screen."""
        self.send(f"{mem} top {' '.join(options)} {pid}\n")
        return self.wait(r"^process \d+, grows: look", second=True)

    def is_as_before(self, status):
        """Whether mem has ended with that status, and the terminal is as it was before."""
        if not self.wait(r"^ready>\Z", second=False):
            return False
        self.send("echo status $?; stty -g\n")
        if not self.wait(rf"^status {status}\n[0-9a-f:]+\nready>\Z"):
            return False
        return self.terminal.text().split("\n")[-2] == self.settings

    def note_settings(self):
        self.send("stty -g\n")
        self.wait(r"^[0-9a-f]+(:[0-9a-f]+){10,}\nready>\Z")
        self.settings = self.terminal.text().split("\n")[-2]

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.close(self.fd)
        os.waitpid(self.pid, 0)


class Grows:
    """The program that is looked at."""

    def __init__(self):
        self.process = subprocess.Popen(
            [program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ, LD_PRELOAD=library, LIBMEM="region=64M"),
        )
        self.pid = int(self.process.stdout.readline().split()[1])

    def do(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline() == "done\n"

    def is_stopped(self):
        with open(f"/proc/{self.pid}/status") as f:
            return "State:\tt" in f.read()

    def ends(self):
        self.process.stdin.close()
        return self.process.stdout.readline() == "alive\n" and self.process.wait() == 0


failed = False


def check(shell, ok, what):
    global failed
    print("pass" if ok else "fail", what, flush=True)
    if not ok:
        failed = True
        for line in shell.terminal.text().split("\n"):
            print("#", line)


def keys_and_window(grows):
    s = Shell()
    s.note_settings()
    check(s, s.top(grows.pid, "-d", "0.2"), "mem top shows a screen")
    check(s, s.wait(r"^malloc's heap .* 30 .*\n(.*\n)+ +13 +7 +91 B  \|"), "with heaps and sizes")
    check(s, not s.terminal.colours, "without colours where the terminal has none")
    grows.do("take 3 21")
    check(s, s.wait(r"\| +21 +\+3 +\+63 B"), "and what grew")
    s.send("s")
    check(s, s.wait("sorted by objects"), "s changes the sorting")
    s.send("h")
    check(s, s.wait("^  q +leave"), "h shows the help")
    s.send("x")
    check(s, s.wait("^process"), "until the next key")
    s.send("?")
    check(s, s.wait("^  q +leave"), "so does ?")
    s.send("?")
    s.send("+")
    check(s, s.wait("one each 0.4 s"), "+ doubles the interval")
    s.send("--")
    check(s, s.wait("one each 0.1 s"), "- halves it")
    s.send(" ")
    paused = s.wait("paused")
    before = re.search("look (\\d+)", s.terminal.text())
    grows.do("take 2 23")
    for _ in range(10):
        s.read(0.05)
    after = re.search("look (\\d+)", s.terminal.text())
    still = paused and before and after and before.group(1) == after.group(1)
    check(s, still and "+46 B" not in s.terminal.text(), "space pauses")
    s.send(" ")
    check(s, s.wait(r"\+46 B"), "and goes on")
    s.resize(12, 60)
    fits = s.wait(r"\Aprocess \d+, grows: look \d+")
    check(s, fits and s.wait("^came, by size"), "a small window")
    s.resize(5, 20)
    check(s, s.wait(r"\Aprocess \d+, grows"), "a tiny one")
    s.resize(60, 120)
    check(s, s.wait(r"^ +13 +7 +91 B  \|"), "a large one")
    s.send("q")
    check(s, s.is_as_before(0), "q leaves, and the terminal is as before")
    s.close()


def signals(grows):
    s = Shell()
    s.note_settings()
    s.top(grows.pid, "-d", "0.1")
    s.send("\032")
    check(s, s.wait(r"(?s)Stopped.*^ready>\Z", second=False), "^Z stops the tool, off the screen")
    check(s, not grows.is_stopped() and grows.do("take 1 5"), "and the program goes on")
    s.send("stty -g\n")
    check(s, s.wait(f"^{s.settings}\n"), "with the terminal as before")
    s.send("fg\n")
    check(s, s.wait(r"^process \d+, grows: look", second=True), "fg brings the screen back")
    os.kill(s.tool(), signal.SIGSTOP)
    s.wait(r"(?s)Stopped.*^ready>\Z")
    s.send("fg\n")
    check(s, s.wait(r"^process \d+, grows: look"), "so it does after SIGSTOP")
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.kill(s.tool(), number)
        check(s, s.is_as_before(128 + number), f"{number.name}: the terminal is as before")
        s.send("clear\n")
        s.wait(r"\Aready>\Z")
        s.top(grows.pid, "-d", "0.1")
    s.send("\003")
    check(s, s.is_as_before(130), "so it is after ^C")
    s.send("clear\n")
    s.wait(r"\Aready>\Z")
    s.top(grows.pid, "-d", "0.1")
    os.kill(s.tool(), signal.SIGKILL)
    s.wait("Killed")
    check(s, not grows.is_stopped() and grows.do("take 1 5"), "kill -9: the program goes on")
    s.close()
    s = Shell()
    s.top(grows.pid, "-d", "0.1")
    tool = s.tool()
    os.close(s.fd)  # the terminal is gone
    end = time.time() + PATIENCE
    while os.path.exists(f"/proc/{tool}/exe") and time.time() < end:
        time.sleep(0.02)
    gone = not os.path.exists(f"/proc/{tool}/exe")
    check(s, gone and grows.do("take 1 5"), "the tool ends with its terminal")
    os.kill(s.pid, signal.SIGKILL)
    os.waitpid(s.pid, 0)


def colours(grows):
    s = Shell("painted", LC_ALL="C.UTF-8")
    s.top(grows.pid)
    check(s, s.wait("\u2588|\u2592|\u2591") and s.terminal.colours, "colours where there are any")
    s.send("q")
    s.close()
    s = Shell("painted", LC_ALL="C.UTF-8", NO_COLOR="1")
    s.top(grows.pid)
    check(s, s.wait("^  [ .a-zA-Z-]*M") and not s.terminal.colours, "none with NO_COLOR")
    s.send("q")
    s.close()
    s = Shell("dumb")
    s.send(f"{mem} top {grows.pid}; echo status $?\n")
    check(s, s.wait("use --batch\nstatus 2"), "a terminal without a screen is refused")
    s.close()


def the_end(grows):
    s = Shell()
    s.note_settings()
    s.top(grows.pid, "-d", "0.1")
    check(s, grows.ends(), "the program was whole until its end")
    check(s, s.is_as_before(1), "then the tool ends with status 1")
    check(s, f"{grows.pid}: the process has ended" in s.terminal.text(), "and says why")
    s.close()


grows = Grows()
grows.do("take 7 13")
grows.do("take 23 300")
keys_and_window(grows)
signals(grows)
colours(grows)
the_end(grows)
sys.exit(failed)
