"""What the parts share: commands, quantities, selectors, tables of known fields."""
import math
import re
import subprocess
import time

UNITS = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}

# Fields that are acted on, or that need no action on one machine. Others are refused: a drill must not pass because a field was ignored.
KNOWN = {
    "pod": "containers initContainers volumes securityContext terminationGracePeriodSeconds restartPolicy automountServiceAccountToken "
           "serviceAccountName hostname subdomain topologySpreadConstraints affinity priorityClassName enableServiceLinks nodeSelector "
           "tolerations activeDeadlineSeconds",
    "container": "name image imagePullPolicy command args workingDir env envFrom ports securityContext resources volumeMounts startupProbe "
                 "livenessProbe readinessProbe lifecycle terminationMessagePath terminationMessagePolicy",
    "Deployment": "replicas revisionHistoryLimit selector strategy template minReadySeconds progressDeadlineSeconds",
    "StatefulSet": "replicas revisionHistoryLimit selector serviceName template volumeClaimTemplates persistentVolumeClaimRetentionPolicy "
                   "podManagementPolicy updateStrategy minReadySeconds",
    "Pod": "containers initContainers volumes securityContext terminationGracePeriodSeconds restartPolicy automountServiceAccountToken "
           "enableServiceLinks activeDeadlineSeconds",
    "Job": "template backoffLimit activeDeadlineSeconds ttlSecondsAfterFinished completions parallelism",
}


class Refused(Exception):
    """What a Kubernetes would refuse, with its reason."""


def run(*words, check=True, timeout=120, **more):
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, **more)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)[:300]}: {done.stderr.strip()[-500:]}")
    return done.stdout.strip()


def quantity(text):
    found = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", str(text))
    if not found or found[2] not in UNITS:
        raise Refused(f"'{text}' is no quantity")
    return float(found[1]) * UNITS[found[2]]


def share(value, whole, up):
    """A count or a percentage of whole, as strategies and budgets have them."""
    if isinstance(value, str) and value.endswith("%"):
        part = whole * int(value[:-1]) / 100
        return math.ceil(part) if up else math.floor(part)
    return int(value)


def selects(selector, labels):
    """matchLabels and matchExpressions; an empty selector takes all."""
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for e in selector.get("matchExpressions", []):
        has = labels.get(e["key"])
        holds = {"In": has in e.get("values", []), "NotIn": has not in e.get("values", []), "Exists": has is not None,
                 "DoesNotExist": has is None}[e["operator"]]
        if not holds:
            return False
    return True


def known(kind, fields, where):
    unknown = set(fields) - set(KNOWN[kind].split())
    if unknown:
        raise Refused(f"{where}: the stand-in knows no {kind} field {', '.join(sorted(unknown))}")


class Journal:
    """What a cluster does, with seconds since its beginning: to the file `events`, and to `say` unless that is None."""

    def seconds(self):
        return time.monotonic() - self.begin

    def log(self, text):
        line = f"{self.seconds():8.2f} {text}"
        print(line, file=self.events, flush=True)
        if self.say:
            print(line, file=self.say, flush=True)
