// Command verdict scores streams of orders for fraud. See README.md, and consumer/doc.go for a tour of the program.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes, as the contract has them.
const (
	exitDone    = 0
	exitFailed  = 1
	exitInvalid = 2 // wrong usage, or a file that is not valid
)

func main() {
	// The default of 100 collects garbage several times a second when little is live, which shows at p99; a few times the live heap is small here.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string) int {
	root := &cobra.Command{
		Use:   "verdict",
		Short: "A streaming fraud scorer on Kafka",
		Long: "verdict consumes orders from Kafka, makes features of them, scores them and publishes decisions.\n" +
			"Try it with nothing installed: verdict demo",
		SilenceErrors: true, SilenceUsage: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w usage: %w", errInvalid, err) })
	root.AddCommand(newDemoCommand(), newServeCommand(), newReplayCommand(), newPromoteCommand(), newModelCommand(), newCheckCommand(), newSchemaCommand(), newDiffCommand(), newBackfillCommand(), newRebuildCommand(), newStateCommand(), newBenchCommand(), newKeyCommand(), newDLQCommand(), newDoctorCommand(), newForgetCommand()) //nolint:contextcheck // they have it from cobra
	for _, c := range root.Commands() {
		usageErrors(c)
	}
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errInvalid), isUsage(err):
		fmt.Fprintln(os.Stderr, "verdict:", err)
		return exitInvalid
	default:
		fmt.Fprintln(os.Stderr, "verdict:", err)
		return exitFailed
	}
}

// usageErrors makes wrong arguments of c and its subcommands wrap errInvalid.
func usageErrors(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return fmt.Errorf("%w usage: %w", errInvalid, err)
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		usageErrors(sub)
	}
}

// isUsage says whether cobra itself refused the command line: an unknown command or a required flag that is missing have no type of their own.
func isUsage(err error) bool {
	for _, prefix := range []string{"unknown command", "required flag"} {
		if len(err.Error()) >= len(prefix) && err.Error()[:len(prefix)] == prefix {
			return true
		}
	}
	return false
}
