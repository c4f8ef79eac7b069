"""What Prometheus asks of a page of metrics, checked without it.

    families = exposition.parse(text)            -- {name: Family(type, help, samples)}
    faults = exposition.faults(text)             -- ["rlhfd_x: a counter without _total", ...]

Standard library only.
"""
import math
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
NO_BASE_UNIT = ("_ms", "_milliseconds", "_us", "_minutes", "_hours", "_kib", "_mib", "_gib", "_kilobytes", "_percent")
LABELS_MAX = 32  # values of one label: what grows with a run is no label


class Family:
    def __init__(self, kind, text):
        self.kind, self.help, self.samples = kind, text, []


def parse(text):
    """ValueError: a line that is none."""
    families, helps, last = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, helps_text = line[7:].split(" ", 1)
            helps[name] = helps_text
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            if name in families:
                raise ValueError(f"{name}: twice")
            last = families[name] = Family(kind, helps.get(name, ""))
            last.name = name
        else:
            match = SAMPLE.match(line)
            if not match or not last or not match[1].startswith(last.name):
                raise ValueError(f"no sample: {line!r}")
            last.samples.append((match[1], dict(LABEL.findall(match[2] or "")), float(match[3].replace("+Inf", "inf"))))
    return families


def histogram_faults(family):
    rows = {}
    for name, labels, value in family.samples:
        key = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
        rows.setdefault(key, {"buckets": []})
        if name == family.name + "_bucket":
            rows[key]["buckets"].append((float(labels["le"].replace("+Inf", "inf")), value))
        else:
            rows[key][name.removeprefix(family.name)] = value
    for row in rows.values():
        bounds, counts = zip(*row["buckets"]) if row["buckets"] else ((), ())
        if list(bounds) != sorted(bounds) or not bounds or not math.isinf(bounds[-1]):
            yield "buckets do not ascend to +Inf"
        elif list(counts) != sorted(counts):
            yield "buckets are not cumulative"
        elif "_sum" not in row or row.get("_count") != counts[-1]:
            yield "_sum or _count is missing, or is not the last bucket"


def family_faults(family):
    name, kind = family.name, family.kind
    if not family.help:
        yield "no HELP"
    if kind not in ("counter", "gauge", "histogram"):
        yield f"type {kind}"
    if (kind == "counter") != name.endswith("_total"):
        yield f"a {kind} whose name {'ends' if name.endswith('_total') else 'does not end'} in _total"
    if name.removesuffix("_total").endswith(NO_BASE_UNIT):
        yield "not in a base unit"
    if not family.samples:
        yield "no sample"
    values, series = {}, set()
    for sample, labels, value in family.samples:
        if kind == "counter" and not value >= 0:
            yield f"{value} of a counter"
        if (sample, tuple(sorted(labels.items()))) in series:
            yield "a series twice"
        series.add((sample, tuple(sorted(labels.items()))))
        for label, text in labels.items():
            values.setdefault(label, set()).add(text)
    for label, texts in values.items():
        if len(texts) > LABELS_MAX:
            yield f"{len(texts)} values of the label {label}"
    if kind == "histogram":
        yield from histogram_faults(family)


def faults(text):
    try:
        families = parse(text)
    except ValueError as fault:
        return [str(fault)]
    return [f"{family.name}: {fault}" for family in families.values() for fault in family_faults(family)]
