"""Volumes of a pod as podman's arguments: ConfigMap, Secret, emptyDir, claim, hostPath; fsGroup as the kubelet applies it."""
import os

from .tools import Refused, quantity, run


def write_files(path, content, mode, group):
    os.makedirs(path, exist_ok=True)
    os.chmod(path, 0o755)
    for name, data in content.items():
        with open(f"{path}/{name}", "wb") as out:
            out.write(data)
        os.chmod(f"{path}/{name}", mode | (0o040 if group else 0))
        os.chown(f"{path}/{name}", 0, group or 0)


def files_of(objects, volume):
    """(contents by name, mode) of a ConfigMap, a Secret or several of them (projected)."""
    if "projected" in volume:
        content = {}
        for source in volume["projected"]["sources"]:
            content.update(files_of(objects, {kind: {**s, "secretName": s.get("name")} for kind, s in source.items()})[0])
        return content, volume["projected"].get("defaultMode", 0o644)
    if "configMap" in volume:
        source = volume["configMap"]
        content = objects.config_map(source["name"], source.get("optional", False))
    else:
        source = volume["secret"]
        content = objects.secret(source["secretName"], source.get("optional", False))
    if "items" in source:
        content = {item["path"]: content[item["key"]] for item in source["items"]}
    return content, source.get("defaultMode", 0o644)


def own(path, group, policy):
    """The kubelet gives a volume to the fsGroup; OnRootMismatch looks at the root alone."""
    if policy == "OnRootMismatch" and os.stat(path).st_gid == group and os.stat(path).st_mode & 0o2070 == 0o2070:
        return
    run("chgrp", "-R", str(group), path)
    run("chmod", "-R", "g+rwX", path)
    os.chmod(path, os.stat(path).st_mode | 0o2070)


def place(pod, volume):
    """(path on this machine, read-only) of a volume."""
    objects, name = pod.cluster.objects, volume["name"]
    if "emptyDir" in volume:
        path = f"{pod.dir}/{name}"
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o777)
        return path, False
    if "persistentVolumeClaim" in volume:
        claim = volume["persistentVolumeClaim"]["claimName"]
        if not objects.find("PersistentVolumeClaim", claim):
            raise Refused(f'persistentvolumeclaim "{claim}" not found')
        return pod.cluster.claim_path(claim), volume["persistentVolumeClaim"].get("readOnly", False)
    if "hostPath" in volume:
        return volume["hostPath"]["path"], False
    path = f"{pod.dir}/{name}"
    content, mode = files_of(objects, volume)
    write_files(path, content, mode, pod.spec.get("securityContext", {}).get("fsGroup"))
    return path, True


def mounts(pod, container):
    security = pod.spec.get("securityContext", {})
    volumes, words = {v["name"]: v for v in pod.spec.get("volumes", [])}, []
    for mount in container.get("volumeMounts", []):
        volume = volumes[mount["name"]]
        if volume.get("emptyDir", {}).get("medium") == "Memory":
            size = int(quantity(volume["emptyDir"].get("sizeLimit", "64Mi")))
            words += ["--mount", f"type=tmpfs,destination={mount['mountPath']},tmpfs-size={size},tmpfs-mode=1777"]
            continue
        path, read_only = place(pod, volume)
        if "fsGroup" in security and not read_only and "hostPath" not in volume:
            own(path, security["fsGroup"], security.get("fsGroupChangePolicy"))
        if "subPath" in mount:
            path += "/" + mount["subPath"]
        words += ["-v", f"{path}:{mount['mountPath']}:{'ro' if read_only or mount.get('readOnly') else 'rw'}"]
    return words
