package expr

import (
	"errors"
	"strings"
	"unicode"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// maxFaults is how many faults of one expression are told.
const maxFaults = 8

// maxMessage is how much of a message is told, in bytes.
const maxMessage = 300

// faultsOf returns what CEL's parser or checker says as *Faults.
func faultsOf(issues *cel.Issues) error {
	var all []error
	for _, e := range issues.Errors() {
		if len(all) == maxFaults {
			break
		}
		line, column := 1, 1
		if e.Location.Line() > 0 {
			line, column = e.Location.Line(), max(0, e.Location.Column())+1
		}
		all = append(all, &Fault{Line: line, Column: column, Text: plain(e.Message)})
	}
	return errors.Join(all...)
}

// plain rewords CEL's messages, which speak of what it calls operators inside.
func plain(message string) string {
	shown := strings.NewReplacer("double", "number", "bool", "boolean", "dyn", "any")
	if strings.HasPrefix(message, "expected type '") {
		return shown.Replace(message)
	}
	if rest, ok := strings.CutPrefix(message, "found no matching overload for '"); ok {
		name, args, _ := strings.Cut(rest, "' applied to ")
		if sign, ok := operators.FindReverse(name); ok && sign != "" {
			name = sign
		}
		if name == operators.Conditional {
			name = "?:"
		}
		args = strings.Trim(args, "'")
		return strings.TrimPrefix(name, "@") + " does not take " + shown.Replace(args)
	}
	// ANTLR lists every token that could have come instead.
	message, _, _ = strings.Cut(message, ", expecting {")
	message, _, _ = strings.Cut(message, " expecting {")
	return printable(message)
}

// printable makes a message fit for one line: it may quote the whole text, and anything in it.
func printable(message string) string {
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return unicode.ReplacementChar
		}
		return c
	}, message)
}

// kindName returns what the feature language calls a type.
func kindName(t *types.Type) string {
	switch t.Kind() {
	case types.StringKind:
		return "a string"
	case types.TimestampKind:
		return "a time"
	case types.DurationKind:
		return "a duration"
	case types.ListKind:
		return "a list"
	default:
		return "a " + t.String()
	}
}
