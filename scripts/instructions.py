#!/usr/bin/env python3
"""What callgrind counted for each case of the bench `instructions`: tables, the comparison with the recorded figures,
and where the instructions went.

    instructions.py check  DUMPS CASES     compare with benches/instructions.txt; ends with 1 where something costs more
    instructions.py accept DUMPS CASES     record them there
    instructions.py docs   DUMPS CASES     write them into docs/performance.md
    instructions.py rooms  DUMPS CASES     write where they went into docs/performance.md

`scripts/bench-instructions.sh` makes DUMPS (a folder of callgrind's files, one a case) and CASES (one line each, in order).
"""

import collections
import os
import re
import subprocess
import sys

BASELINE = "benches/instructions.txt"
PAGE = "docs/performance.md"
# Instructions repeat, but for what hangs on addresses and on seeds of hashes.
TOLERANCE = 0.03
# How much dearer a byte of an attack may be than a byte of ordinary text.
MOST_EXPENSIVE = 5.0
# Six disguises stacked on every word make several texts, each of which has to be judged: see decision 0013.
KNOWN = {"stacked readings": 7.0}
ALLOCATORS = {"malloc", "calloc", "realloc", "free", "posix_memalign", "aligned_alloc", "memalign"}

Case = collections.namedtuple("Case", "group name requests bytes fields")
Counted = collections.namedtuple("Counted", "case instructions allocating")


def main():
    action, dumps, listing = sys.argv[1:]
    with open(listing, encoding="utf-8") as lines:
        cases = [case(line) for line in lines if line.count("\t") == 4]
    files = [os.path.join(dumps, f"part.{number}") for number in range(1, len(cases) + 1)]
    missing = [file for file in files if not os.path.exists(file)]
    if not cases or missing:
        sys.exit(f"instructions: callgrind wrote no file for {len(missing)} of {len(cases)} cases")
    if action == "rooms":
        replace("where time goes", rooms_table(cases, files))
        return
    counted = [Counted(case, *count(file)) for case, file in zip(cases, files)]
    if action == "accept":
        accept(counted)
    elif action == "docs":
        replace("instructions", shapes_table(counted))
        replace("hostile input", hostile_table(counted))
    else:
        print(shapes_table(counted))
        print(hostile_table(counted))
        sys.exit(check(counted))


def case(line):
    group, name, requests, size, fields = line.rstrip("\n").split("\t")
    return Case(group, name, int(requests), int(size), int(fields))


def count(file):
    """The instructions of a dump, and those of them that the allocator took. Calls are no measure: callgrind counts them even
    where it collects nothing."""
    instructions = allocating = 0
    callee, is_call = "", False
    with open(file, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("cfn="):
                callee = line[4:].rstrip("\n")
            elif line.startswith("calls="):
                is_call = True
            elif is_call:
                is_call = False
                if callee in ALLOCATORS:
                    allocating += int(line.split()[1])
            elif line.startswith("summary:"):
                instructions = int(line.split()[1])
    return instructions, allocating


# The recorded figures.


def machine():
    """What the counts depend on besides the code: the compiler, valgrind, and what glibc and memchr choose by processor."""
    flags = open("/proc/cpuinfo", encoding="utf-8").read()
    said = lambda *command: subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    vectors = "avx2" if re.search(r"^flags.*\bavx2\b", flags, re.M) else "no avx2"
    return "; ".join([said("rustc", "--version"), said("valgrind", "--version"), said("getconf", "GNU_LIBC_VERSION"), os.uname().machine, vectors])


def key(case):
    return f"{case.group} / {case.name}"


def accept(counted):
    with open(BASELINE, "w", encoding="utf-8") as out:
        out.write("# Instructions of each case of scoring/benches/instructions.rs, a request. `.ci/run` fails where one takes 3% more.\n")
        out.write("# Written by `scripts/bench-instructions.sh --accept`; say in the commit why a figure rose.\n")
        out.write(f"machine: {machine()}\n")
        for one in counted:
            out.write(f"{key(one.case)}: {one.instructions // one.case.requests}\n")
    print(f"instructions: {len(counted)} figures recorded in {BASELINE}")


def recorded():
    figures = {}
    with open(BASELINE, encoding="utf-8") as lines:
        for line in lines:
            if not line.startswith("#"):
                name, _, value = line.rstrip("\n").partition(": ")
                figures[name] = value
    return figures.pop("machine"), {name: int(value) for name, value in figures.items()}


def check(counted):
    failures = [
        f"a byte of hostile / {one.case.name} costs {times:.1f} times a byte of ordinary text, {allowed(one):.0f} are allowed"
        for one, times in expenses(counted)
        if times > allowed(one)
    ]
    there, figures = recorded()
    here = machine()
    if there != here:
        print("NOTE: instruction counts are NOT COMPARED, because they depend on what differs:")
        print(f"  recorded with {there}")
        print(f"  counted with  {here}")
    else:
        failures += compare(counted, figures)
    for failure in failures:
        print(f"instructions: {failure}")
    if failures:
        print("instructions: FAILED. Make it cheaper, or record what it costs now and say why: scripts/bench-instructions.sh --accept")
    else:
        print(f"instructions: {len(counted)} cases, none dearer than recorded")
    return 1 if failures else 0


def compare(counted, figures):
    failures = []
    for one in counted:
        now, before = one.instructions // one.case.requests, figures.pop(key(one.case), None)
        if before is None:
            failures.append(f"{key(one.case)} takes {now:,} and is not recorded")
        elif now > before * (1 + TOLERANCE):
            failures.append(f"{key(one.case)} takes {now:,}, recorded are {before:,} ({now / before - 1:+.1%})")
        elif now < before * (1 - TOLERANCE):
            print(f"note: {key(one.case)} takes {now:,} instead of {before:,} ({now / before - 1:+.1%}): record it")
    return failures + [f"{name} is recorded and was not counted" for name in figures]


# Tables.


def table(head, rows):
    align = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, align, *rows])


def shapes_table(counted):
    groups = ["extraction", "rows", "profile", "known"]
    names = dict.fromkeys(one.case.name for one in counted if one.case.group in groups)
    figures = {key(one.case): one for one in counted}
    rows = []
    for name in names:
        ones = [figures[f"{group} / {name}"] for group in groups]
        case = ones[0].case
        rows.append(
            [name, f"{case.bytes // case.requests:,}", f"{case.fields // case.requests:,}"]
            + [f"{one.instructions // case.requests:,}" for one in ones]
            + [f"{sum(one.allocating for one in ones) // case.requests:,}"]
        )
    return table(["a request", "bytes", "fields", *groups, "in the allocator"], rows)


def a_byte(one):
    return one.instructions / one.case.bytes


def expenses(counted):
    """How many times dearer each attack is than ordinary text."""
    ordinary = [a_byte(one) for one in counted if one.case.group == "ordinary"]
    usual = sum(ordinary) / len(ordinary)
    return [(one, a_byte(one) / usual) for one in counted if one.case.group in ("ordinary", "hostile")]


def allowed(one):
    return KNOWN.get(one.case.name, MOST_EXPENSIVE)


def hostile_table(counted):
    rows = [
        [one.case.name if one.case.group == "hostile" else f"*{one.case.name}*", f"{one.case.bytes:,}", f"{one.case.fields:,}", f"{a_byte(one):.0f}", f"{times:.2f}"]
        for one, times in expenses(counted)
    ]
    return table(["filled with", "bytes", "fields", "instructions a byte", "times ordinary text"], rows)


def replace(name, text):
    """Puts a table between its markers on the page."""
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    page = open(PAGE, encoding="utf-8").read()
    if begin not in page or end not in page:
        sys.exit(f"instructions: {PAGE} has no {begin} and {end}")
    before, rest = page.split(begin, 1)
    after = rest.split(end, 1)[1]
    with open(PAGE, "w", encoding="utf-8") as out:
        out.write(f"{before}{begin}\n{text}\n{end}{after}")
    print(f"{PAGE}: '{name}' is new")


# Where instructions went: by source file, code of dependencies by who called it.

ROOMS = [
    ("decode", "features/src/decode"),
    ("readings, nested formats", "features/src/readings|features/src/(nested|blob|charset|graphql|skeleton)"),
    ("parse", "features/src/(extract|forms|json|multipart|xml|body|binary|compression|request)"),
    ("fields", "features/src/(sink|field|location)"),
    ("lexicon", "features/src/lexicon"),
    ("tokens", "features/src/tokens"),
    ("statistics, trigrams", "features/src/(row|schema)"),
    ("profile", "features/src/profile"),
    ("cache", "scoring/src/(cache|engine/memory)"),
    ("network", "scoring/src/sparse|pulp-[0-9]"),
    ("ONNX Runtime", "scoring/src/ort"),
    ("calibration", "scoring/src/(calibration|budget|engine)"),
]
PATTERNS = [(room, re.compile(f"(^|/)({pattern})")) for room, pattern in ROOMS]
FOREIGN = "libonnxruntime"


def room(file, module):
    if FOREIGN in module:
        return "ONNX Runtime"
    return next((room for room, pattern in PATTERNS if pattern.search(file)), None)


class Profile:
    """A dump: what each room spent itself, and who called what is nobody's own."""

    def __init__(self, file):
        self.own = collections.Counter()
        # Of a function that is nobody's: its own instructions, and what its callers' calls of it cost.
        self.loose = collections.Counter()
        self.callers = collections.defaultdict(collections.Counter)
        self.read(file)

    def read(self, file):
        module = home = here = function = ""
        call = None
        with open(file, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                tag, equals, rest = line.rstrip("\n").partition("=")
                if equals and tag in ("ob", "fl", "fi", "fe", "fn", "cob", "cfi", "cfl", "cfn", "calls"):
                    if tag == "ob":
                        module = rest
                    elif tag == "fl":
                        home = here = rest
                    elif tag in ("fi", "fe"):
                        here = rest
                    elif tag == "fn":
                        function, here = rest, home
                        target = {}
                    elif tag == "calls":
                        call = target
                        target = {}
                    else:
                        target[tag] = rest
                elif line[:1].isdigit() or line[:1] in "+-*":
                    cost = int(line.split()[1])
                    owner = room(here, module) or room(home, module) or (module, function)
                    if call is not None:
                        self.called(owner, call, module, here, cost)
                        call = None
                    elif isinstance(owner, str):
                        self.own[owner] += cost
                    else:
                        self.loose[owner] += cost

    def called(self, owner, call, module, here, cost):
        callee = call.get("cob", module)
        home = call.get("cfi", call.get("cfl", here))
        if not room(home, callee):
            self.callers[(callee, call["cfn"])][owner] += cost

    def rooms(self):
        """Hands what is nobody's own to its callers, by what their calls cost, until it has arrived somewhere."""
        totals = collections.Counter(self.own)
        loose = self.loose
        for _ in range(60):
            moved = collections.Counter()
            for function, cost in loose.items():
                callers = {owner: calls for owner, calls in self.callers[function].items() if owner != function}
                calls = sum(callers.values())
                if not calls:
                    totals["other"] += cost
                    continue
                for owner, share in callers.items():
                    (totals if isinstance(owner, str) else moved)[owner] += cost * share / calls
            loose = moved
            if sum(loose.values()) < 1:
                break
        totals["other"] += sum(loose.values())
        return totals


def rooms_table(cases, files):
    columns = []
    for one, file in zip(cases, files):
        totals = Profile(file).rooms()
        columns.append((one, totals, sum(totals.values())))
    names = [name for name, _ in ROOMS] + ["other"]
    head = ["instructions of a request"] + [f"{one.name}, {one.group}" for one, _, _ in columns]
    rows = [[name] + [cell(totals[name], total) for _, totals, total in columns] for name in names]
    rows.append(["all"] + [f"{total / one.requests:,.0f}" for one, _, total in columns])
    return table(head, rows)


def cell(cost, total):
    return f"{cost / total:.1%}" if cost else "-"


if __name__ == "__main__":
    main()
