"""The Pod Security standard `restricted`, as admission checks a pod."""
from .tools import Refused

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def faults(pod, container):
    own = container.get("securityContext", {})
    both = {**pod.get("securityContext", {}), **own}
    where = f'container "{container["name"]}"'
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{where} must set securityContext.allowPrivilegeEscalation=false"
    if "ALL" not in own.get("capabilities", {}).get("drop", []):
        yield f'{where} must set securityContext.capabilities.drop=["ALL"]'
    if set(own.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{where} must not add capabilities"
    if both.get("runAsNonRoot") is not True:
        yield f"{where} must set securityContext.runAsNonRoot=true"
    if both.get("runAsUser") == 0:
        yield f"{where} must not set runAsUser=0"
    if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield f"{where} must set securityContext.seccompProfile.type"
    if own.get("privileged"):
        yield f"{where} must not be privileged"


def admit(name, spec):
    found = [f for c in spec.get("initContainers", []) + spec["containers"] for f in faults(spec, c)]
    found += [f'volume "{v["name"]}" is of a restricted kind' for v in spec.get("volumes", []) if not set(v) - {"name"} <= VOLUMES]
    found += [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    if found:
        raise Refused(f'pods "{name}" is forbidden: violates PodSecurity "restricted": {"; ".join(found)}')
