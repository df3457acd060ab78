#!/usr/bin/env python3
"""Where the processor time of a whole request goes: writes what `bench --samples` recorded into docs/performance.md.

    samples.py SAMPLES PROGRAM

SAMPLES is the folder with perf's files, PROGRAM the proxy that was sampled, with line tables. `scripts/bench-samples.sh`
makes both.
"""

import collections
import os
import re
import subprocess
import sys

from instructions import ROOMS, replace, room, table

SECTION = "processor time"
# What is not detection: by source file, or by symbol where a library has no lines.
OWN = f"^({re.escape(os.getcwd())}/)?src/"
OTHERS = [
    ("audit, metrics, logs", OWN + r"(audit|telemetry|redact|capture)|\btracing(_core)?::|/tracing-"),
    ("proxy", OWN),
    ("HTTP", r"\b(hyper|hyper_util|http|httparse|http_body|h2)::|/(hyper|hyper-util|http|httparse|http-body|h2)-[0-9]"),
    ("hashing, searching", r"\b(memchr|siphasher|foldhash|hashbrown|aho_corasick)::|/(memchr|siphasher|foldhash|hashbrown|aho-corasick)-[0-9]"),
    ("runtime, sockets", r"\b(tokio|mio|socket2|nix|bytes)::|/(tokio|mio|socket2|nix|bytes)-[0-9]"),
]
OTHERS = [(name, re.compile(pattern)) for name, pattern in OTHERS]
MEMORY = re.compile(r"^(__)?(_int_)?(malloc|calloc|realloc|free|cfree)|malloc_|_int_free|sysmalloc|unlink_chunk|tcache")
COPIES = re.compile(r"mem(cpy|move|set|cmp)")
KERNEL, ALLOCATOR, COPYING, REST = "system calls", "allocator", "copying, comparing bytes", "other"
NAMES = [name for name, _ in ROOMS] + [name for name, _ in OTHERS] + [ALLOCATOR, COPYING, KERNEL, REST]


def main():
    folder, program = sys.argv[1:]
    with open(os.path.join(folder, "cases"), encoding="utf-8") as lines:
        cases = [line.rstrip("\n") for line in lines]
    columns = [(case, rooms(os.path.join(folder, case), program)) for case in cases]
    head = ["of the processor time of a request"] + [case for case, _ in columns]
    rows = [[name] + [share(spent, name) for _, spent in columns] for name in NAMES]
    rows = [row for row in rows if any(cell != "-" for cell in row[1:])]
    rows.append(["samples"] + [f"{spent.total():,}" for _, spent in columns])
    replace(SECTION, table(head, rows))


def share(spent, name):
    return f"{spent[name] / spent.total():.1%}" if spent[name] else "-"


def rooms(file, program):
    """How many samples each room has."""
    base = loaded_at(file, program)
    offset, address = executable_segment(program)
    spent = collections.Counter()
    inside = collections.Counter()
    symbols = {}
    for line in perf("-i", file, "-F", "ip,sym,dso").splitlines():
        sample = re.fullmatch(r"\s*([0-9a-f]+) (.*) \((.*)\)", line)
        if not sample:
            sys.exit(f"samples: perf says {line!r}, which is no address, symbol and program")
        ip, symbol, module = sample.groups()
        if os.path.basename(module) == os.path.basename(program):
            at = int(ip, 16) - base[0] + base[1] - offset + address
            inside[at] += 1
            symbols[at] = symbol
        else:
            spent[elsewhere(symbol, module)] += 1
    if not inside:
        sys.exit(f"samples: {file} has none of {program}: it must not be built anew meanwhile")
    if not spent[KERNEL]:
        sys.exit("samples: perf may not look into the kernel (sysctl kernel.perf_event_paranoid=1, or run this as root)")
    for at, frames in frames_of(inside, program).items():
        spent[owner(frames, symbols[at])] += inside[at]
    return spent


def elsewhere(symbol, module):
    if "kernel" in module or module == "[unknown]":
        return KERNEL
    if MEMORY.search(symbol):
        return ALLOCATOR
    if COPIES.search(symbol):
        return COPYING
    return room("", module) or REST


def owner(frames, symbol):
    """The room of the innermost function that belongs to one."""
    for file in frames:
        found = room(file, "") or next((name for name, pattern in OTHERS if pattern.search(file)), None)
        if found:
            return found
    return next((name for name, pattern in OTHERS if pattern.search(symbol)), REST)


def frames_of(addresses, program):
    """The source files of each address, from the innermost function that was inlined there."""
    asked = "".join(f"{at:#x}\n" for at in addresses)
    lines = run(["addr2line", "-e", program, "-i", "-a"], asked).splitlines()
    frames = {}
    for line in lines:
        if re.fullmatch(r"0x[0-9a-f]+", line):
            current = frames[int(line, 16)] = []
        else:
            current.append(line.split(":")[0])
    return frames


def loaded_at(file, program):
    """Where the program's code lay in memory, and from which offset of its file."""
    name = re.escape(os.path.basename(program))
    found = re.search(rf"\[0x([0-9a-f]+)\(0x[0-9a-f]+\) @ (0x[0-9a-f]+|0) .*\]: r-xp .*/{name}$", perf("-i", file, "--show-mmap-events"), re.MULTILINE)
    if not found:
        sys.exit(f"samples: {file} does not say where {program} was loaded")
    return int(found[1], 16), int(found[2], 16)


def executable_segment(program):
    """Offset and address of the code, of which position-independent programs have one segment."""
    for line in run(["readelf", "-lW", program]).splitlines():
        fields = line.split()
        if fields[:1] == ["LOAD"] and " R E " in line:
            return int(fields[1], 16), int(fields[2], 16)
    sys.exit(f"samples: {program} has no code")


def perf(*arguments):
    return run(["perf", "script", *arguments])


def run(command, text=""):
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"samples: {' '.join(command)} failed")
    return done.stdout


if __name__ == "__main__":
    main()
