// Command page-test writes the pages that page.test.mjs opens in a browser, and their reports, into the folder that it is given.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"verdict/consumer/backtest"
	"verdict/consumer/backtest/page"
	"verdict/consumer/backtest/page/pagetest"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "page-test:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: page-test DIR")
	}
	for name, cfg := range map[string]pagetest.Config{"year": pagetest.Year(), "fortnight": pagetest.Fortnight(), "hostile": pagetest.Hostile(), "bare": pagetest.Bare()} {
		r, err := cfg.Report()
		if err != nil {
			return fmt.Errorf("making the report %s: %w", name, err)
		}
		if err := write(filepath.Join(args[0], name), r); err != nil {
			return err
		}
	}
	return nil
}

// write writes NAME.json and NAME.html.
func write(name string, r *backtest.Report) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing the report %s: %w", name, err)
	}
	if err := os.WriteFile(name+".json", text, 0o600); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	f, err := os.Create(name + ".html")
	if err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	if err := page.Write(f, r); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}
