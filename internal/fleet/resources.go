package fleet

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Cores is an amount of CPU in thousandths of a core. JSON shows it as a
// number of cores (2, 0.5).
type Cores int64

// Core is one whole core.
const Core Cores = 1000

// ParseCores reads a non-negative decimal number of cores with at most three
// decimals.
func ParseCores(s string) (Cores, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%q is not a number of cores: write for example 2 or 0.5", s)
	}
	return coresFromFloat(f)
}

func coresFromFloat(f float64) (Cores, error) {
	if f < 0 || f > 1e6 {
		return 0, fmt.Errorf("%v cores is out of range: write a number from 0 to 1000000", f)
	}
	m := math.Round(f * 1000)
	if math.Abs(m-f*1000) > 1e-6 {
		return 0, fmt.Errorf("%v cores is finer than a thousandth of a core: use at most three decimals", f)
	}
	return Cores(m), nil
}

// String renders the cores without needless decimals.
func (c Cores) String() string { return strconv.FormatFloat(float64(c)/1000, 'f', -1, 64) }

// MarshalJSON writes a JSON number of cores.
func (c Cores) MarshalJSON() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalJSON reads a JSON number of cores.
func (c *Cores) UnmarshalJSON(b []byte) error {
	v, err := ParseCores(string(b))
	if err != nil {
		return err
	}
	*c = v
	return nil
}

// Memory is an amount of memory in MiB. JSON and YAML write it as text with a
// unit: "512Mi", "4Gi", "1.5Ti"; a bare whole number means MiB.
type Memory int64

// The memory units.
const (
	MiB Memory = 1
	GiB Memory = 1024
	TiB Memory = 1024 * 1024
)

var memoryUnits = []struct {
	suffix string
	unit   Memory
}{
	{"TiB", TiB},
	{"GiB", GiB},
	{"MiB", MiB},
	{"Ti", TiB},
	{"Gi", GiB},
	{"Mi", MiB},
}

// ParseMemory reads "512Mi", "4Gi", "4GiB", "1.5Ti" or a bare number of MiB.
func ParseMemory(s string) (Memory, error) {
	text, unit := strings.TrimSpace(s), MiB
	for _, u := range memoryUnits {
		if rest, ok := strings.CutSuffix(text, u.suffix); ok {
			text, unit = strings.TrimSpace(rest), u.unit
			break
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%q is not an amount of memory: write for example 512Mi or 4Gi", s)
	}
	m := f * float64(unit)
	if m < 0 || m > float64(1024*TiB) {
		return 0, fmt.Errorf("memory %q is out of range: write 0 to 1024Ti", s)
	}
	if m != math.Trunc(m) {
		return 0, fmt.Errorf("memory %q is not a whole number of MiB", s)
	}
	return Memory(m), nil
}

// String renders the largest unit that leaves a whole number.
func (m Memory) String() string {
	switch {
	case m == 0:
		return "0"
	case m%TiB == 0:
		return strconv.FormatInt(int64(m/TiB), 10) + "Ti"
	case m%GiB == 0:
		return strconv.FormatInt(int64(m/GiB), 10) + "Gi"
	}
	return strconv.FormatInt(int64(m), 10) + "Mi"
}

// MarshalJSON writes the amount as text with its unit.
func (m Memory) MarshalJSON() ([]byte, error) { return json.Marshal(m.String()) }

// UnmarshalJSON reads text with a unit or a bare number of MiB.
func (m *Memory) UnmarshalJSON(b []byte) error {
	s := string(b)
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
	}
	v, err := ParseMemory(s)
	if err != nil {
		return err
	}
	*m = v
	return nil
}

// Shape is an amount of resources as people write it in a spec.
type Shape struct {
	Cores  Cores  `json:"cores,omitempty" doc:"CPU cores; fractions to a thousandth are allowed." example:"4"`
	Memory Memory `json:"memory,omitempty" doc:"Memory with its unit." example:"4Gi"`
	GPUs   int64  `json:"gpus,omitempty" minimum:"0" maximum:"1000" doc:"Number of GPUs." example:"1"`
}

// Resources turns the shape into the amounts that add up.
func (s Shape) Resources() Resources {
	return Resources{Cores: s.Cores, MemoryMiB: int64(s.Memory), GPUs: s.GPUs}
}

// IsZero says that nothing is asked for.
func (s Shape) IsZero() bool { return s == Shape{} }

// Resources are amounts that servers offer and sessions claim. Places count
// session places of machines in server pools; agents of docker_agent pools
// offer cores, memory and GPUs and no places.
type Resources struct {
	Cores     Cores `json:"cores"`
	MemoryMiB int64 `json:"memory_mib"`
	GPUs      int64 `json:"gpus"`
	Places    int64 `json:"places,omitempty"`
}

// Add is the sum of both.
func (r Resources) Add(o Resources) Resources {
	return Resources{r.Cores + o.Cores, r.MemoryMiB + o.MemoryMiB, r.GPUs + o.GPUs, r.Places + o.Places}
}

// Sub is r without o; a dimension can become negative.
func (r Resources) Sub(o Resources) Resources {
	return Resources{r.Cores - o.Cores, r.MemoryMiB - o.MemoryMiB, r.GPUs - o.GPUs, r.Places - o.Places}
}

// Scale is n times r.
func (r Resources) Scale(n int64) Resources {
	return Resources{r.Cores * Cores(n), r.MemoryMiB * n, r.GPUs * n, r.Places * n}
}

// Fits says that r is at most o on every dimension.
func (r Resources) Fits(o Resources) bool {
	return r.Cores <= o.Cores && r.MemoryMiB <= o.MemoryMiB && r.GPUs <= o.GPUs && r.Places <= o.Places
}

// Floor is r with negative dimensions raised to zero.
func (r Resources) Floor() Resources {
	return Resources{max(r.Cores, 0), max(r.MemoryMiB, 0), max(r.GPUs, 0), max(r.Places, 0)}
}

// Min is the smaller of both on every dimension.
func (r Resources) Min(o Resources) Resources {
	return Resources{min(r.Cores, o.Cores), min(r.MemoryMiB, o.MemoryMiB), min(r.GPUs, o.GPUs), min(r.Places, o.Places)}
}

// IsZero says that every dimension is zero.
func (r Resources) IsZero() bool { return r == Resources{} }

// String lists the dimensions that are not zero: "2 cores, 4Gi, 1 GPU".
func (r Resources) String() string {
	var parts []string
	if r.Cores != 0 {
		parts = append(parts, plural(r.Cores.String(), "core"))
	}
	if r.MemoryMiB != 0 {
		parts = append(parts, Memory(r.MemoryMiB).String())
	}
	if r.GPUs != 0 {
		parts = append(parts, plural(strconv.FormatInt(r.GPUs, 10), "GPU"))
	}
	if r.Places != 0 {
		parts = append(parts, plural(strconv.FormatInt(r.Places, 10), "place"))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func plural(n, noun string) string {
	if n == "1" {
		return n + " " + noun
	}
	return n + " " + noun + "s"
}
