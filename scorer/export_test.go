package scorer

// ParseList reads the text of a list, and returns when each entry ends :: value → microseconds since 1970.
func ParseList(text []byte) (map[string]int64, error) { return parseList("list.txt", string(text)) }
