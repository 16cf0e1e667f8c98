# Exercises python: dictionaries, lists, JSON, regular expressions, sorting, threads and a child
# process.
import collections
import hashlib
import json
import re
import subprocess
import sys
import threading
import zlib

SEED = 12345


def numbers(n, seed=SEED):
    for _ in range(n):
        seed = (seed * 1103515245 + 12345) % 2**31
        yield seed


def show(name, value):
    text = json.dumps(value, sort_keys=True)
    print(name, len(text), hashlib.sha256(text.encode()).hexdigest()[:16])


def dictionaries():
    table = {}
    for n in numbers(120000):
        table.setdefault(f"key{n % 30011}", []).append(n)
        if n % 5 == 0:
            table.pop(f"key{n % 997}", None)
    show("dictionaries", table)


def records_through_json():
    records = [{"id": i, "name": "x" * (n % 200), "next": [n, str(n), n / 7]}
               for i, n in enumerate(numbers(20000))]
    again = json.loads(json.dumps(records))
    print("equal", again == records)
    again.sort(key=lambda r: (len(r["name"]), r["next"][1]))
    show("sorted", again)


def expressions():
    text = " ".join(f"{n}-{n % 13:x}@host{n % 101}.example" for n in numbers(30000))
    found = collections.Counter(re.findall(r"-([0-9a-f]+)@(host\d+)\.", text))
    show("expressions", sorted((k, v) for (*k,), v in found.items()))
    show("replaced", re.sub(r"(\d+)-(\w)", r"\2:\1", text))


def compressed():
    data = b"".join(b"%d," % n for n in numbers(100000))
    packed = zlib.compress(data, 6)
    print("compressed", len(packed), zlib.decompress(packed) == data)
    grown = bytearray()
    for n in numbers(50000):
        grown += b"%d;" % n
    print("grown", len(grown), zlib.crc32(grown))


def threads():
    results = {}

    def work(which):
        local = sorted(str(n) for n in numbers(8000, which))
        results[which] = zlib.crc32("".join(local).encode())

    for first in range(0, 64, 8):
        group = [threading.Thread(target=work, args=(i,)) for i in range(first, first + 8)]
        for thread in group:
            thread.start()
        for thread in group:
            thread.join()
    show("threads", results)


def child():
    done = subprocess.run([sys.executable, "-c", "import sys; print(len(sys.stdin.read()) * 2)"],
                          input="y" * 300000, capture_output=True, text=True, check=True)
    print("child", done.stdout.strip(), repr(done.stderr))


for part in (dictionaries, records_through_json, expressions, compressed, threads, child):
    part()
