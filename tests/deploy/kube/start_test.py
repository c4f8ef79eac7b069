#!/usr/bin/env python3
"""start_test.py BIN: real daemons by the arguments, the recipe, the ports and the identities of rendered pods. They meet by the Services'
names, train, answer probes and Prometheus as the manifests say, and end at SIGTERM. In network and mount namespaces of its own; paths of
the pods are directories here, certificates are made by openssl as cert-manager would. CUDA is left out."""
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

import yaml

import material
from objects import RENDERED, Stream, addresses_of, settings_of, workers_of

BIN = os.path.abspath(sys.argv[1])
POD = {"POD_NAME": "generator-6c9f5b7d4-x2k7q", "POD_IP": "127.0.0.1"}
WORKERS = 3  # of a pod that has one for each GPU
WAIT_S = 60


def inside():
    """Again, as root of namespaces of our own; 77 where that is not allowed."""
    if os.environ.get("RLHFD_TEST_INSIDE"):
        return
    words = ["unshare", "--net", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
    if subprocess.run(words + ["true"], stderr=subprocess.DEVNULL).returncode:
        print("skipped: no namespaces for this user")
        sys.exit(77)
    os.environ["RLHFD_TEST_INSIDE"] = "1"
    os.execvp(words[0], words + [sys.executable] + sys.argv)


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Keys:
    """A CA, and a directory of keys for an identity, as a Certificate or a csi volume asks for it."""

    def __init__(self, top):
        self.top = os.path.join(top, "keys")
        os.makedirs(self.top)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=rlhfd", "-days", "2",
            "-keyout", self.top + "/ca.key", "-out", self.top + "/ca.crt", "-addext", "keyUsage=critical,keyCertSign")

    def make(self, name, uri, hosts, kind):
        directory = os.path.join(self.top, name)
        os.makedirs(directory)
        names = ",".join(["URI:" + uri] + ["DNS:" + host for host in hosts])
        with open(directory + "/ext", "w", encoding="utf-8") as out:
            out.write("subjectAltName=critical,%s\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n" % names)
        run("openssl", "req", "-new", "-nodes", "-newkey", *kind, "-subj", "/", "-keyout", directory + "/tls.key", "-out", directory + "/csr")
        run("openssl", "x509", "-req", "-in", directory + "/csr", "-CA", self.top + "/ca.crt", "-CAkey", self.top + "/ca.key",
            "-CAcreateserial", "-days", "1", "-extfile", directory + "/ext", "-out", directory + "/tls.crt")
        os.link(self.top + "/ca.crt", directory + "/ca.crt")
        return directory

    def of_certificate(self, stream, name):
        spec = stream.get("Certificate", name)["spec"]
        return self.make(spec["secretName"], spec["uris"][0], spec.get("dnsNames", []), ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"))

    def of_volume(self, stream, volume):
        if "secret" in volume:
            return self.of_certificate(stream, volume["secret"]["secretName"][:-len("-tls")])
        attributes = {k.split("/")[1]: v for k, v in volume["csi"]["volumeAttributes"].items()}
        uri = attributes["uri-sans"].replace("${POD_NAME}", POD["POD_NAME"])
        return self.make(volume["name"], uri, attributes["dns-names"].split(","), ("rsa:2048",))  # csi-driver's default


class Ring:
    def __init__(self, overlay, top, data):
        self.stream, self.top, self.overlay = Stream.read(os.path.join(RENDERED, overlay + ".yaml")), top, overlay
        self.keys = Keys(top) if self.stream.of("Certificate") else None
        self.places = {"/data/": data + "/", "/var/lib/rlhfd": os.path.join(top, "state"), "/etc/rlhfd/": os.path.join(top, "etc") + "/"}
        os.makedirs(os.path.join(top, "etc"))
        recipe = next(c["data"]["recipe.yaml"] for c in self.stream.of("ConfigMap") if "recipe.yaml" in c["data"])
        self.recipe = yaml.safe_load(recipe)
        with open(os.path.join(top, "etc", "recipe.yaml"), "w", encoding="utf-8") as out:
            out.write(self.here(recipe))
        self.processes = {}
        for _, pod in self.stream.pods():
            for container, daemon in list(workers_of(pod))[:WORKERS]:
                self.start(pod, container, daemon)

    def here(self, text):
        for place, other in self.places.items():
            text = text.replace(place, other)
        return text

    def start(self, pod, container, daemon):
        words = list(container["args"])
        for name, value in POD.items():
            words = [word.replace("$(%s)" % name, value) for word in words]
        if "net.tls" in settings_of(container):
            mount = next(m for m in container["volumeMounts"] if m["mountPath"] == settings_of(container)["net.tls"])
            keys = self.keys.of_volume(self.stream, next(v for v in pod["spec"]["volumes"] if v["name"] == mount["name"]))
            words = ["net.tls=" + keys if word.startswith("net.tls=") else word for word in words]
        log = open(os.path.join(self.top, container["name"] + ".log"), "w", encoding="utf-8")
        self.processes[container["name"]] = subprocess.Popen(
            [os.path.join(BIN, container["command"][0])] + [self.here(word) for word in words], stderr=log, stdout=log)

    def get(self, container, daemon, page, kind):
        """A page of the port of a kind, as kubelet or Prometheus would ask for it."""
        port = addresses_of(container, daemon, self.recipe)[kind][1]
        scheme, host, context = "http", "127.0.0.1", None
        if kind == "metrics" and self.keys:
            endpoint = self.stream.get("PodMonitor", daemon)["spec"]["podMetricsEndpoints"][0]
            scheme, host = endpoint["scheme"], endpoint["tlsConfig"]["serverName"]  # /etc/hosts has the roles' names
            context = ssl.create_default_context(cafile=self.viewer + "/ca.crt")
            context.load_cert_chain(self.viewer + "/tls.crt", self.viewer + "/tls.key")
        with urllib.request.urlopen("%s://%s:%d%s" % (scheme, host, port, page), timeout=5, context=context) as answer:
            return answer.read().decode()

    def workers(self):
        for _, pod in self.stream.pods():
            for container, daemon in list(workers_of(pod))[:WORKERS]:
                yield container, daemon

    def until(self, what, done):
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            for name, process in self.processes.items():
                assert process.poll() is None, "%s ended with %d: %s" % (name, process.returncode, self.log(name))
            try:
                if done():
                    return
            except OSError:
                pass  # it does not listen yet, or is not ready
            time.sleep(0.2)
        raise AssertionError("%s: not after %d s: %s" % (what, WAIT_S, self.log("learner")))

    def log(self, name):
        with open(os.path.join(self.top, name + ".log"), encoding="utf-8") as text:
            return text.read()[-1500:]

    def ctl(self, *words, keys=None):
        environment = dict(os.environ, XDG_CONFIG_HOME=self.top, **({"RLHFD_TLS": keys} if keys else {}))
        return subprocess.run([os.path.join(BIN, "rlhfctl")] + list(words) + ["--address", "127.0.0.1:7013"], env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def generators(self, keys):
        listed = json.loads(self.ctl("workers", "-o", "json", keys=keys).stdout)
        return {w["name"] for w in listed["workers"] if w["kind"] == "generator"}

    def check(self):
        self.viewer = self.keys.of_certificate(self.stream, "viewer") if self.keys else None
        admin = self.keys.of_certificate(self.stream, "admin") if self.keys else None
        learner = next(c for c, daemon in self.workers() if daemon == "learner")
        version = lambda: next(float(line.split()[1]) for line in self.get(learner, "learner", "/metrics", "metrics").splitlines()
                               if line.startswith("rlhfd_version "))
        self.until("three versions", lambda: version() >= 3)
        for container, daemon in self.workers():
            for page in ("/livez", "/readyz"):
                self.until("%s of %s" % (page, container["name"]), lambda: self.get(container, daemon, page, "probes") == "ok\n")
            assert "rlhfd_" in self.get(container, daemon, "/metrics", "metrics")
        wanted = {settings_of(c)["generator.name"].replace("$(POD_NAME)", POD["POD_NAME"]) for c, daemon in self.workers() if daemon == "generator"}
        self.until("generators %s" % sorted(wanted), lambda: self.generators(admin) == wanted)
        made = self.ctl("backup", "offsite", keys=admin)
        assert made.returncode == 0, made.stdout
        if self.keys:
            refused = self.ctl("status", keys=os.path.join(self.keys.top, "learner-tls"))
            assert refused.returncode, "a learner's keys may look: " + refused.stdout

    def end(self):
        """As when pods are deleted together."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for name, process in self.processes.items():
            assert process.wait(WAIT_S) == 0, "%s ended with %d: %s" % (name, process.returncode, self.log(name))

    def kill(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()


def main():
    inside()
    run("ip", "link", "set", "lo", "up")
    with tempfile.TemporaryDirectory() as top:
        hosts = os.path.join(top, "hosts")
        with open(hosts, "w", encoding="utf-8") as out:
            out.write("127.0.0.1 localhost learner rewarder generator\n")
        run("mount", "--bind", hosts, "/etc/hosts")
        material.make(BIN, os.path.join(top, "volume"))
        for overlay in ("minimal", "full"):
            here = os.path.join(top, overlay)
            os.makedirs(here)
            ring = Ring(overlay, here, os.path.join(top, "volume"))
            try:
                ring.check()
                ring.end()
            finally:
                ring.kill()
            print("%s: %s trained, answered and ended" % (overlay, ", ".join(ring.processes)))


main()
