package redisstore

import "verdict/preprocess"

// AppendMerged and ReadMerged are for tests: a source's part of a merged column as it stands in Redis.
func AppendMerged(dst []byte, m *preprocess.Merged) []byte {
	s := source{Merged: *m}
	return s.append(dst)
}

func ReadMerged(blob string, number int32, offset int64, merge *preprocess.Merging) (preprocess.Merged, error) {
	m, _, err := readMerged(blob, number, offset, merge)
	return m, err
}
