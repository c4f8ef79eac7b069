"""A ring of three real daemons on loopback, for tests of what they expose: a tiny model, prompts and a recipe in a directory.

    with small_ring.Ring(directory, settings=["lag.max=2"]) as ring:
        ring.start()
        ring.wait_rounds(3)
        text = ring.metrics("learner")

Standard library only.
"""
import json
import os
import random
import signal
import subprocess
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("RLHFD_BIN", os.path.join(ROOT, "build/bin"))
KINDS = ("learner", "rewarder", "generator")
RECIPE = """\
run: {name: metrics, seed: 1, rounds: 1000000}
model: {path: model}
data: {train: train.jsonl, eval: train.jsonl}
generator: {slots: 64, num_generations: 4, max_tokens: 8}
rewarder: {scorers: [{kind: exact, column: completion, weight: 0.5}, {kind: length, min: 1, max: 6, weight: 0.5}]}
learner: {objective: grpo, groups: 8, micro_tokens: 1024, optimizer: {lr: 1e-3}}
lag: {max: 2}
checkpoint: {every: 4, keep: 2}
"""


def wait_for(what, seconds, found):
    """The first true answer of found(); AssertionError after so many seconds."""
    until = time.monotonic() + seconds
    while not (answer := found()):
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.05)
    return answer


class Ring:
    def __init__(self, directory, settings=(), recipe=RECIPE, width=32):
        self.directory, self.settings, self.process, self.address = directory, list(settings), {}, {}
        self.token = ""  # of metrics.tokens
        self.path = os.path.join(directory, "recipe.yaml")
        self.run = os.path.join(directory, "run")
        os.makedirs(self.run, exist_ok=True)
        draw = random.Random(7)
        with open(os.path.join(directory, "train.jsonl"), "w", encoding="utf-8") as file:
            for _ in range(200):
                word = "".join(draw.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(5))
                file.write(json.dumps({"prompt": word + ">", "completion": "".join(sorted(word))}) + "\n")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(recipe)
        model = os.path.join(directory, "model")
        self.command("rlhfctl", "tokenizer", "train", os.path.join(directory, "train.jsonl"), "--alphabet", "data",
                     "--vocab", "29", "--out", model)
        self.command("rlhfctl", "model", "new", model, "--layers", "2", "--width", str(width), "--heads", "2", "--ff",
                     str(2 * width), "--max-positions", "256", "--seed", "3")

    @staticmethod
    def command(program, *words):
        done = subprocess.run([os.path.join(BIN, program), *words], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise AssertionError(f"{program} {words[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for kind in list(self.process):
            self.kill(kind)

    def log(self, kind):
        with open(os.path.join(self.run, kind + ".log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def start_one(self, kind, *settings):
        """Starts it, at its old address after the first time; returns when it listens."""
        announce = os.path.join(self.run, kind + ".json")
        if os.path.exists(announce):
            os.unlink(announce)
        old = self.address.get(kind, {})
        sets = [f"{kind}.{key}={old.get(key, '127.0.0.1:0')}" for key in ("listen", "metrics", "admin", "probes")]
        if kind != "learner":
            sets.append(f"{kind}.learner={self.address['learner']['listen']}")
        if kind == "generator":
            sets += ["generator.name=generator-0", f"generator.rewarder={self.address['rewarder']['listen']}"]
        words = [word for one in [*sets, *self.settings, *settings] for word in ("--set", one)]
        with open(os.path.join(self.run, kind + ".log"), "a", encoding="utf-8") as log:
            self.process[kind] = subprocess.Popen(
                [os.path.join(BIN, "rlhfd-" + kind), self.path, "--run", self.run, "--announce", announce, *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.address[kind] = wait_for(f"{kind} listens", 60, lambda: self.announced(kind, announce))

    def announced(self, kind, path):
        if self.process[kind].poll() is not None:
            raise AssertionError(f"{kind} ended: {self.log(kind)[-2000:]}")
        try:
            with open(path, encoding="utf-8") as file:
                return json.load(file)
        except (OSError, ValueError):
            return None

    def start(self):
        for kind in KINDS:
            self.start_one(kind)

    def signal(self, kind, number):
        self.process[kind].send_signal(number)

    def kill(self, kind):
        process = self.process.pop(kind)
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait(30)

    def metrics(self, kind):
        """What a scrape gets; None: nobody answers."""
        try:
            headers = {"Authorization": "Bearer " + self.token} if self.token else {}
            request = urllib.request.Request(f"http://{self.address[kind]['metrics']}/metrics", headers=headers)
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.read().decode()
        except (OSError, urllib.error.URLError):
            return None

    def value(self, kind, name):
        """The sum over the rows of that name."""
        rows = [line for line in (self.metrics(kind) or "").splitlines() if line.split("{")[0].split(" ")[0] == name]
        return sum(float(row.rsplit(" ", 1)[1]) for row in rows)

    def wait_rounds(self, rounds, seconds=60):
        wait_for(f"{rounds} rounds", seconds, lambda: self.value("learner", "rlhfd_round") >= rounds)
