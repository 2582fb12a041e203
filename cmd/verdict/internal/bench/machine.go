package bench

import (
	"bufio"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
)

// Machine is where figures were made.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory_bytes"` // 0 is not known
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Go     string `json:"go"`
	GOGC   string `json:"gogc"` // of the bench
}

// ThisMachine looks at the machine; what cannot be told here is left open.
func ThisMachine() Machine {
	m := Machine{CPU: "processor unknown", Cores: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(), GOGC: "off"}
	if model := field("/proc/cpuinfo", "model name"); model != "" {
		m.CPU = model
	}
	if kib, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		m.Memory = kib << 10
	}
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	if v := sample[0].Value; v.Kind() == metrics.KindUint64 && v.Uint64() < 1<<31 {
		m.GOGC = strconv.FormatUint(v.Uint64(), 10)
	}
	return m
}

// field returns what stands behind the first "name:" of a file, "" when there is none.
func field(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Version returns which build of verdict this is.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "verdict"
	}
	settings := make(map[string]string, len(info.Settings))
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	name := "verdict " + info.Main.Version
	if revision := settings["vcs.revision"]; len(revision) >= 12 && !strings.Contains(name, revision[:12]) {
		name += " " + revision[:12]
	}
	if settings["vcs.modified"] == "true" && !strings.Contains(name, "dirty") {
		name += " (modified)"
	}
	return name
}

// pairs writes a map in the order of its keys.
func pairs(all map[string]string) string {
	var out []string
	for k, v := range all {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}
