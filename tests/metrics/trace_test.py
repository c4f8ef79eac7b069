#!/usr/bin/env python3
"""rlhfctl trace over a real ring: every station of a group that was trained, in order, under one trace."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import small_ring

WAY = [("learner", "leased"), ("generator", "granted"), ("generator", "queued"), ("generator", "decoded"), ("generator", "sent"),
       ("rewarder", "came"), ("rewarder", "scored"), ("rewarder", "scored"), ("rewarder", "relayed"), ("learner", "came"),
       ("learner", "stored"), ("rewarder", "answered"), ("generator", "delivered")]
TRAINED = [("learner", "drawn"), ("learner", "trained"), ("learner", "published")]


class Trace(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.ring = small_ring.Ring(cls.directory.name, ["learner.groups=64"])
        cls.ring.start()
        cls.ring.wait_rounds(3)
        with open(os.path.join(cls.ring.run, "endpoints.json"), "w", encoding="utf-8") as file:
            json.dump({kind: {"pid": cls.ring.process[kind].pid, **address} for kind, address in cls.ring.address.items()}, file)

    @classmethod
    def tearDownClass(cls):
        cls.ring.__exit__()
        cls.directory.cleanup()

    def ctl(self, *words):
        return small_ring.Ring.command("rlhfctl", *words, "--run", self.ring.run)

    def stored(self):
        return [one["id"] for one in json.loads(self.ctl("groups", "list", "-o", "json", "--filter", "state=stored"))["groups"]]

    def trace(self, group):
        return json.loads(self.ctl("trace", group, "-o", "json"))

    def test_the_whole_way(self):
        self.ctl("pause", "training")
        group = small_ring.wait_for("a stored group", 120, self.stored)[0]
        before = self.trace(group)
        self.assertEqual(sorted((one["daemon"], one["name"]) for one in before["stations"]), sorted(WAY))
        self.assertEqual(before["summary"]["id"], group)
        self.ctl("resume", "training")

        def published():
            # The ring goes on meanwhile; the group is among its latest 1000 for a while.
            self.ctl("pause", "training")
            found = self.trace(group)
            table = self.ctl("trace", group)
            self.ctl("resume", "training")
            return (found, table) if any(one["name"] == "published" for one in found["stations"]) else None

        after, table = small_ring.wait_for("its publication", 120, published)
        stations = after["stations"]
        self.assertEqual(sorted((one["daemon"], one["name"]) for one in stations), sorted(WAY + TRAINED))
        of = {(one["daemon"], one["name"]): one for one in stations}
        # Within a daemon the order is exact.
        for daemon in small_ring.KINDS:
            times = [one["time_s"] for one in stations if one["daemon"] == daemon]
            self.assertEqual(times, sorted(times))
            order = [name for who, name in WAY + TRAINED if who == daemon]
            self.assertEqual([one["name"] for one in stations if one["daemon"] == daemon], order, daemon)
        self.assertEqual({one["detail"] for one in stations if one["name"] == "scored"}, {"exact", "length"})
        self.assertEqual(of["learner", "trained"]["number"], of["learner", "published"]["number"])
        self.assertEqual(of["learner", "trained"]["number"], of["learner", "drawn"]["number"] + 1)  # one update a round
        self.assertGreater(of["learner", "trained"]["seconds"], 0)
        self.assertEqual(of["generator", "delivered"]["detail"], "stored")
        self.assertLess(stations[-1]["time_s"] - stations[0]["time_s"], 120)

        parents = after["traceparents"]
        for daemon in small_ring.KINDS:
            self.assertRegex(parents[daemon], f"^00-{group}-[0-9a-f]{{16}}-01$")
        self.assertEqual(len(set(parents.values())), 3, "each stop has a span of its own")
        for word in ("leased", "decoded", "scored", "exact", "trained", "version "):
            self.assertIn(word, table)

    def test_what_is_not_there(self):
        program = os.path.join(small_ring.BIN, "rlhfctl")
        for group, status in (("0" * 32, 3), ("0" * 31, 2), ("x" * 32, 2)):
            done = subprocess.run([program, "trace", group, "--run", self.ring.run], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1)


if __name__ == "__main__":
    unittest.main()
