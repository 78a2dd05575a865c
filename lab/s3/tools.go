//go:build tools

// Package tools names the S3 server that the tests use, so that go.sum pins all it needs.
package tools

import _ "github.com/versity/versitygw/cmd/versitygw"
