// Command test runs `go test ./...` (with more arguments, those) and then says, in a line each, what the tests left out for want of something that is
// not on this machine. go test alone shows that only with -v, or when something fails.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		args = []string{"./..."}
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"test"}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := cmd.Run()
	for _, l := range leftOut() {
		fmt.Fprintln(os.Stdout, "left out:", l)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "go test:", err)
		return 1
	}
	return 0
}

// leftOut tells what the environment lacks. The variables are described in CONTRIBUTING.md.
func leftOut() []string {
	var out []string
	if os.Getenv("VERDICT_KAFKA") == "" || os.Getenv("VERDICT_REDIS") == "" {
		out = append(out, "the end-to-end tests on a real Kafka and a real Redis: they ran on in-process ones (VERDICT_KAFKA, VERDICT_REDIS; `make broker` starts both)")
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		out = append(out, "the store's tests on a redis-server of their own: there is none on the PATH; miniredis took its place")
	}
	if os.Getenv("VERDICT_SHARED") == "" {
		out = append(out, "the comparison with the Fraud Detection Handbook's own features (VERDICT_SHARED); the live test took made-up orders")
	}
	return out
}
