# Sourced within node by root: a one-node Kubernetes 1.20.2 in it. KUBE is the directory that build filled, STATE one for what this cluster
# keeps: logs, keys, etcd's data. Sets KUBECONFIG. All ends with the node.
export PATH=$KUBE/bin:$KUBE/tools/usr/bin:$KUBE/tools/usr/sbin:$KUBE/tools/sbin:$PATH KUBECONFIG=$STATE/kubeconfig
mkdir -p "$STATE"/{logs,etcd}
chmod 700 "$STATE/etcd"
etcd_url=http://127.0.0.1:22379
server=https://127.0.0.1:16443
socket=/run/containerd/containerd.sock

# service NAME COMMAND...: in the background, with a log.
service()
{
    local name=$1
    shift
    "$@" >"$STATE/logs/$name.log" 2>&1 </dev/null &
}

# up_until SECONDS WHAT COMMAND...
up_until()
{
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || { echo "cluster: not within its time: $what; logs: $STATE/logs" >&2 && return 1; }
        sleep 0.2
    done
}

# The kubelet wants to write these; inside the node they are files, and the machine keeps its own.
stand_for()
{
    echo "$2" >"/run/${1//\//-}"
    mount --bind "/run/${1//\//-}" "$1"
}
mount --make-rshared /
ip addr add 10.0.0.1/32 dev lo
stand_for /proc/sys/vm/overcommit_memory 1
stand_for /proc/sys/kernel/panic 10
stand_for /proc/sys/kernel/panic_on_oops 1
stand_for /proc/sys/kernel/keys/root_maxbytes 25000000
echo 1 >/proc/sys/net/ipv4/ip_forward

openssl genrsa -out "$STATE/sa.key" 2048 2>/dev/null
token=$(openssl rand -hex 16)
echo "$token,admin,admin,system:masters" >"$STATE/tokens"
cat >"$KUBECONFIG" <<Y
apiVersion: v1
kind: Config
clusters: [{name: k, cluster: {server: "$server", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: "$token"}}]
contexts: [{name: k, context: {cluster: k, user: admin}}]
current-context: k
Y

service etcd etcd --data-dir "$STATE/etcd" --listen-client-urls $etcd_url --advertise-client-urls $etcd_url \
    --listen-peer-urls http://127.0.0.1:22380 --initial-advertise-peer-urls http://127.0.0.1:22380 \
    --initial-cluster default=http://127.0.0.1:22380
service apiserver kube-apiserver --etcd-servers $etcd_url --service-account-issuer https://k --service-account-key-file "$STATE/sa.key" \
    --service-account-signing-key-file "$STATE/sa.key" --api-audiences k --cert-dir "$STATE/certs" --secure-port 16443 \
    --bind-address 127.0.0.1 --advertise-address 127.0.0.2 --kubelet-preferred-address-types InternalIP --authorization-mode RBAC \
    --token-auth-file "$STATE/tokens" --service-cluster-ip-range 10.96.0.0/24

cat >/run/containerd.toml <<T
version = 2
root = "$STATE/containerd"
state = "/run/containerd"
[grpc]
  address = "$socket"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$KUBE/tools/usr/lib/cni"
    conf_dir = "/run/cni"
T
mkdir -p /run/cni
cat >/run/cni/10-bridge.conflist <<T
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
 "ipam": {"type": "host-local", "dataDir": "/run/cni/ipam", "ranges": [[{"subnet": "10.244.0.0/24", "gateway": "10.244.0.1"}]],
 "routes": [{"dst": "0.0.0.0/0"}]}}]}
T
service containerd containerd -c /run/containerd.toml
cat >/run/kubelet.yaml <<T
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 10.0.0.1
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
clusterDNS: [10.244.0.1]
clusterDomain: cluster.local
failSwapOn: false
protectKernelDefaults: true
evictionHard: {memory.available: "1Mi"}
imageGCHighThresholdPercent: 100
syncFrequency: 2s
T
up_until 60 "containerd answers" ctr -a $socket version
ctr -a $socket -n k8s.io images import "$IMAGES" >"$STATE/logs/import.log"
up_until 60 "the API is ready" kubectl get --raw /readyz
service controllers kube-controller-manager --kubeconfig "$KUBECONFIG" --service-account-private-key-file "$STATE/sa.key" \
    --leader-elect=false --port 0 --secure-port 0
service scheduler kube-scheduler --kubeconfig "$KUBECONFIG" --leader-elect=false --port 0 --secure-port 0
service kubelet kubelet --config /run/kubelet.yaml --kubeconfig "$KUBECONFIG" --container-runtime remote \
    --container-runtime-endpoint unix://$socket --hostname-override node0 --node-ip 10.0.0.1 --root-dir "$STATE/kubelet" \
    --cert-dir "$STATE/kubelet-certs" --oom-score-adj 0
service proxy kube-proxy --kubeconfig "$KUBECONFIG" --hostname-override node0 --proxy-mode iptables --cluster-cidr 10.244.0.0/24 \
    --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0
service dns python3 "$(dirname "${BASH_SOURCE[0]}")/dns.py" "$server" "$token"
up_until 120 "node0 is ready" kubectl wait --for=condition=Ready --timeout=1s node/node0
