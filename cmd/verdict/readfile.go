package main

import (
	"fmt"
	"io"
	"os"
)

// How long files may be that people name, in bytes: a wrong path must not eat the memory.
const (
	maxSchemaFile = 1 << 20  // what schemas.ParseSchema takes is less
	maxKeysFile   = 16 << 20 // some hundred thousand lines
	maxPEMFile    = 1 << 20  // all that a system trusts is below it
	maxSecretFile = 64 << 10
)

// readAtMost reads a file of up to most bytes. It may be a pipe.
func readAtMost(file string, most int64) ([]byte, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s has more than %d bytes", file, most)
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}
