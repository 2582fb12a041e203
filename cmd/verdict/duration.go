package main

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// durationHook lets config values be durations as people write them: Go's (500ms, 1h30m), and whole days and weeks (7d, 2w).
func durationHook(from, to reflect.Type, value any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() {
		return value, nil
	}
	if from == to {
		return value, nil
	}
	return parseDuration(value)
}

// parseDuration reads a duration as a config has it: a text, or a bare 0, which is the same in every unit.
func parseDuration(value any) (time.Duration, error) {
	text, ok := value.(string)
	if !ok {
		if value == 0 || value == 0.0 {
			return 0, nil
		}
		return 0, fmt.Errorf("%v is not a duration such as 500ms, 10s, 1h, 7d", value)
	}
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if digits, ok := strings.CutSuffix(text, unit); ok {
			if n, err := strconv.ParseUint(digits, 10, 16); err == nil {
				return time.Duration(n) * length, nil
			}
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 500ms, 10s, 1h, 7d", text)
	}
	return d, nil
}

// durationKeys returns which dotted keys of a config struct are durations.
func durationKeys(t reflect.Type, prefix string) map[string]bool {
	all := make(map[string]bool)
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("koanf"), ",")
		switch {
		case tag == "-":
		case f.Type == reflect.TypeFor[time.Duration]():
			all[prefix+tag] = true
		case f.Anonymous:
			maps.Copy(all, durationKeys(f.Type, prefix))
		case f.Type.Kind() == reflect.Struct:
			maps.Copy(all, durationKeys(f.Type, prefix+tag+"."))
		}
	}
	return all
}

// wholeHook refuses a fraction where a whole number is wanted, which would be cut.
func wholeHook(_, to reflect.Type, value any) (any, error) {
	if f, ok := value.(float64); ok && to.Kind() >= reflect.Int && to.Kind() <= reflect.Uint64 && f != math.Trunc(f) {
		return nil, fmt.Errorf("%v is not a whole number", f)
	}
	return value, nil
}

// days writes a duration in whole days where it is one: 37d instead of 888h0m0s.
func days(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day == 0 {
		return strconv.Itoa(int(d/day)) + "d"
	}
	return d.String()
}
