// Package example holds the example files of this folder for programs that have nothing else to read: the demo.
package example

import "embed"

// Files are the example feature set, policy, lists and model bundle.
//
//go:embed handbook.yaml policy.yaml lists models
var Files embed.FS
