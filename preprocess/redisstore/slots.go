package redisstore

import "strings"

const (
	// blocks is into how many parts the slots of a cluster are divided, each of which is watched by itself.
	blocks = 16
	// tags are hash tags of two letters, one from the middle of each part.
	tags = "18Bhdj1Cd2SjuhdI5EStFnq6F65fWlFM"

	slots = 16384
)

// tagOf is the hash tag of a part of the slots.
func tagOf(block int) string { return tags[2*block : 2*block+2] }

// blockOf returns in which part of the slots a key lies.
func blockOf(key string) int {
	if open := strings.IndexByte(key, '{'); open >= 0 {
		if end := strings.IndexByte(key[open+1:], '}'); end > 0 {
			key = key[open+1 : open+1+end]
		}
	}
	return int(crc16(key)) % slots / (slots / blocks)
}

// crc16 is the checksum by which a cluster spreads keys (XMODEM).
func crc16(s string) uint16 {
	crc := uint16(0)
	for i := range len(s) {
		crc ^= uint16(s[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
