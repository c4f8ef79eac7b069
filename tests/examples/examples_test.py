#!/usr/bin/env python3
"""The examples' scripts: what they prepare and how they compare. Standard library only; run by ctest."""
import importlib.machinery
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXAMPLES = os.path.join(os.path.dirname(TESTS), "examples")


def load(path):
    name = path.replace("/", "_")
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(EXAMPLES, path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


def rows_of(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Sort(unittest.TestCase):
    def prepare(self, out, seed, *more):
        command = [os.path.join(EXAMPLES, "sort/prepare"), "--seed", seed, "--out", out, *more]
        subprocess.run(command, check=True, capture_output=True)
        return {name: rows_of(f"{out}/{name}.jsonl") for name in ("sft", "train", "test")}

    def test_tables(self):
        with tempfile.TemporaryDirectory() as out:
            first = self.prepare(out + "/1", "7", "--sft", "20000", "--train", "500")
            again = self.prepare(out + "/2", "7", "--sft", "20000", "--train", "500")
            other = self.prepare(out + "/3", "8", "--sft", "100", "--train", "500")
        self.assertEqual(first, again)
        self.assertNotEqual(first["test"], other["test"])
        self.assertEqual([len(first[name]) for name in ("sft", "train", "test")], [20000, 500, 512])
        prompts = [row["prompt"] for rows in first.values() for row in rows]
        self.assertEqual(len(prompts), len(set(prompts)))
        for row in first["train"] + first["test"]:
            self.assertRegex(row["prompt"], "^[a-z]{8}>$")
            self.assertEqual(row["completion"], "".join(sorted(row["prompt"][:8])))
        for row in first["sft"]:
            self.assertEqual(sorted(row["completion"]), sorted(row["prompt"][:8]))
        right = sum(row["completion"] == "".join(sorted(row["prompt"][:8])) for row in first["sft"]) / 20000
        # 0.5 * 0.97^k for the about 6.2 unequal neighbours left after skips, and the lazy ones that are right by chance.
        self.assertAlmostEqual(right, 0.424, delta=0.015)


class Tldr(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tldr = load("tldr/prepare")

    def test_body(self):
        text = " First line\n second.\n .\n   * item\n"
        self.assertEqual(self.tldr.body_of(text), "First line second. * item")

    def test_cut(self):
        self.assertEqual(self.tldr.cut("one two", 7), "one two")
        self.assertEqual(self.tldr.cut("one two three", 7), "one two")
        self.assertEqual(self.tldr.cut("one two three", 6), "one")
        self.assertEqual(self.tldr.cut("onetwothree", 6), "onetwo")

    def test_clean(self):
        body = "A long description, long enough to be one: it says what the package is and does. "
        packages = [
            ("a", "net", "A fine summary", body + "a"),
            ("b", "net", "A fine summary", body + "b"),          # its summary is there
            ("c", "net", "Another summary", body + "a"),         # its body is there
            ("d", "net", "Too short", body + "d"),
            ("e", "net", "A summary of caf\u00e9s", body + "e"),  # not ASCII
            ("f", "net", "A lonely summary", "short"),
            ("g", "net", "x" * 81, body + "g"),
            ("h", "net", "A good summary", body + "h"),
        ]
        rows = self.tldr.clean(packages)
        self.assertEqual([row["completion"] for row, _ in rows], [" a fine summary", " a good summary"])
        self.assertTrue(rows[0][0]["prompt"].startswith("a | net | a long description, long enough"))
        self.assertTrue(rows[0][0]["prompt"].endswith(" =>"))
        self.assertEqual(rows[0][1], rows[1][1])  # the same 60 characters: the same side

    def test_split(self):
        packages = [(f"p{i}", "net", f"summary number {i}", f"{i} and a body that is long enough to be kept " * 2)
                    for i in range(4000)]
        held_out = sum(held for _, held in self.tldr.clean(packages))
        self.assertTrue(150 <= held_out <= 250, held_out)  # a twentieth, 3.6 sigma


class Compare(unittest.TestCase):
    def run_on(self, before, after, *more):
        with tempfile.TemporaryDirectory() as out:
            for name, rows in (("before", before), ("after", after)):
                with open(f"{out}/{name}", "w", encoding="utf-8") as file:
                    file.writelines(json.dumps(row) + "\n" for row in rows)
            command = [os.path.join(EXAMPLES, "tldr/compare"), f"{out}/before", f"{out}/after", *more]
            return subprocess.run(command, capture_output=True, text=True, check=False)

    @staticmethod
    def row(i, text):
        return {"row": {"prompt": f"p{i} =>", "completion": f" tool number {i} for signing files"}, "text": text}

    def test_rouge(self):
        compare = load("tldr/compare")
        with open(os.path.join(TESTS, "golden/rouge.json"), encoding="ascii") as file:
            for case in json.load(file):
                self.assertAlmostEqual(compare.rouge(case["reference"], case["text"]), case["f1"], places=12)

    def test_difference(self):
        before = [self.row(i, " tool") for i in range(50)]
        after = [self.row(i, " tool for files" if i % 2 else " tool") for i in range(50)]
        done = self.run_on(before, after)
        self.assertEqual(done.returncode, 0, done.stderr)
        low = 2 / 7  # one word of one against six
        high = 6 / 9
        self.assertIn(f"before {low:.4f}, after {(low + high) / 2:.4f}", done.stdout)
        self.assertIn(f"difference {(high - low) / 2:+.4f}", done.stdout)
        self.assertIn("better 25, worse 0, equal 25", done.stdout)
        self.assertEqual(done.stdout.count("\n  human "), 10)

    def test_rows_must_agree(self):
        done = self.run_on([self.row(1, "a")], [self.row(2, "a")])
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("1 and 1 prompts, 0 in common", done.stderr)
        done = self.run_on([{"text": "x"}], [])
        self.assertIn("before:1: no row of rlhfctl eval", done.stderr)


class Smollm(unittest.TestCase):
    def test_prompts(self):
        prepare, body = load("smollm/prepare"), "A long description, Long enough to be one: it says what the package is and does. "
        packages = [("a", "net", "A Fine summary", body + "a"), ("b", "net", "Other summary of it", body + "<|im_end|>"),
                    ("n" * 25, "net", "The name is too long", body + "c"), ("d", "net", "x" * 65, body + "d"),
                    ("e", "net", "One that tldr leaves out", "short")]
        rows = prepare.clean(packages, prepare.tldr())
        self.assertEqual([row["completion"] for row, _ in rows],
                         [[{"role": "assistant", "content": "A Fine summary"}], [{"role": "assistant", "content": "Other summary of it"}]])
        (message,) = rows[0][0]["prompt"]
        self.assertEqual(message["role"], "user")
        self.assertTrue(message["content"].startswith("What does this package do?"))
        self.assertIn("\nPackage a: A long description, Long", message["content"])

    def test_some_descriptions_forge_a_turn(self):
        prepare, body = load("smollm/prepare"), "A long description, Long enough to be one: it says what the package is and does. "
        names = [a + b + c for a in "abcdefgh" for b in "ijklmnop" for c in "xy"]
        rows = prepare.clean([(name, "net", f"Summary of {name} it", body + name) for name in names], prepare.tldr())
        forged = [row["prompt"][0]["content"] for row, _ in rows if "<|im_start|>" in row["prompt"][0]["content"]]
        self.assertEqual(len(forged), len(rows) // prepare.FORGED)
        self.assertTrue(forged and forged[0].endswith(prepare.FORGERY))

    @staticmethod
    def row(i, text, reward):
        return {"row": {"prompt": [{"role": "user", "content": f"What?\nPackage p{i}: x"}],
                        "completion": [{"role": "assistant", "content": "Signs files"}]}, "text": text, "ended": True, "reward": reward}

    def compare(self, before, after):
        with tempfile.TemporaryDirectory() as out:
            for name, rows in (("before", before), ("after", after)):
                with open(f"{out}/{name}", "w", encoding="utf-8") as file:
                    file.writelines(json.dumps(row) + "\n" for row in rows)
            command = [os.path.join(EXAMPLES, "smollm/compare"), f"{out}/before", f"{out}/after"]
            return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_gain(self):
        long = "It signs " + "x" * 80 + "."  # 90 characters: half of the length's score; one word of two against three
        before = [self.row(i, long, 0.5 + 0.25 + 2 / 5) for i in range(20)]
        after = [self.row(i, "Signs files for all.", 0.5 + 0.5 + 4 / 6) for i in range(20)]
        done = self.compare(before, after)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("before 1.1500, after 1.6667", done.stdout)
        self.assertIn("gain +0.5167, 95 % interval [+0.5167, +0.5167]", done.stdout)

    def test_rewards_are_computed_again(self):
        done = self.compare([self.row(1, "Signs files for all.", 1.5)], [])
        self.assertIn("before:1: reward 1.5, from the text 1.666667", done.stderr)


class Sentiment(unittest.TestCase):
    KINDS = ("tweets", "amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets")

    @classmethod
    def setUpClass(cls):
        cls.prepare, cls.agreement = load("sentiment/prepare"), load("sentiment/agreement")

    def files(self, texts, kind="tweets"):
        """As the package has them: (id, text, ratings)"""
        files = {f"{name}_{what}.txt": b"" for name in self.KINDS for what in ("GroundTruth", "anonDataRatings")}
        truth = "".join(f"{identity}\t{sum(r) / len(r)}\t{text}\r\n" for identity, text, r in texts)
        ratings = "".join(f"{identity}\t0\t0\t{r}\r\n" for identity, text, r in texts)
        return files | {kind + "_GroundTruth.txt": ("\ufeff" + truth).encode(), kind + "_anonDataRatings.txt": ("\ufeff" + ratings).encode()}

    def test_texts(self):
        files = self.files([("1", "So   good &amp; fine", [3, 4]), ("2", "SO GOOD & FINE", [1]), ("3", "too short", [0]), ("4", "x " * 41, [0]),
                            ("5", "It is quite bad.", [-4, -1])])
        self.assertEqual(list(self.prepare.texts_of(files, "tweets")), [("1", "So good & fine", [3, 4]), ("5", "It is quite bad.", [-4, -1])])

    def test_ratings_are_checked(self):
        for ratings in ([5], [], [1.5]):
            files = self.files([("1", "It is quite bad.", [1])])
            files["tweets_anonDataRatings.txt"] = f"1\t0\t0\t{ratings}\n".encode()
            with self.assertRaisesRegex(SystemExit, "tweets_anonDataRatings.txt:1: ratings are whole numbers"):
                list(self.prepare.texts_of(files, "tweets"))

    def test_documents_are_split_whole(self):
        texts = [(f"{i // 5}_{i % 5}", f"It is text number {i} of all", [i % 9 - 4] * 3) for i in range(1500)]
        parts = self.prepare.split(self.files(texts, "nytEditorialSnippets"))
        there = {text: name for name, kinds in parts.items() for text, _ in kinds["nytEditorialSnippets"]}
        self.assertEqual(len(there), 1500)
        for i in range(0, 1500, 5):
            self.assertEqual(len({there[f"It is text number {j} of all"] for j in range(i, i + 5)}), 1)
        for name, share, _ in self.prepare.PARTS:
            self.assertAlmostEqual(len(parts[name]["nytEditorialSnippets"]) / 1500, share / 20, delta=0.07)

    def test_rows(self):
        texts = {kind: [(f"It is the {kind} number {i} of all", [1, 2, i % 3]) for i in range(10)] for kind in self.KINDS}
        rows = self.prepare.rated_rows(texts, 8, random.Random(1), True)
        self.assertEqual(len(rows), 8)
        for row in rows:
            self.assertEqual([message["role"] for message in row["prompt"]], ["system", "user"])
            self.assertEqual(row["scores"], [round(sum(r) / 3, 4) for r in row["ratings"]])
            self.assertTrue(all(row["kind"] in message["content"] for (message,) in row["completions"]))
        prompts = self.prepare.prompt_rows(texts, random.Random(1))
        self.assertEqual([row["kind"] for row in prompts[:4]], list(self.KINDS))
        for row in prompts:
            self.assertEqual(row["prompt"][-1], {"role": "assistant", "content": row["beginning"]})
            self.assertIn(len(row["beginning"].split()), (2, 3, 4))

    def test_correlations(self):
        of, a, b = self.agreement, [1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 100.0]
        self.assertAlmostEqual(of.pearson(a, b), 0.7798, places=4)  # numpy.corrcoef
        self.assertAlmostEqual(of.spearman(a, b), 0.8)
        self.assertEqual(of.ranks([2.0, 1.0, 2.0, 5.0]), [1.5, 0.0, 1.5, 3.0])
        self.assertEqual(of.pearson(a, [7.0] * 4), 0.0)

    def test_agreement(self):
        ratings = [[4, 3], [-4, -3], [0, 1], [2, 2]]
        row = {"completions": [[{"role": "assistant", "content": f"text {i}"}] for i in range(4)], "ratings": ratings, "kind": "tweets",
               "rewards": [3.5, -3.5, 0.5, 2.0], "judges": [-3.5, 3.5, -0.5, -2.0]}
        with tempfile.TemporaryDirectory() as out:
            with open(f"{out}/rows", "w", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            command = [os.path.join(EXAMPLES, "sentiment/agreement"), f"{out}/rows"]
            done = subprocess.run(command + ["reward", "judge"], capture_output=True, text=True, check=True)
            wrong = subprocess.run(command + ["other"], capture_output=True, text=True, check=False)
        self.assertRegex(done.stdout, r"reward\n  all +4   1\.000 .* 1\.000\n")
        self.assertRegex(done.stdout, r"judge\n  all +4   -1\.000")
        self.assertRegex(done.stdout, r"other half of the raters|one half of the raters with the other half\n  all +4   0\.9")
        self.assertIn("rows:1: no rated texts with other: KeyError('others')", wrong.stderr)

    @staticmethod
    def line(i, text, reward, judge):
        return {"row": {"kind": "tweets", "beginning": f"So {i}"}, "text": text, "tokens": 3, "ended": True, "kl": 0.5, "reward": reward, "judge": judge}

    def compare(self, before, after):
        with tempfile.TemporaryDirectory() as out:
            for name, rows in (("before", before), ("after", after)):
                with open(f"{out}/{name}", "w", encoding="utf-8") as file:
                    file.writelines(json.dumps(row) + "\n" for row in rows)
            command = [os.path.join(EXAMPLES, "sentiment/compare"), f"{out}/before", f"rloo={out}/after"]
            return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_compare(self):
        before = [self.line(i, f" it is one {i}", 0.5, 1.0) for i in range(20)]
        after = [self.line(i, " it is very good", 1.5, 1.0 - 2 * (i % 2)) for i in range(20)]
        done = self.compare(before, after)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"reward +gain \+1\.000 \[\+1\.000, \+1\.000\]   better in 1\.000 \[1\.000, 1\.000\]")
        self.assertRegex(done.stdout, r"judge +gain -1\.000 \[-1\.\d+, -0\.\d+\]   better in 0\.250")
        self.assertRegex(done.stdout, r"rloo +0\.50 +\+1\.500 +\+0\.000 +1\.00 +3\.0 +0\.05\n")  # 2 different runs of three words, of 40

    def test_files_must_agree(self):
        done = self.compare([self.line(1, "a", 0, 0), self.line(2, "a", 0, 0)], [self.line(1, "a", 0, 0)])
        self.assertIn("has 1 prompts", done.stderr)
        done = self.compare([{"row": {}}], [])
        self.assertIn("before:1: no row of rlhfctl eval", done.stderr)


if __name__ == "__main__":
    unittest.main()
