package scorer

// ParseList reads the text of a list, and returns when each entry ends :: value → microseconds since 1970.
func ParseList(text []byte) (map[string]int64, error) { return parseList("list.txt", string(text)) }

// ParseBundle says what is wrong with the text of a bundle.yaml.
func ParseBundle(text []byte, loaders map[string]Loader) error {
	_, err := parseBundle("bundle.yaml", text, loaders)
	return err
}

// ParseMLmodel says what is wrong with the text of an MLmodel in dir.
func ParseMLmodel(dir string, text []byte, loaders map[string]Loader) error {
	_, err := parseMLflow(dir, text, loaders)
	return err
}
