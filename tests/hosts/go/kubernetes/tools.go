//go:build tools

// Package tools names the two programs that the hosts run, so that go.sum pins all they need.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kubeadm"
	_ "k8s.io/kubernetes/cmd/kubelet"
)
