package settings

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Nearest is the known name that was most likely meant, or "" when none is
// close.
func Nearest(name string, known []string) string {
	fold := strings.NewReplacer("_", "", "-", "", " ", "")
	want := fold.Replace(strings.ToLower(name))
	if want == "" || len(want) > 64 {
		return ""
	}
	best, bestDistance := "", 1+max(1, len(want)/3)
	for _, k := range known {
		d := distance(want, fold.Replace(strings.ToLower(k)))
		if d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// Unknown is the message about a name that is not among the known ones. what
// is the sort of the name: "field", "kind".
func Unknown(what, name string, known []string) string {
	text := "unknown " + what + " " + quote(name)
	if near := Nearest(name, known); near != "" {
		return text + ": did you mean " + near + "?"
	}
	if len(known) == 0 {
		return text + ": there is none"
	}
	sorted := slices.Sorted(slices.Values(known))
	return text + ": use one of " + strings.Join(sorted, ", ")
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// quote shows text in an error, shortened when it is long.
func quote(s string) string {
	if r := []rune(s); len(r) > 80 {
		s = string(r[:77]) + "…"
	}
	return strconv.Quote(s)
}

// orList is "a", "a or b", "a, b or c".
func orList(values []string) string {
	if len(values) < 2 {
		return strings.Join(values, "")
	}
	last := len(values) - 1
	return strings.Join(values[:last], ", ") + " or " + values[last]
}

func countOf(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(noun, "y"))
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
