#!/usr/bin/env python3
"""Prints what scripts/experiments.sh measured beside what was to be reached.

    experiments.py OUT

Standard library only. Exit code 0 whether or not a target is reached: the table says so.
"""
import json
import os
import sys

OUT = sys.argv[1] if len(sys.argv) > 1 else "target/experiments"
RATES = {0.05: 0, 0.01: 1, 0.005: 2, 0.001: 3, 0.0005: 4}


def load(*path):
    try:
        with open(os.path.join(OUT, *path)) as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def row(experiment, measure, estimate, target, at_most=False):
    """One line: the estimate is a number or {value, interval}."""
    if not isinstance(estimate, dict):
        estimate = {"value": estimate}
    value, interval = estimate["value"], estimate.get("interval")
    shown = f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else ""
    reached = value <= target if at_most else value >= target
    sign = "<=" if at_most else ">="
    print(f"{experiment:<16}{measure:<54}{value:>9.4f}   {shown:<20}{sign} {target:<8}{'' if reached else 'missed'}")


def rate(comparison, fpr):
    return comparison["tpr_at_fpr"][RATES[fpr]]["tpr"]


def csic():
    report = load("csic", "result.json")
    if report is None:
        return
    detector = report["detectors"][0]
    whole = detector["all"]
    row("csic", "AUC", whole["roc_auc"], 0.9997)
    for fpr, target in [(0.01, 0.997), (0.005, 0.996), (0.001, 0.985)]:
        row("csic", f"TPR at {fpr:.1%} FPR", rate(whole, fpr), target)
    row("csic", "F1", whole["best_f1"]["value"], 0.994)
    for name in ["distinct", "unseen"]:
        once = detector.get(name)
        if once:
            row("csic", f"{name} ({once['normal']} normal): TPR at 1% FPR", rate(once, 0.01), 0.99)


def left():
    for name, balanced in [("left-1", 0.965), ("left-2", 0.975), ("left-3", 0.965)]:
        report = load(name, "result.json")
        if report is None:
            continue
        whole = report["detectors"][0]["all"]
        row(name, "AUC", whole["roc_auc"], 0.990)
        row(name, "balanced accuracy", whole["best_balanced_accuracy"]["value"], balanced)
        row(name, "macro TPR at 0.5% FPR", report["macro_average"]["tpr_at_05"], 0.88)


def payloads():
    report = load("payloads", "result.json")
    if report is None:
        return
    whole = report["detectors"][0]["all"]
    row("payloads", "AUC", whole["roc_auc"], 0.9995)
    row("payloads", "balanced accuracy", whole["best_balanced_accuracy"]["value"], 0.993)
    row("payloads", "TPR at 0.1% FPR", rate(whole, 0.001), 0.95)
    for found in report.get("lookalikes", {}).get("rows", []):
        share = found["blocked"] / max(1, found["count"])
        measure = f"look-alikes, {found['name']}: {found['blocked']} of {found['count']} blocked"
        row("payloads", measure, share, 0.02, at_most=True)


def sites():
    report = load("sites", "result.json")
    if report is None or "hosts" not in report:
        return
    hosts = report["hosts"]
    row("sites", f"median over {len(hosts['rows'])} hosts: TPR at 1% FPR", hosts["median_tpr_at_1"], 0.97)
    row("sites", f"pooled ({report['normal'][0]} normal): TPR at 0.5% FPR", hosts["pooled_tpr_at_05"], 0.95)
    row("sites", "pooled: TPR at 0.1% FPR", hosts["pooled_tpr_at_01"], 0.85)


def mutated():
    plain, changed = load("mutated", "plain.json"), load("mutated", "payloads.json")
    if plain is None or changed is None:
        return
    for measure, read in [
        ("flagged", lambda report: sum(report["confusion"]["attacks"][1:]) / sum(report["confusion"]["attacks"])),
        ("TPR at 0.5% FPR", lambda report: rate(report["detectors"][0]["all"], 0.005)["value"]),
    ]:
        before, after = read(plain), read(changed)
        row("mutated", f"recall, {measure}: {after:.4f} of {before:.4f}", after / max(before, 1e-9), 0.97)


def contamination():
    def balanced(share):
        report = load("contamination", f"result-{share}.json")
        return report and report["detectors"][0]["all"]["best_balanced_accuracy"]["value"]["value"]

    clean = balanced("0")
    for share, most in [("0.01", 0.01), ("0.05", 0.03)]:
        dirty = balanced(share)
        if clean is not None and dirty is not None:
            measure = f"{float(share):.0%} attacks: {dirty:.4f} after {clean:.4f}, fall"
            row("contamination", measure, clean - dirty, most, at_most=True)


print(f"{'experiment':<16}{'measure':<54}{'measured':>9}   {'95% interval':<20}target")
for experiment in (csic, left, payloads, sites, mutated, contamination):
    experiment()
