#!/usr/bin/env bash
# render_test.sh KUBE: the committed manifests are what the overlays render to, and so are two runs in two namespaces that differ in
# nothing else.
set -euo pipefail
kube=$(readlink -m "$1") here=$(cd "$(dirname "$0")/../../../deploy/k8s" && pwd)
[[ -x $kube/kubectl ]] || { echo "skipped: no '$kube/kubectl': ./dev kube fetches it from PyPI" && exit 77; }
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
cp -r "$here" "$top/k8s"
[[ ! -d $here/../prometheus ]] || cp -r "$here/../prometheus" "$top/prometheus"
KUBECTL=$kube/kubectl "$top/k8s/render"
diff -r "$here/rendered" "$top/k8s/rendered" || { echo "rendered/ is not what the overlays are: deploy/k8s/render" && exit 1; }
diff -r "$here/components" "$top/k8s/components" || { echo "components/monitoring is old: deploy/k8s/render" && exit 1; }

# A second run: its namespace is all that differs, and nothing of the first is left in it.
mkdir "$top/k8s/overlays/second"
sed 's/^namespace: .*/namespace: second/' "$here/overlays/full/kustomization.yaml" >"$top/k8s/overlays/second/kustomization.yaml"
"$kube/kubectl" kustomize "$top/k8s/overlays/second" >"$top/second.yaml"
sed -E 's/^( *name(space)?: )second$/\1rlhfd/; s/namespace="second"/namespace="rlhfd"/g' "$top/second.yaml" >"$top/back.yaml"
python3 - "$here/rendered/full.yaml" "$top/back.yaml" <<'PY'
import sys, yaml
one, two = ({(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(open(path))} for path in sys.argv[1:])
wrong = [key for key in one.keys() | two.keys() if one.get(key) != two.get(key)]
assert not wrong, "these differ by more than the namespace: %s" % wrong
PY

# The overlay that README.md tells people to write: its recipe, image and namespace are everywhere.
mkdir "$top/k8s/overlays/own"
{
    printf 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../../base]\n'
    sed -n '/^3\. \*\*Overlay/,/^4\./s/^   \(namespace\|images\|configMapGenerator\): /\1: /p' "$here/README.md"
} | sed 's/"sha256:\.\.\."/sha256:88200866dfff7ea7f5cbcb6ec7c8a701889efe6fe859fe64d6990e4b07ea4171/' >"$top/k8s/overlays/own/kustomization.yaml"
sed 's/name: sort/name: mine/' "$here/base/recipe.yaml" >"$top/k8s/overlays/own/recipe.yaml"
"$kube/kubectl" kustomize "$top/k8s/overlays/own" >"$top/own.yaml"
python3 - "$top/own.yaml" <<'PY'
import sys, yaml
objects = list(yaml.safe_load_all(open(sys.argv[1])))
pods = [o["spec"]["template"]["spec"] for o in objects if o["kind"] in ("StatefulSet", "Deployment")]
recipes = [o for o in objects if o["kind"] == "ConfigMap" and "name: mine" in o["data"]["recipe.yaml"]]
images = {c["image"].split("@")[0] for p in pods for c in p["containers"] + p["initContainers"]}
mounted = {v["configMap"]["name"] for p in pods for v in p["volumes"] if "configMap" in v}
assert images == {"registry.example/rlhfd"}, images
assert len(recipes) == 1 and mounted == {recipes[0]["metadata"]["name"]}, mounted
assert {o["metadata"].get("namespace", "my-run") for o in objects} == {"my-run"}
PY
"$kube/kubectl" kustomize "$here/cluster" | grep -c '^kind: PriorityClass' | grep -qx 3
echo "$(ls "$here/rendered" | wc -l) overlays are as committed; a second namespace differs in nothing else"
