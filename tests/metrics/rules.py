"""deploy/prometheus: its alerts, and the metrics that rules and dashboard name. Standard library only; the rules' file is read by the
form that it is kept in."""
import json
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOME = os.path.join(ROOT, "deploy/prometheus")
RULES, DASHBOARD = os.path.join(HOME, "rules.yml"), os.path.join(HOME, "dashboard.json")
SCRAPED = {"up"}  # Prometheus' own
# What a query may name beside metrics: PromQL's words, and labels.
METRIC = re.compile(r"\b(?:rlhfd|process)_[a-z0-9_]+|\bup\b")
VARIABLES = {"$namespace": ".*", "$__rate_interval": "1m", "$__interval": "15s", "$__range": "1h"}


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def expressions(text):
    """{name of the alert or record: its expression}, of a file of rules."""
    found = re.findall(r"- (?:alert|record): (\S+)\n    expr: >-\n((?:      .*\n)+)", text)
    return {name: " ".join(expr.split()) for name, expr in found}


def alerts(text):
    return re.findall(r"- alert: (\S+)\n", text)


def panels(board):
    for panel in board["panels"]:
        yield panel
        yield from panels({"panels": panel.get("panels", [])})


def queries(board):
    """(title, query), variables filled in."""
    for panel in panels(board):
        for target in panel.get("targets", []):
            query = target["expr"]
            for name, value in VARIABLES.items():
                query = query.replace(name, value)
            yield panel["title"], query


def board_of(path=DASHBOARD):
    return json.loads(text_of(path))


def metrics_of(query):
    """Names of metrics, without those of recording rules and texts in quotes."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', query)
    bare = re.sub(r"\b\w+:[\w:]+", "", bare)
    bare = re.sub(r"\{[^{}]*\}", "", bare)
    return set(METRIC.findall(bare))


def labels_of(query):
    """(metric, label) pairs of its selectors."""
    for metric, selector in re.findall(r"((?:rlhfd|process)_\w+)\{([^{}]*)\}", query):
        for label in re.findall(r'(\w+)\s*(?:=~|!=|!~|=)\s*"', selector):
            yield metric, label


def family(name):
    return re.sub(r"_(bucket|sum|count)$", "", name)
