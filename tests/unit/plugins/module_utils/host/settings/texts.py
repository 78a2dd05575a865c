# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration files of each kind, as packages, kubespray and kubeadm have them."""

from __future__ import annotations

DEBIAN_ENV = """\
## etcd(1) daemon options
## See "/usr/share/doc/etcd-server/op-guide/configuration.md.gz"

### Member flags

##### --name
## Human-readable name for this member.
# ETCD_NAME="hostname"

ETCD_NAME="m1"
ETCD_LISTEN_PEER_URLS="http://192.0.2.11:2380"

##### -initial-cluster-state
# ETCD_INITIAL_CLUSTER_STATE="existing"

##### -initial-cluster-token
# ETCD_INITIAL_CLUSTER_TOKEN="etcd-cluster"

##### -auto-compaction-retention
# ETCD_AUTO_COMPACTION_RETENTION="0"
"""

KUBESPRAY_ENV = """\
# Environment file for etcd 3.5.16
ETCD_DATA_DIR=/var/lib/etcd
ETCD_ADVERTISE_CLIENT_URLS=https://192.0.2.11:2379
ETCD_INITIAL_CLUSTER_STATE=existing
ETCD_METRICS=basic
ETCD_INITIAL_CLUSTER_TOKEN=k8s_etcd
ETCD_NAME=etcd1
ETCD_INITIAL_CLUSTER=etcd1=https://192.0.2.11:2380,etcd2=https://192.0.2.12:2380

# TLS settings
ETCD_TRUSTED_CA_FILE=/etc/ssl/etcd/ssl/ca.pem
ETCD_CLIENT_CERT_AUTH=true

# CLI settings
ETCDCTL_ENDPOINTS=https://127.0.0.1:2379
ETCDCTL_CACERT=/etc/ssl/etcd/ssl/ca.pem
"""

SAMPLE_YAML = """\
# The settings of one member.

# What people call it.
name: 'default'

# Where the data lies.
data-dir:

wal-dir:

# Transactions until a snapshot is written.
snapshot-count: 10000

quota-backend-bytes: 0

listen-peer-urls: http://localhost:2380   # peers

# Cluster
initial-cluster:
initial-cluster-token: 'etcd-cluster'

# initial-cluster-state: 'new'
strict-reconfig-check: false

client-transport-security:
  # The certificate.
  cert-file: /etc/etcd/server.crt
  key-file:
  client-cert-auth: false

  trusted-ca-file: "/etc/etcd/ca.crt"

peer-transport-security:
  cert-file: /etc/etcd/peer.crt

log-level: debug
log-outputs: [stderr]
force-new-cluster: false

cipher-suites: [
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
]
"""

UNIT = """\
[Unit]
Description=etcd = the store
# ExecStart=/usr/bin/etcd --name=wrong

[Service]
Type=notify
ExecStart=/usr/local/bin/etcd \\
  --name m1 \\
  # a comment in between
  --data-dir=/var/lib/etcd \\
  -initial-cluster 'm1=http://192.0.2.11:2380,m2=http://192.0.2.12:2380' \\
  --client-cert-auth \\
  --initial-cluster-state="new"
Environment="ETCD_HEARTBEAT_INTERVAL=250" ETCD_NAME=unused
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""

KUBEADM = """\
apiVersion: v1
kind: Pod
metadata:
  annotations:
    kubeadm.kubernetes.io/etcd.advertise-client-urls: https://192.0.2.11:2379
  creationTimestamp: null
  labels:
    component: etcd
    tier: control-plane
  name: etcd
  namespace: kube-system
spec:
  containers:
  - command:
    - etcd
    - --advertise-client-urls=https://192.0.2.11:2379
    - --cert-file=/etc/kubernetes/pki/etcd/server.crt
    - --client-cert-auth=true
    - --data-dir=/var/lib/etcd
    - --initial-advertise-peer-urls=https://192.0.2.11:2380
    - --initial-cluster=cp1=https://192.0.2.11:2380
    - --key-file=/etc/kubernetes/pki/etcd/server.key
    - --listen-client-urls=https://127.0.0.1:2379,https://192.0.2.11:2379
    - --name=cp1
    - --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
    image: registry.k8s.io/etcd:3.5.16-0
    livenessProbe:
      httpGet:
        host: 127.0.0.1
        path: /livez
        port: probe-port
    name: etcd
    resources:
      requests:
        cpu: 100m
    volumeMounts:
    - mountPath: /var/lib/etcd
      name: etcd-data
    - mountPath: /etc/kubernetes/pki/etcd
      name: etcd-certs
  hostNetwork: true
  volumes:
  - hostPath:
      path: /etc/kubernetes/pki/etcd
      type: DirectoryOrCreate
    name: etcd-certs
  - hostPath:
      path: /var/lib/etcd
      type: DirectoryOrCreate
    name: etcd-data
status: {}
"""

POD_WITH_ENV = """\
spec:
  containers:
  - name: etcd
    image: etcd
    command: ["/usr/local/bin/etcd"]
    env:
    - name: ETCD_NAME
      value: "cp1"
    - name: ETCD_INITIAL_CLUSTER_TOKEN
      value: plain
"""
