"""Writes TRUST.md from docs/promises.tsv, what was measured before, and what this run measured."""

import json
import os
import pathlib
import platform
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "TRUST.md"
HEAD = """# Trust

What openai-relay promises under load, faults and attack, the figure that must hold, and the value last measured. Written by
`scripts/test` and `scripts/soak`, never by hand; what has not been measured says so.

| # | promise | figure that must hold | last measured |
| --- | --- | --- | --- |
"""
BREAK = "<br>"


def cell(text):
    return text.replace("|", "/").replace("\n", " ")


def command_of(value):
    """Which command a value came from: the last words in backticks."""
    return value.rsplit("`", 2)[1]


def before():
    """Values on the page as it stands, by promise and command."""
    found = {}
    for line in PAGE.read_text().splitlines() if PAGE.exists() else []:
        cells = [part.strip() for part in line.split("|")]
        if len(cells) == 6 and cells[4].endswith("`"):
            found[cells[1]] = {command_of(value): value for value in cells[4].split(BREAK)}
    return found


def measured():
    """What this run left behind, by promise and command; its parts in one."""
    parts, days = {}, {}
    for path in sorted((ROOT / "target" / "trust").glob("P*.json")):
        row = json.loads(path.read_text())
        key = row["promise"], row["command"]
        parts.setdefault(key, []).append(cell(row["measured"]))
        days[key] = max(days.get(key, 0), path.stat().st_mtime)
    machine = f"{os.cpu_count()} cores, {platform.machine()} {platform.system()}"
    for (promise, command), values in parts.items():
        day = time.strftime("%Y-%m-%d", time.gmtime(days[promise, command]))
        yield promise, command, f"{'; '.join(values)} — {day}, {machine}, `{command}`"


def main():
    values = before()
    for promise, command, value in measured():
        values.setdefault(promise, {})[command] = value
    page = HEAD
    for line in (ROOT / "docs" / "promises.tsv").read_text().splitlines():
        number, promise, figure = line.split("\t")
        known = BREAK.join(values.get(number, {}).values()) or "not measured"
        page += f"| {number} | {promise} | {cell(figure)} | {known} |\n"
    PAGE.write_text(page)


main()
