# SPDX-License-Identifier: MIT
#
# concordance.py FOLDER - builds an index of the words and the pairs of words of the texts in
# FOLDER; converts it to JSON and back, sorts it, and prints it as one long string.
import json
import os
import re
import sys
import zlib

folder = sys.argv[1]
places, pairs = {}, {}
for name in sorted(os.listdir(folder)):
    with open(os.path.join(folder, name), encoding="latin-1") as text:
        for number, line in enumerate(text, 1):
            words = re.findall(r"[A-Za-z_]+", line.lower())
            for word in words:
                places.setdefault(word, []).append([name, number])
            for pair in zip(words, words[1:]):
                pairs[pair] = pairs.get(pair, 0) + 1

as_json = json.dumps(places, sort_keys=True)
assert json.loads(as_json) == places

page = ""
for word in sorted(places, key=lambda word: (-len(places[word]), word)):
    page += f"{word}: " + ", ".join(f"{name} {number}" for name, number in places[word]) + "\n"

checksum = zlib.crc32(as_json.encode())
print(len(places), "words,", len(pairs), "pairs,", len(as_json), "bytes of JSON", checksum)
for pair, count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:20]:
    print(count, *pair)
print(page, end="")
