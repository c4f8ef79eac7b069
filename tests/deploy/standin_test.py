#!/usr/bin/env python3
"""What the stand-in for Kubernetes decides without a container: admission, budgets, roll-outs, who may connect. standin_test.py [CASE]"""
import os
import sys
import threading
import unittest

try:
    import yaml
except ImportError:
    print("skipped: python3-yaml is missing")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from standin import Cluster, controllers, security  # noqa: E402
from standin.network import Network  # noqa: E402
from standin.objects import Objects  # noqa: E402
from standin.tools import Refused, quantity, selects, share  # noqa: E402

with open(os.path.join(HERE, "../../deploy/k8s/rendered/minimal.yaml"), encoding="utf-8") as rendered:
    MINIMAL = rendered.read()


class Pod:
    """A pod that is ready, or not, at once."""

    def __init__(self, owner, name, template, digest, ip=None, ready=True):
        self.owner, self.name, self.digest, self.ip, self.ready, self.created = owner, name, digest, ip, ready, 0
        self.labels, self.spec, self.doomed, self.phase = template["metadata"]["labels"], template["spec"], threading.Event(), "Running"


def cluster():
    """The minimal overlay without a machine: pods are made and go as the controllers say."""
    made = Cluster.__new__(Cluster)
    made.objects, made.pods, made.lock, made.cordoned, made.removed = Objects(), {}, threading.RLock(), set(), []
    made.objects.apply(MINIMAL)
    made.make = lambda owner, name, template, digest, claims=(): made.pods.setdefault(name, Pod(owner, name, template, digest))

    def remove(pod):
        made.removed.append(pod)
        made.pods.pop(pod.name)
    made.remove = remove
    return made


class Standin(unittest.TestCase):
    def test_numbers(self):
        self.assertEqual([quantity(q) for q in ("250m", "1", "64Mi", "2G")], [0.25, 1, 67108864, 2e9])
        self.assertRaises(Refused, quantity, "1Pi")
        self.assertEqual([share("50%", 3, True), share("50%", 3, False), share(1, 3, True)], [2, 1, 1])

    def test_selectors(self):
        labels = {"a": "1", "b": "2"}
        self.assertTrue(selects({}, labels))
        self.assertTrue(selects({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "3"]}]}, labels))
        for selector in ({"matchLabels": {"a": "2"}}, {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]},
                         {"matchExpressions": [{"key": "c", "operator": "Exists"}]}):
            self.assertFalse(selects(selector, labels))

    def test_unknown_is_refused(self):
        self.assertRaises(Refused, Objects().apply, "{kind: DaemonSet, metadata: {name: x}}")
        self.assertRaises(Refused, Objects().apply, "{kind: Job, metadata: {name: x}, spec: {suspend: true}}")

    def test_admission(self):
        for _, name, d in cluster().objects.of("Deployment", "StatefulSet"):
            security.admit(name, d["spec"]["template"]["spec"])
            d["spec"]["template"]["spec"]["containers"][0]["securityContext"]["capabilities"] = {}
            self.assertRaisesRegex(Refused, "capabilities.drop", security.admit, name, d["spec"]["template"]["spec"])

    def test_rollout(self):
        """Of two generators one goes at a time, at most three are there, and a learner's name is free before it is made again."""
        made = cluster()
        controllers.reconcile(made)
        self.assertEqual(len(made.of("generator")), 2)
        old = made.of("generator")
        for _, _, d in made.objects.of("Deployment", "StatefulSet"):
            d["spec"]["template"]["metadata"]["annotations"] = {"new": "yes"}
        for p in old:
            p.ready = True
        controllers.reconcile(made)
        self.assertEqual(sum(p in old for p in made.removed), 1)
        self.assertEqual(len(made.of("generator")), 3 - 1)
        self.assertFalse(made.of("learner"))
        controllers.reconcile(made)
        self.assertEqual([p.name for p in made.of("learner")], ["learner-0"])

    def test_budget(self):
        made = cluster()
        controllers.reconcile(made)
        first, second = made.of("generator")
        made.evict(first.name)
        second.ready = True
        self.assertRaisesRegex(PermissionError, "429: budget generator", made.evict, second.name)
        second.ready = False
        made.evict(second.name)

    def test_policies(self):
        made = cluster()
        controllers.reconcile(made)
        net = Network.__new__(Network)
        net.cluster, net.lock, net.gateway, net.broken, net.cluster_ips, net.services = made, threading.RLock(), "10.0.0.1", set(), {}, "10.96.0."
        for i, p in enumerate(made.pods.values()):
            p.ip = f"10.0.0.{10 + i}"
        ip = {owner: made.of(owner)[0].ip for owner in ("learner", "rewarder", "generator")}
        rules = net.filter().splitlines()
        self.assertIn(f"-A E-{ip['generator']} -d {ip['learner']}/32 -p tcp --dport 7003 -j RETURN", rules)
        self.assertIn(f"-A E-{ip['generator']} -d 10.0.0.1/32 -p udp --dport 53 -j RETURN", rules)
        self.assertIn(f"-A E-{ip['learner']} -j DROP", rules)
        self.assertFalse([r for r in rules if r.startswith(f"-A E-{ip['learner']} ") and "RETURN" in r])
        self.assertFalse([r for r in rules if "dport 7013" in r])


if __name__ == "__main__":
    unittest.main()
