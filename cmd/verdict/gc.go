package main

import (
	"os"
	"runtime/debug"
)

// serveGC is GOGC of a process that serves: it collects when the heap has grown fivefold since the last time and not twofold. What lives is some tens of MB (models,
// buffers), so collections come every few MB of orders otherwise and take processor time from callers.
const serveGC = 400

// tuneGC sets the collector unless the environment does. With state.store memory the heap is the state, and five times that is too much to ask.
func tuneGC(cfg *Config) {
	if os.Getenv("GOGC") != "" || cfg.State.Store == "memory" {
		return
	}
	debug.SetGCPercent(serveGC)
}
