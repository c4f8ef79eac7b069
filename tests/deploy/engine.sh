# Sourced by root: podman and buildah with a store of their own under $DRILL, beside the machine's. What belongs to a boot lies in /run,
# which `node` makes anew, so podman sees a machine that was started again. A caller without CAP_SYS_RESOURCE cannot raise its limits,
# and podman's own defaults (1,048,576 files) would be refused.
export CONTAINERS_STORAGE_CONF=$DRILL/storage.conf CONTAINERS_CONF=$DRILL/containers.conf
mkdir -p "$DRILL"
cat >"$CONTAINERS_STORAGE_CONF" <<CONF
[storage]
driver = "overlay"
graphroot = "$DRILL/store"
runroot = "/run/containers/storage"
CONF
cat >"$CONTAINERS_CONF" <<CONF
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
tmp_dir = "/run/libpod"
[network]
network_backend = "netavark"
network_config_dir = "$DRILL/networks"
[containers]
log_driver = "k8s-file"
default_ulimits = ["nofile=${NOFILE:-$(ulimit -Hn)}:${NOFILE:-$(ulimit -Hn)}", "nproc=32768:32768"]
CONF
