#!/usr/bin/env python3
"""Builds requests out of harmless look-alikes, and tells which of them a bundle flags or blocks.

    lookalikes.py build ATTACKS OWN.jsonl > requests.jsonl
    lookalikes.py report requests.jsonl verdicts.jsonl

Run by scripts/lookalikes.sh; standard library only.
"""
import base64
import collections
import json
import os
import re
import sys
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

BROWSER = [
    ["Host", "shop.example"],
    ["User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
                   "Chrome/131.0.0.0 Safari/537.36"],
    ["Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
    ["Accept-Language", "en-GB,en;q=0.9"],
]
# Parameter names as sites have them, taken in turn.
NAMES = ["q", "comment", "title", "search", "message", "name", "text", "description", "note", "subject"]
EVERYWHERE = ["query", "form", "multipart", "json", "xml"]


def headers(*more):
    """A browser's headers with these set instead or in addition."""
    names = {name.lower() for name, _ in more}
    return [pair for pair in BROWSER if pair[0].lower() not in names] + [list(pair) for pair in more]


def post(body, kind, path="/feedback"):
    body = body if isinstance(body, bytes) else body.encode()
    record = {"method": "POST", "uri": path,
              "headers": headers(("Content-Type", kind), ("Content-Length", str(len(body))))}
    try:
        record["body"] = body.decode()
    except UnicodeDecodeError:
        record["body_base64"] = base64.b64encode(body).decode()
    return record


def multipart(name, text):
    mark = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
    body = f"--{mark}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n--{mark}--\r\n"
    return post(body, f"multipart/form-data; boundary={mark}")


def placed(text, place, name):
    """The request that carries `text` at `place`, written as a client writes it."""
    get = {"method": "GET", "headers": BROWSER}
    match place:
        case "query":
            return {**get, "uri": f"/search?{quote(name)}={quote(text, safe='')}"}
        case "raw_query":
            return {**get, "uri": f"/search?{quote(text, safe='=&[]+%')}"}
        case "path":
            return {**get, "uri": quote("/" + text.lstrip("/"), safe="/;,@:!$*'()+~=%")}
        case "form":
            return post(f"{quote(name)}={quote_plus(text)}", "application/x-www-form-urlencoded")
        case "multipart":
            return multipart(name, text)
        case "json":
            return post(json.dumps({"id": 7, name: text}), "application/json", "/api/feedback")
        case "xml":
            return post(f'<?xml version="1.0" encoding="UTF-8"?><request><{name}>{escape(text)}</{name}></request>',
                        "application/xml", "/api/feedback")
        case "body":
            kind = "application/json" if text[:1] in "{[" else "text/plain"
            if re.match(r"[\w.-]+=", text):
                kind = "application/x-www-form-urlencoded"
            return post(text, kind)
        case "cookie":
            return {**get, "uri": "/", "headers": headers(("Cookie", "theme=" + text))}
        case "header":
            return {**get, "uri": "/", "headers": headers(("X-Request-Info", text))}
        case "referer":
            return {**get, "uri": "/", "headers": headers(("Referer", text))}
        case "user_agent":
            return {**get, "uri": "/", "headers": headers(("User-Agent", text))}
    raise SystemExit(f"lookalikes: unknown place {place!r}: expected {', '.join(EVERYWHERE)}, raw_query, path, body, "
                     "cookie, header, referer or user_agent")


def lines(path):
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except ValueError as error:
                        raise SystemExit(f"lookalikes: {path}:{number}: {error}") from error
    except OSError as error:
        raise SystemExit(f"lookalikes: {path}: {error.strerror}: give the folder that holds attacks/") from error


def own(path):
    for index, line in enumerate(lines(path)):
        for place in line.get("places", EVERYWHERE):
            yield "own list", place, line["text"], placed(line["text"], place, NAMES[index % len(NAMES)])


def gotestwaf(path):
    places = {"URLParam": "query", "HTMLForm": "form", "HTMLMultipartForm": "multipart", "JSONRequest": "json",
              "JSONBody": "json", "XMLBody": "xml", "URLPath": "path", "Header": "header", "UserAgent": "user_agent"}
    for case in lines(path):
        if case["set"] == "false-pos":
            for index, text in enumerate(case["payloads"]):
                for placeholder in case["placeholders"]:
                    place = places[placeholder]
                    yield "gotestwaf false-pos", place, text, placed(text, place, NAMES[index % len(NAMES)])


def waf_bypass(path):
    zones = {"URL": "path", "ARGS": "raw_query", "BODY": "body", "COOKIE": "cookie", "USER-AGENT": "user_agent",
             "REFERER": "referer", "HEADER": "header"}
    for case in lines(path):
        if case.get("attack_class") == "FP":
            for zone, place in zones.items():
                if case.get(zone):
                    yield "waf_bypass FP", place, case[zone], placed(case[zone], place, "q")


# Tests whose authors call the request a false positive or ordinary, not merely outside the reach of one rule.
CALLED_HARMLESS = re.compile(
    r"false.?positive|\bfps?\b|legitimate|benign|normal text|valid (user-agent|referer)|english (word|sentence)", re.I)
# What a careful analyst would still call a payload or a part of one, in such a test.
DOUBTFUL = re.compile(
    r"etc/|proc/|/tmp|\.\./|<script|onerror|javascript:|\$\(|\$\{|`|\|\||;\s*\w+\s+[-/]|169\.254|metadata|union\s+\w*\s*select|"
    r"select\s.+\sfrom\s|sleep\s*\(|\{\{|<%|#\{|<\?|eval\s*\(|%0[ad]|\\x|wget|curl|chmod|passw|/bin/|objectc|bypass|"
    r"\(\s*\)\s*\{|\.(env|git|htaccess|history)\b|alert\(|expression|\w\(\)|=[^&]*\$\w+\(", re.I)
ATTACK_RULES = re.compile(r"REQUEST-9(21|30|31|32|33|34|41|42|43|44)-")


def crs(path):
    cases = list(lines(path))
    key = lambda case: json.dumps([case["method"], case["uri"], case["headers"], case["body"]])
    attacks = {key(case) for case in cases if case["label"] == "expect_match"}
    seen = set()
    for case in cases:
        text = " ".join([case["uri"], case["body"]] + [value for _, value in case["headers"]])
        plain = re.sub(r"%([0-9a-fA-F]{2})", lambda hit: chr(int(hit[1], 16)), text)
        harmless = (
            case["label"] == "expect_no_match" and ATTACK_RULES.match(case["category"]) and case["uri"]
            and CALLED_HARMLESS.search(case["desc"]) and "false negative" not in case["desc"].lower()
            and not DOUBTFUL.search(text) and not DOUBTFUL.search(plain) and key(case) not in attacks
        )
        if harmless and key(case) not in seen:
            seen.add(key(case))
            # The tool's own name is no part of the test.
            kept = headers(*[(name, value) for name, value in case["headers"]
                             if name.lower() not in ("user-agent", "host") or "OWASP" not in value and "localhost" != value])
            record = {"method": case["method"], "uri": case["uri"], "headers": kept, "body": case["body"]}
            yield "CRS no-match", f"rule {str(case['rule_id'])[:3]}", f"{case['uri']} {case['body']}".strip(), record


def build(attacks, own_list):
    sets = [own(own_list), gotestwaf(os.path.join(attacks, "gotestwaf/cases.jsonl")),
            waf_bypass(os.path.join(attacks, "waf_bypass/payloads.jsonl")), crs(os.path.join(attacks, "crs/regression.jsonl"))]
    for made in sets:
        for name, place, text, record in made:
            print(json.dumps({**record, "set": name, "place": place, "text": text}))


def percent(part, whole):
    return f"{part:5d} {100 * part / max(whole, 1):5.1f}%"


def report(requests, verdicts):
    pairs = list(zip(lines(requests), lines(verdicts), strict=True))
    totals = collections.defaultdict(lambda: [0, 0, 0])
    blocked = []
    for request, verdict in pairs:
        if "error" in verdict:
            raise SystemExit(f"lookalikes: cannot score {request['text']!r}: {verdict['error']}")
        kind = verdict["verdict"]
        for group in [("all", ""), (request["set"], ""), (request["set"], request["place"])]:
            total = totals[group]
            total[0] += 1
            total[1] += kind in ("flag", "block")
            total[2] += kind == "block"
        if kind == "block":
            blocked.append((verdict["score"], request, verdict))
    print(f"{'set':<22} {'place':<12} {'requests':>8} {'flagged':>13} {'blocked':>12}")
    for (name, place), (count, flagged, stopped) in totals.items():
        print(f"{name:<22} {place:<12} {count:>8} {percent(flagged, count):>13} {percent(stopped, count):>12}")
    print(f"\nblocked: {len(blocked)} of {len(pairs)}")
    for score, request, verdict in sorted(blocked, key=lambda row: -row[0]):
        text = request["text"].replace("\r", " ").replace("\n", " ")
        print(f"\n[{score:.2f}] {request['set']}, {request['place']}: {text[:160]}")
        reason = (verdict.get("reason") or {}).get("text", "").strip().splitlines()
        for line in [line for line in reason if "Usual here" not in line][:4]:
            print(f"    {line.strip()[:220]}")


def main():
    match sys.argv[1:]:
        case ["build", attacks, own_list]:
            build(attacks, own_list)
        case ["report", requests, verdicts]:
            report(requests, verdicts)
        case _:
            print(__doc__, file=sys.stderr)
            raise SystemExit(2)


if __name__ == "__main__":
    main()
