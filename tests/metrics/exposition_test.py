#!/usr/bin/env python3
"""What three real daemons expose: Prometheus' conventions, the page docs/metrics.md, and promtool where it is installed."""
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import catalogue
import exposition
import rules
import small_ring
import tools

# Figures of a round that this ring does not have, or has not always: what else needs.
CONDITIONAL = re.compile("rlhfd_(nccl|relay|evaluate|eval|evals|metrics_tokens|weights_(sent_on|direct)|reference|"
                         "answer_faults|fetch|program|programs|judge|reward_model|reward_models|reward_ensemble|preference)")


class Catalogue(unittest.TestCase):
    def test_page_is_of_these_sources(self):
        old, new = catalogue.page()
        self.assertEqual(old, new, "tests/metrics/catalogue.py --write")

    def test_names_are_many(self):
        self.assertGreater(len(catalogue.catalogue()), 100)

    def test_names_in_the_page_exist(self):
        """Those of the prose and of the table of other trainers, too."""
        known = catalogue.catalogue()
        with open(catalogue.PAGE, encoding="utf-8") as file:
            named = set(re.findall(r"\b((?:rlhfd|process)_\w+)", file.read()))
        self.assertEqual({name for name in named if name not in known}, set())


class Exposition(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        with small_ring.Ring(cls.directory.name) as ring:
            ring.start()
            ring.wait_rounds(6)
            admin = ring.address["learner"]["admin"]
            ring.command("rlhfctl", "status", "--address", admin)
            program = os.path.join(small_ring.BIN, "rlhfctl")
            subprocess.run([program, "trace", "0" * 32, "--address", admin], capture_output=True, check=False)  # it has none
            ring.command("rlhfctl", "pause", "training", "--address", admin)  # no round is half counted
            small_ring.wait_for("the pause", 60, lambda: 'rlhfd_held_up{cause="paused"} 1\n' in (ring.metrics("learner") or ""))
            cls.text = {kind: ring.metrics(kind) for kind in small_ring.KINDS}

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def test_conventions(self):
        for kind, text in self.text.items():
            self.assertEqual(exposition.faults(text), [], kind)

    def test_promtool(self):
        promtool = tools.find("promtool") or self.skipTest("promtool is not installed: ./dev test brings it")
        for kind, text in self.text.items():
            done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""), kind)

    def test_page_has_all_as_they_are(self):
        known = catalogue.catalogue()
        for kind, text in self.text.items():
            for name, family in exposition.parse(text).items():
                self.assertIn(name, known, kind)
                self.assertEqual((family.kind, family.help.replace("\\\\", "\\")), (known[name]["type"], known[name]["help"]), name)
                labels = {label for _, labels, _ in family.samples for label in labels if label != "le"}
                self.assertEqual(sorted(labels), known[name]["labels"], name)
                self.assertIn(kind, kind if catalogue.where(known[name]["path"]) == "all" else
                              catalogue.where(known[name]["path"]), name)

    def test_each_of_the_page_is_there_or_has_a_condition(self):
        there = {name for text in self.text.values() for name in exposition.parse(text)}
        figures = {name for name, one in catalogue.catalogue().items()
                   if one["path"] in ("common/rl/figure_table.h", "daemons/learner/round/report.h")}
        missing = {name for name in catalogue.catalogue() if name not in there and not CONDITIONAL.match(name)}
        self.assertEqual(missing - figures, {"rlhfd_scorer_overruns_total"} - there)

    def test_rules_and_dashboard_name_what_is_there(self):
        there = {name for text in self.text.values() for name in exposition.parse(text)} | rules.SCRAPED
        queries = [*rules.expressions(rules.text_of(rules.RULES)).values(), *(query for _, query in rules.queries(rules.board_of()))]
        for query in queries:
            self.assertEqual({name for name in rules.metrics_of(query) if name not in there and rules.family(name) not in there}, set(),
                             query)

    def test_the_build_is_named(self):
        version = small_ring.Ring.command("rlhfctl", "--version").split()[-1]
        for text in self.text.values():
            (_, labels, value), = exposition.parse(text)["rlhfd_build_info"].samples
            self.assertEqual((labels["version"], value), (version, 1))
            self.assertRegex(labels["commit"], "^([0-9a-f]{7,40}|unknown)$")

    def test_what_the_ring_did_is_counted(self):
        learner = exposition.parse(self.text["learner"])
        generator, rewarder = exposition.parse(self.text["generator"]), exposition.parse(self.text["rewarder"])

        def value(families, name, **labels):
            family = families[name.removesuffix("_count").removesuffix("_sum")]
            return sum(number for sample, has, number in family.samples if sample == name and labels.items() <= has.items())

        for families, name, labels in (
                (learner, "rlhfd_group_lag_rounds_count", {"stage": "leased"}),
                (learner, "rlhfd_group_lag_rounds_count", {"stage": "stored"}),
                (learner, "rlhfd_publish_seconds_count", {}), (learner, "rlhfd_trained_completion_tokens_count", {}),
                (learner, "rlhfd_checkpoint_seconds_count", {}), (generator, "rlhfd_ack_seconds_count", {}),
                (rewarder, "rlhfd_ack_seconds_count", {}), (generator, "rlhfd_weights_pause_seconds_count", {}),
                (generator, "rlhfd_completions_total", {}), (generator, "rlhfd_decode_busy_seconds_total", {}),
                (rewarder, "rlhfd_stage_seconds_count", {"stage": "rewarder.scorers[1]", "kind": "length"})):
            self.assertGreater(value(families, name, **labels), 0, name)
        # Every group that was drawn has a lag, and 8 groups of 4 are a round.
        self.assertEqual(value(learner, "rlhfd_group_lag_rounds_count", stage="drawn") % 8, 0)
        self.assertEqual(value(learner, "rlhfd_trained_completion_tokens_count") % 32, 0)
        self.assertEqual(value(learner, "rlhfd_logp_differing_total"), 0)
        self.assertGreaterEqual(value(learner, "rlhfd_rpc_served_total", code="OK"), 1)
        self.assertEqual(value(learner, "rlhfd_rpc_served_total", code="NOT_FOUND"), 1)
        self.assertEqual(value(learner, "rlhfd_rpc_served_total", code="INTERNAL"), 0)
        self.assertGreater(value(learner, "rlhfd_entropy"), 0)


class Faults(unittest.TestCase):
    """Each kind of fault is found."""
    GOOD = "# HELP a_total x\n# TYPE a_total counter\na_total 1\n"
    HISTOGRAM = ('# HELP h_seconds x\n# TYPE h_seconds histogram\nh_seconds_bucket{le="1"} 1\nh_seconds_bucket{le="+Inf"} 2\n'
                 "h_seconds_sum 3\nh_seconds_count 2\n")

    def test_good(self):
        self.assertEqual(exposition.faults(self.GOOD + self.HISTOGRAM), [])

    def test_bad(self):
        for bad in (self.GOOD.replace("counter", "gauge"), self.GOOD.replace("a_total", "a"), self.GOOD.replace("# HELP a_total x\n", ""),
                    self.GOOD + self.GOOD, self.GOOD.replace("a_total 1", "a_total -1"), self.GOOD + "a_total 1\n",
                    self.GOOD.replace("a_total", "a_ms_total"), self.GOOD + "b 1\n", self.GOOD.replace("a_total 1\n", ""),
                    self.GOOD.replace("a_total 1\n", "".join(f'a_total{{id="{i}"}} 1\n' for i in range(99))),
                    self.HISTOGRAM.replace('le="1"} 1', 'le="1"} 3'), self.HISTOGRAM.replace("h_seconds_count 2", "h_seconds_count 1"),
                    self.HISTOGRAM.replace("h_seconds_sum 3\n", ""), self.HISTOGRAM.replace("+Inf", "2")):
            self.assertNotEqual(exposition.faults(bad), [], bad)


if __name__ == "__main__":
    unittest.main()
