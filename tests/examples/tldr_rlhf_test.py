#!/usr/bin/env python3
"""examples/tldr's three stages: the pairs that are made, what is kept and what is made again, the table. Run by ctest."""
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import types
import unittest

from examples_test import EXAMPLES, load, rows_of


def write(path, rows):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def call(script, *words):
    return subprocess.run([os.path.join(EXAMPLES, "tldr", script), *words], capture_output=True, text=True, check=False)


class Pairs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.made = load("tldr/preferences")
        cls.rows = [{"prompt": f"p{i} =>", "completion": f" tool number {i} that signs the files of others"} for i in range(4000)]

    def test_parts_share_no_row(self):
        with tempfile.TemporaryDirectory() as out:
            write(f"{out}/train.jsonl", self.rows[:100])
            done = call("preferences", "parts", f"{out}/train.jsonl", out, "--gold", "50", "--proxy", "30")
            self.assertEqual(done.returncode, 0, done.stderr)
            parts = [rows_of(f"{out}/{name}.jsonl") for name in ("gold", "proxy", "rl")]
            few = call("preferences", "parts", f"{out}/train.jsonl", out, "--gold", "70", "--proxy", "30")
        self.assertEqual([len(part) for part in parts], [50, 30, 20])
        self.assertEqual(parts[0] + parts[1] + parts[2], self.rows[:100])
        self.assertEqual(few.returncode, 1)
        self.assertIn("100 rows; 70 for the gold model and 30 for the proxy leave none", few.stderr)

    def test_gold_shares(self):
        samples = {row["prompt"]: [" a sample of " + row["prompt"]] for row in self.rows}
        pairs = self.made.gold_rows(self.rows, samples, random.Random(1))
        lines = {row["prompt"]: row["completion"] for row in self.rows}
        counts = {}
        for pair in pairs:
            counts[pair["source"]] = counts.get(pair["source"], 0) + 1
            self.assertEqual(pair["chosen"], lines[pair["prompt"]])
            self.assertNotEqual(pair["rejected"].split(), pair["chosen"].split())
            if pair["source"] == "sample":
                self.assertEqual(pair["rejected"], " a sample of " + pair["prompt"])
            if pair["source"] == "other":
                self.assertIn(pair["rejected"], lines.values())
        # 3.5 sigma; some corruptions leave a line as it is, and make no pair.
        self.assertAlmostEqual(counts["sample"], 2000, delta=111)
        self.assertAlmostEqual(counts["other"], 1000, delta=96)
        self.assertTrue(850 < counts["corrupted"] < 1096, counts)
        self.assertEqual(pairs, self.made.gold_rows(self.rows, samples, random.Random(1)))

    def test_a_line_is_no_pair_with_itself(self):
        rows = [{"prompt": "p =>", "completion": " a tool"}]
        for seed in range(50):
            for pair in self.made.gold_rows(rows, {"p =>": [" a  tool"]}, random.Random(seed)):
                self.assertEqual(pair["source"], "corrupted")
                self.assertNotEqual(pair["rejected"].split(), ["a", "tool"])

    def test_corruptions(self):
        rng, words = random.Random(3), "one two three four five six".split()
        for _ in range(200):
            self.assertEqual(sorted(self.made.shuffled(words, ["x"], rng)), sorted(words))
            self.assertEqual(len(self.made.thinned(words, ["x"], rng)), 3)
            self.assertEqual(self.made.mixed(words, ["x"], rng).count("x"), 2)
            cut = self.made.cut_off(words, ["x"], rng)
            self.assertTrue(1 <= len(cut) < 6 and cut == words[: len(cut)])
            self.assertTrue(7 <= len(self.made.repeated(words, ["x"], rng)) <= 15)
        self.assertIsNone(self.made.corrupt("", " other", rng))

    @staticmethod
    def sample(prompt, text, ended=True):
        return {"row": {"prompt": prompt}, "text": text, "ended": ended}

    def test_drawn_and_labelled(self):
        samples = [self.sample("a =>", " one"), self.sample("a =>", " two"), self.sample("b =>", " one"), self.sample("b =>", " one"),
                   self.sample("c =>", " one"), self.sample("c =>", " cut", False), self.sample("d =>", " x"), self.sample("d =>", " y")]
        with tempfile.TemporaryDirectory() as out:
            write(f"{out}/samples", samples)
            done = call("preferences", "drawn", f"{out}/samples", f"{out}/drawn")
            self.assertEqual(done.returncode, 0, done.stderr)
            drawn = rows_of(f"{out}/drawn")
            self.assertEqual([row["prompt"] for row in drawn], ["a =>", "d =>"])  # b has equal ones, c one that was cut off
            write(f"{out}/scored", [{**drawn[0], "score_chosen": -1.0, "score_rejected": 2.0},
                                    {**drawn[1], "score_chosen": 0.5, "score_rejected": 0.5}])
            done = call("preferences", "label", f"{out}/scored", f"{out}/pairs")
            self.assertEqual(done.returncode, 0, done.stderr)
            (pair,) = rows_of(f"{out}/pairs")
            write(f"{out}/scored", [{**drawn[0], "score_chosen": None, "score_rejected": 2.0}])
            wrong = call("preferences", "label", f"{out}/scored", f"{out}/pairs")
        self.assertEqual((pair["chosen"], pair["rejected"], pair["gold_chosen"]), (" two", " one", 2.0))
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("scored:1: no text or number 'score_chosen'", wrong.stderr)


class Stages(unittest.TestCase):
    """What the driver makes again."""

    @classmethod
    def setUpClass(cls):
        cls.rlhf = load("tldr/rlhf")

    def run_in(self, directory, quick=True):
        options = types.SimpleNamespace(seed=1, threads=1, rlhfctl="/nowhere/rlhfctl", data=None, quick=quick, again=[])
        run = self.rlhf.Run(directory, options)
        run.made = []
        for stage in run.stages.values():
            stage.make = lambda stage: run.made.append(stage.name)
        return run

    def test_a_method_makes_what_it_needs_once(self):
        with tempfile.TemporaryDirectory() as directory:
            run = self.run_in(directory)
            run.want("rloo-lag1")
            self.assertEqual(run.made, ["data", "supervised", "larger", "gold", "proxy", "before", "rloo-lag1"])
            again = self.run_in(directory)
            again.want("rloo-lag1")
            again.want("ppo-lag4")
            self.assertEqual(again.made, ["ppo-lag4"])
            forced = self.run_in(directory)
            forced.again = {"ppo-lag4"}
            forced.want("ppo-lag4")
            forced.want("ppo-lag4")
            self.assertEqual(forced.made, ["ppo-lag4"])

    def test_changed_settings(self):
        with tempfile.TemporaryDirectory() as directory:
            self.run_in(directory).want("rloo-lag0")
            changed = self.run_in(directory)
            changed.stages["rloo-lag0"].settings = ["other"]
            changed.want("rloo-lag0")
            self.assertEqual(changed.made, ["rloo-lag0"])
            changed = self.run_in(directory)
            changed.stages["gold"].settings = ["other"]
            changed.want("rloo-lag0")
            self.assertEqual(changed.made, ["gold", "proxy", "before", "rloo-lag0"])

    def test_a_failed_stage_is_not_done(self):
        def fail(_stage):
            raise SystemExit("no")

        with tempfile.TemporaryDirectory() as directory:
            run = self.run_in(directory)
            run.stages["larger"].make = fail
            with self.assertRaises(SystemExit):
                run.want("gold")
            again = self.run_in(directory)
            again.want("gold")
            self.assertEqual(again.made, ["larger", "gold"])

    def test_nine_runs(self):
        stages = self.run_in("/nowhere", quick=False).stages
        names = [f"{method}-lag{lag}" for method in ("ppo", "rloo", "online_dpo") for lag in (0, 1, 4)]
        self.assertEqual([name for name in stages if "-lag" in name], [*names, "rloo_near-lag1", "rloo_far-lag1"])
        for name in names:
            (settings, _recipe) = stages[name].settings
            self.assertEqual(f"{settings['learner.objective']}-lag{settings['lag.max']}", name)

    def test_words(self):
        with tempfile.TemporaryDirectory() as directory:
            write(f"{directory}/mine/file", [])
            for words, text in ((["nothing"], "no stage 'nothing'"), (["--seed", "0"], "numbers above 0"),
                                (["--again", "nothing"], "--again: no stage 'nothing'"),
                                (["--run", f"{directory}/mine"], "is no earlier run's")):
                environment = dict(os.environ, RLHFCTL="/bin/true")
                run = ["--run", f"{directory}/run"] if "--run" not in words else []
                done = subprocess.run([os.path.join(EXAMPLES, "tldr/rlhf"), *run, *words], env=environment, capture_output=True,
                                      text=True, check=False)
                self.assertEqual(done.returncode, 1, words)
                self.assertIn(text, done.stderr)


class Table(unittest.TestCase):
    """Figures of made-up runs that can be counted by hand."""

    def line(self, i, text, gold, **more):
        return {"row": {"prompt": f"p{i} =>", "completion": " signs files"}, "text": text, "ended": True, "tokens": 3,
                "kl": 0.0, "scores": [gold, 2 * gold], **more}

    def make(self, run):
        write(f"{run}/before/eval.jsonl", [self.line(i, " signs", 0.0) for i in range(40)])
        for name in ("gold", "proxy"):
            write(f"{run}/before/human-{name}.jsonl", [{"prompt": f"p{i} =>", "score": 0.5} for i in range(40)])
        # A quarter each: better than both, between them, equal to the supervised sample, cut off with the highest score.
        kinds = ((1.0, True), (0.25, True), (0.0, True), (9.0, False))
        lines = [self.line(i, " signs files", kinds[i % 4][0], ended=kinds[i % 4][1], kl=2.0) for i in range(40)]
        write(f"{run}/rloo-lag0/eval.jsonl", lines)
        write(f"{run}/rloo-lag0/train.json", [{"train_seconds": 30.0, "train_cpu_seconds": 40.0}])
        write(f"{run}/rloo-lag0/metrics.jsonl", [{"lag_mean": i % 2, "reward_mean": i} for i in range(32)])
        write(f"{run}/gold/evals.jsonl", [{"rewards_accuracy": 0.5}, {"rewards_accuracy": 0.875}])
        # The best of two by the proxy is always the second draw.
        for draw in range(2):
            write(f"{run}/best/eval-{draw}.jsonl", [self.line(i, " files", draw - 0.25) for i in range(20)])

    def test_figures(self):
        with tempfile.TemporaryDirectory() as run:
            self.make(run)
            done = call("frontier", run, "rloo-lag0")
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(f"{run}/results.json", encoding="utf-8") as file:
                summary = json.load(file)
            before, best, rloo = summary["points"]
            self.assertEqual(summary["accuracy"], {"gold": 0.875})
            self.assertIn("held-out accuracy of gold: 0.875", done.stdout)
            self.assertIn("rloo-lag0", done.stdout)
        self.assertEqual((before["win_supervised"]["mean"], before["win_human"]["mean"]), (0.5, 0.0))
        self.assertEqual((rloo["win_supervised"]["mean"], rloo["win_human"]["mean"]), (0.625, 0.25))
        self.assertEqual((rloo["kl"]["mean"], rloo["overlap"]["mean"], rloo["ended"]), (2.0, 1.0, 0.75))
        self.assertAlmostEqual(rloo["gold"]["mean"], 1.25 / 3)  # without the one that was cut off
        self.assertEqual((rloo["lag"], rloo["reward_first"], rloo["reward_last"]), (0.5, 3.5, 27.5))
        self.assertEqual((rloo["train_seconds"], rloo["train_cpu_seconds"]), (30.0, 40.0))
        # The mean of 40 draws of a quarter: standard deviation 0.068.
        self.assertAlmostEqual(rloo["win_human"]["low"], 0.25 - 1.96 * 0.068, delta=0.03)
        self.assertAlmostEqual(rloo["win_human"]["high"], 0.25 + 1.96 * 0.068, delta=0.03)
        self.assertEqual((best["name"], best["win_human"]["mean"], best["prompts"]), ("best-2", 1.0, 20))
        self.assertAlmostEqual(best["kl"]["mean"], math.log(2) - 0.5)
        self.assertAlmostEqual(best["overlap"]["mean"], 2 / 3)

    def test_another_file(self):
        with tempfile.TemporaryDirectory() as run:
            self.make(run)
            write(f"{run}/before/eval.jsonl", [self.line(1, " x", 0.0, scores=[1.0])])
            done = call("frontier", run)
        self.assertEqual(done.returncode, 1)
        self.assertIn("eval.jsonl:1: no line of rlhfctl eval with the scores of gold and proxy", done.stderr)

    def test_correlation(self):
        frontier = load("tldr/frontier")
        self.assertAlmostEqual(frontier.rank_correlation([1, 2, 3, 4], [10, 20, 40, 30]), 0.8)
        self.assertAlmostEqual(frontier.rank_correlation([1, 1, 2], [1, 1, 5]), 1.0)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main()
