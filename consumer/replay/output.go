package replay

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/cespare/xxhash/v2"
)

// bufferSize is how much is held back before it is written, in bytes.
const bufferSize = 256 << 10

// outputs are the files of one replay. They appear together, when all of them are complete.
type outputs struct {
	dir   string
	files []*output
}

// create begins the file of that name. The first one also rids the folder of what replays left that were killed.
func (o *outputs) create(name string) (*output, error) {
	if len(o.files) == 0 {
		removeOrphans(o.dir)
	}
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

// tell fills in how the file of that name is left.
func (o *outputs) tell(left *partialFile) error {
	for _, file := range o.files {
		if filepath.Base(file.name) != left.Name {
			continue
		}
		if err := file.Flush(); err != nil {
			return fmt.Errorf("writing %s: %w", file.name, err)
		}
		left.Size, left.Hash = file.disk.size, hash(file.disk.sum.Sum64())
	}
	return nil
}

// discard removes the files that have not appeared.
func (o *outputs) discard() {
	for _, file := range o.files {
		file.discard()
	}
}

// output is a file that appears under its name when it is complete, and not before: it is written beside it under another name, and held (hold) as long as
// it has that one, so that another replay can tell it from what one left that was killed.
type output struct {
	*bufio.Writer

	name string // where it is to appear
	disk disk
}

// disk writes to a file, and keeps count and a hash of what it wrote.
type disk struct {
	file *os.File
	size int64
	sum  *xxhash.Digest
}

// Write writes to the file.
func (d *disk) Write(p []byte) (int, error) {
	n, err := d.file.Write(p)
	d.size += int64(n)
	_, _ = d.sum.Write(p[:n]) // a hash takes all
	return n, err
}

// createOutput begins the file of that name in dir.
func createOutput(dir, name string) (*output, error) {
	for {
		temp, err := os.CreateTemp(dir, "."+name+".*.part")
		if err != nil {
			return nil, fmt.Errorf("creating %s: %w", filepath.Join(dir, name), err)
		}
		if !hold(temp) { // another replay was quicker, and took it for an orphan
			_ = temp.Close() // nothing was written
			continue
		}
		o := &output{name: filepath.Join(dir, name), disk: disk{file: temp, sum: xxhash.New()}}
		o.Writer = bufio.NewWriterSize(&o.disk, bufferSize)
		return o, nil
	}
}

// complete brings everything that was written to the disk. The file still has its other name.
func (o *output) complete() error {
	if err := o.Flush(); err != nil {
		return fmt.Errorf("writing %s: %w", o.name, err)
	}
	if err := o.disk.file.Chmod(0o644); err != nil { // CreateTemp keeps it to its owner
		return fmt.Errorf("writing %s: %w", o.name, err)
	}
	if err := o.disk.file.Sync(); err != nil {
		return fmt.Errorf("writing %s: %w", o.name, err)
	}
	if holds { // until it has its name
		return nil
	}
	if err := o.disk.file.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", o.name, err)
	}
	return nil
}

// appear gives the file its name.
func (o *output) appear() error {
	if err := os.Rename(o.disk.file.Name(), o.name); err != nil {
		return fmt.Errorf("naming %s: %w", o.name, err)
	}
	_ = o.disk.file.Close() // all of it is on the disk; closed already where files are not held
	return nil
}

// discard removes what was written. Once the file has appeared it does nothing.
func (o *output) discard() {
	_ = o.disk.file.Close()           // closed already, or of no use any more
	_ = os.Remove(o.disk.file.Name()) // where it cannot be removed it stays behind under its other name, which is all that can be done
}

// partName matches the names that createOutput gives to files that are being written.
var partName = regexp.MustCompile(`^\.(features\.csv|features\.parquet|decisions(-\d+)?\.jsonl|differences\.jsonl|dead-letters\.jsonl|report\.json|report\.html|partial\.json)\.\d+\.part$`)

// removeOrphans removes what replays into the folder left that were killed: files that were being written, and that no living process holds. One that cannot
// be removed stays.
func removeOrphans(dir string) {
	if !holds {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // who creates a file there tells
	}
	for _, e := range entries {
		if e.Type().IsRegular() && partName.MatchString(e.Name()) {
			removeUnheld(filepath.Join(dir, e.Name()))
		}
	}
}
