package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// put makes a key of a config's top level name a path, and returns the new text and the path as it stands there: relative to the config. Nothing else of the
// text changes. A key that is not there is put behind features, as the first line where there is none.
func put(config string, text []byte, key, path string) (edited []byte, written string, err error) {
	if written, err = relative(config, path); err != nil {
		return nil, "", err
	}
	quoted, err := yaml.Marshal(written)
	if err != nil {
		return nil, "", err
	}
	value := strings.TrimSpace(string(quoted))
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, "", fmt.Errorf("%s: %w", config, err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	if len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode || root.Content[0].Style&yaml.FlowStyle != 0 {
		return nil, "", fmt.Errorf("%s: keys a line each are wanted, to write %s among them", config, key)
	}
	behind, entries := 0, root.Content[0].Content
	for i := 0; i < len(entries); i += 2 {
		switch name, now := entries[i], entries[i+1]; name.Value {
		case "features":
			behind = now.Line
		case key:
			if now.Kind != yaml.ScalarNode || now.Line != name.Line || strings.Contains(now.Value, "\n") || now.Anchor != "" {
				return nil, "", fmt.Errorf("%s:%d: %s is not written as one word on its line: change it by hand", config, name.Line, key)
			}
			if now.Tag == "!!null" && now.Value == "" { // nothing stands there, or a comment
				at := name.Column - 1 + len(key) + 1 // keys are ASCII, and begin their lines
				line := lines[name.Line-1]
				lines[name.Line-1] = fmt.Appendf(bytes.Clone(line[:at]), " %s%s", value, line[at:])
				return bytes.Join(lines, nil), written, nil
			}
			if lines[now.Line-1], err = replaceScalar(lines[now.Line-1], now, value); err != nil {
				return nil, "", fmt.Errorf("%s:%d: %w", config, now.Line, err)
			}
			return bytes.Join(lines, nil), written, nil
		}
	}
	if behind > 0 && !bytes.HasSuffix(lines[behind-1], []byte("\n")) {
		lines[behind-1] = append(bytes.Clone(lines[behind-1]), '\n')
	}
	head, tail := bytes.Join(lines[:behind], nil), bytes.Join(lines[behind:], nil)
	return fmt.Appendf(head, "%s: %s\n%s", key, value, tail), written, nil
}

// replaceScalar replaces the scalar that a line has at its column; what follows, such as a comment, stays.
func replaceScalar(line []byte, now *yaml.Node, value string) ([]byte, error) {
	runes := []rune(string(line)) // columns count characters
	head, rest := string(runes[:now.Column-1]), string(runes[now.Column-1:])
	for end := 1; end <= len(rest); end++ { // the shortest beginning that reads as the value, and is followed by nothing or a space
		if end < len(rest) && !strings.ContainsRune(" \t\r\n", rune(rest[end])) {
			continue
		}
		var read string
		if err := yaml.Unmarshal([]byte(rest[:end]), &read); err == nil && read == now.Value {
			return []byte(head + value + rest[end:]), nil
		}
	}
	return nil, errors.New("the value of this key cannot be told from what follows it: change it by hand")
}

// relative returns a path as a config names it: from its own folder.
func relative(config, path string) (string, error) {
	from, err := filepath.Abs(filepath.Dir(config))
	if err != nil {
		return "", err
	}
	to, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	short, err := filepath.Rel(from, to)
	if err != nil {
		return to, nil //nolint:nilerr // another volume: the whole path does as well
	}
	return filepath.ToSlash(short), nil
}
