#!/usr/bin/env python3
"""deploy/prometheus: every query names what daemons expose, every alert fires when it should and only then, and has its section."""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import catalogue
import rules
import tools

TARGET = {"namespace", "job", "instance"}  # labels that a scrape adds
LEARNER = 'job="learner",instance="l"'
L, R, G = 'job="learner",instance="l"', 'job="rewarder",instance="r"', 'job="generator",instance="g"'


def held(cause, target=L):
    return f'rlhfd_held_up{{cause="{cause}",{target}}}'


# Alert: series with which it fires by the time, and series with which it does not. A minute a step: "0+3x90" is 0, 3, 6 ...
UP = {f"up{{{t}}}": "1x90" for t in (L, R, G)}
MOVES = {f"rlhfd_version{{{L}}}": "0+4x90", f"rlhfd_round{{{L}}}": "0+4x90", f"rlhfd_run_rounds{{{L}}}": "1000x90"}
CASES = {
    "LearnerDown": ({**UP, f"up{{{L}}}": "1x10 0x90"}, UP),
    "RewarderDown": ({f"up{{{L}}}": "1x90", f"up{{{G}}}": "1x90"}, UP),
    "GeneratorDown": ({**UP, f"up{{{G}}}": "0x90"}, UP),
    "NoGenerator": ({held("no_generator"): "1x90"}, {held("no_generator"): "1 0 1 0x90"}),
    "NoRewarder": ({held("no_rewarder", G): "1x90"}, {held("no_rewarder", G): "0x90"}),
    "NoLearner": ({held("no_learner", R): "1x90"}, {held("no_learner", R): "0x90"}),
    "DiskLow": ({held("disk_low"): "1x90"}, {held("disk_low"): "0x90"}),
    "DataUnusable": ({held("unusable"): "1x90"}, {held("unusable"): "0x90"}),
    "ScorerDown": ({held("scorer_down"): "1x90"}, {held("scorer_down"): "0x40 1x3 0x90"}),
    "ScorerFails": ({f"rlhfd_groups_unscorable_total{{{R}}}": "0+10x90", f"rlhfd_groups_scored_total{{{R}}}": "0+90x90"},
                    {f"rlhfd_groups_unscorable_total{{{R}}}": "0+1x90", f"rlhfd_groups_scored_total{{{R}}}": "0+99x90"}),
    "GroupsRejected": ({f'rlhfd_groups_appended_total{{outcome="rejected",{L}}}': "0+1x90",
                        f'rlhfd_groups_appended_total{{outcome="stored",{L}}}': "0+9x90"},
                       {f'rlhfd_groups_appended_total{{outcome="rejected",{L}}}': "0x90",
                        f'rlhfd_groups_appended_total{{outcome="stored",{L}}}': "0+9x90"}),
    "RunStalled": ({**MOVES, f"rlhfd_version{{{L}}}": "0+4x20 80x90", f"rlhfd_round{{{L}}}": "0+4x20 80x90"}, MOVES),
    "RunPaused": ({held("paused"): "1x90"}, {held("paused"): "0x40 1x20 0x90"}),
    "HellosRefused": ({f"rlhfd_hellos_refused_total{{{L}}}": "0x55 1x90"}, {f"rlhfd_hellos_refused_total{{{L}}}": "5x90"}),
    "StaleGroups": ({f'rlhfd_groups_left_total{{reason="stale",{L}}}': "0+2x90",
                     f'rlhfd_groups_left_total{{reason="trained",{L}}}': "0+8x90"},
                    {f'rlhfd_groups_left_total{{reason="stale",{L}}}': "0x90",
                     f'rlhfd_groups_left_total{{reason="trained",{L}}}': "0+8x90"}),
    "PublishSlow": ({f'rlhfd_publish_seconds_bucket{{le="10",{L}}}': "0x90", f'rlhfd_publish_seconds_bucket{{le="30",{L}}}': "0+1x90",
                     f'rlhfd_publish_seconds_bucket{{le="+Inf",{L}}}': "0+1x90"},
                    {f'rlhfd_publish_seconds_bucket{{le="10",{L}}}': "0+1x90",
                     f'rlhfd_publish_seconds_bucket{{le="30",{L}}}': "0+1x90",
                     f'rlhfd_publish_seconds_bucket{{le="+Inf",{L}}}': "0+1x90"}),
    "GeneratorsIdle": ({f"rlhfd_decode_idle_seconds_total{{{G}}}": "0+55x90", f"rlhfd_decode_busy_seconds_total{{{G}}}": "0+5x90"},
                       {f"rlhfd_decode_idle_seconds_total{{{G}}}": "0+30x90", f"rlhfd_decode_busy_seconds_total{{{G}}}": "0+30x90"}),
    "LearnerIdle": ({f'rlhfd_learner_idle_seconds_total{{cause="no_groups",{L}}}': "0+55x90",
                     f"rlhfd_learner_busy_seconds_total{{{L}}}": "0+5x90"},
                    {f'rlhfd_learner_idle_seconds_total{{cause="no_groups",{L}}}': "0+30x90",
                     f"rlhfd_learner_busy_seconds_total{{{L}}}": "0+30x90"}),
    "EssLow": ({f"rlhfd_ess{{{L}}}": "0.1x90"}, {f"rlhfd_ess{{{L}}}": "0.9x90"}),
    "EntropyLow": ({f"rlhfd_entropy{{{L}}}": "0.001x90"}, {f"rlhfd_entropy{{{L}}}": "0.2x90"}),
    "TruncatedHigh": ({f"rlhfd_truncated_share{{{L}}}": "0.95x90"}, {f"rlhfd_truncated_share{{{L}}}": "0.5x90"}),
    "LogprobsDiffer": ({f"rlhfd_logp_differing_total{{{L}}}": "0x50 1x90"}, {f"rlhfd_logp_differing_total{{{L}}}": "0x90"}),
    "CheckpointsStopped": ({f"rlhfd_version{{{L}}}": "0+4x999", f"rlhfd_checkpoint_version{{{L}}}": "8x999"},
                           {f"rlhfd_version{{{L}}}": "0+4x999", f"rlhfd_checkpoint_version{{{L}}}": "0+4x999"}),
    "DaemonRestarts": ({f"process_start_time_seconds{{{G}}}": "1x50 2 3 4 5 6x90"}, {f"process_start_time_seconds{{{G}}}": "1x50 2x90"}),
    "CertificateEnds": ({f"rlhfd_certificate_until_seconds{{{L}}}": "90000x90"}, {f"rlhfd_certificate_until_seconds{{{L}}}": "0x90"}),
    "KeysRefused": ({f"rlhfd_keys_refused_total{{{L}}}": "0x50 1x90"}, {f"rlhfd_keys_refused_total{{{L}}}": "0x90"}),
    "Insecure": ({f"rlhfd_insecure{{{L}}}": "1x90"}, {f"rlhfd_insecure{{{L}}}": "0x90"}),
    "ConnectionsCut": ({f'rlhfd_connections_closed_total{{reason="refused",{L}}}': "0+5x90"},
                       {f'rlhfd_connections_closed_total{{reason="silent",{L}}}': "0+5x90"}),
}


def fires(alert, series, wanted, minute):
    return {"interval": "1m", "name": f"{alert}: {'fires' if wanted else 'is silent'}",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [{"expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) > bool 0',
                                  "eval_time": f"{minute}m", "exp_samples": [{"labels": "{}", "value": 1}] if wanted else []}]}


def only(text, alert):
    """The rules with this alert alone, and with the records that it reads."""
    head, *blocks = re.split(r"(?m)^(?=  - (?:alert|record): |- name: )", text)
    expr = rules.expressions(text)[alert]
    return head + "".join(block for block in blocks if block.startswith("- name: ") or block.startswith(f"  - alert: {alert}\n") or
                          any(block.startswith(f"  - record: {name}\n") for name in re.findall(r"\b\w+:rlhfd_\w+:\w+", expr)))


def promtool(*words):
    done = subprocess.run([tools.find("promtool"), *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def check_form(text):
    with tempfile.NamedTemporaryFile("w", suffix=".yml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        return promtool("check", "rules", file.name)


def check_cases(text, alerts):
    """What the rules do with the cases of these alerts: (exit status, output)."""
    with tempfile.TemporaryDirectory() as directory:
        files = []
        for alert in alerts:
            path, test = os.path.join(directory, alert + ".yml"), os.path.join(directory, alert + ".json")
            with open(path, "w", encoding="utf-8") as file:
                file.write(only(text, alert))
            cases = [fires(alert, series, wanted, 400 if "x999" in str(series) else 60)
                     for series, wanted in zip(CASES[alert], (True, False))]
            with open(test, "w", encoding="utf-8") as file:
                json.dump({"rule_files": [path], "evaluation_interval": "1m", "tests": cases}, file)
            files.append(test)
        return promtool("test", "rules", *files)


def unknown(queries_):
    """Metrics and labels that no daemon has."""
    known, bad = catalogue.catalogue(), set()
    for query in queries_:
        for name in rules.metrics_of(query) - rules.SCRAPED:
            histogram = known.get(rules.family(name), {}).get("type") == "histogram"
            if (name not in known or known[name]["type"] == "histogram") and not (histogram and name != rules.family(name)):
                bad.add(name)
        for name, label in rules.labels_of(query):
            if label not in TARGET | {"le"} and label not in known.get(rules.family(name), {"labels": ()})["labels"]:
                bad.add(f"{name}{{{label}}}")
    return bad


class Rules(unittest.TestCase):
    text = rules.text_of(rules.RULES)

    def test_each_rule_is_read(self):
        self.assertEqual(len(rules.expressions(self.text)), len(re.findall(r"- (?:alert|record): ", self.text)))

    def test_queries_name_what_daemons_expose(self):
        self.assertEqual(unknown(rules.expressions(self.text).values()), set())

    def test_records_that_are_used_are_made(self):
        records = {name for name in rules.expressions(self.text) if ":" in name}
        used = set(re.findall(r"\b\w+:rlhfd_\w+:\w+", " ".join(rules.expressions(self.text).values())))
        self.assertEqual(used - records, set())

    def test_each_alert_has_what_a_person_needs(self):
        with open(os.path.join(rules.ROOT, "docs/alerts.md"), encoding="utf-8") as file:
            sections = re.findall(r"(?m)^### (\w+)$", file.read())
        self.assertEqual(sections, rules.alerts(self.text), "a section of docs/alerts.md for each, in the same order")
        for block in self.text.split("  - alert: ")[1:]:
            name = block.split("\n")[0]
            for key in ("severity: ", "summary: ", "description: ", f"runbook_url: docs/alerts.md#{name.lower()}\n"):
                self.assertIn(key, block, name)
            self.assertRegex(block, r"severity: (critical|warning)\}")

    def test_each_alert_has_cases_and_a_drill(self):
        self.assertEqual(sorted(CASES), sorted(rules.alerts(self.text)))
        drill = rules.text_of(os.path.join(rules.ROOT, "tests/bench/alerts"))
        self.assertEqual({name for name in CASES if f'"{name}"' not in drill}, set())


class Promtool(unittest.TestCase):
    text = rules.text_of(rules.RULES)

    def setUp(self):
        if not tools.find("promtool"):
            self.skipTest("promtool is not installed: ./dev test brings it")

    def test_alerts_fire_and_are_silent(self):
        status, output = check_cases(self.text, CASES)
        self.assertEqual(status, 0, output)

    def test_forms(self):
        self.assertEqual(check_form(self.text)[0], 0)
        for words in (["--scale", "30"], ["--runbooks", "https://example.org/"]):
            done = subprocess.run([os.path.join(rules.HOME, "rules"), *words], capture_output=True, text=True, check=True)
            self.assertEqual(check_form(done.stdout)[0], 0, words)
            self.assertEqual(set(rules.expressions(done.stdout)), set(rules.expressions(self.text)), words)
        done = subprocess.run([os.path.join(rules.HOME, "rules"), "--kubernetes"], capture_output=True, text=True, check=True)
        self.assertEqual(check_form(re.sub("(?m)^  ", "", done.stdout.split("spec:\n")[1]))[0], 0)
        done = subprocess.run([os.path.join(rules.HOME, "rules"), "--scale", "0"], capture_output=True, check=False)
        self.assertEqual(done.returncode, 1)

    def test_configuration(self):
        done = subprocess.run([tools.find("promtool"), "check", "config", os.path.join(rules.HOME, "prometheus.yml")],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_faults_of_rules_are_found(self):
        """A wrong name is found by the catalogue; a wrong threshold, cause or window by the cases; a wrong form by promtool."""
        broken = self.text.replace("rlhfd_ess < 0.3", "rlhfd_es < 0.3")
        self.assertEqual(unknown(rules.expressions(broken).values()), {"rlhfd_es"})
        broken = self.text.replace('cause="disk_low"', 'reason="disk_low"')
        self.assertEqual(unknown(rules.expressions(broken).values()), {"rlhfd_held_up{reason}"})
        for alert, old, new in (("EssLow", "rlhfd_ess < 0.3", "rlhfd_ess < 0.03"), ("EssLow", "rlhfd_ess < 0.3", "rlhfd_ess < 3"),
                                ("DiskLow", 'cause="disk_low"', 'cause="low_disk"'), ("RunPaused", "for: 30m", "for: 90m"),
                                ("RunPaused", "for: 30m", "for: 1m"), ("Insecure", "rlhfd_insecure == 1", "rlhfd_insecure == 0")):
            self.assertEqual(check_cases(self.text, [alert])[0], 0, alert)
            self.assertNotEqual(check_cases(self.text.replace(old, new), [alert])[0], 0, (alert, new))
        self.assertNotEqual(check_form(self.text.replace("rlhfd_ess < 0.3", "rlhfd_ess < "))[0], 0)


class Dashboard(unittest.TestCase):
    board = rules.board_of()

    def test_queries_name_what_daemons_expose(self):
        queries = list(rules.queries(self.board))
        self.assertGreater(len(queries), 60)
        self.assertEqual(unknown(query for _, query in queries), set())

    def test_faults_are_found(self):
        for query, bad in (("rate(rlhfd_decode_tokens[1m])", {"rlhfd_decode_tokens"}), ("rlhfd_ack_seconds", {"rlhfd_ack_seconds"}),
                           ("rlhfd_ess_bucket", {"rlhfd_ess_bucket"}), ('rlhfd_slots{kind="x"}', {"rlhfd_slots{kind}"}),
                           ('sum(rlhfd_slots{state="leased"}) by (state)', set())):
            self.assertEqual(unknown([query]), bad, query)

    def test_panels_have_ids_places_and_names(self):
        panels = list(rules.panels(self.board))
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertFalse(cells & taken or at["x"] + at["w"] > 24, panel["title"])
            taken |= cells
            self.assertTrue(panel["title"])


if __name__ == "__main__":
    unittest.main()
