package replay

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
)

// bufferSize is how much is held back before it is written, in bytes.
const bufferSize = 256 << 10

// outputs are the files of one replay. They appear together, when all of them are complete.
type outputs struct {
	dir   string
	files []*output
}

// create begins the file of that name.
func (o *outputs) create(name string) (*output, error) {
	file, err := createOutput(o.dir, name)
	if err != nil {
		return nil, err
	}
	o.files = append(o.files, file)
	return file, nil
}

// appear completes all files and then gives them their names.
func (o *outputs) appear() error {
	for _, file := range o.files {
		if err := file.complete(); err != nil {
			return err
		}
	}
	for _, file := range o.files {
		if err := file.appear(); err != nil {
			return err
		}
	}
	return nil
}

// discard removes the files that have not appeared.
func (o *outputs) discard() {
	for _, file := range o.files {
		file.discard()
	}
}

// output is a file that appears under its name when it is complete, and not before: it is written beside it under another name.
type output struct {
	*bufio.Writer

	name string // where it is to appear
	temp *os.File
}

// createOutput begins the file of that name in dir.
func createOutput(dir, name string) (*output, error) {
	temp, err := os.CreateTemp(dir, "."+name+".*.part")
	if err != nil {
		return nil, fmt.Errorf("creating %s: %w", filepath.Join(dir, name), err)
	}
	return &output{name: filepath.Join(dir, name), temp: temp, Writer: bufio.NewWriterSize(temp, bufferSize)}, nil
}

// complete brings everything that was written to the disk. The file still has its other name.
func (o *output) complete() error {
	if err := o.Flush(); err != nil {
		return fmt.Errorf("writing %s: %w", o.name, err)
	}
	if err := o.temp.Chmod(0o644); err != nil { // CreateTemp keeps it to its owner
		return fmt.Errorf("writing %s: %w", o.name, err)
	}
	if err := o.temp.Sync(); err != nil {
		return fmt.Errorf("writing %s: %w", o.name, err)
	}
	if err := o.temp.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", o.name, err)
	}
	return nil
}

// appear gives the file its name.
func (o *output) appear() error {
	if err := os.Rename(o.temp.Name(), o.name); err != nil {
		return fmt.Errorf("naming %s: %w", o.name, err)
	}
	return nil
}

// discard removes what was written. Once the file has appeared it does nothing.
func (o *output) discard() {
	_ = o.temp.Close()           // closed already, or of no use any more
	_ = os.Remove(o.temp.Name()) // where it cannot be removed it stays behind under its other name, which is all that can be done
}
