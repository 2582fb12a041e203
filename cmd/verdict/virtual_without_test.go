//go:build !synctests

package main_test

import "testing"

// TestVirtual is the virtual layer, which needs the Kafka client's own build tag: with it the client's locks are ones that a bubble of testing/synctest can wait for.
func TestVirtual(t *testing.T) {
	t.Skip("the virtual layer runs with -tags synctests: make virtual")
}
